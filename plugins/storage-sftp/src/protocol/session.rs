//! One SFTP session: requests go out in order, each answer finds whoever waits for it.
//!
//! Two tasks move the bytes. Requests wait in a queue of bounded length; whoever sends is held by it, and by nothing else:
//! answers are always taken in, so that a reader that pauses doesn't stop the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use russh::Channel;
use russh::client::Msg;
use tokio::sync::{mpsc, oneshot};

use super::answers::{Fault, Pending, Shared, fault, handle};
use super::channel::{Incoming, receive, send, subsystem, version};
use super::wire::{self, Attrs, Features, Name, Reply, Request, Space, packet, status};

/// The version that we speak, and that every server speaks.
const VERSION: u32 = 3;
/// What is asked for or sent at most with one request: OpenSSH's own limit is 261,120.
const REQUEST_BYTES: u32 = 255 * 1024;
/// Requests that may wait for their turn to be sent.
const QUEUE: usize = 4;

pub struct Session {
    out: mpsc::Sender<(Bytes, Bytes)>,
    shared: Arc<Shared>,
    next_id: AtomicU32,
    patience: Duration,
    pub features: Features,
}

impl Session {
    /// Begins SFTP on a channel. `why` is asked for the reason once the channel has ended.
    pub async fn begin(
        channel: Channel<Msg>,
        patience: Duration,
        why: impl Fn() -> String + Send + 'static,
    ) -> Result<Self, Fault> {
        let (mut read, write) = channel.split();
        subsystem(&mut read, &write, &why).await?;
        let mut init = Request::new(packet::INIT, VERSION).done(0);
        write.data_bytes(std::mem::take(&mut init)).await.map_err(|_| Fault::Lost(why()))?;
        let mut incoming = Incoming { read, bytes: BytesMut::new() };
        let features = version(incoming.packet().await?, &why)?;
        let shared = Arc::new(Shared::default());
        let (out, queue) = mpsc::channel(QUEUE);
        tokio::spawn(send(queue, write, shared.clone()));
        tokio::spawn(receive(incoming, shared.clone(), why));
        let mut session = Self { out, shared, next_id: AtomicU32::new(1), patience, features };
        if features.limits {
            let answer = session.ask(session.extended(b"limits@openssh.com")).await?;
            if let Reply::Extended(answer) = answer {
                let mut limited = session.features;
                wire::limits(answer, REQUEST_BYTES, &mut limited).ok_or(Fault::Odd("its limits"))?;
                session.features = limited;
            }
        }
        Ok(session)
    }

    /// Whether requests can still be sent.
    pub fn is_alive(&self) -> bool {
        self.shared.lock().ended.is_none()
    }

    fn request(&self, kind: u8) -> Request {
        Request::new(kind, self.next_id.fetch_add(1, Ordering::Relaxed))
    }

    fn extended(&self, name: &[u8]) -> Request {
        self.request(packet::EXTENDED).string(name)
    }

    /// Sends a request, with `behind` as its last bytes.
    async fn send(&self, request: Request, behind: Bytes) -> Result<Pending, Fault> {
        let packet = request.done(behind.len());
        let id = (&packet[5..9]).get_u32();
        let (tell, answer) = oneshot::channel();
        {
            let mut waiting = self.shared.lock();
            if let Some(fault) = &waiting.ended {
                return Err(fault.clone());
            }
            waiting.answers.insert(id, tell);
        }
        let pending = Pending { id, answer, shared: self.shared.clone(), patience: self.patience };
        let mut moved = self.shared.moved.load(Ordering::Relaxed);
        let mut sending = std::pin::pin!(self.out.send((packet, behind)));
        loop {
            tokio::select! {
                sent = &mut sending => return sent.map(|()| pending).map_err(|_| self.shared.reason()),
                () = self.shared.over() => return Err(self.shared.reason()),
                () = tokio::time::sleep(self.patience) => self.shared.is_silent(&mut moved, self.patience)?,
            }
        }
    }

