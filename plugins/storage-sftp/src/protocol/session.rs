//! One SFTP session: requests go out in order, each answer finds whoever waits for it.
//!
//! Two tasks move the bytes. Requests wait in a queue of bounded length; whoever sends is held by it, and by nothing else:
//! answers are always taken in, so that a reader that pauses doesn't stop the others.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::sync::{mpsc, oneshot};

use super::wire::{self, Attrs, Features, Name, Reply, Request, Space, packet, status};

/// The version that we speak, and that every server speaks.
const VERSION: u32 = 3;
/// What is asked for or sent at most with one request: OpenSSH's own limit is 261,120.
const REQUEST_BYTES: u32 = 255 * 1024;
/// An answer is never longer: what is has to be something else.
const ANSWER_BYTES: usize = 512 * 1024;
/// Requests that may wait for their turn to be sent.
const QUEUE: usize = 4;

/// Why a request wasn't done.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The server's answer.
    Status { code: u32, message: String },
    /// The connection ended; what is known of it.
    Lost(String),
    /// Nothing came or went for so long.
    Silent(Duration),
    /// The server doesn't speak SFTP, or breaks it.
    Odd(&'static str),
}

pub struct Session {
    out: mpsc::Sender<(Bytes, Bytes)>,
    shared: Arc<Shared>,
    next_id: AtomicU32,
    patience: Duration,
    pub features: Features,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// Counts what came and went.
    moved: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    answers: HashMap<u32, oneshot::Sender<Reply>>,
    /// The session is over.
    ended: Option<Fault>,
}

/// A request that was sent.
pub struct Pending {
    id: u32,
    answer: oneshot::Receiver<Reply>,
    shared: Arc<Shared>,
    patience: Duration,
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
            match tokio::time::timeout(self.patience, &mut sending).await {
                Ok(Ok(())) => return Ok(pending),
                Ok(Err(_)) => return Err(self.shared.reason()),
                Err(_) => self.shared.is_silent(&mut moved, self.patience)?,
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

/// Has the server start SFTP.
async fn subsystem(
    read: &mut ChannelReadHalf,
    write: &ChannelWriteHalf<Msg>,
    why: impl Fn() -> String,
) -> Result<(), Fault> {
    write.request_subsystem(true, "sftp").await.map_err(|_| Fault::Lost(why()))?;
    loop {
        match read.wait().await {
            Some(ChannelMsg::Success) => return Ok(()),
            Some(ChannelMsg::Failure) => return Err(Fault::Odd("it has no subsystem `sftp`")),
            None => return Err(Fault::Lost(why())),
            Some(_) => {}
        }
    }
}

/// Reads the server's first packet.
fn version(packet: Option<Bytes>, why: impl Fn() -> String) -> Result<Features, Fault> {
    let mut packet = packet.ok_or_else(|| Fault::Lost(why()))?;
    let is_version = packet.try_get_u8() == Ok(packet::VERSION) && packet.try_get_u32().is_ok();
    let features = is_version.then(|| Features::of(packet)).flatten();
    features.ok_or(Fault::Odd("its first answer isn't SFTP"))
}

impl Pending {
    async fn answer(mut self) -> Result<Reply, Fault> {
        let mut moved = self.shared.moved.load(Ordering::Relaxed);
        loop {
            match tokio::time::timeout(self.patience, &mut self.answer).await {
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(_)) => return Err(self.shared.reason()),
                Err(_) => self.shared.is_silent(&mut moved, self.patience)?,
            }
        }
    }

    pub async fn done(self) -> Result<(), Fault> {
        match self.answer().await? {
            Reply::Status { code: status::OK, .. } => Ok(()),
            other => Err(fault(other)),
        }
    }

    /// `None`: there is nothing of that name.
    pub async fn attrs(self) -> Result<Option<Attrs>, Fault> {
        match self.answer().await? {
            Reply::Attrs(attrs) => Ok(Some(attrs)),
            Reply::Status { code: status::NO_SUCH_FILE | status::NO_SUCH_PATH, .. } => Ok(None),
            other => Err(fault(other)),
        }
    }

    /// `None` at the end of the file.
    pub async fn data(self) -> Result<Option<Bytes>, Fault> {
        match self.answer().await? {
            Reply::Data(data) => Ok(Some(data)),
            Reply::Status { code: status::EOF, .. } => Ok(None),
            other => Err(fault(other)),
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.shared.lock().answers.remove(&self.id);
    }
}

fn handle(reply: Reply) -> Result<Bytes, Fault> {
    match reply {
        Reply::Handle(handle) => Ok(handle),
        other => Err(fault(other)),
    }
}

fn fault(reply: Reply) -> Fault {
    match reply {
        Reply::Status { code, message } if code != status::OK => Fault::Status { code, message },
        _ => Fault::Odd("it answers what wasn't asked"),
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reason(&self) -> Fault {
        self.lock().ended.clone().unwrap_or_else(|| Fault::Lost(String::new()))
    }

    /// Ends the session: whoever waits is told.
    fn end(&self, fault: Fault) {
        let mut waiting = self.lock();
        waiting.ended.get_or_insert(fault);
        waiting.answers.clear();
    }

    /// An error, and the session's end, if nothing moved since `moved` was taken.
    fn is_silent(&self, moved: &mut u64, patience: Duration) -> Result<(), Fault> {
        let now = self.moved.load(Ordering::Relaxed);
        if std::mem::replace(moved, now) != now {
            return Ok(());
        }
        self.end(Fault::Silent(patience));
        Err(Fault::Silent(patience))
    }
}

async fn send(mut queue: mpsc::Receiver<(Bytes, Bytes)>, write: ChannelWriteHalf<Msg>, shared: Arc<Shared>) {
    while let Some((packet, behind)) = queue.recv().await {
        for bytes in [packet, behind] {
            // The receiving side knows why.
            if !bytes.is_empty() && write.data_bytes(bytes).await.is_err() {
                return;
            }
            shared.moved.fetch_add(1, Ordering::Relaxed);
        }
    }
    let _ = write.close().await;
}

async fn receive(mut incoming: Incoming, shared: Arc<Shared>, why: impl Fn() -> String) {
    let fault = loop {
        match incoming.packet().await.map(|packet| packet.map(wire::reply)) {
            Ok(Some(Some((id, reply)))) => {
                shared.moved.fetch_add(1, Ordering::Relaxed);
                let waiting = shared.lock().answers.remove(&id);
                // Nobody waits any more: that is fine.
                waiting.map(|tell| tell.send(reply).ok());
            }
            Ok(Some(None)) => break Fault::Odd("an answer can't be read"),
            Ok(None) => break Fault::Lost(why()),
            Err(fault) => break fault,
        }
    };
    shared.end(fault);
}

/// The channel's bytes, cut into packets.
struct Incoming {
    read: ChannelReadHalf,
    bytes: BytesMut,
}

impl Incoming {
    /// The next packet without its length; `None` when the channel has ended.
    async fn packet(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            if let Some(length) = self.bytes.get(..4).map(|mut length| length.get_u32() as usize) {
                if length > ANSWER_BYTES {
                    return Err(Fault::Odd("what it sends isn't SFTP"));
                }
                if self.bytes.len() >= 4 + length {
                    self.bytes.advance(4);
                    return Ok(Some(self.bytes.split_to(length).freeze()));
                }
            }
            match self.read.wait().await {
                Some(ChannelMsg::Data { data }) => self.bytes.extend_from_slice(&data),
                None | Some(ChannelMsg::Eof | ChannelMsg::Close) => return Ok(None),
                Some(_) => {}
            }
        }
    }
}
