//! A stored object that several storages have, read as if it were one.
//!
//! Each block is read whole and proved by the states of the hash that the manifest records before any byte of it is given out:
//! so another storage can take over at the beginning of a block, whatever the first has given of it. That holds one block in
//! memory. An object that one storage alone has is read without it: see [`super::stored`].

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest, Sha256};
use windlass_plugin_api::{ByteRange, Error, ErrorKind, Reader, Result};

use super::copies::{Copies, Place};
use super::hop::BUFFER_BYTES;
use super::meter::state;
use super::stored::Reading;
use crate::catalog::{StreamRecord, hex};

/// Blocks larger than this aren't ours, and are not held.
pub const MOST_BLOCK_BYTES: u64 = 64 << 20;

/// Reads an object from the best of its copies, block by block.
pub struct Failover {
    copies: Copies,
    key: String,
    record: StreamRecord,
    reading: Reading,
    proved: Arc<AtomicBool>,
    /// Of everything before `block`.
    hash: Sha256,
    /// The next block to be read.
    block: u64,
    /// The copy that is being read, where the next block begins.
    current: Option<(usize, Reader)>,
    /// The last block that was read, and how much of it was given out.
    bytes: Vec<u8>,
    at: usize,
    failure: Option<Error>,
}

impl Failover {
    /// Whether the blocks of `record` can be held.
    pub fn can_hold(record: &StreamRecord) -> bool {
        record.block_bytes.min(record.stored_bytes) <= MOST_BLOCK_BYTES
    }

    /// Over the object `key`; `proved` turns true once its last byte was good.
    pub fn new(
        copies: Copies,
        key: &str,
        record: &StreamRecord,
        reading: &Reading,
        proved: &Arc<AtomicBool>,
    ) -> Self {
        Self {
            copies,
            key: key.to_owned(),
            record: record.clone(),
            reading: reading.clone(),
            proved: proved.clone(),
            hash: Sha256::new(),
            block: 0,
            current: None,
            bytes: Vec::new(),
            at: 0,
            failure: None,
        }
    }

    /// Where the next block begins, and its length; none behind the last. An object without bytes has one empty block.
    fn next_block(&self) -> Option<(u64, usize)> {
        let start = self.block * self.record.block_bytes;
        let left = self.record.stored_bytes.checked_sub(start)?;
        let length = left.min(self.record.block_bytes);
        (length > 0 || self.block == 0).then(|| (start, usize::try_from(length).unwrap_or(usize::MAX)))
    }

    /// Reads the next block from the first copy that has it as it was stored.
    fn fill(&mut self) -> Result<()> {
        let Some((start, length)) = self.next_block() else {
            self.bytes.clear();
            self.at = 0;
            self.proved.store(true, Ordering::Release);
            return Ok(());
        };
        let place = (self.key.clone(), self.block);
        let mut failed: Vec<(usize, Error)> = Vec::new();
        for index in self.order(&place) {
            match self.read_block(index, start, length) {
                Ok(hash) => {
                    self.hash = hash;
                    self.block += 1;
                    self.at = 0;
                    self.tell(&failed, &place, Some(index));
                    return Ok(());
                }
                Err(error) => {
                    self.current = None;
                    if self.reading.cancel.cancelled() {
                        return Err(error);
                    }
                    failed.push((index, error));
                }
            }
        }
        Err(self.give_up(failed, start, length, &place))
    }

    /// The copies that may have the next block: the one that is being read, then the others in the config's order.
    fn order(&self, place: &Place) -> Vec<usize> {
        let current = self.current.as_ref().map(|(index, _)| *index);
        let others = (0..self.copies.list().len()).filter(|index| Some(*index) != current);
        current.into_iter().chain(others).filter(|index| !self.copies.is_bad(*index, place)).collect()
    }

