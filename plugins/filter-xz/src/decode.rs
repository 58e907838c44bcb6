//! The decoder: one .xz stream or several, with or without padding behind them, as `xz -d` reads them.
//!
//! liblzma's threaded decoder reads a single stream; what stands between two of them is judged here.

use liblzma::stream::{Action, Error as LzmaError, MtStreamBuilder, Status, Stream};
use windlass_codec::{Step, Steps};
use windlass_plugin_api::{Error, Result};

const MIB: u64 = 1024 * 1024;
/// Threads take no more than this, for blocks wait in memory to be handed on in order.
const THREADING_BYTES: u64 = 256 * MIB;
/// The format's unit: padding is a multiple of it.
const UNIT: usize = 4;

/// Streams being decoded.
pub struct Streams {
    threads: u32,
    memory_mib: u32,
    current: Option<Stream>,
    /// Zeros behind the last stream.
    padding: usize,
    is_begun: bool,
}

impl Streams {
    /// With up to `threads` threads, in `memory_mib` MiB.
    pub fn new(threads: u32, memory_mib: u32) -> Self {
        Self { threads, memory_mib, current: None, padding: 0, is_begun: false }
    }

    fn open(&self) -> Result<Stream> {
        let memory = u64::from(self.memory_mib) * MIB;
        let mut builder = MtStreamBuilder::new();
        builder.threads(self.threads).memlimit_stop(memory).memlimit_threading(memory.min(THREADING_BYTES));
        builder.decoder().map_err(|error| self.explain(error))
    }

    /// Passes over padding. The next stream begins behind it, if anything does.
    fn between(&mut self, bytes: &[u8]) -> Result<Step> {
        let zeros = if self.is_begun { bytes.iter().take_while(|byte| **byte == 0).count() } else { 0 };
        self.padding += zeros;
        if zeros < bytes.len() {
            if !self.padding.is_multiple_of(UNIT) {
                return Err(Error::damaged("zeros that are no padding follow the xz stream"));
            }
            self.current = Some(self.open()?);
            self.padding = 0;
            self.is_begun = true;
        }
        Ok(Step { read: zeros, written: 0 })
    }

    /// The library's word for what is wrong with the bytes.
    fn explain(&self, error: LzmaError) -> Error {
        match error {
            LzmaError::Mem => Error::failed("there is no memory for the decompressor"),
            LzmaError::MemLimit => {
                Error::damaged(format!("the xz stream asks for more than {} MiB of memory", self.memory_mib))
                    .hint("Unless it is damaged, it was written with a large dictionary: `xz -lvv` says what it needs. Set `decode_memory_mib` in `[decode.xz]` to that.")
            }
            error => Error::damaged("the xz stream can't be decoded").because(&error),
        }
    }
}

impl Steps for Streams {
    const FORMAT: &'static str = "xz";

    fn step(&mut self, bytes: &[u8], plain: &mut [u8]) -> Result<Step> {
        let Some(stream) = &mut self.current else { return self.between(bytes) };
        let action = if bytes.is_empty() { Action::Finish } else { Action::Run };
        let (read, written) = (stream.total_in(), stream.total_out());
        loop {
            let result = stream.process(bytes, plain, action);
            let step = Step {
                read: (stream.total_in() - read) as usize,
                written: (stream.total_out() - written) as usize,
            };
            match result {
                Ok(Status::StreamEnd) => self.current = None,
                // At the end the threads may need another call before they have something to give, or to complain of.
                Ok(Status::Ok) if bytes.is_empty() && step.written == 0 => continue,
                Ok(_) => {}
                Err(error) => return Err(self.explain(error)),
            }
            return Ok(step);
        }
    }

    fn is_whole(&self) -> bool {
        self.is_begun && self.current.is_none() && self.padding.is_multiple_of(UNIT)
    }
}
