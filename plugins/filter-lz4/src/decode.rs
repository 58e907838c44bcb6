//! The decoder: one frame or several, skippable ones between them. Its memory is bounded by the format: two blocks of 4 MiB.
//!
//! Every checksum and length that a frame has must hold, and nothing but frames may follow.

use lz4_flex::block::{decompress_into, decompress_into_with_dict};
use windlass_codec::{Decode, Input};
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::checksum::Checksum;
use crate::header::{self, Header, LEGACY_MAGIC, MAGIC, SKIPPABLE_MAGIC, STORED};

/// How far back a block may refer.
const HISTORY_BYTES: usize = 64 * 1024;

/// Frames being decoded.
#[derive(Default)]
pub struct Frames {
    frame: Option<Frame>,
    is_begun: bool,
    /// A block as it is stored.
    stored: Vec<u8>,
    /// A block in plain, and how much of it was handed out.
    plain: Vec<u8>,
    given: usize,
}

struct Frame {
    header: Header,
    checksum: Checksum,
    plain_bytes: u64,
    /// The end of what came before, if blocks refer to it.
    history: Vec<u8>,
}

impl Decode for Frames {
    const FORMAT: &'static str = "lz4";

    fn decode(&mut self, input: &mut Input, plain: &mut [u8]) -> Result<usize> {
        loop {
            if self.given < self.plain.len() {
                let count = plain.len().min(self.plain.len() - self.given);
                plain[..count].copy_from_slice(&self.plain[self.given..][..count]);
                self.given += count;
                return Ok(count);
            }
            if let Some(frame) = &mut self.frame {
                self.plain.clear();
                self.given = 0;
                if !frame.next_block(input, &mut self.stored, &mut self.plain)? {
                    self.frame = None;
                }
            } else if self.is_begun && input.bytes()?.is_empty() {
                return Ok(0);
            } else {
                self.frame = begin(input)?;
                self.is_begun = true;
            }
        }
    }
}

/// Reads a frame's header, or passes over a frame that is to be skipped.
fn begin(input: &mut Input) -> Result<Option<Frame>> {
    match number(input)? {
        MAGIC => {}
        magic if magic & !0xf == SKIPPABLE_MAGIC => {
            let length = number(input)?;
            input.skip(length.into())?;
            return Ok(None);
        }
        LEGACY_MAGIC => {
            let error =
                Error::new(ErrorKind::Unsupported, "the lz4 stream has the legacy format of `lz4 -l`");
            return Err(error.hint(
                "Write it anew with `lz4 -dc | lz4 -c`: the legacy format has no end that could be proved.",
            ));
        }
        _ => return Err(damaged("no frame begins where one should")),
    }
    let mut bytes = vec![0; 2];
    input.exact(&mut bytes)?;
    bytes.resize(2 + header::rest_bytes(bytes[0]), 0);
    input.exact(&mut bytes[2..])?;
    let header = header::parse(&bytes)?;
    Ok(Some(Frame { header, checksum: Checksum::new(), plain_bytes: 0, history: Vec::new() }))
}

impl Frame {
    /// Decodes a block into `plain`, which is empty. False at the frame's end.
    fn next_block(&mut self, input: &mut Input, stored: &mut Vec<u8>, plain: &mut Vec<u8>) -> Result<bool> {
        let word = number(input)?;
        if word == 0 {
            self.end(input)?;
            return Ok(false);
        }
        let length = (word & !STORED) as usize;
        if length > self.header.block_bytes {
            return Err(damaged("a block is larger than its frame allows"));
        }
        stored.resize(length, 0);
        input.exact(stored)?;
        if self.header.has_block_checksums && number(input)? != Checksum::of(stored) {
            return Err(damaged("the checksum of a block differs"));
        }
        if word & STORED > 0 {
            std::mem::swap(stored, plain);
        } else {
            self.decompress(stored, plain)?;
        }
        self.pass(plain);
        Ok(true)
    }

    fn decompress(&self, stored: &[u8], plain: &mut Vec<u8>) -> Result<()> {
        plain.resize(self.header.block_bytes, 0);
        let count = if self.history.is_empty() {
            decompress_into(stored, plain)
        } else {
            decompress_into_with_dict(stored, plain, &self.history)
        };
        let failed = |error| Error::damaged("the lz4 stream can't be decoded").because(&error);
        plain.truncate(count.map_err(failed)?);
        Ok(())
    }

    /// Takes note of a block that was decoded.
    fn pass(&mut self, plain: &[u8]) {
        self.plain_bytes += plain.len() as u64;
        if self.header.has_content_checksum {
            self.checksum.add(plain);
        }
        if self.header.is_linked {
            let kept = HISTORY_BYTES.saturating_sub(plain.len()).min(self.history.len());
            self.history.drain(..self.history.len() - kept);
            self.history.extend_from_slice(&plain[plain.len().saturating_sub(HISTORY_BYTES)..]);
        }
    }

    fn end(&self, input: &mut Input) -> Result<()> {
        if self.header.has_content_checksum && number(input)? != self.checksum.sum() {
            return Err(damaged("the checksum of its content differs"));
        }
        match self.header.content_bytes {
            Some(said) if said != self.plain_bytes => {
                Err(damaged("it holds another number of bytes than it says"))
            }
            _ => Ok(()),
        }
    }
}

fn number(input: &mut Input) -> Result<u32> {
    let mut bytes = [0; 4];
    input.exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

fn damaged(what: &str) -> Error {
    Error::damaged(format!("the lz4 stream can't be decoded: {what}"))
}
