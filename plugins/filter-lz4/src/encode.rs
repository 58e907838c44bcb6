//! The encoder's part of the work: blocks of one frame, each of which stands for itself.

use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};
use windlass_codec::{Block, Format, Work};
use windlass_plugin_api::{Error, Result};

use crate::checksum::Checksum;
use crate::header::{STORED, ours};

/// Plain bytes of a block. Those that the program takes, 4 MiB, gain half a percent and cost sixteen times the memory.
pub const BLOCK_BYTES: usize = 256 * 1024;

/// A frame being written.
pub struct Frame(Checksum);

impl Frame {
    pub fn new() -> Self {
        Self(Checksum::new())
    }
}

impl Format for Frame {
    type Work = Blocks;

    fn work(&self) -> Blocks {
        Blocks(CompressTable::large())
    }

    fn begin(&mut self) -> Vec<u8> {
        ours()
    }

    fn pass(&mut self, plain: &[u8], _: &mut Vec<u8>, (): ()) {
        self.0.add(plain);
    }

    fn end(&mut self) -> Vec<u8> {
        [0_u32.to_le_bytes(), self.0.sum().to_le_bytes()].concat()
    }
}

/// Compresses blocks.
pub struct Blocks(CompressTable);

impl Work for Blocks {
    type Said = ();

    fn run(&mut self, block: &Block, output: &mut Vec<u8>, _: bool) -> Result<()> {
        let plain = block.plain();
        if plain.is_empty() {
            // A length of zero would be the end of the frame.
            return Ok(());
        }
        output.resize(4 + get_maximum_output_size(plain.len()), 0);
        let count = compress_into_with_table(plain, &mut output[4..], &mut self.0)
            .map_err(|error| Error::failed("lz4 can't compress").because(&error))?;
        if count < plain.len() {
            output[..4].copy_from_slice(&(count as u32).to_le_bytes());
            output.truncate(4 + count);
        } else {
            output.clear();
            output.extend_from_slice(&(plain.len() as u32 | STORED).to_le_bytes());
            output.extend_from_slice(plain);
        }
        Ok(())
    }
}
