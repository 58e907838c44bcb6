//! The stream that a backup writes to, in larger pieces than the archive is made of.

use std::io::{self, Write};

use windlass_plugin_api::{Result, Sink};

use crate::connect::outside;

/// How many bytes are handed on at once.
const BUFFER: usize = 256 * 1024;

/// Hands bytes on in larger pieces. Not std's: that writes once more when it is dropped, and nothing may be written
/// after an error.
pub(crate) struct Buffered {
    sink: Box<dyn Sink>,
    bytes: Vec<u8>,
}

impl Buffered {
    pub(crate) fn new(sink: Box<dyn Sink>) -> Self {
        Self { sink, bytes: Vec::with_capacity(BUFFER) }
    }

    /// Passes the rest on, and ends the stream well.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.pass_on()?;
        outside(|| self.sink.finish()).map(drop)
    }

    fn pass_on(&mut self) -> io::Result<()> {
        outside(|| self.sink.write_all(&self.bytes))?;
        self.bytes.clear();
        Ok(())
    }
}

impl Write for Buffered {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > BUFFER {
            self.pass_on()?;
        }
        if bytes.len() >= BUFFER {
            outside(|| self.sink.write_all(bytes))?;
        } else {
            self.bytes.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pass_on()?;
        outside(|| self.sink.flush())
    }
}
