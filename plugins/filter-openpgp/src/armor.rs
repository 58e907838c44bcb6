//! The armor: the same bytes as text, for what takes no binary data. Written with a checksum, as old programs want it.
//!
//! Some text may stand before and behind what is read, as in a mail. What was cut off is not taken for whole.

use std::io::{self, BufRead, Read, Write};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use crc::{CRC_24_OPENPGP, Crc, Digest, Table};
use windlass_plugin_api::{Error, Result, Sink};

use crate::packets::truncated;

/// How an armored message begins.
const BEGIN: &[u8] = b"-----BEGIN PGP MESSAGE-----";
const END: &[u8] = b"-----END PGP MESSAGE-----";
static CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_24_OPENPGP);
/// What a line holds.
const LINE_BYTES: usize = 48;
/// What is written at a time: whole lines.
const BUFFER_BYTES: usize = LINE_BYTES * 1024;
/// What is decoded at a time.
const TEXT_BYTES: usize = 64 * 1024;
/// No program writes lines as long.
const LONGEST_LINE: u64 = 4096;
const MOST_HEADERS: usize = 64;
/// As much text may precede the message, and as much may follow.
const MOST_TEXT: u64 = 64 * 1024;
/// What follows must not begin like this.
const ANOTHER: &[u8] = b"-----BEGIN PGP ";

/// The sink behind, with or without the armor.
pub enum Out {
    Binary(Box<dyn Sink>),
    Armored(Armored),
}

/// Text being written.
pub struct Armored {
    next: Box<dyn Sink>,
    crc: Digest<'static, u32, Table<16>>,
    buffer: Vec<u8>,
    text: Vec<u8>,
}

impl Out {
    pub fn new(armor: bool, mut next: Box<dyn Sink>) -> io::Result<Self> {
        if !armor {
            return Ok(Self::Binary(next));
        }
        next.write_all(&[BEGIN, b"\n\n"].concat())?;
        let buffer = Vec::with_capacity(BUFFER_BYTES);
        Ok(Self::Armored(Armored { next, crc: CRC.digest(), buffer, text: Vec::new() }))
    }

    /// Writes the end of the text, and gives back the sink, unfinished.
    pub fn finish(self) -> io::Result<Box<dyn Sink>> {
        match self {
            Self::Binary(next) => Ok(next),
            Self::Armored(mut armored) => {
                armored.encode()?;
                let crc = BASE64_STANDARD.encode(&armored.crc.finalize().to_be_bytes()[1..]);
                let end = [b"=", crc.as_bytes(), b"\n", END, b"\n"].concat();
                armored.next.write_all(&end)?;
                Ok(armored.next)
            }
        }
    }
}

impl Armored {
    fn encode(&mut self) -> io::Result<()> {
        self.crc.update(&self.buffer);
        self.text.clear();
        let mut letters = [0; LINE_BYTES / 3 * 4];
        for line in self.buffer.chunks(LINE_BYTES) {
            let count = BASE64_STANDARD.encode_slice(line, &mut letters).map_err(io::Error::other)?;
            self.text.extend_from_slice(&letters[..count]);
            self.text.push(b'\n');
        }
        self.buffer.clear();
        self.next.write_all(&self.text)
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let armored = match self {
            Self::Binary(next) => return next.write(bytes),
            Self::Armored(armored) => armored,
        };
        let mut rest = bytes;
        while armored.buffer.len() + rest.len() >= BUFFER_BYTES {
            let (filling, behind) = rest.split_at(BUFFER_BYTES - armored.buffer.len());
            armored.buffer.extend_from_slice(filling);
            armored.encode()?;
            rest = behind;
        }
        armored.buffer.extend_from_slice(rest);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Binary(next) => next.flush(),
            Self::Armored(armored) => armored.next.flush(),
        }
    }
}

/// Text being read. Its end is told only behind the last mark, when no other message follows.
pub struct Dearmored<R> {
    input: R,
    /// It ends as [`Out`] ends it, not as some programs and people do.
    is_ours: bool,
    crc: Option<Digest<'static, u32, Table<16>>>,
    line: Vec<u8>,
    /// Letters that aren't decoded yet.
    text: Vec<u8>,
    plain: Vec<u8>,
    /// How much of `plain` was handed on.
    taken: usize,
}

