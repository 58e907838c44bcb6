//! A reader of plain bytes that takes nothing on trust: it reads its input to the end, what has begun must come to its end,
//! and after a failure every read fails.
//!
//! What is whole is the codec's to say. No byte at all isn't whole for any of them.

use std::io::{self, Read};

use windlass_plugin_api::{Error, Reader, Result};

/// What is asked of the input at a time.
const INPUT_BYTES: usize = 256 * 1024;

/// A codec that decodes.
pub trait Decode: Send {
    /// The format's name, for messages.
    const FORMAT: &'static str;

    /// Fills `plain`, which isn't empty, as far as it can. 0 is the end: the input is read, and all that began is whole.
    fn decode(&mut self, input: &mut Input, plain: &mut [u8]) -> Result<usize>;
}

/// The stored bytes.
pub struct Input {
    format: &'static str,
    reader: Reader,
    buffer: Box<[u8]>,
    /// Where in `buffer` what isn't decoded yet begins and ends.
    unread: std::ops::Range<usize>,
    has_ended: bool,
}

impl Input {
    /// The next bytes; none at the end.
    pub fn bytes(&mut self) -> Result<&[u8]> {
        self.fill()?;
        Ok(&self.buffer[self.unread.clone()])
    }

    /// Goes on behind `count` of the bytes.
    pub fn consume(&mut self, count: usize) {
        self.unread.start += count;
    }

    /// Fills `wanted`. That the input ends before is damage.
    pub fn exact(&mut self, mut wanted: &mut [u8]) -> Result<()> {
        while !wanted.is_empty() {
            let bytes = self.bytes()?;
            if bytes.is_empty() {
                return Err(self.truncated());
            }
            let count = bytes.len().min(wanted.len());
            wanted[..count].copy_from_slice(&bytes[..count]);
            self.consume(count);
            wanted = &mut wanted[count..];
        }
        Ok(())
    }

    /// Passes over `count` bytes, all of which must be there.
    pub fn skip(&mut self, mut count: u64) -> Result<()> {
        while count > 0 {
            let there = self.bytes()?.len();
            if there == 0 {
                return Err(self.truncated());
            }
            let skipped = count.min(there as u64);
            self.consume(skipped as usize);
            count -= skipped;
        }
        Ok(())
    }

    /// The input ended too soon.
    pub fn truncated(&self) -> Error {
        Error::damaged(format!("the {} stream is truncated", self.format))
    }

    fn fill(&mut self) -> Result<()> {
        while self.unread.is_empty() && !self.has_ended {
            match self.reader.read(&mut self.buffer) {
                Ok(count) => {
                    self.unread = 0..count;
                    self.has_ended = count == 0;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Plain bytes being read.
pub struct Decoder<D> {
    input: Input,
    codec: D,
    /// What every later read returns.
    failure: Option<Error>,
}

impl<D: Decode> Decoder<D> {
    /// The plain form of `input`.
    pub fn new(codec: D, input: Reader) -> Self {
        let buffer = vec![0; INPUT_BYTES].into_boxed_slice();
        let input = Input { format: D::FORMAT, reader: input, buffer, unread: 0..0, has_ended: false };
        Self { input, codec, failure: None }
    }
}

impl<D: Decode> Read for Decoder<D> {
    fn read(&mut self, plain: &mut [u8]) -> io::Result<usize> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone().into());
        }
        if plain.is_empty() {
            return Ok(0);
        }
        let result = self.codec.decode(&mut self.input, plain);
        if let Err(error) = &result {
            self.failure = Some(error.clone());
        }
        Ok(result?)
    }
}

/// What one step did.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Stored bytes taken.
    pub read: usize,
    /// Plain bytes given.
    pub written: usize,
}

/// A codec that is given bytes as they come.
pub trait Steps: Send {
    /// The format's name, for messages.
    const FORMAT: &'static str;

