//! A storage whose calls are tried again where that may help.
//!
//! An error of kind `Unavailable` or `TimedOut` says so, unless its detail [`RETRY`] is false; [`RETRY_AFTER`] says how long a
//! service wants to be left alone. Waits double from one attempt to the next and differ by chance, so that many clients don't
//! come back at once; all waits of a run at a storage come out of one budget. A download that breaks goes on where it broke.
//!
//! What any other kind says would fail again and is told at once: rights, credentials, a full disk. An upload isn't tried
//! again here, for its bytes are gone: a plugin repeats the parts that it still has. Nor is a check, which asks how it is now.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use windlass_plugin_api::{
    ByteRange, Context, CreateOptions, Error, ErrorKind, Leftover, ListOptions, Object, Page, Reader, Result,
    Storage, StorageReport, Upload,
};

use super::clock::{Clock, Stop, SystemClock};

/// Under this detail an error says in seconds when to come back.
pub const RETRY_AFTER: &str = "retry_after_seconds";
/// Under this detail an error says `false` where trying again won't help.
pub const RETRY: &str = "retry";

/// How often one call is made at most.
const ATTEMPTS: u32 = 6;
/// The first wait, before chance makes it shorter; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// What a service asks for is waited for up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// All waits of a run at a storage together.
const BUDGET: Duration = Duration::from_secs(600);

/// Tells what is tried again.
pub type Tell = Arc<dyn Fn(String) + Send + Sync>;

/// The wrapper. What a [`Storage`] can do more one day must be handed on here.
#[derive(Clone)]
pub struct Retry {
    inner: Arc<dyn Storage>,
    budget: Arc<Mutex<Duration>>,
    clock: Arc<dyn Clock>,
    tell: Tell,
}

impl Retry {
    /// Around `storage`, for one run.
    pub fn new(storage: Arc<dyn Storage>, tell: Tell) -> Self {
        Self::with(storage, Arc::new(SystemClock::default()), tell)
    }

    fn with(inner: Arc<dyn Storage>, clock: Arc<dyn Clock>, tell: Tell) -> Self {
        Self { inner, budget: Arc::new(Mutex::new(BUDGET)), clock, tell }
    }

    /// Makes a call until it succeeds, or fails for good.
    fn again<T>(&self, cx: &Context, what: &str, mut call: impl FnMut() -> Result<T>) -> Result<T> {
        let mut attempt = 1;
        loop {
            match call() {
                Err(error) => self.wait(cx, what, attempt, error)?,
                done => return done,
            }
            attempt += 1;
        }
    }

    /// Returns when the call that failed for the so many-th time may be made again; or `error`, if it may not.
    fn wait(&self, cx: &Context, what: &str, attempt: u32, error: Error) -> Result<()> {
        if !may_pass(&error) || cx.cancelled() {
            return Err(error);
        }
        let wait = wait_before(attempt, &error);
        if attempt >= ATTEMPTS || !self.spend(wait) {
            return Err(if attempt == 1 {
                error
            } else {
                error.during(format!("given up after {attempt} attempts"))
            });
        }
        let seconds = wait.as_secs_f64();
        (self.tell)(format!("{what} failed, and is tried again in {seconds:.1} s: {error}"));
        let stop = Stop::of(cx);
        self.clock.wait(wait, &stop);
        cx.go_on()
    }

    /// Takes a wait out of the budget; `false` if too little is left.
    fn spend(&self, wait: Duration) -> bool {
        let mut left = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        match left.checked_sub(wait) {
            Some(rest) => *left = rest,
            None => return false,
        }
        true
    }
}

fn may_pass(error: &Error) -> bool {
    let is_passing = matches!(error.kind, ErrorKind::Unavailable | ErrorKind::TimedOut);
    is_passing && error.details.get(RETRY) != Some(&serde_json::Value::Bool(false))
}

