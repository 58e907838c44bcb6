//! The bytes of one upload on their way: sent as they come, the last of them held until the server must have them.
//!
//! When the line breaks, the server is asked how much it has, and the rest is sent behind that (`REST`, `STOR`). Nothing is appended
//! blindly: what an earlier connection still brings is the same bytes in the same place.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use windlass_plugin_api::{Context, Error, ErrorKind, Result};

use crate::folder::Folder;
use crate::pool::{Lease, Running, Slot};
use crate::protocol::{Fault, Kind};

/// What is sent at once.
const PIECE: usize = 128 * 1024;
/// What may be under way, in the buffers of both systems: so much is held to be sent again.
const HELD_BYTES: u64 = 8 * 1024 * 1024;
/// How often an upload goes on without getting on, and how long is waited before, doubled each time.
const GOINGS_ON: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// The detail of an error that says `false` where trying again is of no use.
const RETRY: &str = "retry";

/// An upload's bytes, and the transfer that takes them.
pub struct Sending {
    slot: Slot,
    /// Below the root.
    name: String,
    /// Not yet a whole piece.
    filling: BytesMut,
    /// Sent, or to be sent, and where in the file the first of it belongs.
    held: VecDeque<Bytes>,
    held_from: u64,
    size_bytes: u64,
    gone_on: u32,
    /// What the server had when it went on last.
    had_bytes: u64,
}

impl Sending {
    /// Makes the file `name`.
    pub async fn begin(folder: &Folder, mut lease: Lease, name: &str) -> Result<Self, Fault> {
        let data = lease.store(&folder.path(name), 0).await?;
        let slot = folder.link.pool.slot();
        *slot.lock().await = Some(Running { lease, data, is_store: true, at: 0 });
        Ok(Self {
            slot,
            name: name.to_owned(),
            filling: BytesMut::new(),
            held: VecDeque::new(),
            held_from: 0,
            size_bytes: 0,
            gone_on: 0,
            had_bytes: 0,
        })
    }

    /// All that was taken.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes + self.filling.len() as u64
    }

    /// Takes as much of `bytes` as fits into the next piece; whether that is whole now.
    pub fn take(&mut self, bytes: &[u8]) -> (usize, bool) {
        let count = bytes.len().min(PIECE - self.filling.len());
        self.filling.extend_from_slice(&bytes[..count]);
        (count, self.filling.len() == PIECE)
    }

    /// Sends what was taken.
    pub async fn send(&mut self, folder: &Folder, cx: &Context) -> Result<()> {
        let piece = self.filling.split().freeze();
        self.size_bytes += piece.len() as u64;
        if !piece.is_empty() {
            self.held.push_back(piece);
        }
        while let Err(error) = self.attempt(folder, cx).await {
            self.pause(error).await?;
        }
        while self.size_bytes - self.held_from > HELD_BYTES {
            let Some(piece) = self.held.pop_front() else { break };
            self.held_from += piece.len() as u64;
        }
        Ok(())
    }

    /// Sends the rest and ends the file.
    pub async fn end(&mut self, folder: &Folder, cx: &Context) -> Result<()> {
        self.send(folder, cx).await?;
        loop {
            // It was ended when its connection was wanted elsewhere: then `look` will tell.
            let Some(mut running) = self.slot.lock().await.take() else { return Ok(()) };
            let Err(fault) = running.lease.stored(running.data).await else { return Ok(()) };
            self.pause(self.failed(folder, &fault)).await?;
            while let Err(error) = self.attempt(folder, cx).await {
                self.pause(error).await?;
            }
        }
    }

    /// Ends whatever is under way.
    pub async fn give_up(&mut self) {
        if let Some(mut running) = self.slot.lock().await.take() {
            // Cut off, the server might still be writing when the file is removed.
            let _ = running.lease.stored(running.data).await;
        }
    }

    /// Sends all that the running transfer lacks; begins one where there is none.
    async fn attempt(&mut self, folder: &Folder, cx: &Context) -> Result<()> {
        let slot = self.slot.clone();
        let mut slot = slot.lock().await;
        let mut running = match slot.take() {
            Some(running) => running,
            None => self.go_on(folder, cx).await?,
        };
        let mut from = self.held_from;
        for piece in &self.held {
            let skipped = running.at.saturating_sub(from).min(piece.len() as u64);
            from += piece.len() as u64;
            if let Err(fault) = running.data.write(&piece[skipped as usize..]).await {
                let fault = running.lease.reason(fault).await;
                return Err(self.failed(folder, &fault));
            }
            running.at = running.at.max(from);
        }
        *slot = Some(running);
        Ok(())
    }

    /// A transfer that begins where the server's file ends.
    async fn go_on(&mut self, folder: &Folder, cx: &Context) -> Result<Running> {
        let mut lease = folder.link.living(cx).await?;
        let path = folder.path(&self.name);
        let facts = lease.look(&path).await.map_err(|fault| self.failed(folder, &fault))?;
        let has = facts.filter(|facts| facts.kind == Kind::File).map_or(0, |facts| facts.size_bytes);
        if has >= self.had_bytes + PIECE as u64 {
            (self.gone_on, self.had_bytes) = (0, has);
        }
        if !(self.held_from..=self.size_bytes).contains(&has) {
            let kept =
                format!("of what was sent the server has kept only {has} of {} bytes", self.size_bytes);
            let error = Error::new(ErrorKind::Unavailable, kept).detail(RETRY, false);
            return Err(error.during(format!("can't write `{}`", folder.shown(&self.name))));
        }
        match lease.store(&path, has).await {
            Ok(data) => Ok(Running { lease, data, is_store: true, at: has }),
            Err(fault) => Err(self.failed(folder, &fault)),
        }
    }

    fn failed(&self, folder: &Folder, fault: &Fault) -> Error {
        folder.failed("write", &self.name, fault)
    }

    /// Waits before the next attempt; the error itself if there shall be none.
    async fn pause(&mut self, error: Error) -> Result<()> {
        let passes = error.kind == ErrorKind::Unavailable && !error.details.contains_key(RETRY);
        if !passes || self.gone_on >= GOINGS_ON {
            return Err(error);
        }
        tokio::time::sleep(FIRST_WAIT * 2u32.pow(self.gone_on)).await;
        self.gone_on += 1;
        Ok(())
    }
}
