//! Stored bytes, checked against the manifest while they are read; and plain bytes likewise.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use windlass_plugin_api::{Context, Error, Reader, Result};

use super::chain::{Rest, Stacked, decoders};
use super::copies::Copies;
use super::failover::Failover;
use super::faults::{Faults, Watched};
use super::hop::{BUFFER_BYTES, ReadHop};
use super::meter::{Moved, StoredHash};
use super::tail::HeldTail;
use crate::catalog::{StreamRecord, hex};
use crate::run::cancel::Cancel;

/// Reads an object and fails at the first block that isn't what was stored, or when it is too short or too long.
struct StoredReader {
    input: Reader,
    object: String,
    record: StreamRecord,
    hash: StoredHash,
    checked: usize,
    proved: Arc<AtomicBool>,
    moved: Arc<Moved>,
    cancel: Arc<Cancel>,
}

impl StoredReader {
    /// The bytes since the last block that was good aren't what was stored.
    fn damaged(&self) -> Error {
        let start = self.checked as u64 * self.record.block_bytes;
        let end = (start + self.record.block_bytes).min(self.hash.bytes);
        Error::damaged(format!("`{}` is damaged between bytes {start} and {end}", self.object))
    }

    fn check_blocks(&mut self) -> Result<()> {
        while let Some(found) = self.hash.states.get(self.checked) {
            if self.record.sha256_states.get(self.checked) != Some(found) {
                return Err(self.damaged());
            }
            self.checked += 1;
        }
        Ok(())
    }

    fn check(&mut self, more: &[u8]) -> Result<()> {
        let expected = self.record.stored_bytes;
        self.hash.update(more);
        if self.hash.bytes > expected {
            return Err(Error::damaged(format!("`{}` is longer than its {expected} bytes", self.object)));
        }
        self.check_blocks()?;
        if more.is_empty() {
            if self.hash.bytes != expected {
                return Err(Error::damaged(format!(
                    "`{}` is cut short: {} of {expected} bytes",
                    self.object, self.hash.bytes
                )));
            }
            if self.hash.end() != self.record.stored_sha256 {
                return Err(self.damaged());
            }
            self.proved.store(true, Ordering::Release);
        }
        Ok(())
    }
}

impl Read for StoredReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancel.cancelled() {
            return Err(Error::cancelled().into_io());
        }
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.input.read(buffer)?;
        if count > 0 || !self.proved.load(Ordering::Acquire) {
            self.check(&buffer[..count])?;
        }
        self.moved.stored_bytes.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Plain bytes, counted and hashed while they are read.
#[derive(Clone)]
struct PlainTally(Arc<Mutex<(Sha256, u64)>>);

struct PlainReader {
    input: Reader,
    /// How many bytes there are, and of which object.
    most: Option<(u64, String)>,
    tally: PlainTally,
    hashes: bool,
    moved: Arc<Moved>,
}

impl Read for PlainReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        let mut tally = self.tally.0.lock().unwrap_or_else(PoisonError::into_inner);
        if self.hashes {
            tally.0.update(&buffer[..count]);
        }
        tally.1 += count as u64;
        if let Some((most, object)) = self.most.as_ref().filter(|(most, _)| tally.1 > *most) {
            let what = format!("`{object}` decodes to more than the {most} bytes that were backed up");
            return Err(Error::damaged(what).into_io());
        }
        self.moved.plain_bytes.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Counts plain bytes, of a stream that no manifest describes.
pub(super) fn counted(input: Reader, moved: &Arc<Moved>) -> Reader {
    let tally = PlainTally(Arc::new(Mutex::new((Sha256::new(), 0))));
    Box::new(PlainReader { input, most: None, tally, hashes: false, moved: moved.clone() })
}

/// Everything that reading one stream back needs.
#[derive(Clone)]
pub struct StoredStream {
    /// The storages that have it.
    pub copies: Copies,
    /// The object's key.
    pub key: String,
    /// What the manifest says of it.
    pub record: StreamRecord,
    /// The running filters, in the order in which they were applied, with the stream's params.
    pub filters: Vec<Stacked>,
    /// The hash of the plain bytes, from the manifest or from the decoded description; `None`: not known.
    pub plain_sha256: Option<String>,
}

/// What surrounds the reading of a run.
#[derive(Clone)]
pub struct Reading {
    /// What plugins get.
    pub cx: Context,
    /// The run's switch.
    pub cancel: Arc<Cancel>,
    /// Bytes moved.
    pub moved: Arc<Moved>,
    /// The first fault.
    pub faults: Faults,
}

