//! The decoder: one Brotli stream, with nothing behind it.
//!
//! A window beyond the standard is seen in the first two bytes, before any memory is taken for it.

use brotli::enc::StandardAlloc;
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};
use windlass_codec::{Step, Steps};
use windlass_plugin_api::{Error, Result};

/// What the first byte of the extension begins with, and the bits of it that say so.
const LARGE_MARK: u8 = 0x11;
const MARK_BITS: u8 = 0x7f;
/// The bits of the second byte that hold its window.
const WINDOW_BITS: u8 = 0x3f;

/// A stream being decoded.
pub struct Stream {
    state: BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    /// The largest window that is accepted.
    limit: u32,
    /// Stored bytes taken so far.
    taken: usize,
    is_large: bool,
    is_whole: bool,
}

impl Stream {
    /// `limit` bounds the memory that the stream may ask for.
    pub fn new(limit: u32) -> Self {
        let alloc = StandardAlloc::default;
        let state = BrotliState::new(alloc(), alloc(), alloc());
        Self { state, limit, taken: 0, is_large: false, is_whole: false }
    }

    /// Refuses a window that is too large. `bytes` follow those that were taken.
    fn judge(&mut self, bytes: &[u8]) -> Result<()> {
        for (at, byte) in (self.taken..2).zip(bytes) {
            match at {
                0 => self.is_large = byte & MARK_BITS == LARGE_MARK,
                _ if self.is_large && u32::from(byte & WINDOW_BITS) > self.limit => {
                    return Err(too_large(byte & WINDOW_BITS));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn too_large(window: u8) -> Error {
    Error::damaged(format!("the brotli stream asks for a window of 2^{window} bytes")).hint(format!(
        "Unless it is damaged, it was written with a large window: set `window` to {window} in `[decode.brotli]`."
    ))
}

impl Steps for Stream {
    const FORMAT: &'static str = "brotli";

    fn step(&mut self, bytes: &[u8], plain: &mut [u8]) -> Result<Step> {
        if self.is_whole {
            return Err(Error::damaged("bytes follow the end of the brotli stream"));
        }
        self.judge(bytes)?;
        let (mut left, mut read) = (bytes.len(), 0);
        let (mut room, mut written) = (plain.len(), 0);
        let result = BrotliDecompressStream(
            &mut left,
            &mut read,
            bytes,
            &mut room,
            &mut written,
            plain,
            &mut 0,
            &mut self.state,
        );
        self.taken += read;
        match result {
            BrotliResult::ResultFailure => {
                let code = format!("{:?}", self.state.error_code);
                return Err(Error::damaged(format!("the brotli stream can't be decoded: {code}")));
            }
            BrotliResult::ResultSuccess => self.is_whole = true,
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
        }
        Ok(Step { read, written })
    }

    fn is_whole(&self) -> bool {
        self.is_whole
    }
}
