//! A storage that is used no faster than its `limit` says.
//!
//! All streams of all runs of this process that use a storage share its speed, as [`Limiters`] gives it to them. Bytes pass in
//! small pieces, each when its time has come, so the line is used evenly and a cancelled run doesn't wait for the rest. Only
//! what objects hold is counted, not what a request costs besides.
//!
//! It doesn't retry, and it measures nothing but for `stall_timeout`: a run that waits here has not stalled.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use windlass_plugin_api::{
    ByteRange, Context, CreateOptions, Leftover, ListOptions, Object, Page, Reader, Result, Storage,
    StorageReport, Stored, Upload,
};

use super::clock::{Clock, Stop, SystemClock};
use crate::config::Limit;

/// What wasn't used is good for so long.
const BURST: Duration = Duration::from_millis(100);
/// A piece takes about this long: nobody who shares the line waits longer for his turn.
const PIECES_A_SECOND: u64 = 20;
/// The largest piece.
const PIECE_BYTES: u64 = 64 << 10;

/// The speeds that storages share, and what runs have moved at them.
pub struct Limiters {
    clock: Arc<dyn Clock>,
    shared: Mutex<Shared>,
}

#[derive(Default)]
struct Shared {
    speeds: BTreeMap<(String, Limit), Directions>,
    paced: BTreeMap<String, Weak<AtomicU64>>,
}

#[derive(Clone)]
struct Directions {
    up: Option<Arc<Bucket>>,
    down: Option<Arc<Bucket>>,
}

impl Default for Limiters {
    fn default() -> Self {
        Self::with(Arc::new(SystemClock::default()))
    }
}

impl Limiters {
    fn with(clock: Arc<dyn Clock>) -> Self {
        Self { clock, shared: Mutex::default() }
    }

    /// `storage`, which others may know by the same `identity`, for the run `run`.
    pub fn wrap(
        &self,
        storage: Arc<dyn Storage>,
        identity: String,
        limit: Limit,
        run: &str,
    ) -> Arc<dyn Storage> {
        let paced = self.paced(run);
        let directions = lock(&self.shared)
            .speeds
            .entry((identity, limit))
            .or_insert_with(|| Directions {
                up: limit.up.map(Bucket::new),
                down: limit.down.map(Bucket::new),
            })
            .clone();
        Arc::new(Limited { inner: storage, directions, paced, clock: self.clock.clone() })
    }

    /// Counts the bytes that the run `run` has moved under a limit.
    pub fn paced(&self, run: &str) -> Arc<AtomicU64> {
        let paced = &mut lock(&self.shared).paced;
        paced.retain(|_, count| count.strong_count() > 0);
        if let Some(count) = paced.get(run).and_then(Weak::upgrade) {
            return count;
        }
        let count = Arc::default();
        paced.insert(run.to_owned(), Arc::downgrade(&count));
        count
    }
}

/// A speed. Who comes gets the next free time, so waiting is in the order of coming.
struct Bucket {
    rate: u64,
    free_at: Mutex<Duration>,
}

impl Bucket {
    fn new(rate: u64) -> Arc<Self> {
        Arc::new(Self { rate: rate.max(1), free_at: Mutex::default() })
    }

    fn piece(&self) -> usize {
        (self.rate / PIECES_A_SECOND).clamp(1, PIECE_BYTES) as usize
    }

    /// Takes the time for so many bytes; how long to wait before they may pass.
    fn take(&self, now: Duration, bytes: usize) -> Duration {
        let mut free_at = lock(&self.free_at);
        let begin = (*free_at).max(now);
        let nanoseconds = (bytes as u128 * 1_000_000_000).div_ceil(self.rate.into());
        *free_at = begin + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        begin.saturating_sub(now + BURST)
    }
}

/// One stream's way through a bucket.
struct Pace {
    bucket: Arc<Bucket>,
    clock: Arc<dyn Clock>,
    paced: Arc<AtomicU64>,
    stop: Stop,
    cx: Context,
}

impl Pace {
    /// Returns when so many bytes may pass; an error if the run is cancelled meanwhile.
    fn pass(&self, bytes: usize) -> Result<()> {
        let wait = self.bucket.take(self.clock.now(), bytes);
        if !wait.is_zero() {
            self.clock.wait(wait, &self.stop);
        }
        self.cx.go_on()?;
        self.paced.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(())
    }
}

/// The wrapper. What a [`Storage`] can do more one day must be handed on here.
struct Limited {
    inner: Arc<dyn Storage>,
    directions: Directions,
    paced: Arc<AtomicU64>,
    clock: Arc<dyn Clock>,
}

impl Limited {
    fn pace(&self, bucket: &Arc<Bucket>, cx: &Context) -> Pace {
        Pace {
            bucket: bucket.clone(),
            clock: self.clock.clone(),
            paced: self.paced.clone(),
            stop: Stop::of(cx),
            cx: cx.clone(),
        }
    }
}

impl Storage for Limited {
    fn create(&self, cx: &Context, key: &str, how: &CreateOptions) -> Result<Box<dyn Upload>> {
        let inner = self.inner.create(cx, key, how)?;
        Ok(match &self.directions.up {
            Some(bucket) => Box::new(LimitedUpload { inner, pace: self.pace(bucket, cx) }),
            None => inner,
        })
    }

    fn open(&self, cx: &Context, key: &str, range: Option<ByteRange>) -> Result<Reader> {
        let inner = self.inner.open(cx, key, range)?;
        Ok(match &self.directions.down {
            Some(bucket) => Box::new(LimitedReader { inner, pace: self.pace(bucket, cx) }),
            None => inner,
        })
    }

    fn stat(&self, cx: &Context, key: &str) -> Result<Option<Object>> {
        self.inner.stat(cx, key)
    }

    fn list(&self, cx: &Context, what: &ListOptions) -> Result<Page> {
        self.inner.list(cx, what)
    }

    fn delete(&self, cx: &Context, keys: &[String]) -> Result<Vec<Result<()>>> {
        self.inner.delete(cx, keys)
    }

    fn leftovers(&self, cx: &Context, prefix: &str) -> Result<Vec<Leftover>> {
        self.inner.leftovers(cx, prefix)
    }

    fn discard(&self, cx: &Context, leftovers: &[Leftover]) -> Result<()> {
        self.inner.discard(cx, leftovers)
    }

    fn check(&self, cx: &Context) -> Result<StorageReport> {
        self.inner.check(cx)
    }

    fn by_hand(&self, key: &str) -> Option<String> {
        self.inner.by_hand(key)
    }
}

struct LimitedUpload {
    inner: Box<dyn Upload>,
    pace: Pace,
}

impl Write for LimitedUpload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = &bytes[..bytes.len().min(self.pace.bucket.piece())];
        self.pace.pass(piece.len())?;
        // The whole piece: its time is taken.
        self.inner.write_all(piece)?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl Upload for LimitedUpload {
    fn finish(&mut self) -> Result<()> {
        self.inner.finish()
    }

    fn publish(self: Box<Self>) -> Result<Stored> {
        self.inner.publish()
    }
}

struct LimitedReader {
    inner: Reader,
    pace: Pace,
}

impl Read for LimitedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(self.pace.bucket.piece());
        let count = self.inner.read(&mut buffer[..most])?;
        self.pace.pass(count)?;
        Ok(count)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