impl<R: BufRead> Dearmored<R> {
    /// Reads the mark and the headers.
    pub fn new(input: R, is_ours: bool) -> Result<Self> {
        let crc = Some(CRC.digest());
        let mut new =
            Self { input, is_ours, crc, line: Vec::new(), text: Vec::new(), plain: Vec::new(), taken: 0 };
        new.find_begin()?;
        for _ in 0..MOST_HEADERS {
            new.next_line()?;
            if new.line.is_empty() {
                return Ok(new);
            }
            if !new.line.ends_with(b":") && !new.line.windows(2).any(|window| window == b": ") {
                return Err(damaged("has a header that isn't one"));
            }
        }
        Err(damaged("has too many headers"))
    }

    /// Passes over what precedes the message, and its first mark.
    fn find_begin(&mut self) -> Result<()> {
        let mut left = MOST_TEXT;
        while left > 0 {
            self.line.clear();
            let count = self.input.by_ref().take(left).read_until(b'\n', &mut self.line)?;
            left -= count as u64;
            match self.line.last() {
                Some(b'\n') if self.line.trim_ascii_end() == BEGIN => return Ok(()),
                Some(b'\n') => {}
                // A beginning of the mark is what is left of a message.
                _ if BEGIN.starts_with(&self.line) => return Err(truncated()),
                _ => break,
            }
        }
        Err(Error::damaged("there are bytes that belong to no OpenPGP packet"))
    }

    /// The next line, without its end, which must be there, except behind the last mark of others.
    fn next_line(&mut self) -> Result<()> {
        self.line.clear();
        self.input.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut self.line)?;
        if self.line.last() != Some(&b'\n') && (self.is_ours || self.line != END) {
            let is_long = self.line.len() as u64 == LONGEST_LINE;
            return Err(if is_long { damaged("has a line that is too long") } else { truncated() });
        }
        let whole = self.line.trim_ascii_end().len();
        self.line.truncate(whole);
        Ok(())
    }

    /// Decodes some lines, or none at the end.
    fn fill(&mut self) -> Result<()> {
        self.taken = 0;
        self.plain.clear();
        while self.crc.is_some() && self.text.len() < TEXT_BYTES {
            self.next_line()?;
            match self.line.first() {
                Some(b'=' | b'-') => return self.end(),
                _ => self.text.extend_from_slice(&self.line),
            }
        }
        self.decode(self.text.len() / 4 * 4)
    }

    fn decode(&mut self, count: usize) -> Result<()> {
        let letters: Vec<u8> = self.text.drain(..count).collect();
        let decoded = BASE64_STANDARD.decode_vec(letters, &mut self.plain);
        decoded.map_err(|_| damaged("holds something else than base64"))?;
        if let Some(crc) = &mut self.crc {
            crc.update(&self.plain);
        }
        Ok(())
    }

    /// What follows the letters: a checksum if the line that was read is one, the last mark, and no other message.
    fn end(&mut self) -> Result<()> {
        self.decode(self.text.len())?;
        let crc = self.crc.take().map_or(0_u32, |crc| crc.finalize());
        if self.line.first() == Some(&b'=') {
            let told = BASE64_STANDARD.decode(&self.line[1..]).unwrap_or_default();
            if told != crc.to_be_bytes()[1..] {
                return Err(damaged("has another checksum than its bytes"));
            }
            self.next_line()?;
        }
        if self.line != END {
            return Err(damaged("doesn't end as it should"));
        }
        let mut rest = Vec::new();
        self.input.by_ref().take(MOST_TEXT + 1).read_to_end(&mut rest)?;
        let has_text = !rest.trim_ascii().is_empty();
        let has_another = rest.windows(ANOTHER.len()).any(|window| window == ANOTHER);
        if rest.len() as u64 > MOST_TEXT || has_another || (self.is_ours && has_text) {
            return Err(damaged("is followed by something else"));
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Dearmored<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.plain.len() && self.crc.is_some() {
            self.fill()?;
        }
        let count = buffer.len().min(self.plain.len() - self.taken);
        buffer[..count].copy_from_slice(&self.plain[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}

fn damaged(what: &str) -> Error {
    Error::damaged(format!("the OpenPGP armor {what}"))
}
