//! Counts, hashes, and the check for cancelling: once before the first filter, once behind the last.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use windlass_plugin_api::{Error, Finished, Result, Sink};

use super::pair::Pair;
use crate::catalog::hex;
use crate::catalog::manifest::BLOCK_BYTES;
use crate::run::cancel::Cancel;

/// Bytes that a run has moved so far, for progress and for `stall_timeout`.
#[derive(Debug, Default)]
pub struct Moved {
    /// Before the first filter, or behind the last decoder.
    pub plain_bytes: AtomicU64,
    /// To or from the storages (one of them).
    pub stored_bytes: AtomicU64,
}

impl Moved {
    /// Both together: it changes while anything moves.
    pub fn sum(&self) -> u64 {
        self.plain_bytes.load(Ordering::Relaxed).wrapping_add(self.stored_bytes.load(Ordering::Relaxed))
    }
}

/// What a stream's chain has measured; complete once `finished` is set.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Bytes before the first filter.
    pub plain_bytes: u64,
    /// Their SHA-256.
    pub plain_sha256: String,
    /// Bytes as stored.
    pub stored_bytes: u64,
    /// Their SHA-256; empty where no filter is between: then it is the plain one.
    pub stored_sha256: String,
    /// SHA-256 of each block of stored bytes.
    pub block_sha256: Vec<String>,
    /// Of each filter, what its encoder wants recorded.
    pub params: Vec<Map<String, Value>>,
    /// The whole chain has finished.
    pub finished: bool,
}

/// [`Measured`], shared between the parts of a chain.
#[derive(Clone, Default)]
pub struct Slate(Arc<Mutex<Measured>>);

impl Slate {
    /// Opens it.
    pub fn lock(&self) -> MutexGuard<'_, Measured> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stands before the first filter.
pub struct PlainMeter {
    next: Box<dyn Sink>,
    hash: Sha256,
    bytes: u64,
    slate: Slate,
    moved: Arc<Moved>,
    cancel: Arc<Cancel>,
}

impl PlainMeter {
    /// Measures what goes into `next`.
    pub fn new(next: Box<dyn Sink>, slate: &Slate, moved: &Arc<Moved>, cancel: &Arc<Cancel>) -> Self {
        let (slate, moved, cancel) = (slate.clone(), moved.clone(), cancel.clone());
        Self { next, hash: Sha256::new(), bytes: 0, slate, moved, cancel }
    }
}

impl Write for PlainMeter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.cancel.cancelled() {
            return Err(Error::cancelled().into_io());
        }
        let count = self.next.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.bytes += count as u64;
        self.moved.plain_bytes.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.next.flush()
    }
}

impl Sink for PlainMeter {
    fn finish(&mut self) -> Result<Finished> {
        if self.cancel.cancelled() {
            return Err(Error::cancelled());
        }
        self.next.finish()?;
        let mut measured = self.slate.lock();
        measured.plain_bytes = self.bytes;
        measured.plain_sha256 = hex(&self.hash.finalize_reset());
        measured.finished = true;
        Ok(Finished::default())
    }
}

/// Hashes of a stream's stored bytes: each block, and the whole unless it is known from elsewhere.
pub struct BlockHash {
    running: Running,
    in_block: u64,
    block_bytes: u64,
    /// Of each full block so far.
    pub blocks: Vec<String>,
    /// Bytes so far.
    pub bytes: u64,
}

enum Running {
    Block(Sha256),
    Both(Box<Pair>),
}

impl BlockHash {
    /// Hashes blocks of `block_bytes`, and the whole if `whole`: then a block is a multiple of 64 bytes.
    pub fn new(block_bytes: u64, whole: bool) -> Self {
        let running = if whole { Running::Both(Box::default()) } else { Running::Block(Sha256::new()) };
        Self { running, in_block: 0, block_bytes, blocks: Vec::new(), bytes: 0 }
    }

    /// Takes in more bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = usize::try_from(self.block_bytes - self.in_block).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            match &mut self.running {
                Running::Block(block) => block.update(now),
                Running::Both(pair) => pair.update(now),
            }
            self.in_block += now.len() as u64;
            if self.in_block == self.block_bytes {
                self.end_block();
            }
            bytes = later;
        }
    }

    fn end_block(&mut self) {
        self.blocks.push(match &mut self.running {
            Running::Block(block) => hex(&block.finalize_reset()),
            Running::Both(pair) => pair.end_block(),
        });
        self.in_block = 0;
    }

    /// Ends the last block; the hash of the whole, if it was asked for.
    pub fn end(&mut self) -> String {
        let whole = match &self.running {
            Running::Block(_) => String::new(),
            Running::Both(pair) => pair.end(),
        };
        if self.in_block > 0 {
            self.end_block();
        }
        whole
    }
}

/// Stands behind the last filter.
pub struct StoredMeter {
    next: Box<dyn Sink>,
    hash: BlockHash,
    slate: Slate,
    moved: Arc<Moved>,
}

impl StoredMeter {
    /// Measures what goes into `next`. Without a filter before it (`is_plain`) the hash of the whole is the plain one's,
    /// which is made already, on another thread.
    pub fn new(next: Box<dyn Sink>, slate: &Slate, moved: &Arc<Moved>, is_plain: bool) -> Self {
        let hash = BlockHash::new(BLOCK_BYTES, !is_plain);
        Self { next, hash, slate: slate.clone(), moved: moved.clone() }
    }
}

impl Write for StoredMeter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.next.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.moved.stored_bytes.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.next.flush()
    }
}

impl Sink for StoredMeter {
    fn finish(&mut self) -> Result<Finished> {
        let finished = self.next.finish()?;
        let whole = self.hash.end();
        let mut measured = self.slate.lock();
        measured.stored_bytes = self.hash.bytes;
        measured.stored_sha256 = whole;
        measured.block_sha256 = std::mem::take(&mut self.hash.blocks);
        Ok(finished)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_and_the_whole_are_hashed_however_the_writes_fall() {
        let bytes: Vec<u8> = (0..1000u32).map(|i| (i % 253) as u8).collect();
        for step in [1, 7, 64, 1000] {
            let mut hash = BlockHash::new(64, true);
            bytes.chunks(step).for_each(|piece| hash.update(piece));
            let whole = hash.end();
            assert_eq!(whole, hex(&Sha256::digest(&bytes)), "{step}");
            let blocks: Vec<String> = bytes.chunks(64).map(|block| hex(&Sha256::digest(block))).collect();
            assert_eq!(hash.blocks, blocks, "{step}");
        }
    }

    #[test]
    fn no_bytes_have_no_blocks() {
        let mut hash = BlockHash::new(64, true);
        assert_eq!(hash.end(), hex(&Sha256::digest(b"")));
        assert!(hash.blocks.is_empty());
    }
}
