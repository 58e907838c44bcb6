//! Threads that work for a storage that a run can do without: counted, so that their end can be waited for, and left behind if
//! they don't come back.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use windlass_plugin_api::{Error, ErrorKind, Result};

/// Threads under way.
#[derive(Default)]
pub struct Busy {
    count: Mutex<usize>,
    changed: Condvar,
}

/// One of them.
struct Turn(Arc<Busy>);

impl Drop for Turn {
    fn drop(&mut self) {
        *lock(&self.0.count) -= 1;
        self.0.changed.notify_all();
    }
}

impl Busy {
    /// Starts one.
    pub fn spawn(self: &Arc<Self>, work: impl FnOnce() + Send + 'static) -> Result<()> {
        *lock(&self.count) += 1;
        let turn = Turn(self.clone());
        std::thread::Builder::new().name("storage".into()).spawn(move || {
            let _turn = turn;
            work();
        })?;
        Ok(())
    }

    /// Does `work` on another thread, which is left behind if it holds the others back for longer than `limit`.
    pub fn within<T: Send + 'static>(
        self: &Arc<Self>,
        limit: Duration,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.wait_for(limit, || stalled(limit), work)
    }

    /// As [`within`](Self::within), for what nobody else waits for.
    pub fn aside<T: Send + 'static>(
        self: &Arc<Self>,
        limit: Duration,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let late = || Error::new(ErrorKind::TimedOut, format!("no answer in {} seconds", limit.as_secs()));
        self.wait_for(limit, late, work)
    }

    fn wait_for<T: Send + 'static>(
        self: &Arc<Self>,
        limit: Duration,
        late: impl FnOnce() -> Error,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (tell, told) = channel();
        self.spawn(move || {
            let _ = tell.send(work());
        })?;
        match told.recv_timeout(limit) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => Err(late()),
            Err(RecvTimeoutError::Disconnected) => Err(Error::new(ErrorKind::Broken, "its thread panicked")),
        }
    }

    /// Waits until all have ended; false if one hasn't within `limit`.
    pub fn is_over(&self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        let mut count = lock(&self.count);
        while *count > 0 {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            count = self.changed.wait_timeout(count, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

/// It has held the others back for too long.
pub(super) fn stalled(limit: Duration) -> Error {
    let words = jiff::SignedDuration::try_from(limit).unwrap_or(jiff::SignedDuration::MAX);
    Error::new(
        ErrorKind::TimedOut,
        format!("it has held the others back for its `stall_timeout` of {words:#}"),
    )
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
