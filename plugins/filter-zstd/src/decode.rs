//! The decoder: a reader of the plain bytes of one frame or several.
//!
//! It reads its input to the end and takes nothing on trust: each frame must be whole, its checksum must match, and nothing
//! but frames may follow. No byte at all isn't a frame either.

use std::io::{self, Read};

use windlass_plugin_api::{Error, Reader, Result};
use zstd::zstd_safe::zstd_sys::ZSTD_ErrorCode;
use zstd::zstd_safe::{self, DCtx, DParameter, ErrorCode, InBuffer, OutBuffer};

/// What is asked of the input at a time.
const INPUT_BYTES: usize = 256 * 1024;

/// Frames being read.
pub struct Decoder {
    context: DCtx<'static>,
    input: Reader,
    buffer: Box<[u8]>,
    /// Where in `buffer` what isn't decoded yet begins and ends.
    unread: std::ops::Range<usize>,
    /// The input has ended.
    ended: bool,
    /// A frame has ended, and none has begun after it.
    whole: bool,
    /// What every later read returns.
    failure: Option<Error>,
}

impl Decoder {
    /// `window_log` bounds the memory that a frame may ask for.
    pub fn new(window_log: u32, input: Reader) -> Result<Self> {
        let no_memory = || Error::failed("there is no memory for the decompressor");
        let mut context = DCtx::try_create().ok_or_else(no_memory)?;
        context.set_parameter(DParameter::WindowLogMax(window_log)).map_err(damaged)?;
        let buffer = vec![0; INPUT_BYTES].into_boxed_slice();
        Ok(Self { context, input, buffer, unread: 0..0, ended: false, whole: false, failure: None })
    }

    fn fill(&mut self) -> Result<()> {
        while self.unread.is_empty() && !self.ended {
            match self.input.read(&mut self.buffer) {
                Ok(count) => {
                    self.unread = 0..count;
                    self.ended = count == 0;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn decode(&mut self, plain: &mut [u8]) -> Result<usize> {
        loop {
            self.fill()?;
            if self.ended && self.whole {
                return Ok(0);
            }
            let mut input = InBuffer::around(&self.buffer[self.unread.clone()]);
            let mut output = OutBuffer::around(&mut *plain);
            let left = self.context.decompress_stream(&mut output, &mut input).map_err(damaged)?;
            self.unread.start += input.pos();
            self.whole = left == 0;
            match output.pos() {
                0 if self.ended => return Err(Error::damaged("the zstd stream is truncated")),
                0 => {}
                count => return Ok(count),
            }
        }
    }
}

impl Read for Decoder {
    fn read(&mut self, plain: &mut [u8]) -> io::Result<usize> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone().into());
        }
        if plain.is_empty() {
            return Ok(0);
        }
        let result = self.decode(plain);
        if let Err(error) = &result {
            self.failure = Some(error.clone());
        }
        Ok(result?)
    }
}

/// The library's word for what is wrong with the bytes.
fn damaged(code: ErrorCode) -> Error {
    let error =
        Error::damaged(format!("the zstd stream can't be decoded: {}", zstd_safe::get_error_name(code)));
    if zstd_safe::is_error_kind(code, ZSTD_ErrorCode::ZSTD_error_frameParameter_windowTooLarge) {
        return error.hint(
            "Unless it is damaged, it was written with a window above 128 MiB: set the option `long` to what it was written with.",
        );
    }
    error
}
