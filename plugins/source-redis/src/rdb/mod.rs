//! The RDB format, known just well enough to find where each value ends and to prove the whole.
//!
//! `input` reads and keeps count and checksum, `strings` and `values` know the encodings, `records` walks from one key to
//! the next. Values are never taken apart: what stands between two keys is given to a server as it is. The facts are
//! those of the public format up to RDB 12 (Redis 7.4) and 80 (Valkey 9).

pub mod checksum;
mod input;
mod records;
mod strings;
mod values;

use windlass_plugin_api::{Error, ErrorKind, Result};

pub use input::Input;
pub use records::{Key, Record, Records, payload, shown};

use crate::slots::Slots;

/// The first bytes: nine, for both makers.
pub const HEADER_BYTES: usize = 9;

/// RDB versions from this one on are Valkey's own; those of Redis from 12 on stay below.
const FIRST_OF_VALKEY: u16 = 80;

/// The last version that both makers share.
const LAST_SHARED: u16 = 11;

/// Who made an RDB, and in which version of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Begins with `VALKEY`.
    pub is_valkey: bool,
    /// The version of the format.
    pub version: u16,
}

impl Header {
    /// Reads `REDIS0011` or `VALKEY080`.
    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self> {
        let (is_valkey, digits) = match bytes {
            [b'R', b'E', b'D', b'I', b'S', digits @ ..] => (false, digits.as_slice()),
            [b'V', b'A', b'L', b'K', b'E', b'Y', digits @ ..] => (true, digits.as_slice()),
            _ => return Err(Error::damaged("this is no RDB: it begins with neither `REDIS` nor `VALKEY`")),
        };
        let version =
            std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
        let version = version.and_then(|text| text.parse().ok()).filter(|version| *version > 0);
        let version = version.ok_or_else(|| Error::damaged("this is no RDB: it names no version"))?;
        Ok(Self { is_valkey, version })
    }

    /// An error if a server that writes version `server` can't read this.
    pub fn fits(self, server: u16, product: &str) -> Result<()> {
        // Of the same number, both makers mean different things.
        let foreign = server >= FIRST_OF_VALKEY && (LAST_SHARED + 1..FIRST_OF_VALKEY).contains(&self.version);
        if self.version <= server && !foreign {
            return Ok(());
        }
        let what = if foreign { "of another maker than" } else { "newer than what" };
        let text = format!(
            "the snapshot is RDB version {}, {what} the server ({product}, RDB version {server}) {}",
            self.version,
            if foreign { "is" } else { "can read" }
        );
        Err(Error::new(ErrorKind::Unsupported, text)
            .hint("Restore to a server of the version that was backed up, or of a newer one."))
    }
}

/// What a whole RDB holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Keys of each database that has any.
    pub keys: Vec<(u32, u64)>,
    /// Libraries of functions.
    pub functions: u64,
    /// The slots that the keys have in a cluster.
    pub slots: Slots,
    /// What isn't restored, one line each.
    pub left_out: Vec<String>,
}

impl Summary {
    /// Counts `record`.
    pub fn count(&mut self, record: &Record) {
        match record {
            Record::Key(key) => {
                self.slots.add_key(&key.name);
                match self.keys.last_mut() {
                    Some((database, keys)) if *database == key.database => *keys += 1,
                    _ => self.keys.push((key.database, 1)),
                }
            }
            Record::Function(_) => self.functions += 1,
            Record::LeftOut(what) if !self.left_out.contains(what) => self.left_out.push(what.clone()),
            _ => {}
        }
    }

    /// `1200 keys in 2 databases`.
    pub fn words(&self) -> String {
        let keys: u64 = self.keys.iter().map(|(_, keys)| keys).sum();
        let counted = |count: u64, one: &str, more: &str| match count {
            1 => format!("1 {one}"),
            count => format!("{count} {more}"),
        };
        let mut words = counted(keys, "key", "keys");
        if self.keys.len() > 1 {
            words.push_str(&format!(" in {} databases", self.keys.len()));
        }
        if self.functions > 0 {
            words.push_str(" and ");
            words.push_str(&counted(self.functions, "function library", "function libraries"));
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_rdb_and_one_of_another_maker_are_refused() {
        let of = |bytes: &[u8; HEADER_BYTES]| Header::parse(bytes).unwrap();
        assert!(of(b"REDIS0011").fits(10, "redis 7.0").is_err());
        assert!(of(b"REDIS0010").fits(10, "redis 7.0").is_ok());
        assert!(of(b"REDIS0011").fits(80, "valkey 9").is_ok());
        assert!(of(b"REDIS0012").fits(80, "valkey 9").is_err());
        assert!(of(b"VALKEY080").fits(12, "redis 7.4").is_err());
        assert!(of(b"VALKEY080").fits(80, "valkey 9").is_ok());
    }

    #[test]
    fn other_bytes_are_no_rdb() {
        for bytes in [b"SQLite fo", b"REDIS00+1", b"REDIS0000"] {
            assert_eq!(Header::parse(bytes).unwrap_err().kind, ErrorKind::Damaged);
        }
    }
}
