//! Does the work of a run on a thread of its own, under time limits.
//!
//! A plugin that blocks for ever must not keep the run: when it is cancelled it has [`GRACE`] to come back, then it is left
//! behind. That is safe, for the host holds every upload itself, and programs that a source started die with the process.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use windlass_plugin_api::{Error, ErrorKind};

use super::meter::Moved;
use crate::exit::{Failure, Outcome};
use crate::run::cancel::{Cancel, Reason};

/// How long cancelled work may take to come back.
pub const GRACE: Duration = Duration::from_secs(8);

/// Time limits of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// The whole of it.
    pub timeout: Option<Duration>,
    /// So long without a byte moved.
    pub stall_timeout: Option<Duration>,
}

enum News<T> {
    Done(std::thread::Result<T>),
    Cancelled,
}

/// Runs `work` until it ends, or is cancelled and doesn't come back. `Err` only in the latter case and after a panic.
pub fn supervise<T: Send + 'static>(
    cancel: &Arc<Cancel>,
    limits: Limits,
    moved: &Arc<Moved>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Outcome<T> {
    let (tell, news) = channel();
    let wake = tell.clone();
    let callback = cancel.on_cancel(Arc::new(move || {
        let _ = wake.send(News::Cancelled);
    }));
    std::thread::Builder::new().name("run".into()).spawn(move || {
        let _ = tell.send(News::Done(catch_unwind(AssertUnwindSafe(work))));
    })?;
    let mut clock = Clock::new(limits, moved);
    let mut last_call = None;
    let outcome = loop {
        let left = |end: Instant| end.saturating_duration_since(Instant::now());
        let wait = last_call.map_or_else(|| clock.next_look(), |end| Some(left(end)));
        // An hour stands for ever: news wakes us before.
        match news.recv_timeout(wait.unwrap_or(Duration::from_secs(3600))) {
            Ok(News::Done(done)) => break done.map_err(|_| panicked()),
            Ok(News::Cancelled) => last_call = Some(Instant::now() + GRACE),
            Err(_) if last_call.is_some() => break Err(left_behind(cancel)),
            Err(_) => {
                if let Some(limit) = clock.passed() {
                    cancel.cancel(Reason::TimedOut(limit));
                }
            }
        }
    };
    cancel.forget(callback);
    outcome
}

fn panicked() -> Failure {
    Failure::from(Error::new(ErrorKind::Broken, "the run's thread panicked"))
}

fn left_behind(cancel: &Cancel) -> Failure {
    let failure = cancel.reason().unwrap_or(Reason::Fault).failure();
    failure.hint(format!("It didn't stop within {} seconds and was left behind.", GRACE.as_secs()))
}

struct Clock<'a> {
    limits: Limits,
    moved: &'a Moved,
    started: Instant,
    last_sum: u64,
    last_move: Instant,
}

impl<'a> Clock<'a> {
    fn new(limits: Limits, moved: &'a Moved) -> Self {
        let now = Instant::now();
        Self { limits, moved, started: now, last_sum: moved.sum(), last_move: now }
    }

    /// How long until a limit could have passed.
    fn next_look(&self) -> Option<Duration> {
        let now = Instant::now();
        let ends = [
            self.limits.timeout.map(|limit| self.started + limit),
            self.limits.stall_timeout.map(|limit| self.last_move + limit),
        ];
        ends.into_iter().flatten().min().map(|end| end.saturating_duration_since(now))
    }

    /// The limit that has passed, in words.
    fn passed(&mut self) -> Option<String> {
        let now = Instant::now();
        let sum = self.moved.sum();
        if sum != self.last_sum {
            self.last_sum = sum;
            self.last_move = now;
        }
        if self.limits.timeout.is_some_and(|limit| now >= self.started + limit) {
            return self
                .limits
                .timeout
                .map(|limit| format!("it took longer than its `timeout` of {}", words(limit)));
        }
        if self.limits.stall_timeout.is_some_and(|limit| now >= self.last_move + limit) {
            return self
                .limits
                .stall_timeout
                .map(|limit| format!("no byte moved for its `stall_timeout` of {}", words(limit)));
        }
        None
    }
}

fn words(limit: Duration) -> String {
    format!("{:#}", jiff::SignedDuration::try_from(limit).unwrap_or(jiff::SignedDuration::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn work_that_ends_gives_its_value() {
        let value = supervise(&Cancel::new(), Limits::default(), &Arc::default(), || 7);
        assert_eq!(value.unwrap(), 7);
    }

    #[test]
    fn a_stall_cancels_and_a_moving_run_goes_on() {
        let limits = Limits { stall_timeout: Some(Duration::from_millis(300)), timeout: None };
        let moved: Arc<Moved> = Arc::default();
        let (cancel, mover) = (Cancel::new(), moved.clone());
        let own = cancel.clone();
        let started = Instant::now();
        let outcome = supervise(&cancel, limits, &moved, move || {
            for _ in 0..5 {
                mover.plain_bytes.fetch_add(1, Ordering::Relaxed);
                own.wait(Duration::from_millis(100));
            }
            own.wait(Duration::from_secs(60));
        });
        assert!(outcome.is_ok() && started.elapsed() >= Duration::from_millis(500));
        assert!(matches!(cancel.reason(), Some(Reason::TimedOut(why)) if why.contains("stall_timeout")));
    }

    #[test]
    fn a_panic_is_an_error_and_not_a_hang() {
        let failure = supervise(&Cancel::new(), Limits::default(), &Arc::default(), || {
            std::panic::panic_any("expected by the test");
        });
        assert_eq!(failure.unwrap_err().error.kind, ErrorKind::Broken);
    }
}
