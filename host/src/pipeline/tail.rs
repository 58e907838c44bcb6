//! The end of a stream, held back until the whole of it is proved.
//!
//! Programs such as psql commit at end-of-file. So a restore keeps the last [`HELD_BYTES`] of plain bytes and end-of-file
//! until the stored stream has been read to its end and every size and hash matches; damage in the very last byte then
//! reaches the source as an error before it could have seen the end.

use std::io::{self, Read};

use windlass_plugin_api::Reader;

/// At least so many plain bytes are held back.
pub const HELD_BYTES: usize = 64 << 10;
const CHUNK_BYTES: usize = 256 << 10;

/// A reader that gives its last bytes only after `prove` said yes.
pub struct HeldTail<P> {
    input: Reader,
    prove: Option<P>,
    held: Vec<u8>,
    at: usize,
    failed: bool,
}

impl<P: FnOnce() -> io::Result<()> + Send> HeldTail<P> {
    /// Holds back the end of `input` until `prove`, called once `input` has ended, is content.
    pub fn new(input: Reader, prove: P) -> Self {
        Self { input, prove: Some(prove), held: Vec::new(), at: 0, failed: false }
    }

    /// Bytes that may be given away.
    fn free(&self) -> usize {
        let there = self.held.len() - self.at;
        if self.prove.is_none() { there } else { there.saturating_sub(HELD_BYTES) }
    }

    /// Reads on until something may be given away, or everything is proved.
    fn fill(&mut self) -> io::Result<()> {
        while self.free() == 0 && self.prove.is_some() {
            self.held.drain(..self.at);
            self.at = 0;
            let had = self.held.len();
            self.held.resize(had + CHUNK_BYTES, 0);
            let read = read_full(&mut self.input, &mut self.held[had..]);
            self.held.truncate(had + *read.as_ref().unwrap_or(&0));
            if read? == 0
                && let Some(prove) = self.prove.take()
            {
                prove()?;
            }
        }
        Ok(())
    }
}

/// Fills `buffer` as far as `input` goes.
pub(super) fn read_full(input: &mut Reader, buffer: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while count < buffer.len() {
        match input.read(&mut buffer[count..]) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

impl<P: FnOnce() -> io::Result<()> + Send> Read for HeldTail<P> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.failed {
            return Err(windlass_plugin_api::Error::damaged("the stream already failed").into_io());
        }
        if let Err(error) = self.fill() {
            // Whoever reads on after an error must not get the tail after all.
            self.failed = true;
            self.held.clear();
            self.at = 0;
            return Err(error);
        }
        let count = self.free().min(buffer.len());
        buffer[..count].copy_from_slice(&self.held[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_plugin_api::{Error, ErrorKind};

    fn held(length: usize, good: bool) -> (Vec<u8>, io::Result<usize>) {
        let bytes: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
        let prove = move || if good { Ok(()) } else { Err(Error::damaged("hash differs").into_io()) };
        let mut reader = HeldTail::new(Box::new(io::Cursor::new(bytes.clone())), prove);
        let mut got = Vec::new();
        let result = reader.read_to_end(&mut got);
        assert!(bytes.starts_with(&got));
        assert!(!good || got == bytes);
        if !good {
            assert!(reader.read(&mut [0; 10]).is_err(), "an error stays");
        }
        (got, result)
    }

    #[test]
    fn a_good_stream_comes_through_whole() {
        for length in [0, 1, HELD_BYTES - 1, HELD_BYTES, HELD_BYTES + 1, 5 * CHUNK_BYTES + 3] {
            assert_eq!(held(length, true).1.unwrap(), length);
        }
    }

    #[test]
    fn of_a_bad_stream_the_end_is_never_seen() {
        for length in [0, 1, HELD_BYTES, HELD_BYTES + 1, 5 * CHUNK_BYTES + 3] {
            let (got, result) = held(length, false);
            assert_eq!(Error::from(result.unwrap_err()).kind, ErrorKind::Damaged);
            assert!(got.len() + HELD_BYTES <= length.max(HELD_BYTES), "{length}: {}", got.len());
        }
    }
}
