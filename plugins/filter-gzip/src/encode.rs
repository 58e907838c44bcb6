//! What stands around the blocks: the header and the trailer of one gzip member.

use flate2::Crc;
use windlass_codec::Format;

use crate::compress::Compressor;

/// A gzip member being written.
pub struct Member {
    level: u32,
    crc: Crc,
}

impl Member {
    pub fn new(level: u32) -> Self {
        Self { level, crc: Crc::new() }
    }
}

impl Format for Member {
    type Work = Compressor;

    fn work(&self) -> Compressor {
        Compressor::new(self.level)
    }

    /// RFC 1952: no name, no time (equal bytes in, equal bytes out), system unknown.
    fn begin(&mut self) -> Vec<u8> {
        let extra_flags = match self.level {
            9 => 2,
            1 => 4,
            _ => 0,
        };
        vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, extra_flags, 255]
    }

    fn pass(&mut self, _: &[u8], _: &mut Vec<u8>, crc: Crc) {
        self.crc.combine(&crc);
    }

    fn end(&mut self) -> Vec<u8> {
        [self.crc.sum().to_le_bytes(), self.crc.amount().to_le_bytes()].concat()
    }
}