fn wait_before(attempt: u32, error: &Error) -> Duration {
    let asked = error.details.get(RETRY_AFTER).and_then(serde_json::Value::as_f64);
    if let Some(asked) = asked.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
        return asked.min(LONGEST_WAIT);
    }
    let longest = FIRST_WAIT.saturating_mul(1 << (attempt - 1).min(16)).min(LONGEST_WAIT);
    let chance = getrandom::u32().unwrap_or_default();
    longest.mul_f64(0.5 + f64::from(chance) / f64::from(u32::MAX) / 2.0)
}

impl Storage for Retry {
    fn create(&self, cx: &Context, key: &str, how: &CreateOptions) -> Result<Box<dyn Upload>> {
        self.again(cx, &format!("creating `{key}`"), || self.inner.create(cx, key, how))
    }

    fn open(&self, cx: &Context, key: &str, range: Option<ByteRange>) -> Result<Reader> {
        let inner = self.again(cx, &format!("reading `{key}`"), || self.inner.open(cx, key, range))?;
        let range = range.unwrap_or(ByteRange { offset: 0, length: None });
        let (storage, cx, key) = (self.clone(), cx.clone(), key.to_owned());
        Ok(Box::new(Resumed { inner, storage, cx, key, range, failures: 0 }))
    }

    fn stat(&self, cx: &Context, key: &str) -> Result<Option<Object>> {
        self.again(cx, &format!("looking at `{key}`"), || self.inner.stat(cx, key))
    }

    fn list(&self, cx: &Context, what: &ListOptions) -> Result<Page> {
        self.again(cx, &format!("listing `{}`", what.prefix), || self.inner.list(cx, what))
    }

    fn delete(&self, cx: &Context, keys: &[String]) -> Result<Vec<Result<()>>> {
        let mut results = self.again(cx, "deleting", || self.inner.delete(cx, keys))?;
        for (key, result) in keys.iter().zip(&mut results) {
            let Some(error) = result.as_ref().err().filter(|error| may_pass(error)) else { continue };
            let mut first = Some(error.clone());
            *result = self.again(cx, &format!("deleting `{key}`"), || match first.take() {
                Some(error) => Err(error),
                None => self.inner.delete(cx, std::slice::from_ref(key))?.pop().unwrap_or(Ok(())),
            });
        }
        Ok(results)
    }

    fn leftovers(&self, cx: &Context, prefix: &str) -> Result<Vec<Leftover>> {
        self.again(cx, &format!("looking for half uploads of `{prefix}`"), || {
            self.inner.leftovers(cx, prefix)
        })
    }

    fn discard(&self, cx: &Context, leftovers: &[Leftover]) -> Result<()> {
        self.again(cx, "removing half uploads", || self.inner.discard(cx, leftovers))
    }

    fn check(&self, cx: &Context) -> Result<StorageReport> {
        self.inner.check(cx)
    }

    fn by_hand(&self, key: &str) -> Option<String> {
        self.inner.by_hand(key)
    }
}

/// A download that goes on where it broke.
struct Resumed {
    inner: Reader,
    storage: Retry,
    cx: Context,
    key: String,
    /// What is still to come.
    range: ByteRange,
    /// One after the other, without a byte between them.
    failures: u32,
}

impl Resumed {
    fn reopen(&mut self) -> Result<()> {
        let storage = self.storage.clone();
        self.inner = storage.again(&self.cx, &format!("reading `{}`", self.key), || {
            storage.inner.open(&self.cx, &self.key, Some(self.range))
        })?;
        Ok(())
    }
}

impl Read for Resumed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let error = match self.inner.read(buffer) {
                Ok(count) => {
                    self.failures = if count > 0 { 0 } else { self.failures };
                    self.range.offset += count as u64;
                    self.range.length = self.range.length.map(|length| length.saturating_sub(count as u64));
                    return Ok(count);
                }
                Err(error) => Error::from(error),
            };
            self.failures += 1;
            let what = format!("reading `{}` from byte {}", self.key, self.range.offset);
            self.storage.wait(&self.cx, &what, self.failures, error)?;
            self.reopen()?;
        }
    }
}

#[cfg(test)]
mod tests;
