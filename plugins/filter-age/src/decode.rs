//! The decoder: a reader of the plain bytes of one age file, binary or armored.
//!
//! Nothing of a chunk is handed on before its tag was proved, and the tags prove order and end as well: what is damaged,
//! cut, reordered or put together of two files is an error before a wrong byte. Which key opens it is
//! the [`keyring`](crate::keyring)'s business.

use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use age::armor::ArmoredReader;
use age::stream::StreamReader;
use age::{DecryptError, Decryptor};
use windlass_plugin_api::{Error, ErrorKind, Reader, Result};

use crate::keyring::Keyring;

/// How an age file begins, of whatever version.
pub const AGE: &[u8] = b"age-encryption.org/";
const VERSION_1: &[u8] = b"age-encryption.org/v1\n";
/// How an armored file begins.
pub const ARMOR: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";
/// What is asked of the input at a time.
const INPUT_BYTES: usize = 64 * 1024;
/// A header larger than this would only fill the memory. What the buffer reads ahead counts.
const HEADER_BYTES: usize = 128 * 1024;

/// Reads the header of `input`, lets `keys` open it, and returns a reader of what it holds.
pub fn decoder(keys: &Keyring<'_>, input: Reader) -> Result<Reader> {
    let gate = Arc::new(Gate { left: AtomicUsize::new(HEADER_BYTES), last: AtomicU8::new(0) });
    let mut input = BufReader::with_capacity(INPUT_BYTES, Gated { input, gate: gate.clone() });
    let mut start = Vec::with_capacity(ARMOR.len());
    input.by_ref().take(ARMOR.len() as u64).read_to_end(&mut start).map_err(unreadable)?;
    let is_armored = start == ARMOR;
    let is_later = start.starts_with(AGE) && start.contains(&b'\n') && !start.starts_with(VERSION_1);
    let later = |error: Error| {
        let what = "the stream is of another version of the age format than 1";
        if is_later && error.kind == ErrorKind::Damaged {
            Error::new(ErrorKind::Unsupported, what)
        } else {
            error
        }
    };
    let input = Cursor::new(start).chain(input);
    if is_armored {
        // What this filter wrote ends with a newline, or it was cut off; elsewhere it may be missing, or half of it.
        let (end, is_ours) = (gate.clone(), keys.knows_recipients());
        let is_whole = move || !is_ours || end.last.load(Ordering::Relaxed) == b'\n';
        open(keys, ArmoredReader::new(input.chain(&b"\n"[..])), &gate, is_whole)
    } else {
        open(keys, input, &gate, || true).map_err(later)
    }
}

fn open<R: BufRead + Send + 'static>(
    keys: &Keyring<'_>,
    input: R,
    gate: &Gate,
    is_whole: impl Fn() -> bool + Send + 'static,
) -> Result<Reader> {
    let decryptor = Decryptor::new_buffered(input).map_err(wrong)?;
    gate.left.store(usize::MAX, Ordering::Relaxed);
    let opened = decryptor.decrypt(std::iter::once(keys as &dyn age::Identity));
    let reader = opened.map_err(|error| keys.failure().unwrap_or_else(|| wrong(error)))?;
    Ok(Box::new(Decoder { reader, is_whole, failure: None }))
}

/// What is known of the input: how much a header may still take of it, and its last byte.
struct Gate {
    left: AtomicUsize,
    last: AtomicU8,
}

struct Gated {
    input: Reader,
    gate: Arc<Gate>,
}

impl Read for Gated {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        let left = self.gate.left.load(Ordering::Relaxed);
        if left != usize::MAX {
            let too_long = || Error::damaged("the age stream's header is longer than 128 KiB").into_io();
            self.gate.left.store(left.checked_sub(count).ok_or_else(too_long)?, Ordering::Relaxed);
        }
        if let Some(last) = buffer[..count].last() {
            self.gate.last.store(*last, Ordering::Relaxed);
        }
        Ok(count)
    }
}

struct Decoder<R, W> {
    reader: StreamReader<R>,
    is_whole: W,
    /// What every later read returns.
    failure: Option<Error>,
}

impl<R: Read, W: Fn() -> bool> Decoder<R, W> {
    fn decode(&mut self, plain: &mut [u8]) -> Result<usize> {
        let count = self.reader.read(plain).map_err(unreadable)?;
        if count == 0 && !(self.is_whole)() {
            return Err(Error::damaged("the age stream is truncated"));
        }
        Ok(count)
    }
}

impl<R: Read, W: Fn() -> bool> Read for Decoder<R, W> {
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

/// The input's own errors stay as they are; the library's are about the bytes.
pub fn unreadable(error: io::Error) -> Error {
    let is_foreign =
        error.get_ref().is_some_and(|inner| inner.is::<Error>()) || error.raw_os_error().is_some();
    match error.kind() {
        _ if is_foreign => error.into(),
        io::ErrorKind::UnexpectedEof => Error::damaged("the age stream is truncated"),
        io::ErrorKind::InvalidData => Error::damaged("the age stream is damaged").because(&error),
        _ => error.into(),
    }
}

fn wrong(error: DecryptError) -> Error {
    match error {
        DecryptError::Io(error) => unreadable(error),
        DecryptError::InvalidMac => Error::damaged("the age stream's header was changed"),
        // The library takes a header that it can't read for one of a later version.
        DecryptError::InvalidHeader | DecryptError::UnknownFormat => {
            Error::damaged("the stream doesn't begin with the header of an age file")
        }
        error => Error::damaged("the age stream can't be decrypted").because(&error),
    }
}
