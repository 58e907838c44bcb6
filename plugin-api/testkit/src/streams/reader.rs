//! The reading end of one stream: gives what it was made of.

use std::io::{self, Read};
use std::sync::Arc;

use super::{At, Fault};

/// A reader over bytes in memory.
pub struct TestReader {
    bytes: Arc<[u8]>,
    at: usize,
    pub(super) step: usize,
    pub(super) fault: Option<At>,
}

impl TestReader {
    /// A reader of `bytes`.
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self { bytes: bytes.into(), at: 0, step: usize::MAX, fault: None }
    }

    /// That gives at most `step` bytes a call.
    #[must_use]
    pub fn in_steps_of(mut self, step: usize) -> Self {
        self.step = step.max(1);
        self
    }

    /// With `fault` at the byte `offset`; at the number of bytes: in place of end-of-file.
    #[must_use]
    pub fn fault_at(mut self, offset: usize, fault: Fault) -> Self {
        self.fault = Some(At { offset, fault });
        self
    }
}

impl Read for TestReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut end = self.bytes.len();
        if let Some(At { offset, fault }) = &self.fault {
            if self.at >= *offset {
                fault.strike()?;
                self.fault = None;
            } else {
                end = end.min(*offset);
            }
        }
        let count = buffer.len().min(self.step).min(end - self.at);
        buffer[..count].copy_from_slice(&self.bytes[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}
