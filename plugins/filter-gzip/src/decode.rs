//! The decoder: a reader of the plain bytes of one gzip member or several.
//!
//! It reads its input to the end: each member must be whole, its checksum and length must match, and nothing but members may
//! follow. Zeros behind the end, which `gzip -d` passes over because tapes padded with them, are refused as well: no storage
//! of ours pads. No byte at all isn't a member either.

use std::io::{self, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use windlass_plugin_api::{Error, ErrorKind, Reader};

/// What is asked of the input at a time.
const INPUT_BYTES: usize = 256 * 1024;

/// Members being read.
pub struct Decoder {
    members: MultiGzDecoder<BufReader<Reader>>,
    /// What every later read returns.
    failure: Option<Error>,
}

impl Decoder {
    /// Reads the first header; what is wrong with it is told by the first `read`.
    pub fn new(input: Reader) -> Self {
        Self { members: MultiGzDecoder::new(BufReader::with_capacity(INPUT_BYTES, input)), failure: None }
    }
}

impl Read for Decoder {
    fn read(&mut self, plain: &mut [u8]) -> io::Result<usize> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone().into());
        }
        self.members.read(plain).map_err(|error| {
            let failure = explain(error);
            self.failure = Some(failure.clone());
            failure.into()
        })
    }
}

/// Tells what the decoder says of the bytes from what the input says of itself, which stays as it is.
fn explain(error: io::Error) -> Error {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    let is_inputs_own = error.raw_os_error().is_some()
        || error.get_ref().is_some_and(|inner| inner.is::<Error>() || inner.is::<io::Error>());
    match error.kind() {
        UnexpectedEof if !is_inputs_own => Error::damaged("the gzip stream is truncated"),
        InvalidData | InvalidInput if !is_inputs_own => {
            Error::new(ErrorKind::Damaged, "the gzip stream can't be decoded").because(&error)
        }
        _ => Error::from(error),
    }
}
