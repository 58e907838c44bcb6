//! A frame's header, as <https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md> has it.

use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::checksum::Checksum;

/// What a frame begins with.
pub const MAGIC: u32 = 0x184d_2204;
/// What a frame of `lz4 -l` begins with.
pub const LEGACY_MAGIC: u32 = 0x184c_2102;
/// The last four bits are anybody's: a length follows, and so many bytes that are to be passed over.
pub const SKIPPABLE_MAGIC: u32 = 0x184d_2a50;
/// The bit of a block's length that says it is stored as it is.
pub const STORED: u32 = 1 << 31;

const VERSION: u8 = 0b0100_0000;
const VERSION_BITS: u8 = 0b1100_0000;
const INDEPENDENT: u8 = 0b0010_0000;
const BLOCK_CHECKSUMS: u8 = 0b0001_0000;
const CONTENT_SIZE: u8 = 0b0000_1000;
const CONTENT_CHECKSUM: u8 = 0b0000_0100;
const RESERVED: u8 = 0b0000_0010;
const DICTIONARY: u8 = 0b0000_0001;

/// What a frame says of itself.
#[derive(Debug)]
pub struct Header {
    /// The largest number of plain bytes in a block.
    pub block_bytes: usize,
    /// Blocks refer to those before them.
    pub is_linked: bool,
    pub has_block_checksums: bool,
    pub has_content_checksum: bool,
    /// How many plain bytes there are.
    pub content_bytes: Option<u64>,
}

/// The whole header, magic number included, of a frame of independent blocks of 256 KiB with a checksum at the end.
pub fn ours() -> Vec<u8> {
    // 64 KiB, 256 KiB, 1 MiB and 4 MiB are 4 to 7.
    let fields = [VERSION | INDEPENDENT | CONTENT_CHECKSUM, 5 << 4];
    [&MAGIC.to_le_bytes()[..], &fields, &[check(&fields)]].concat()
}

/// How many bytes follow the first two, `flags` being the first.
pub fn rest_bytes(flags: u8) -> usize {
    let sized = if flags & CONTENT_SIZE > 0 { 8 } else { 0 };
    let dictionary = if flags & DICTIONARY > 0 { 4 } else { 0 };
    sized + dictionary + 1
}

/// Reads the header out of `bytes`, from the flags to the checksum.
pub fn parse(bytes: &[u8]) -> Result<Header> {
    let damaged = |what: &str| Err(Error::damaged(format!("the lz4 stream can't be decoded: {what}")));
    let (&[flags, block, ..], Some((check_byte, fields))) = (bytes, bytes.split_last()) else {
        return damaged("its header is too short");
    };
    if *check_byte != check(fields) {
        return damaged("the checksum of its header differs");
    }
    if flags & VERSION_BITS != VERSION || flags & RESERVED > 0 || !matches!(block, 0x40 | 0x50 | 0x60 | 0x70)
    {
        return damaged("its header says what no version of the format knows");
    }
    if flags & DICTIONARY > 0 {
        let error = Error::new(ErrorKind::Unsupported, "the lz4 stream was written with a dictionary");
        return Err(error.hint("Decode it with `lz4 -dc -D` and the dictionary."));
    }
    let content_bytes = (flags & CONTENT_SIZE > 0)
        .then(|| fields.get(2..10).and_then(|size| size.try_into().ok()).map(u64::from_le_bytes))
        .flatten();
    Ok(Header {
        block_bytes: 1 << (8 + 2 * (block >> 4)),
        is_linked: flags & INDEPENDENT == 0,
        has_block_checksums: flags & BLOCK_CHECKSUMS > 0,
        has_content_checksum: flags & CONTENT_CHECKSUM > 0,
        content_bytes,
    })
}

/// The checksum of a header.
fn check(fields: &[u8]) -> u8 {
    (Checksum::of(fields) >> 8) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_header_is_read_as_it_is_meant() {
        let header = parse(&ours()[4..]).unwrap();
        assert_eq!(header.block_bytes, crate::encode::BLOCK_BYTES);
        assert!(!header.is_linked && header.has_content_checksum && !header.has_block_checksums);
        assert_eq!(header.content_bytes, None);
    }

    #[test]
    fn a_header_is_refused_for_each_bit_that_is_flipped() {
        for bit in 0..24 {
            let mut bytes = ours()[4..].to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(parse(&bytes).is_err(), "bit {bit}");
        }
    }
}
