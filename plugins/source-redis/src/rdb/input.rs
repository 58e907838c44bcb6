//! The bytes of an RDB: counted, in the checksum, and kept where they are asked for.

use std::io::Read;

use windlass_plugin_api::{Error, Result};

use super::checksum::{self, Running};

const BUFFER_BYTES: usize = 256 << 10;

/// Reads an RDB from its start.
pub struct Input<R> {
    source: R,
    buffer: Box<[u8]>,
    at: usize,
    end: usize,
    /// Up to here the buffer is in the checksum.
    summed: usize,
    crc: Running,
    /// Bytes before the buffer.
    before: u64,
    kept: Option<Vec<u8>>,
}

impl<R: Read> Input<R> {
    /// Around `source`.
    pub fn new(source: R) -> Self {
        Self {
            source,
            buffer: vec![0; BUFFER_BYTES].into(),
            at: 0,
            end: 0,
            summed: 0,
            crc: checksum::running(),
            before: 0,
            kept: None,
        }
    }

    /// Bytes that were read.
    pub fn offset(&self) -> u64 {
        self.before + self.at as u64
    }

    /// From now on what is read is kept, behind `first`.
    pub fn keep(&mut self, first: u8) {
        self.kept = Some(vec![first]);
    }

    /// What was kept.
    pub fn kept(&mut self) -> Vec<u8> {
        self.kept.take().unwrap_or_default()
    }

    /// An error that says where.
    pub fn damaged(&self, what: &str) -> Error {
        Error::damaged(format!("{what} at byte {} of the RDB", self.offset()))
    }

    /// The checksum of all that was read.
    pub fn checksum(&mut self) -> u64 {
        self.sum_up();
        self.crc.clone().finalize()
    }

    fn sum_up(&mut self) {
        self.crc.update(&self.buffer[self.summed..self.at]);
        self.summed = self.at;
    }

    /// Reads more; false at the end.
    fn fill(&mut self) -> Result<bool> {
        self.sum_up();
        self.before += self.end as u64;
        (self.at, self.end, self.summed) = (0, 0, 0);
        self.end = loop {
            match self.source.read(&mut self.buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        Ok(self.end > 0)
    }

    /// The next bytes, at most `most`; never none.
    fn some(&mut self, most: u64) -> Result<&[u8]> {
        if self.at == self.end && !self.fill()? {
            return Err(Error::damaged(format!("the RDB ends in the middle, at byte {}", self.offset())));
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(self.end - self.at);
        let (from, to) = (self.at, self.at + most);
        self.at = to;
        if let Some(kept) = &mut self.kept {
            kept.extend_from_slice(&self.buffer[from..to]);
        }
        Ok(&self.buffer[from..to])
    }

    /// Passes `count` bytes.
    pub fn skip(&mut self, mut count: u64) -> Result<()> {
        while count > 0 {
            count -= self.some(count)?.len() as u64;
        }
        Ok(())
    }

    /// The next byte.
    pub fn byte(&mut self) -> Result<u8> {
        Ok(self.some(1)?[0])
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        let mut filled = 0;
        while filled < N {
            let some = self.some((N - filled) as u64)?;
            array[filled..filled + some.len()].copy_from_slice(some);
            filled += some.len();
        }
        Ok(array)
    }

    /// The next `count` bytes. Takes no more room than there are bytes, whatever `count` says.
    pub fn bytes(&mut self, mut count: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while count > 0 {
            let some = self.some(count)?;
            bytes.extend_from_slice(some);
            count -= some.len() as u64;
        }
        Ok(bytes)
    }

    /// Reads the end-of-file, which says that the stream behind it is proved too.
    pub fn expect_end(&mut self) -> Result<()> {
        if self.at < self.end || self.fill()? {
            return Err(self.damaged("bytes follow the end"));
        }
        Ok(())
    }
}
