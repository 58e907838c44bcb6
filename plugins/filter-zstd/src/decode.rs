//! The decoder: a reader of the plain bytes of one frame or several.
//!
//! It reads its input to the end and takes nothing on trust: each frame must be whole, its checksum must match, and nothing
//! but frames may follow. No byte at all isn't a frame either.

use windlass_codec::{Step, Steps};
use windlass_plugin_api::{Error, Result};
use zstd::zstd_safe::zstd_sys::ZSTD_ErrorCode;
use zstd::zstd_safe::{self, DCtx, DParameter, ErrorCode, InBuffer, OutBuffer};

/// Frames being read.
pub struct Frames {
    context: DCtx<'static>,
    /// A frame has ended, and none has begun after it.
    is_whole: bool,
}

impl Frames {
    /// `window_log` bounds the memory that a frame may ask for.
    pub fn new(window_log: u32) -> Result<Self> {
        let no_memory = || Error::failed("there is no memory for the decompressor");
        let mut context = DCtx::try_create().ok_or_else(no_memory)?;
        context.set_parameter(DParameter::WindowLogMax(window_log)).map_err(damaged)?;
        Ok(Self { context, is_whole: false })
    }
}

impl Steps for Frames {
    const FORMAT: &'static str = "zstd";

    fn step(&mut self, bytes: &[u8], plain: &mut [u8]) -> Result<Step> {
        let mut input = InBuffer::around(bytes);
        let mut output = OutBuffer::around(plain);
        let left = self.context.decompress_stream(&mut output, &mut input).map_err(damaged)?;
        self.is_whole = left == 0;
        Ok(Step { read: input.pos(), written: output.pos() })
    }

    fn is_whole(&self) -> bool {
        self.is_whole
    }
}

/// The library's word for what is wrong with the bytes.
fn damaged(code: ErrorCode) -> Error {
    let error =
        Error::damaged(format!("the zstd stream can't be decoded: {}", zstd_safe::get_error_name(code)));
    if zstd_safe::is_error_kind(code, ZSTD_ErrorCode::ZSTD_error_frameParameter_windowTooLarge) {
        return error.hint(
            "Unless it is damaged, it was written with a window above 128 MiB: set `long` in `[decode.zstd]` to what it was written with.",
        );
    }
    error
}
