//! The service's checksum of a file: the SHA-256 of the SHA-256s of its blocks of 4 MiB, in hexadecimal.
//!
//! Parts are multiples of a block, so each part's blocks are known from it alone: they are the text that the upload keeps for
//! the part, and all of them make the checksum of the whole.

use std::fmt::Write;

use sha2::{Digest, Sha256};
use windlass_plugin_api::{Error, Result};

/// How many bytes are hashed by themselves.
pub const BLOCK: usize = 4 * 1024 * 1024;

/// The checksum of a few bytes.
pub fn content_hash(bytes: &[u8]) -> String {
    let mut all = Sha256::new();
    bytes.chunks(BLOCK).for_each(|block| all.update(Sha256::digest(block)));
    hex(&all.finalize())
}

/// The text for a part: its length and its blocks' hashes.
pub fn tag(bytes: &[u8]) -> String {
    let mut tag = format!("{}:", bytes.len());
    bytes.chunks(BLOCK).for_each(|block| tag.push_str(&hex(&Sha256::digest(block))));
    tag
}

/// Length and checksum of all parts together.
pub fn whole(tags: &[String]) -> Result<(u64, String)> {
    let mut all = Sha256::new();
    let mut length = 0;
    for tag in tags {
        let unknown = || Error::failed("the parts of the upload are none that this storage has sent");
        let (bytes, hashes) = tag.split_once(':').ok_or_else(unknown)?;
        length += bytes.parse::<u64>().map_err(|_| unknown())?;
        all.update(unhex(hashes).ok_or_else(unknown)?);
    }
    Ok((length, hex(&all.finalize())))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // A String takes everything.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    pairs.map(|pair| u8::from_str_radix(pair.filter(|pair| pair.len() == 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_nothing_and_of_one_block_are_the_known_ones() {
        assert_eq!(content_hash(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        // SHA-256 twice.
        assert_eq!(
            content_hash(b"hello"),
            "9595c9df90075148eb06860365df33584b75bff782a510c6cd4883a419833d50"
        );
    }

    #[test]
    fn the_parts_of_an_object_make_the_checksum_of_the_whole() {
        let bytes: Vec<u8> = (0..3 * BLOCK + 77).map(|at| (at * 7 % 251) as u8).collect();
        let (first, last) = bytes.split_at(2 * BLOCK);
        assert_eq!(whole(&[tag(first), tag(last)]).unwrap(), (bytes.len() as u64, content_hash(&bytes)));
    }

    #[test]
    fn a_text_of_somebody_else_is_refused() {
        for tag in ["", "7", "x:", "7:xy", "7:abc"] {
            assert!(whole(&[tag.to_owned()]).is_err(), "{tag}");
        }
    }
}
