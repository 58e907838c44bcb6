//! A clock for tests, that stands still until somebody waits.

use std::sync::MutexGuard;

use super::*;
use crate::run::cancel::{Cancel, Reason};
use windlass_plugin_api::{Error, Progress, Result, Services, Storage};

/// Its waits, one after the other; after `patience` of them the run is cancelled.
pub(in crate::wrap) struct Hands {
    now: Mutex<Duration>,
    waits: Mutex<Vec<Duration>>,
    cancel: Arc<Cancel>,
    patience: usize,
}

impl Hands {
    pub(in crate::wrap) fn new(cancel: &Arc<Cancel>, patience: usize) -> Arc<Self> {
        Arc::new(Self { now: Mutex::default(), waits: Mutex::default(), cancel: cancel.clone(), patience })
    }

    pub(in crate::wrap) fn pass(&self, how_long: Duration) {
        *lock(&self.now) += how_long;
    }

    pub(in crate::wrap) fn waits(&self) -> Vec<Duration> {
        lock(&self.waits).clone()
    }

    pub(in crate::wrap) fn seconds(&self) -> f64 {
        lock(&self.now).as_secs_f64()
    }
}

impl Clock for Hands {
    fn now(&self) -> Duration {
        *lock(&self.now)
    }

    fn wait(&self, how_long: Duration, stop: &Stop) {
        lock(&self.waits).push(how_long);
        if lock(&self.waits).len() > self.patience {
            self.cancel.cancel(Reason::Fault);
            assert!(stop.is_pressed(), "whoever waits hears that the run is cancelled");
            return;
        }
        *lock(&self.now) += how_long;
    }
}

/// What a run of its own has, that `cancel` ends.
pub(in crate::wrap) fn alone(cancel: Arc<Cancel>) -> Context {
    Context::new(Arc::new(Alone(cancel)))
}

struct Alone(Arc<Cancel>);

impl Services for Alone {
    fn cancelled(&self) -> bool {
        self.0.cancelled()
    }
    fn on_cancel(&self, callback: Box<dyn Fn() + Send + Sync>) -> u64 {
        self.0.on_cancel(Arc::from(callback))
    }
    fn forget(&self, callback: u64) {
        self.0.forget(callback);
    }
    fn progress(&self, _: &Progress) {}
    fn reveal(&self, _: &str) -> Result<String> {
        Err(Error::cancelled())
    }
    fn storage(&self, _: &str) -> Result<Arc<dyn Storage>> {
        Err(Error::cancelled())
    }
    fn run(&self) -> String {
        "20260101T000000Z-test".to_owned()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_real_wait_ends_when_the_run_is_cancelled() {
    let cancel = Cancel::new();
    let (clock, stop) = (SystemClock::default(), Stop::of(&alone(cancel.clone())));
    let thread = std::thread::spawn(move || cancel.cancel(Reason::Fault));
    clock.wait(Duration::from_secs(3600), &stop);
    thread.join().unwrap();
    clock.wait(Duration::from_millis(1), &Stop::of(&Context::default()));
}
