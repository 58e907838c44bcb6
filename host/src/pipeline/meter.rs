//! Counts, hashes, and the check for cancelling: once before the first filter, once behind the last.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};
use sha2::digest::common::hazmat::SerializableState;
use sha2::{Digest, Sha256};
use windlass_plugin_api::{Error, Finished, Result, Sink};

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
    /// Those of them that passed under a limit: told a piece at a time, long before a stage above hears of them.
    pub paced: Arc<AtomicU64>,
}

impl Moved {
    /// All together: it changes while anything moves.
    pub fn sum(&self) -> u64 {
        let all = [&self.plain_bytes, &self.stored_bytes, &*self.paced];
        all.iter().fold(0, |sum, count| count.load(Ordering::Relaxed).wrapping_add(sum))
    }
}

/// What a stream's chain has measured; complete once `finished` is set.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Bytes before the first filter.
    pub plain_bytes: u64,
    /// Their SHA-256; `None` where no filter is between: then it is that of the stored bytes.
    pub plain_sha256: Option<String>,
    /// Bytes as stored.
    pub stored_bytes: u64,
    /// Their SHA-256.
    pub stored_sha256: String,
    /// Its state after each full block.
    pub sha256_states: Vec<String>,
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
    hash: Option<Sha256>,
    bytes: u64,
    slate: Slate,
    moved: Arc<Moved>,
    cancel: Arc<Cancel>,
}

impl PlainMeter {
    /// Measures what goes into `next`. Without a filter behind it (`is_stored`) the hash is that of the stored bytes, which
    /// is made already, on another thread.
    pub fn new(
        next: Box<dyn Sink>,
        slate: &Slate,
        moved: &Arc<Moved>,
        cancel: &Arc<Cancel>,
        is_stored: bool,
    ) -> Self {
        let (slate, moved, cancel) = (slate.clone(), moved.clone(), cancel.clone());
        Self { next, hash: (!is_stored).then(Sha256::new), bytes: 0, slate, moved, cancel }
    }
}

impl Write for PlainMeter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.cancel.cancelled() {
            return Err(Error::cancelled().into_io());
        }
        let count = self.next.write(bytes)?;
        if let Some(hash) = &mut self.hash {
            hash.update(&bytes[..count]);
        }
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
        measured.plain_sha256 = self.hash.take().map(|hash| hex(&hash.finalize()));
        measured.finished = true;
        Ok(Finished::default())
    }
}

/// SHA-256 of a stream's stored bytes, and the state that it passes through at the end of each full block.
///
/// Two states prove the block between them as well as a hash of its own would, at no price: see
/// docs/adr/0003-states-of-the-hash-and-the-held-end.md.
pub struct StoredHash {
    hash: Sha256,
    in_block: u64,
    block_bytes: u64,
    /// After each full block so far.
    pub states: Vec<String>,
    /// Bytes so far.
    pub bytes: u64,
}

impl StoredHash {
    /// For blocks of `block_bytes`, a multiple of 64.
    pub fn new(block_bytes: u64) -> Self {
        Self { hash: Sha256::new(), in_block: 0, block_bytes, states: Vec::new(), bytes: 0 }
    }

    /// Takes in more bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = usize::try_from(self.block_bytes - self.in_block).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.hash.update(now);
            self.in_block += now.len() as u64;
            if self.in_block == self.block_bytes {
                self.states.push(state(&self.hash));
                self.in_block = 0;
            }
            bytes = later;
        }
    }

    /// The hash of all bytes.
    pub fn end(&self) -> String {
        hex(&self.hash.clone().finalize())
    }
}

/// The eight words of the hash (FIPS 180-4 calls them the intermediate hash value), written like a finished one.
pub(super) fn state(hash: &Sha256) -> String {
    let serialized = hash.serialize();
    let (words, _) = serialized[..32].as_chunks::<4>();
    words.iter().map(|word| format!("{:08x}", u32::from_le_bytes(*word))).collect()
}

/// Stands behind the last filter.
pub struct StoredMeter {
    next: Box<dyn Sink>,
    hash: StoredHash,
    slate: Slate,
    moved: Arc<Moved>,
}

impl StoredMeter {
    /// Measures what goes into `next`.
    pub fn new(next: Box<dyn Sink>, slate: &Slate, moved: &Arc<Moved>) -> Self {
        Self { next, hash: StoredHash::new(BLOCK_BYTES), slate: slate.clone(), moved: moved.clone() }
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
        let mut measured = self.slate.lock();
        measured.stored_bytes = self.hash.bytes;
        measured.stored_sha256 = self.hash.end();
        measured.sha256_states = std::mem::take(&mut self.hash.states);
        Ok(finished)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::block_api::compress256;

    fn words(state: &str) -> [u32; 8] {
        std::array::from_fn(|i| u32::from_str_radix(&state[i * 8..][..8], 16).unwrap())
    }

    fn text(words: [u32; 8]) -> String {
        words.iter().map(|word| format!("{word:08x}")).collect()
    }

    /// Goes from state to state as the standard says, without the library's hasher.
    #[test]
    fn each_block_leads_from_one_state_to_the_next_however_the_writes_fall() {
        let bytes: Vec<u8> = (0..1000u32).map(|i| (i % 253) as u8).collect();
        for step in [1, 7, 64, 128, 1000] {
            let mut hash = StoredHash::new(128);
            bytes.chunks(step).for_each(|piece| hash.update(piece));
            assert_eq!((hash.end(), hash.states.len()), (hex(&Sha256::digest(&bytes)), 7), "{step}");
            let mut state = words("6a09e667bb67ae853c6ef372a54ff53a510e527f9b05688c1f83d9ab5be0cd19");
            for (block, found) in bytes.chunks_exact(128).zip(&hash.states) {
                compress256(&mut state, block.as_chunks().0);
                assert_eq!(&text(state), found, "{step}");
            }
        }
    }

    #[test]
    fn the_last_state_and_the_padding_make_the_hash() {
        let mut hash = StoredHash::new(64);
        hash.update(&[7; 64]);
        let mut state = words(&hash.states[0]);
        let mut padding = [0; 64];
        (padding[0], padding[62]) = (0x80, 2);
        compress256(&mut state, &[padding]);
        assert_eq!(text(state), hex(&Sha256::digest([7; 64])));
    }

    #[test]
    fn no_bytes_have_no_states() {
        let hash = StoredHash::new(64);
        assert_eq!(hash.end(), hex(&Sha256::digest(b"")));
        assert!(hash.states.is_empty());
    }
}
