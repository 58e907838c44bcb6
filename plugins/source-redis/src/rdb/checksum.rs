//! CRC-64/Jones, as RDB files and dumped values carry it, and the proof of an RDB that only passes by.

use crc::{CRC_64_REDIS, Crc, Digest, Table};
use windlass_plugin_api::{Error, Result};

use super::{HEADER_BYTES, Header};

static CRC: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_REDIS);

/// The first version of the format that ends with a checksum.
const FIRST_WITH_CHECKSUM: u16 = 5;

/// The byte in front of the checksum.
pub const END: u8 = 0xff;

/// Bytes of a checksum.
pub const CHECKSUM_BYTES: usize = 8;

/// A checksum in the making.
pub type Running = Digest<'static, u64, Table<16>>;

/// Begins one.
pub fn running() -> Running {
    CRC.digest()
}

/// The checksum of `bytes`.
pub fn of(bytes: &[u8]) -> u64 {
    CRC.checksum(bytes)
}

/// Whether an RDB of `version` ends with a checksum.
pub fn is_in(version: u16) -> bool {
    version >= FIRST_WITH_CHECKSUM
}

/// How an RDB was proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Its checksum is right.
    Checksum,
    /// The server writes none (`rdbchecksum no`).
    None,
}

/// An error if `wanted`, which stands in the RDB, isn't `got`.
pub fn compare(wanted: u64, got: u64) -> Result<Proof> {
    match wanted {
        0 => Ok(Proof::None),
        wanted if wanted == got => Ok(Proof::Checksum),
        _ => Err(Error::damaged(format!("the RDB's checksum is {got:016x} and should be {wanted:016x}"))),
    }
}

/// Proves an RDB that passes by in pieces, without looking into it: header, end mark, checksum.
pub struct Passing {
    crc: Running,
    head: Vec<u8>,
    /// The last bytes, not yet in `crc`: if nothing follows, the end mark and the checksum.
    tail: Vec<u8>,
}

/// The end mark and the checksum.
const TAIL_BYTES: usize = 1 + CHECKSUM_BYTES;

impl Passing {
    /// Nothing has passed yet.
    pub fn new() -> Self {
        Self { crc: running(), head: Vec::new(), tail: Vec::new() }
    }

    /// `bytes` come next.
    pub fn pass(&mut self, bytes: &[u8]) {
        let missing = HEADER_BYTES.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..missing]);
        let (now, later) = bytes.split_at(bytes.len().saturating_sub(TAIL_BYTES));
        if !now.is_empty() {
            self.crc.update(&self.tail);
            self.crc.update(now);
            self.tail.clear();
        }
        self.tail.extend_from_slice(later);
        let over = self.tail.len().saturating_sub(TAIL_BYTES);
        self.crc.update(&self.tail[..over]);
        self.tail.drain(..over);
    }

    /// The header, once nine bytes have passed.
    pub fn header(&self) -> Option<Result<Header>> {
        let head: [u8; HEADER_BYTES] = self.head.as_slice().try_into().ok()?;
        Some(Header::parse(&head))
    }

    /// Nothing follows: the verdict.
    pub fn end(mut self) -> Result<(Header, Proof)> {
        let cut = || Error::damaged("the RDB ends before its end mark");
        let header = self.header().ok_or_else(cut)??;
        if !is_in(header.version) {
            return Ok((header, Proof::None));
        }
        let sum = match self.tail.split_first() {
            Some((&END, sum)) => sum.try_into().map_err(|_| cut())?,
            _ => return Err(cut()),
        };
        self.crc.update(&[END]);
        Ok((header, compare(u64::from_le_bytes(sum), self.crc.finalize())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rdb() -> Vec<u8> {
        let mut bytes = b"REDIS0010 whatever stands in it".to_vec();
        bytes.push(END);
        bytes.extend(of(&bytes).to_le_bytes());
        bytes
    }

    fn passed(bytes: &[u8], step: usize) -> Result<(Header, Proof)> {
        let mut passing = Passing::new();
        bytes.chunks(step).for_each(|chunk| passing.pass(chunk));
        passing.end()
    }

    #[test]
    fn the_checksum_is_the_one_of_the_public_test_vector() {
        assert_eq!(of(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
    }

    #[test]
    fn an_rdb_in_pieces_of_any_size_is_proved() {
        for step in 1..=rdb().len() {
            let (header, proof) = passed(&rdb(), step).unwrap();
            assert_eq!((header.version, proof), (10, Proof::Checksum), "in steps of {step}");
        }
    }

    #[test]
    fn one_that_is_cut_or_changed_is_refused() {
        let whole = rdb();
        for end in 0..whole.len() {
            assert!(passed(&whole[..end], 7).is_err(), "cut at {end}");
            let mut changed = whole.clone();
            changed[end] ^= 0x20;
            assert!(passed(&changed, 7).is_err(), "changed at {end}");
        }
    }

    #[test]
    fn a_server_that_writes_no_checksum_is_told_apart() {
        let mut bytes = rdb();
        let length = bytes.len();
        bytes[length - CHECKSUM_BYTES..].fill(0);
        assert_eq!(passed(&bytes, 5).unwrap().1, Proof::None);
    }
}
