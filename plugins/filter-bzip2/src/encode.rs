//! The encoder's part of the work: blocks that are compressed on their own and joined into one bzip2 stream.
//!
//! The library makes a whole stream of a block; its header and end are cut off, and the blocks are put one behind the other,
//! bit by bit, as `lbzip2` does. Whole streams one behind the other, as `pbzip2` writes them, would be simpler; but one that
//! was cut between two of them would look complete.

use bzip2::{Action, Compress, Compression, Status};
use windlass_codec::{Block, Format, Work};
use windlass_plugin_api::{Error, Result};

use crate::bits::{Tail, forty_eight};

/// What the library keeps free in a block.
const KEPT_FREE: usize = 19;
/// What we keep free for each unit of the level: runs of four grow, and few of them must not cost a further block.
const MARGIN: usize = 100;
/// Bytes and bits of a stream's header: `BZh` and the level.
const HEADER_BYTES: usize = 4;
/// What the end of a stream begins with; 32 bits of checksum follow.
const END_MAGIC: u64 = 0x1772_4538_5090;
const END_BITS: usize = 48 + 32;
/// Where the checksum of the first block stands, behind the header and the 48 bits that begin a block.
const CHECKSUM_AT: usize = HEADER_BYTES + 6;

/// How many plain bytes are compressed at a time at `level`.
pub fn block_bytes(level: u32) -> usize {
    level as usize * (100_000 - MARGIN)
}

/// How many bytes a block of `level` holds, after the format's first step.
fn room(level: u32) -> usize {
    level as usize * 100_000 - KEPT_FREE
}

/// One stream being written.
pub struct Joined {
    level: u32,
    checksum: u32,
    tail: Tail,
}

impl Joined {
    pub fn new(level: u32) -> Self {
        Self { level, checksum: 0, tail: Tail::default() }
    }
}

impl Format for Joined {
    type Work = Blocks;

    fn work(&self) -> Blocks {
        Blocks(self.level)
    }

    fn begin(&mut self) -> Vec<u8> {
        format!("BZh{}", self.level).into_bytes()
    }

    fn pass(&mut self, _: &[u8], output: &mut Vec<u8>, body: Body) {
        self.tail.push(output, body.bits);
        for checksum in body.checksums {
            self.checksum = self.checksum.rotate_left(1) ^ checksum;
        }
    }

    fn end(&mut self) -> Vec<u8> {
        let mut end = END_MAGIC.to_be_bytes()[2..].to_vec();
        end.extend(self.checksum.to_be_bytes());
        self.tail.push(&mut end, END_BITS);
        end.extend(std::mem::take(&mut self.tail).end());
        end
    }
}

/// What was made of a block: how many bits, and the checksum of each block of the format in it.
#[derive(Default)]
pub struct Body {
    bits: usize,
    checksums: Vec<u32>,
}

/// Compresses blocks at a level.
pub struct Blocks(u32);

impl Work for Blocks {
    type Said = Body;

    fn run(&mut self, block: &Block, output: &mut Vec<u8>, _: bool) -> Result<Body> {
        let plain = block.plain();
        let mut body = Body::default();
        if plain.is_empty() {
            return Ok(body);
        }
        // Many runs of four make more bytes of it, by a quarter at most: then it becomes two blocks.
        let (first, second) = plain.split_at(prefix(plain, room(self.0)));
        let mut tail = Tail::default();
        for part in [first, second].into_iter().filter(|part| !part.is_empty()) {
            let mut stream = self.stream(part)?;
            let (checksum, bits) = one_block(&stream)
                .ok_or_else(|| Error::failed("bzip2 made something else than one block"))?;
            stream.drain(..HEADER_BYTES);
            tail.push(&mut stream, bits);
            output.append(&mut stream);
            body.bits += bits;
            body.checksums.push(checksum);
        }
        output.extend(tail.end());
        Ok(body)
    }
}

impl Blocks {
    /// A whole stream of `plain`.
    fn stream(&self, plain: &[u8]) -> Result<Vec<u8>> {
        let mut compress = Compress::new(Compression::new(self.0), 0);
        // What doesn't compress grows by a hundredth.
        let mut stream = Vec::with_capacity(plain.len() + plain.len() / 100 + 600);
        loop {
            let rest = &plain[compress.total_in() as usize..];
            match compress.compress_vec(rest, &mut stream, Action::Finish) {
                Ok(Status::StreamEnd) => return Ok(stream),
                Ok(_) => stream.reserve(plain.len() / 4 + 600),
                Err(error) => return Err(Error::failed("bzip2 can't compress").because(&error)),
            }
        }
    }
}

/// The checksum of the one block in `stream`, and how many bits it has.
fn one_block(stream: &[u8]) -> Option<(u32, usize)> {
    let checksum = stream.get(CHECKSUM_AT..CHECKSUM_AT + 4)?;
    // Fewer than eight bits of padding stand behind the end.
    let latest = (stream.len() * 8).checked_sub(END_BITS)?;
    let end = (latest.saturating_sub(7)..=latest).find(|at| forty_eight(stream, *at) == Some(END_MAGIC))?;
    // A single block's checksum is the stream's as well: the last 32 bits.
    let whole = forty_eight(stream, end + END_BITS - 48)? as u32;
    let checksum = u32::from_be_bytes(checksum.try_into().ok()?);
    (checksum == whole).then_some((checksum, end - HEADER_BYTES * 8))
}

/// How much of `plain` the format's first step makes at most `room` bytes of: a run of 4 to 255 equal ones becomes five.
fn prefix(plain: &[u8], room: usize) -> usize {
    let (mut taken, mut made) = (0, 0);
    for run in plain.chunk_by(|a, b| a == b).flat_map(|run| run.chunks(255)) {
        made += if run.len() < 4 { run.len() } else { 5 };
        if made > room {
            return taken;
        }
        taken += run.len();
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_counted_as_the_format_does() {
        let plain = b"abbcccdddde";
        for (room, taken) in [(1, 1), (2, 1), (3, 3), (6, 6), (10, 6), (11, 10), (12, 11), (99, 11)] {
            assert_eq!(prefix(plain, room), taken, "{room}");
        }
        assert_eq!(prefix(&[7; 255 + 255 + 3], 5 + 5), 510);
    }

    #[test]
    fn what_grows_over_a_block_becomes_two() {
        let plain: Vec<u8> = (0..block_bytes(1)).map(|at| (at / 4 % 251) as u8).collect();
        let mut output = Vec::new();
        let body = Blocks(1).run(&Block::of(&plain), &mut output, true).unwrap();
        assert_eq!(body.checksums.len(), 2);
        assert_eq!(output.len(), body.bits.div_ceil(8));
    }

    #[test]
    fn a_stream_of_two_blocks_is_told_from_one_of_one() {
        let plain: Vec<u8> = (0..150_000_u64).map(|at| ((at * at) >> 3) as u8).collect();
        assert!(one_block(&Blocks(9).stream(&plain).unwrap()).is_some());
        assert!(one_block(&Blocks(1).stream(&plain).unwrap()).is_none());
    }
}