    /// Takes from `bytes` and fills `plain`. There are no bytes only at the end of the input; what the codec holds back must
    /// then come out.
    fn step(&mut self, bytes: &[u8], plain: &mut [u8]) -> Result<Step>;

    /// The input may end here: something was read, and all of it is whole.
    fn is_whole(&self) -> bool;
}

/// Makes a [`Decode`] of a codec that goes in steps.
pub struct Stepwise<S>(pub S);

impl<S: Steps> Decode for Stepwise<S> {
    const FORMAT: &'static str = S::FORMAT;

    fn decode(&mut self, input: &mut Input, plain: &mut [u8]) -> Result<usize> {
        let mut is_stuck = false;
        loop {
            input.fill()?;
            if input.has_ended && self.0.is_whole() {
                return Ok(0);
            }
            let step = self.0.step(&input.buffer[input.unread.clone()], plain)?;
            input.consume(step.read);
            if step.written > 0 {
                return Ok(step.written);
            }
            if input.has_ended && !self.0.is_whole() {
                return Err(input.truncated());
            }
            // Once is allowed; a codec that stands still would be asked for ever.
            if step.read == 0 && std::mem::replace(&mut is_stuck, true) {
                return Err(Error::damaged(format!("the {} decoder makes no progress", S::FORMAT)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use windlass_plugin_api::ErrorKind;

    use super::*;

    /// Copies what it gets; a zero ends a part, a one stands still.
    #[derive(Default)]
    struct Parts {
        is_whole: bool,
    }

    impl Steps for Parts {
        const FORMAT: &'static str = "parts";

        fn step(&mut self, bytes: &[u8], plain: &mut [u8]) -> Result<Step> {
            match bytes.first() {
                None | Some(1) => Ok(Step { read: 0, written: 0 }),
                Some(byte) => {
                    plain[0] = *byte;
                    self.is_whole = *byte == 0;
                    Ok(Step { read: 1, written: usize::from(*byte != 0) })
                }
            }
        }

        fn is_whole(&self) -> bool {
            self.is_whole
        }
    }

    /// Gives its pieces one by one; an empty one is an interruption.
    struct Pieces(Vec<&'static [u8]>);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let piece = self.0.remove(0);
            buffer[..piece.len()].copy_from_slice(piece);
            if piece.is_empty() { Err(io::ErrorKind::Interrupted.into()) } else { Ok(piece.len()) }
        }
    }

    fn read(pieces: &[&'static [u8]]) -> Result<Vec<u8>> {
        let mut plain = Vec::new();
        let mut decoder = Decoder::new(Stepwise(Parts::default()), Box::new(Pieces(pieces.to_vec())));
        decoder.read_to_end(&mut plain)?;
        Ok(plain)
    }

    #[test]
    fn parts_come_through_whatever_the_pieces_and_interruptions() {
        assert_eq!(read(&[b"ab", b"", b"\0c", b"\0"]).unwrap(), b"abc");
    }

    #[test]
    fn an_end_within_a_part_or_before_any_is_truncation() {
        for pieces in [vec![], vec![&b"a"[..]], vec![b"a\0", b"b"]] {
            let error = read(&pieces).unwrap_err();
            assert_eq!(
                (error.kind, error.message.as_str()),
                (ErrorKind::Damaged, "the parts stream is truncated")
            );
        }
    }

    #[test]
    fn a_codec_that_stands_still_is_told_and_not_asked_for_ever() {
        assert!(read(&[b"a\x01"]).unwrap_err().message.contains("no progress"));
    }

    #[test]
    fn after_a_failure_every_read_fails() {
        let mut decoder = Decoder::new(Stepwise(Parts::default()), Box::new(Pieces(vec![b"a"])));
        assert_eq!(decoder.read(&mut [0; 9]).unwrap(), 1);
        for _ in 0..2 {
            assert_eq!(Error::from(decoder.read(&mut [0; 9]).unwrap_err()).kind, ErrorKind::Damaged);
        }
    }
}
