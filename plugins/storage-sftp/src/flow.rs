//! Many requests under way at once, in both directions, and a bound for what they hold.
//!
//! A file's answers are awaited in the order of its bytes. How far ahead requests go doesn't depend on how long an answer
//! takes: [`AHEAD_BYTES`] fill a line of 1 Gbit/s and 30 ms.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::protocol::{Fault, Pending, Session};

/// What is under way of one stream.
pub const AHEAD_BYTES: u64 = 4 * 1024 * 1024;

/// A file that is written from its beginning to its end.
pub struct Writing {
    handle: Bytes,
    /// Not yet a whole request.
    held: BytesMut,
    request_bytes: usize,
    sent_bytes: u64,
    under_way: VecDeque<(Pending, u64)>,
    under_way_bytes: u64,
}

impl Writing {
    pub fn new(handle: Bytes, sftp: &Session) -> Self {
        Self {
            handle,
            held: BytesMut::new(),
            request_bytes: sftp.features.write_bytes as usize,
            sent_bytes: 0,
            under_way: VecDeque::new(),
            under_way_bytes: 0,
        }
    }

    pub fn handle(&self) -> &Bytes {
        &self.handle
    }

    pub fn size_bytes(&self) -> u64 {
        self.sent_bytes + self.held.len() as u64
    }

    /// Takes as much of `bytes` as fits into the next request; whether that is whole now.
    pub fn take(&mut self, bytes: &[u8]) -> (usize, bool) {
        let count = bytes.len().min(self.request_bytes - self.held.len());
        self.held.extend_from_slice(&bytes[..count]);
        (count, self.held.len() == self.request_bytes)
    }

    /// Sends what is held, as soon as enough of what was sent before has been answered.
    pub async fn send(&mut self, sftp: &Session) -> Result<(), Fault> {
        let bytes = self.held.split().freeze();
        let length = bytes.len() as u64;
        while self.under_way_bytes > 0 && self.under_way_bytes + length > AHEAD_BYTES {
            self.settle_one().await?;
        }
        if length > 0 {
            let pending = sftp.write(&self.handle, self.sent_bytes, bytes).await?;
            self.under_way.push_back((pending, length));
            self.under_way_bytes += length;
            self.sent_bytes += length;
        }
        Ok(())
    }

    /// Awaits all answers.
    pub async fn settle(&mut self) -> Result<(), Fault> {
        while !self.under_way.is_empty() {
            self.settle_one().await?;
        }
        Ok(())
    }

    async fn settle_one(&mut self) -> Result<(), Fault> {
        let Some((pending, length)) = self.under_way.pop_front() else { return Ok(()) };
        self.under_way_bytes -= length;
        pending.done().await
    }
}

/// A part of a file that is read from its beginning to its end.
pub struct Reading {
    handle: Bytes,
    /// Where the next request begins, and where all of it ends.
    next: u64,
    end: u64,
    /// Where each answer belongs, and how long it should be.
    under_way: VecDeque<(Pending, u64, u32)>,
    under_way_bytes: u64,
    request_bytes: u32,
}

impl Reading {
    pub fn new(handle: Bytes, sftp: &Session, start: u64, end: u64) -> Self {
        let request_bytes = sftp.features.read_bytes;
        let (under_way, under_way_bytes) = Default::default();
        Self { handle, next: start, end, under_way, under_way_bytes, request_bytes }
    }

    pub fn handle(&self) -> &Bytes {
        &self.handle
    }

    /// Asks for what comes next, as far ahead as may be.
    pub async fn ask(&mut self, sftp: &Session) -> Result<(), Fault> {
        while self.next < self.end && self.under_way_bytes < AHEAD_BYTES {
            let length = self.request_bytes.min(u32::try_from(self.end - self.next).unwrap_or(u32::MAX));
            let pending = sftp.read(&self.handle, self.next, length).await?;
            self.under_way.push_back((pending, self.next, length));
            self.under_way_bytes += u64::from(length);
            self.next += u64::from(length);
        }
        Ok(())
    }

    /// The next bytes; `None` at the end.
    pub async fn next(&mut self, sftp: &Session) -> Result<Option<Bytes>, Fault> {
        self.ask(sftp).await?;
        let Some((pending, offset, length)) = self.under_way.pop_front() else { return Ok(None) };
        self.under_way_bytes -= u64::from(length);
        let data = match pending.data().await? {
            Some(data) if data.len() > length as usize => {
                return Err(Fault::Odd("more bytes than were asked for"));
            }
            Some(data) if !data.is_empty() => data,
            // The file is shorter than it was said to be: there is nothing behind this.
            _ => {
                self.end = offset;
                self.under_way.clear();
                self.under_way_bytes = 0;
                return Ok(None);
            }
        };
        let missing = length - data.len() as u32;
        if missing > 0 {
            // A server may give less than it was asked for. The rest belongs before what was asked for behind it.
            let offset = offset + data.len() as u64;
            let pending = sftp.read(&self.handle, offset, missing).await?;
            self.under_way.push_front((pending, offset, missing));
            self.under_way_bytes += u64::from(missing);
        }
        Ok(Some(data))
    }
}
