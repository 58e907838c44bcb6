//! One block: a piece of the plain stream turned into a piece of the deflate stream.
//!
//! Blocks are compressed independently and joined: each but the last ends on a byte boundary (a sync flush), and each starts
//! with the last 32 KiB of the one before as its dictionary, so that hardly anything is lost by the cut. That is what pigz
//! does; many gzip members would be simpler, and readers that stop after the first exist.

use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use windlass_codec::{Block, Work};
use windlass_plugin_api::{Error, Result};

/// How far back deflate can refer.
pub const DICTIONARY_BYTES: usize = 32 * 1024;
/// Plain bytes of a block. Larger ones gain nothing measurable; two to three of them a thread are in memory.
pub const BLOCK_BYTES: usize = 256 * 1024;

/// Compresses one block after the other; they need not be neighbours.
pub struct Compressor(Compress);

impl Compressor {
    pub fn new(level: u32) -> Self {
        Self(Compress::new(Compression::new(level), false))
    }
}

impl Work for Compressor {
    /// The checksum of the plain bytes.
    type Said = Crc;

    fn run(&mut self, block: &Block, output: &mut Vec<u8>, is_last: bool) -> Result<Crc> {
        let failed = |error: flate2::CompressError| Error::failed("gzip can't compress").because(&error);
        self.0.reset();
        if !block.history().is_empty() {
            self.0.set_dictionary(block.history()).map_err(failed)?;
        }
        let flush = if is_last { FlushCompress::Finish } else { FlushCompress::Sync };
        let plain = block.plain();
        output.reserve(plain.len() + plain.len() / 64 + 128);
        loop {
            let rest = &plain[self.0.total_in() as usize..];
            let status = self.0.compress_vec(rest, output, flush).map_err(failed)?;
            // A flush is complete once it leaves room behind it; to ask again would add an empty block.
            let is_flushed = self.0.total_in() as usize == plain.len() && output.len() < output.capacity();
            if status == Status::StreamEnd || (is_flushed && !is_last) {
                break;
            }
            output.reserve(plain.len() / 4 + 128);
        }
        let mut crc = Crc::new();
        crc.update(plain);
        Ok(crc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_that_outgrows_its_room_is_whole() {
        let mut bytes = Vec::new();
        // Level 0 stores: more comes out than went in.
        Compressor::new(0).run(&Block::of(&[7; 1000]), &mut bytes, true).unwrap();
        assert!(bytes.len() > 1000);
    }
}