    /// Reads `length` bytes from the copy at `index` and proves them; the hash of everything up to their end.
    fn read_block(&mut self, index: usize, start: u64, length: usize) -> Result<Sha256> {
        let mut reader = match self.current.take() {
            Some((current, reader)) if current == index => reader,
            _ => {
                let range = (start > 0).then_some(ByteRange { offset: start, length: None });
                self.copies.list()[index].storage.open(&self.reading.cx, &self.key, range)?
            }
        };
        self.bytes.resize(length, 0);
        let mut hash = self.hash.clone();
        let mut count = 0;
        while count < length {
            let end = (count + BUFFER_BYTES).min(length);
            match self.read_some(&mut reader, count..end)? {
                0 => {
                    let (found, expected) = (start + count as u64, self.record.stored_bytes);
                    let what = format!("`{}` is cut short: {found} of {expected} bytes", self.key);
                    return Err(Error::damaged(what));
                }
                more => {
                    hash.update(&self.bytes[count..count + more]);
                    count += more;
                }
            }
        }
        self.judge(&hash, start, length, &mut reader)?;
        self.current = Some((index, reader));
        Ok(hash)
    }

    fn read_some(&mut self, reader: &mut Reader, place: std::ops::Range<usize>) -> Result<usize> {
        loop {
            if self.reading.cancel.cancelled() {
                return Err(Error::cancelled());
            }
            match reader.read(&mut self.bytes[place.clone()]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => {
                    let count = read?;
                    self.reading.moved.stored_bytes.fetch_add(count as u64, Ordering::Relaxed);
                    return Ok(count);
                }
            }
        }
    }

    /// Whether the block that ends with `hash` is what was stored; behind the last one nothing may follow.
    fn judge(&self, hash: &Sha256, start: u64, length: usize, reader: &mut Reader) -> Result<()> {
        let block = usize::try_from(self.block).unwrap_or(usize::MAX);
        let is_full = length as u64 == self.record.block_bytes;
        let mut is_good = !is_full || self.record.sha256_states.get(block) == Some(&state(hash));
        let end = start + length as u64;
        if end == self.record.stored_bytes {
            is_good = is_good && hex(&hash.clone().finalize()) == self.record.stored_sha256;
        }
        if !is_good {
            return Err(Error::damaged(format!("`{}` is damaged between bytes {start} and {end}", self.key)));
        }
        if end == self.record.stored_bytes && reader.read(&mut [0])? > 0 {
            return Err(Error::damaged(format!("`{}` is longer than its {end} bytes", self.key)));
        }
        Ok(())
    }

    /// What is wrong with the copies that failed; each is told once.
    fn tell(&self, failed: &[(usize, Error)], place: &Place, next: Option<usize>) {
        for (index, error) in failed {
            let stage = |index: usize| &self.copies.list()[index].stage;
            if self.copies.note(*index, place, error) {
                let next = next.map(|next| format!(": it is read from {}", stage(next))).unwrap_or_default();
                self.copies.tell(&format!("{}: {error}{next}", stage(*index)));
            }
        }
    }

    /// No copy has it: the gravest reason, after the others were told.
    fn give_up(&self, mut failed: Vec<(usize, Error)>, start: u64, length: usize, place: &Place) -> Error {
        let gravest = failed.iter().position(|(_, error)| error.kind == ErrorKind::Damaged).unwrap_or(0);
        let (index, error) = if failed.is_empty() {
            let end = start + length as u64;
            (0, Error::damaged(format!("`{}` can't be read between bytes {start} and {end}", self.key)))
        } else {
            failed.remove(gravest)
        };
        self.tell(&failed, place, None);
        let error = Error { message: format!("{}, and no other storage has it", error.message), ..error };
        self.reading.faults.note(&self.copies.list()[index].stage, &error);
        error
    }
}

impl Read for Failover {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone().into_io());
        }
        if buffer.is_empty() {
            return Ok(0);
        }
        // Behind the last block, which may be empty, comes the end.
        while self.at == self.bytes.len() && !self.proved.load(Ordering::Acquire) {
            if let Err(error) = self.fill() {
                // What the block has of good bytes must not follow after all.
                self.bytes.clear();
                self.at = 0;
                self.failure = Some(error.clone());
                return Err(error.into_io());
            }
        }
        let count = buffer.len().min(self.bytes.len() - self.at);
        buffer[..count].copy_from_slice(&self.bytes[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}