impl StoredStream {
    /// The stored bytes, checked; the flag turns true once the last was good.
    fn open_stored(&self, reading: &Reading) -> Result<(Reader, Arc<AtomicBool>)> {
        let proved = Arc::new(AtomicBool::new(false));
        if self.copies.list().len() > 1 && Failover::can_hold(&self.record) {
            let input = Failover::new(self.copies.clone(), &self.key, &self.record, reading, &proved);
            // As much as a block: the next is read while this one is decoded.
            let ahead = self.record.block_bytes.min(self.record.stored_bytes).div_ceil(BUFFER_BYTES as u64);
            let ahead = usize::try_from(ahead).unwrap_or(usize::MAX).max(2);
            return Ok((Box::new(ReadHop::deep(Box::new(input), "copies", ahead)?), proved));
        }
        let first = self.copies.first();
        let input = first
            .storage
            .open(&reading.cx, &self.key, None)
            .inspect_err(|error| reading.faults.note(&first.stage, error))?;
        let reader = StoredReader {
            input,
            object: self.key.clone(),
            hash: StoredHash::new(self.record.block_bytes),
            record: self.record.clone(),
            checked: 0,
            proved: proved.clone(),
            moved: reading.moved.clone(),
            cancel: reading.cancel.clone(),
        };
        let reader: Reader = Box::new(reader);
        Ok((Box::new(Watched::new(reader, &first.stage, &reading.faults)), proved))
    }

    /// The stored bytes, checked; without filters.
    pub fn stored(&self, reading: &Reading) -> Result<Reader> {
        self.open_stored(reading).map(|(reader, _)| reader)
    }

    /// Reads the stored bytes to their end.
    pub fn check_stored(&self, reading: &Reading) -> Result<()> {
        let (mut reader, _) = self.open_stored(reading)?;
        let mut buffer = vec![0; super::hop::BUFFER_BYTES];
        while reader.read(&mut buffer)? > 0 {}
        Ok(())
    }

    /// The plain bytes; their end comes only once stored and plain stream are proved.
    pub fn open(&self, reading: &Reading) -> Result<Reader> {
        let (stored, proved) = self.open_stored(reading)?;
        let (decoded, rest) =
            decoders(&self.filters, &reading.cx, &self.record.name, stored, &reading.faults)?;
        let tally = PlainTally(Arc::new(Mutex::new((Sha256::new(), 0))));
        // Without a filter the stored hash is the plain one, and it is being checked already.
        let hashes = !self.filters.is_empty() && self.plain_sha256.is_some();
        let most = Some((self.record.plain_bytes, self.key.clone()));
        let plain =
            PlainReader { input: decoded, most, tally: tally.clone(), hashes, moved: reading.moved.clone() };
        // Hashing takes about as long as what a source does with the bytes: it gets a thread of its own.
        let plain: Reader =
            if hashes { Box::new(ReadHop::new(Box::new(plain), "hash")?) } else { Box::new(plain) };
        let plain: Reader = Box::new(Watched::new(plain, &self.copies.first().stage, &reading.faults));
        let (this, faults) = (self.clone(), reading.faults.clone());
        let prove = move || {
            this.prove(&rest, &proved, &tally, hashes)
                .inspect_err(|error| faults.note(&this.copies.first().stage, error))
                .map_err(Error::into_io)
        };
        Ok(Box::new(HeldTail::new(plain, prove)))
    }

    fn prove(&self, rest: &Rest, proved: &AtomicBool, tally: &PlainTally, hashes: bool) -> Result<()> {
        let left = rest.drain()?;
        if left > 0 {
            return Err(Error::damaged(format!("`{}`: {left} bytes follow the end of the stream", self.key)));
        }
        if !proved.load(Ordering::Acquire) {
            return Err(Error::damaged(format!("`{}` wasn't read to its end", self.key)));
        }
        let mut tally = tally.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (expected, found) = (self.record.plain_bytes, tally.1);
        if expected != found {
            return Err(Error::damaged(format!(
                "`{}` decodes to {found} bytes instead of {expected}",
                self.key
            )));
        }
        if hashes && self.plain_sha256.as_deref() != Some(&hex(&tally.0.finalize_reset())) {
            return Err(Error::damaged(format!("`{}` decodes to other bytes than were backed up", self.key)));
        }
        Ok(())
    }

    /// Reads and decodes to the end, for nobody.
    pub fn check_plain(&self, reading: &Reading) -> Result<()> {
        let mut reader = self.open(reading)?;
        let mut buffer = vec![0; super::hop::BUFFER_BYTES];
        while reader.read(&mut buffer)? > 0 {}
        Ok(())
    }
}
