//! What is known of a part that was sent, as the text that the upload keeps for it: its checksum, its length, and of the
//! last one the bytes that are still to be sent.
//!
//! An upload's session takes bytes in multiples of [`STEP`], and its object appears with the last byte. So `finish` sends all
//! but the last few bytes, and publishing sends those.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use windlass_plugin_api::{Error, Result};

/// All but the last bytes of an upload are sent in multiples of this.
pub const STEP: usize = 256 * 1024;

/// How many bytes of the last part are sent before it is published: never all, so that publishing always has some to send.
pub fn sent_before(length: usize) -> usize {
    length.saturating_sub(1) / STEP * STEP
}

/// The text for a part, whose bytes from `held` on were not sent.
pub fn tag(bytes: &[u8], held: usize) -> String {
    format!("{}:{}:{}", crc32c::crc32c(bytes), bytes.len(), BASE64.encode(&bytes[held..]))
}

/// All parts of an upload together.
#[derive(Debug, Default, PartialEq)]
pub struct Whole {
    /// CRC-32C of all bytes.
    pub checksum: u32,
    /// How many there are.
    pub length: u64,
    /// Those that were not sent yet.
    pub tail: Vec<u8>,
}

impl Whole {
    /// Of the parts' texts, in order.
    pub fn of(tags: &[String]) -> Result<Self> {
        tags.iter()
            .try_fold(Self::default(), |whole, tag| whole.and(tag))
            .ok_or_else(|| Error::failed("the parts of the upload are none that this storage has sent"))
    }

    fn and(self, tag: &str) -> Option<Self> {
        let mut parts = tag.splitn(3, ':');
        let checksum: u32 = parts.next()?.parse().ok()?;
        let length: u64 = parts.next()?.parse().ok()?;
        let tail = BASE64.decode(parts.next()?).ok()?;
        Some(Self {
            checksum: crc32c::crc32c_combine(self.checksum, checksum, usize::try_from(length).ok()?),
            length: self.length + length,
            tail,
        })
    }

    /// The checksum as the service writes it.
    pub fn checksum_text(&self) -> String {
        checksum_text(self.checksum)
    }
}

/// A CRC-32C as the service writes it.
pub fn checksum_text(checksum: u32) -> String {
    BASE64.encode(checksum.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bytes_are_kept_and_there_are_always_some() {
        for (length, sent) in [(1, 0), (STEP - 1, 0), (STEP, 0), (STEP + 1, STEP), (5 * STEP, 4 * STEP)] {
            assert_eq!(sent_before(length), sent, "{length}");
        }
    }

    #[test]
    fn the_checksum_of_the_parts_is_that_of_the_whole() {
        let bytes: Vec<u8> = (0..3 * STEP + 77).map(|at| (at * 7 % 251) as u8).collect();
        let (first, last) = bytes.split_at(2 * STEP);
        let held = sent_before(last.len());
        let whole = Whole::of(&[tag(first, first.len()), tag(last, held)]).unwrap();
        assert_eq!(whole.checksum, crc32c::crc32c(&bytes));
        assert_eq!(whole.length, bytes.len() as u64);
        assert_eq!(whole.tail, &bytes[3 * STEP..]);
        assert_eq!(checksum_text(crc32c::crc32c(b"hello")), "mnG7TA==");
    }

    #[test]
    fn a_text_of_somebody_else_is_refused() {
        for tag in ["", "7", "7:8", "x:8:", "7:8:*"] {
            assert!(Whole::of(&[tag.to_owned()]).is_err(), "{tag}");
        }
    }
}
