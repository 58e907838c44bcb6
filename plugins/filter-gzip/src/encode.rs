//! The encoder: a sink that writes one gzip member into the next sink.
//!
//! It cuts the stream into blocks, has them compressed, and writes the results in order from the caller's thread alone. Its
//! destructor stops the threads and writes nothing: dropped before `finish`, it leaves a member without an end.

use std::collections::VecDeque;
use std::io::{self, Write};

use flate2::Crc;
use windlass_plugin_api::{Error, Finished, Result, Sink};

use crate::compress::{Block, Compressed, Compressor};
use crate::workers::{Pending, Workers};

/// A gzip member being written.
pub struct Encoder {
    level: u32,
    block: Block,
    crc: Crc,
    workers: Workers,
    /// In the order of the stream.
    pending: VecDeque<Pending>,
    /// Buffers to be used again.
    spare: Vec<(Block, Vec<u8>)>,
    is_begun: bool,
    is_over: bool,
    next: Box<dyn Sink>,
}

impl Encoder {
    pub fn new(level: u32, threads: usize, next: Box<dyn Sink>) -> Self {
        Self {
            level,
            block: Block::default(),
            crc: Crc::new(),
            workers: Workers::new(level, threads),
            pending: VecDeque::new(),
            spare: Vec::new(),
            is_begun: false,
            is_over: false,
            next,
        }
    }

    /// Sends the block away and begins the next.
    fn cut(&mut self, is_last: bool) -> Result<()> {
        while self.pending.len() >= self.workers.most_pending() {
            self.put_one()?;
        }
        let (spare, output) = self.spare.pop().unwrap_or_default();
        let following = self.block.followed_by(spare);
        let block = std::mem::replace(&mut self.block, following);
        self.pending.push_back(self.workers.submit(block, output, is_last, self.pending.len())?);
        Ok(())
    }

    /// Waits for the oldest block under way, and writes it. False if there is none.
    fn put_one(&mut self) -> Result<bool> {
        let Some(oldest) = self.pending.pop_front() else { return Ok(false) };
        let compressed = oldest.wait()?;
        self.put(compressed)?;
        Ok(true)
    }

    fn put(&mut self, compressed: Compressed) -> Result<()> {
        if !self.is_begun {
            self.next.write_all(&header(self.level))?;
            self.is_begun = true;
        }
        self.next.write_all(&compressed.bytes)?;
        self.crc.combine(&compressed.crc);
        self.spare.push((compressed.block, compressed.bytes));
        Ok(())
    }

    fn go_on(&self) -> Result<()> {
        if self.is_over { Err(Error::failed("the stream is already finished")) } else { Ok(()) }
    }
}

impl Write for Encoder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.go_on()?;
        // Cut only when more comes: the last block must be told that it is the last.
        if self.block.is_full() && !bytes.is_empty() {
            self.cut(false)?;
        }
        Ok(self.block.take(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.go_on()?;
        if !self.block.is_empty() {
            self.cut(false)?;
        }
        while self.put_one()? {}
        self.next.flush()
    }
}

impl Sink for Encoder {
    fn finish(&mut self) -> Result<Finished> {
        self.go_on()?;
        self.is_over = true;
        if self.pending.is_empty() && !self.is_begun {
            // A short stream isn't worth a thread.
            let block = std::mem::take(&mut self.block);
            self.put(Compressor::new(self.level).run(block, Vec::new(), true)?)?;
        } else {
            self.cut(true)?;
            while self.put_one()? {}
        }
        self.next.write_all(&self.crc.sum().to_le_bytes())?;
        self.next.write_all(&self.crc.amount().to_le_bytes())?;
        self.next.finish()?;
        Ok(Finished::default())
    }
}

/// RFC 1952: no name, no time (equal bytes in, equal bytes out), system unknown.
fn header(level: u32) -> [u8; 10] {
    let extra_flags = match level {
        9 => 2,
        1 => 4,
        _ => 0,
    };
    [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, extra_flags, 255]
}
