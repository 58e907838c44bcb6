//! The decoder: one bzip2 stream or several. Its memory is bounded by the format: 4 MiB.
//!
//! What `bzip2 -d` ignores with a warning, bytes behind the end, is damage here.

use bzip2::{Decompress, Status};
use windlass_codec::{Step, Steps};
use windlass_plugin_api::{Error, Result};

/// Streams being decoded.
#[derive(Default)]
pub struct Streams {
    current: Option<Decompress>,
    is_begun: bool,
}

impl Steps for Streams {
    const FORMAT: &'static str = "bzip2";

    fn step(&mut self, bytes: &[u8], plain: &mut [u8]) -> Result<Step> {
        let stream = match &mut self.current {
            Some(stream) => stream,
            None if bytes.is_empty() => return Ok(Step { read: 0, written: 0 }),
            none => none.insert(Decompress::new(false)),
        };
        self.is_begun = true;
        let (read, written) = (stream.total_in(), stream.total_out());
        let status = stream
            .decompress(bytes, plain)
            .map_err(|error| Error::damaged("the bzip2 stream can't be decoded").because(&error))?;
        let step = Step {
            read: (stream.total_in() - read) as usize,
            written: (stream.total_out() - written) as usize,
        };
        match status {
            Status::MemNeeded => return Err(Error::failed("there is no memory for the decompressor")),
            Status::StreamEnd => self.current = None,
            _ => {}
        }
        Ok(step)
    }

    fn is_whole(&self) -> bool {
        self.is_begun && self.current.is_none()
    }
}
