//! The encoder: a sink that writes one frame into the next sink.
//!
//! It writes only from the caller's thread, and its destructor writes nothing: dropped before `finish`, it leaves a frame
//! without an end, which no decoder takes for whole.

use std::io::{self, Write};

use serde_json::Map;
use windlass_plugin_api::{Error, Finished, Result, Sink};
use zstd::zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd::zstd_safe::{self, CCtx, CParameter, ErrorCode, InBuffer, OutBuffer};

use crate::WINDOW_LOG_PARAM;
use crate::tuning::Tuning;

/// What is handed on at a time.
const OUTPUT_BYTES: usize = 256 * 1024;
/// A stream that stays below this is compressed in one go: no threads, and tables of its own size.
const SMALL_BYTES: usize = 128 * 1024;

/// A frame being written.
pub struct Encoder {
    context: CCtx<'static>,
    /// The beginning, until it is known that more comes.
    held: Option<Vec<u8>>,
    output: Vec<u8>,
    long: Option<u32>,
    next: Box<dyn Sink>,
    over: bool,
}

impl Encoder {
    pub fn new(tuning: &Tuning, long: Option<u32>, next: Box<dyn Sink>) -> Result<Self> {
        let no_memory = || Error::failed("there is no memory for the compressor");
        let mut context = CCtx::try_create().ok_or_else(no_memory)?;
        tuning.apply(&mut context)?;
        if let Some(log) = long {
            context.set_parameter(CParameter::EnableLongDistanceMatching(true)).map_err(failed)?;
            context.set_parameter(CParameter::WindowLog(log)).map_err(failed)?;
        }
        let output = Vec::with_capacity(OUTPUT_BYTES);
        Ok(Self { context, held: Some(Vec::new()), output, long, next, over: false })
    }

    /// Compresses `input`; with another `until` than `continue` on to the end of a block or of the frame.
    fn run(&mut self, input: &[u8], until: ZSTD_EndDirective) -> io::Result<()> {
        let mut input = InBuffer::around(input);
        loop {
            let filled = self.output.len();
            let mut output = OutBuffer::around_pos(&mut self.output, filled);
            let left = self.context.compress_stream2(&mut output, &mut input, until).map_err(failed)?;
            let is_full = output.pos() == output.capacity();
            let is_done =
                input.pos() == input.src.len() && (until == ZSTD_EndDirective::ZSTD_e_continue || left == 0);
            if is_full || (is_done && until != ZSTD_EndDirective::ZSTD_e_continue) {
                self.next.write_all(&self.output)?;
                self.output.clear();
            }
            if is_done {
                return Ok(());
            }
        }
    }

    /// Compresses what was held back.
    fn run_held(&mut self, until: ZSTD_EndDirective) -> io::Result<()> {
        let held = self.held.take().unwrap_or_default();
        self.run(&held, until)
    }

    fn go_on(&self) -> Result<()> {
        if self.over { Err(Error::failed("the stream is already finished")) } else { Ok(()) }
    }
}

impl Write for Encoder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.go_on()?;
        if let Some(held) = &mut self.held {
            if held.len() + bytes.len() <= SMALL_BYTES {
                held.extend_from_slice(bytes);
                return Ok(bytes.len());
            }
            self.run_held(ZSTD_EndDirective::ZSTD_e_continue)?;
        }
        self.run(bytes, ZSTD_EndDirective::ZSTD_e_continue)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.go_on()?;
        self.run_held(ZSTD_EndDirective::ZSTD_e_flush)?;
        self.next.flush()
    }
}

impl Sink for Encoder {
    fn finish(&mut self) -> Result<Finished> {
        self.go_on()?;
        self.over = true;
        self.run_held(ZSTD_EndDirective::ZSTD_e_end)?;
        self.next.finish()?;
        let params: Map<_, _> =
            self.long.map(|log| (WINDOW_LOG_PARAM.to_owned(), log.into())).into_iter().collect();
        Ok(Finished { params, ..Finished::default() })
    }
}

/// The library's word for what went wrong with the encoder.
pub fn failed(code: ErrorCode) -> Error {
    Error::failed(format!("zstd can't compress: {}", zstd_safe::get_error_name(code)))
}
