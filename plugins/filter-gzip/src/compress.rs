//! One block: a piece of the plain stream turned into a piece of the deflate stream.
//!
//! Blocks are compressed independently and joined: each but the last ends on a byte boundary (a sync flush), and each starts
//! with the last 32 KiB of the one before as its dictionary, so that hardly anything is lost by the cut. That is what pigz
//! does; many gzip members would be simpler, and readers that stop after the first exist.

use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use windlass_plugin_api::{Error, Result};

/// How far back deflate can refer.
const DICTIONARY_BYTES: usize = 32 * 1024;
/// Plain bytes of a block. Larger ones gain nothing measurable; two to three of them a thread are in memory.
const BLOCK_BYTES: usize = 256 * 1024;

/// Plain bytes, behind those that came before them.
#[derive(Default)]
pub struct Block {
    bytes: Vec<u8>,
    dictionary_bytes: usize,
}

impl Block {
    /// Takes as much of `bytes` as there is room for, and says how much.
    pub fn take(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(BLOCK_BYTES - self.plain().len());
        self.bytes.extend_from_slice(&bytes[..count]);
        count
    }

    pub fn is_full(&self) -> bool {
        self.plain().len() == BLOCK_BYTES
    }

    pub fn is_empty(&self) -> bool {
        self.plain().is_empty()
    }

    /// Empties `spare` and makes it the block that follows this one.
    pub fn followed_by(&self, mut spare: Self) -> Self {
        let tail = &self.bytes[self.bytes.len().saturating_sub(DICTIONARY_BYTES)..];
        spare.bytes.clear();
        spare.bytes.extend_from_slice(tail);
        spare.dictionary_bytes = tail.len();
        spare
    }

    fn plain(&self) -> &[u8] {
        &self.bytes[self.dictionary_bytes..]
    }
}

/// A block's part of the deflate stream, and its checksum.
pub struct Compressed {
    pub bytes: Vec<u8>,
    pub crc: Crc,
    /// To be used again.
    pub block: Block,
}

/// Compresses one block after the other; they need not be neighbours.
pub struct Compressor(Compress);

impl Compressor {
    pub fn new(level: u32) -> Self {
        Self(Compress::new(Compression::new(level), false))
    }

    /// Compresses `block` into `bytes`, which is emptied first. `is_last` ends the deflate stream.
    pub fn run(&mut self, block: Block, mut bytes: Vec<u8>, is_last: bool) -> Result<Compressed> {
        let failed = |error: flate2::CompressError| Error::failed("gzip can't compress").because(&error);
        bytes.clear();
        self.0.reset();
        if block.dictionary_bytes > 0 {
            self.0.set_dictionary(&block.bytes[..block.dictionary_bytes]).map_err(failed)?;
        }
        let flush = if is_last { FlushCompress::Finish } else { FlushCompress::Sync };
        let plain = block.plain();
        bytes.reserve(plain.len() + plain.len() / 64 + 128);
        loop {
            let status = self
                .0
                .compress_vec(&plain[self.0.total_in() as usize..], &mut bytes, flush)
                .map_err(failed)?;
            // A flush is complete once it leaves room behind it; to ask again would add an empty block.
            let is_flushed = self.0.total_in() as usize == plain.len() && bytes.len() < bytes.capacity();
            if status == Status::StreamEnd || (is_flushed && !is_last) {
                break;
            }
            bytes.reserve(plain.len() / 4 + 128);
        }
        let mut crc = Crc::new();
        crc.update(plain);
        Ok(Compressed { bytes, crc, block })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_knows_its_neighbour() {
        let mut first = Block::default();
        assert_eq!(first.take(&vec![1; BLOCK_BYTES + 7]), BLOCK_BYTES);
        assert!(first.is_full());
        let second = first.followed_by(Block::default());
        assert!(second.is_empty() && !second.is_full());
        assert_eq!(second.bytes.len(), DICTIONARY_BYTES);
    }

    #[test]
    fn output_that_outgrows_its_room_is_whole() {
        let mut block = Block::default();
        block.take(&vec![7; 1000]);
        let mut bytes = Vec::new();
        bytes.shrink_to_fit();
        // Level 0 stores: more comes out than went in.
        let compressed = Compressor::new(0).run(block, bytes, true).unwrap();
        assert!(compressed.bytes.len() > 1000);
    }
}
