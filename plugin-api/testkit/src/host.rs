//! A host for tests: a context that can be cancelled, knows secrets and storages, and remembers what it was told.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use windlass_plugin_api::{Context, Error, ErrorKind, Progress, Result, Services, Storage};

/// A host for tests. Cheap to clone; all clones are one host.
///
/// ```
/// use windlass_plugin_api::Secret;
/// use windlass_testkit::TestHost;
///
/// let host = TestHost::new().secret("db.password", "hunter2");
/// let cx = host.context();
/// assert_eq!(cx.reveal(&Secret::named("db.password"))?, "hunter2");
/// host.cancel();
/// assert!(cx.cancelled());
/// # Ok::<(), windlass_plugin_api::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct TestHost(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

type Callback = Box<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct State {
    cancelled: bool,
    callbacks: BTreeMap<u64, Callback>,
    running: Vec<u64>,
    last_number: u64,
    waiting: usize,
    progress: Vec<Progress>,
    secrets: BTreeMap<String, String>,
    storages: BTreeMap<String, Arc<dyn Storage>>,
}

impl TestHost {
    /// A host that knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the secret `name`.
    #[must_use]
    pub fn secret(self, name: &str, value: &str) -> Self {
        self.0.lock().secrets.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Adds the storage `name`.
    #[must_use]
    pub fn storage(self, name: &str, storage: Arc<dyn Storage>) -> Self {
        self.0.lock().storages.insert(name.to_owned(), storage);
        self
    }

    /// The context that a plugin gets.
    pub fn context(&self) -> Context {
        Context::new(self.0.clone())
    }

    /// Cancels the run: callbacks are called from another thread, once. Returns at once.
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// Waits until the run is cancelled; false if `limit` passes first.
    pub fn wait_cancelled(&self, limit: Duration) -> bool {
        self.0.lock().waiting += 1;
        self.0.changed.notify_all();
        let cancelled = self.wait(limit, |state| state.cancelled);
        self.0.lock().waiting -= 1;
        cancelled
    }

    /// Waits until somebody is in [`wait_cancelled`](Self::wait_cancelled), such as a stream with
    /// [`Fault::Block`](crate::streams::Fault::Block); false if `limit` passes first.
    pub fn wait_blocked(&self, limit: Duration) -> bool {
        self.wait(limit, |state| state.waiting > 0)
    }

    /// Waits until progress was told; false if `limit` passes first.
    pub fn wait_told(&self, limit: Duration) -> bool {
        self.wait(limit, |state| !state.progress.is_empty())
    }

    /// Waits until a cancel callback is registered; false if `limit` passes first.
    pub fn wait_registered(&self, limit: Duration) -> bool {
        self.wait(limit, |state| !state.callbacks.is_empty())
    }

    fn wait(&self, limit: Duration, until: impl Fn(&State) -> bool) -> bool {
        let waited = self.0.changed.wait_timeout_while(self.0.lock(), limit, |state| !until(state));
        until(&waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// All progress that was told, in order.
    pub fn progress(&self) -> Vec<Progress> {
        self.0.lock().progress.clone()
    }

    /// The values of all secrets: what must stand in no error, log line or command.
    pub fn secret_values(&self) -> Vec<String> {
        self.0.lock().secrets.values().cloned().collect()
    }

    /// How many cancel callbacks are registered now: 0 once a call has returned.
    pub fn callbacks(&self) -> usize {
        self.0.lock().callbacks.len()
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cancel(self: &Arc<Self>) {
        let callbacks = {
            let mut state = self.lock();
            state.cancelled = true;
            let callbacks = std::mem::take(&mut state.callbacks);
            state.running.extend(callbacks.keys());
            callbacks
        };
        self.changed.notify_all();
        if callbacks.is_empty() {
            return;
        }
        let inner = self.clone();
        thread::spawn(move || {
            for (number, callback) in callbacks {
                callback();
                drop(callback);
                inner.lock().running.retain(|running| *running != number);
                inner.changed.notify_all();
            }
        });
    }
}

impl Services for Inner {
    fn cancelled(&self) -> bool {
        self.lock().cancelled
    }

    fn on_cancel(&self, callback: Callback) -> u64 {
        let mut state = self.lock();
        state.last_number += 1;
        let number = state.last_number;
        if state.cancelled {
            drop(state);
            callback();
        } else {
            state.callbacks.insert(number, callback);
            self.changed.notify_all();
        }
        number
    }

    fn forget(&self, number: u64) {
        let mut state = self.lock();
        let callback = state.callbacks.remove(&number);
        let started = Instant::now();
        while state.running.contains(&number) {
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "a cancel callback drops its own guard, or never ends"
            );
            (state, _) = self
                .changed
                .wait_timeout(state, Duration::from_secs(1))
                .unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        drop(callback);
    }

    fn progress(&self, progress: &Progress) {
        self.lock().progress.push(progress.clone());
        self.changed.notify_all();
    }

    fn reveal(&self, name: &str) -> Result<String> {
        let state = self.lock();
        state.secrets.get(name).cloned().ok_or_else(|| unknown("secret", name))
    }

    fn storage(&self, name: &str) -> Result<Arc<dyn Storage>> {
        let state = self.lock();
        state.storages.get(name).cloned().ok_or_else(|| unknown("storage", name))
    }

    fn run(&self) -> String {
        "20260101T000000Z-test".to_owned()
    }
}

fn unknown(what: &str, name: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("no {what} `{name}` here"))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[test]
    fn a_callback_is_called_from_another_thread_and_the_guard_forgets_it() {
        let host = TestHost::new();
        let (tell, told) = mpsc::channel();
        let kept = host.context().on_cancel(move || tell.send(thread::current().id()).unwrap());
        let forgotten = host.context().on_cancel(|| panic!("was forgotten"));
        assert_eq!(host.callbacks(), 2);
        drop(forgotten);
        host.cancel();
        assert_ne!(told.recv_timeout(LIMIT).unwrap(), thread::current().id());
        drop(kept);
        assert_eq!(host.callbacks(), 0);
    }

    #[test]
    fn dropping_a_guard_waits_for_its_running_callback() {
        let host = TestHost::new();
        let (enter, entered) = mpsc::channel();
        let done = Arc::new(Mutex::new(false));
        let seen = done.clone();
        let guard = host.context().on_cancel(move || {
            enter.send(()).unwrap();
            thread::sleep(Duration::from_millis(50));
            *seen.lock().unwrap() = true;
        });
        host.cancel();
        entered.recv_timeout(LIMIT).unwrap();
        drop(guard);
        assert!(*done.lock().unwrap());
    }

    #[test]
    fn a_callback_that_comes_late_is_called_at_once() {
        let host = TestHost::new();
        host.cancel();
        let (tell, told) = mpsc::channel();
        let _guard = host.context().on_cancel(move || tell.send(()).unwrap());
        told.try_recv().unwrap();
    }
}