    async fn ask(&self, request: Request) -> Result<Reply, Fault> {
        self.send(request, Bytes::new()).await?.answer().await
    }

    async fn do_it(&self, request: Request) -> Result<(), Fault> {
        self.send(request, Bytes::new()).await?.done().await
    }

    pub async fn open(&self, path: &str, flags: u32, mode: Option<u32>) -> Result<Bytes, Fault> {
        let request = self.request(packet::OPEN).string(path.as_bytes()).u32(flags).mode(mode);
        handle(self.ask(request).await?)
    }

    pub async fn close(&self, handle: &[u8]) -> Result<(), Fault> {
        self.do_it(self.request(packet::CLOSE).string(handle)).await
    }

    /// Sent and not awaited: for a handle that is of no more use.
    pub async fn forget(&self, handle: &[u8]) {
        drop(self.send(self.request(packet::CLOSE).string(handle), Bytes::new()).await);
    }

    pub async fn read(&self, handle: &[u8], offset: u64, length: u32) -> Result<Pending, Fault> {
        let request = self.request(packet::READ).string(handle).u64(offset).u32(length);
        self.send(request, Bytes::new()).await
    }

    pub async fn write(&self, handle: &[u8], offset: u64, bytes: Bytes) -> Result<Pending, Fault> {
        let request = self.request(packet::WRITE).string(handle).u64(offset).u32(bytes.len() as u32);
        self.send(request, bytes).await
    }

    pub async fn fsync(&self, handle: &[u8]) -> Result<(), Fault> {
        self.do_it(self.extended(b"fsync@openssh.com").string(handle)).await
    }

    pub async fn lstat(&self, path: &str) -> Result<Pending, Fault> {
        self.send(self.request(packet::LSTAT).string(path.as_bytes()), Bytes::new()).await
    }

    pub async fn stat(&self, path: &str) -> Result<Option<Attrs>, Fault> {
        let request = self.request(packet::STAT).string(path.as_bytes());
        self.send(request, Bytes::new()).await?.attrs().await
    }

    pub async fn opendir(&self, path: &str) -> Result<Bytes, Fault> {
        handle(self.ask(self.request(packet::OPENDIR).string(path.as_bytes())).await?)
    }

    /// The next names of a folder; `None` at its end.
    pub async fn readdir(&self, handle: &[u8]) -> Result<Option<Vec<Name>>, Fault> {
        match self.ask(self.request(packet::READDIR).string(handle)).await? {
            Reply::Names(names) => Ok(Some(names)),
            Reply::Status { code: status::EOF, .. } => Ok(None),
            other => Err(fault(other)),
        }
    }

    pub async fn remove(&self, path: &str) -> Result<(), Fault> {
        self.do_it(self.request(packet::REMOVE).string(path.as_bytes())).await
    }

    pub async fn mkdir(&self, path: &str, mode: u32) -> Result<(), Fault> {
        self.do_it(self.request(packet::MKDIR).string(path.as_bytes()).mode(Some(mode))).await
    }

    pub async fn rmdir(&self, path: &str) -> Result<(), Fault> {
        self.do_it(self.request(packet::RMDIR).string(path.as_bytes())).await
    }

    /// By the draft an error if `to` exists.
    pub async fn rename(&self, from: &str, to: &str) -> Result<(), Fault> {
        self.do_it(self.request(packet::RENAME).string(from.as_bytes()).string(to.as_bytes())).await
    }

    /// As rename(2): `to` is replaced at once.
    pub async fn posix_rename(&self, from: &str, to: &str) -> Result<(), Fault> {
        let request = self.extended(b"posix-rename@openssh.com");
        self.do_it(request.string(from.as_bytes()).string(to.as_bytes())).await
    }

    pub async fn statvfs(&self, path: &str) -> Result<Space, Fault> {
        match self.ask(self.extended(b"statvfs@openssh.com").string(path.as_bytes())).await? {
            Reply::Extended(answer) => wire::space(answer).ok_or(Fault::Odd("its room")),
            other => Err(fault(other)),
        }
    }
}
