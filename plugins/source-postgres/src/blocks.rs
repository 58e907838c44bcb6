//! The data of a `pg_dump` archive behind its table of contents: which entries' rows come, found without looking at them.
//!
//! A block is a kind, the number of its entry, and pieces that each have their length before them; a length of 0 ends it.
//! Large objects have their own number before their pieces, and a number of 0 behind the last one. So all data is skipped by
//! lengths. The layout is that of `pg_backup_custom.c`, archives 1.12 to 1.16.

use windlass_plugin_api::{Error, Result};

/// Where in the layout the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Kind,
    Entry { large: bool },
    Object,
    Length { large: bool },
    Piece { large: bool, left: u64 },
}

/// Follows the blocks as they come, in pieces of any length.
#[derive(Clone, Debug)]
pub(crate) struct Blocks {
    place: Place,
    int_size: usize,
    /// The bytes of the number that is being read.
    taken: usize,
    value: u64,
    is_negative: bool,
}

impl Blocks {
    /// At the beginning of the first block; integers have `int_size` bytes and a sign.
    pub(crate) fn new(int_size: usize) -> Self {
        Self { place: Place::Kind, int_size, taken: 0, value: 0, is_negative: false }
    }

    /// Whether a block has just ended, so that the archive may end too.
    pub(crate) fn is_between(&self) -> bool {
        self.place == Place::Kind
    }

    /// How many bytes of an entry's number have come, if it stands in the middle of one.
    pub(crate) fn of_number(&self) -> usize {
        if matches!(self.place, Place::Entry { .. }) { self.taken } else { 0 }
    }

    /// Takes in the next `bytes`. `entry` is called with each entry's number, and where in `bytes` that number ends.
    pub(crate) fn take(&mut self, bytes: &[u8], mut entry: impl FnMut(i64, usize)) -> Result<()> {
        let mut at = 0;
        while at < bytes.len() {
            if let Place::Piece { large, left } = self.place {
                let room = (bytes.len() - at) as u64;
                let count = left.min(room);
                at += usize::try_from(count).unwrap_or(bytes.len());
                self.place = match left - count {
                    0 => Place::Length { large },
                    left => Place::Piece { large, left },
                };
                continue;
            }
            if self.place != Place::Kind
                && let Some(value) = self.whole_number(&bytes[at..])
            {
                at += self.int_size + 1;
                self.next(value, |id| entry(id, at))?;
                continue;
            }
            let byte = bytes[at];
            at += 1;
            if self.place == Place::Kind {
                self.place = match byte {
                    1 => Place::Entry { large: false },
                    3 => Place::Entry { large: true },
                    _ => return Err(damaged()),
                };
            } else if let Some(value) = self.number(byte) {
                self.next(value, |id| entry(id, at))?;
            }
        }
        Ok(())
    }

    /// The number at the beginning of `bytes`, if it is there from its first byte to its last: nearly always, and there is one
    /// for each row.
    fn whole_number(&self, bytes: &[u8]) -> Option<i64> {
        let number = bytes.get(..=self.int_size).filter(|_| self.taken == 0)?;
        let value = number[1..].iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        Some(if number[0] == 0 { value } else { -value })
    }

    /// The number that ends with `byte`, if one does.
    fn number(&mut self, byte: u8) -> Option<i64> {
        match self.taken {
            0 => (self.value, self.is_negative) = (0, byte != 0),
            place @ 1..=8 => self.value |= u64::from(byte) << (8 * (place - 1)),
            _ => {}
        }
        self.taken += 1;
        if self.taken <= self.int_size {
            return None;
        }
        self.taken = 0;
        let value = i64::try_from(self.value).unwrap_or(i64::MAX);
        Some(if self.is_negative { -value } else { value })
    }

    fn next(&mut self, value: i64, entry: impl FnOnce(i64)) -> Result<()> {
        self.place = match self.place {
            Place::Entry { large } => {
                entry(value);
                if large { Place::Object } else { Place::Length { large } }
            }
            Place::Object if value == 0 => Place::Kind,
            Place::Object => Place::Length { large: true },
            Place::Length { large } if value == 0 => {
                if large {
                    Place::Object
                } else {
                    Place::Kind
                }
            }
            Place::Length { large } => {
                Place::Piece { large, left: u64::try_from(value).map_err(|_| damaged())? }
            }
            place => place,
        };
        Ok(())
    }
}

fn damaged() -> Error {
    Error::damaged("the archive's data can't be read")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(value: u8) -> Vec<u8> {
        vec![0, value, 0, 0, 0]
    }

    #[test]
    fn entries_are_found_however_the_bytes_are_cut() {
        let rows = [vec![1], int(7), int(3), b"abc".to_vec(), int(1), b"\x01".to_vec(), int(0)].concat();
        let large =
            [vec![3], int(9), int(5), int(2), b"xy".to_vec(), int(0), int(6), int(0), int(0)].concat();
        let all = [rows.clone(), large, rows].concat();
        for size in [1, 2, 3, 7, all.len()] {
            let (mut blocks, mut seen) = (Blocks::new(4), Vec::new());
            for piece in all.chunks(size) {
                blocks.take(piece, |id, _| seen.push(id)).unwrap();
            }
            assert_eq!((seen, blocks.is_between()), (vec![7, 9, 7], true), "{size}");
        }
        let mut blocks = Blocks::new(4);
        blocks.take(&all[..all.len() - 1], |_, _| {}).unwrap();
        assert!(!blocks.is_between());
        assert!(Blocks::new(4).take(b"\x02", |_, _| {}).is_err());
    }
}
