//! The SSH channel under a session: starting SFTP on it, and the two tasks that move its bytes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Buf, Bytes, BytesMut};
use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::sync::mpsc;

use super::answers::{Fault, Shared};
use super::wire::{self, Features, packet};

/// An answer is never longer: what is has to be something else.
const ANSWER_BYTES: usize = 512 * 1024;

/// Has the server start SFTP.
pub async fn subsystem(
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
pub fn version(packet: Option<Bytes>, why: impl Fn() -> String) -> Result<Features, Fault> {
    let mut packet = packet.ok_or_else(|| Fault::Lost(why()))?;
    let is_version = packet.try_get_u8() == Ok(packet::VERSION) && packet.try_get_u32().is_ok();
    let features = is_version.then(|| Features::of(packet)).flatten();
    features.ok_or(Fault::Odd("its first answer isn't SFTP"))
}

pub async fn send(
    mut queue: mpsc::Receiver<(Bytes, Bytes)>,
    write: ChannelWriteHalf<Msg>,
    shared: Arc<Shared>,
) {
    let sending = async {
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
    };
    tokio::select! {
        () = sending => {}
        () = shared.over() => {}
    }
}

pub async fn receive(mut incoming: Incoming, shared: Arc<Shared>, why: impl Fn() -> String) {
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
pub struct Incoming {
    pub read: ChannelReadHalf,
    pub bytes: BytesMut,
}

impl Incoming {
    /// The next packet without its length; `None` when the channel has ended.
    pub async fn packet(&mut self) -> Result<Option<Bytes>, Fault> {
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
