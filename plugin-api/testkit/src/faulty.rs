//! A storage that fails on request, around any other.
//!
//! Which call fails is counted, never drawn by lot: a test that fails once fails always. Bytes and objects are the inner
//! storage's affair.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Deserialize;
use windlass_plugin_api::{
    ByteRange, Context, CreateOptions, Error, ErrorKind, Leftover, ListOptions, Object, Page, Reader, Result,
    Storage, StorageReport, Stored, Upload,
};

/// What can be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Operation {
    Create,
    Write,
    Finish,
    Publish,
    Open,
    Read,
    Stat,
    List,
    Delete,
    Leftovers,
    Discard,
    Check,
}

/// Some calls of one operation that fail.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The operation.
    pub operation: Operation,
    /// The first call that fails; 1 is the first one.
    pub nth: u64,
    /// How many calls fail, one after the other; `None`: all from then on.
    pub times: Option<u64>,
    /// Of what kind the error is.
    pub kind: ErrorKind,
    /// The call does its work and fails all the same: the connection died before the answer came.
    pub after: bool,
}

impl Failure {
    /// The `nth` call of `operation` fails once, before it has done anything.
    pub fn new(operation: Operation, nth: u64, kind: ErrorKind) -> Self {
        Self { operation, nth, times: Some(1), kind, after: false }
    }

    /// All calls from the `nth` on fail.
    #[must_use]
    pub fn for_ever(mut self) -> Self {
        self.times = None;
        self
    }

    /// The call does its work first.
    #[must_use]
    pub fn after(mut self) -> Self {
        self.after = true;
        self
    }

    fn strikes(&self, operation: Operation, call: u64) -> bool {
        let past = call.checked_sub(self.nth);
        self.operation == operation && past.is_some_and(|past| self.times.is_none_or(|times| past < times))
    }

    fn error(&self, call: u64) -> Error {
        let name = format!("{:?}", self.operation).to_lowercase();
        Error::new(self.kind, format!("call {call} of `{name}` was told to fail"))
    }
}

/// A storage that fails where it is told to. Clones count together.
///
/// ```
/// use windlass_plugin_api::{Context, ErrorKind, Storage};
/// use windlass_testkit::{Failure, Faulty, Memory, Operation};
///
/// let storage = Faulty::new(Memory::empty()).fail(Failure::new(Operation::Stat, 2, ErrorKind::Unavailable));
/// let cx = Context::default();
/// assert!(storage.stat(&cx, "a").is_ok());
/// assert_eq!(storage.stat(&cx, "a").unwrap_err().kind, ErrorKind::Unavailable);
/// assert!(storage.stat(&cx, "a").is_ok());
/// ```
#[derive(Clone)]
pub struct Faulty {
    inner: Arc<dyn Storage>,
    plan: Plan,
    calls: Arc<Mutex<BTreeMap<Operation, u64>>>,
}

#[derive(Clone, Default)]
struct Plan {
    failures: Vec<Failure>,
    most_bytes: Option<usize>,
    bytes_per_second: Option<u64>,
    deny_delete: bool,
}

impl Faulty {
    /// Around `storage`; nothing fails yet.
    pub fn new(storage: impl Storage + 'static) -> Self {
        Self::around(Arc::new(storage))
    }

    /// Around a storage that is shared.
    pub fn around(inner: Arc<dyn Storage>) -> Self {
        Self { inner, plan: Plan::default(), calls: Arc::default() }
    }

    /// Adds a failure.
    #[must_use]
    pub fn fail(mut self, failure: Failure) -> Self {
        self.plan.failures.push(failure);
        self
    }

    /// A write takes at most `bytes` of what it is given, and a read gives at most as many.
    #[must_use]
    pub fn short(mut self, bytes: usize) -> Self {
        self.plan.most_bytes = Some(bytes.max(1));
        self
    }

    /// Bytes written and read pass at this speed; waiting ends when the run is cancelled.
    #[must_use]
    pub fn bytes_per_second(mut self, bytes: u64) -> Self {
        self.plan.bytes_per_second = Some(bytes.max(1));
        self
    }

    /// The `nth` publish puts the object in place and returns an error.
    #[must_use]
    pub fn publish_then_fail(self, nth: u64) -> Self {
        self.fail(Failure::new(Operation::Publish, nth, ErrorKind::Unavailable).after())
    }

    /// Every delete, and every discarding of leftovers, is [`Denied`](ErrorKind::Denied): append-only credentials.
    #[must_use]
    pub fn deny_delete(mut self) -> Self {
        self.plan.deny_delete = true;
        self
    }

    /// How often `operation` was called, failed calls included.
    pub fn calls(&self, operation: Operation) -> u64 {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.get(&operation).copied().unwrap_or(0)
    }

    /// Counts a call and does `work`, unless it is one that fails.
    fn call<T>(&self, operation: Operation, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let number = {
            let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
            let count = calls.entry(operation).or_default();
            *count += 1;
            *count
        };
        let Some(failure) = self.plan.failures.iter().find(|failure| failure.strikes(operation, number))
        else {
            return work();
        };
        if failure.after {
            work()?;
        }
        Err(failure.error(number))
    }

    /// How many of `wanted` bytes may pass now, once the time for them has passed.
    fn pass(&self, cx: &Context, wanted: usize) -> Result<usize> {
        let mut most = wanted.min(self.plan.most_bytes.unwrap_or(wanted));
        if let (Some(rate), true) = (self.plan.bytes_per_second, most > 0) {
            // Small enough that progress is seen several times a second.
            most = most.min(usize::try_from(rate / 8).unwrap_or(usize::MAX).max(1));
            wait(cx, Duration::from_secs_f64(most as f64 / rate as f64))?;
        }
        Ok(most)
    }

    fn may_delete(&self) -> Result<()> {
        if self.plan.deny_delete {
            return Err(Error::new(ErrorKind::Denied, "these credentials may not delete"));
        }
        Ok(())
    }

    fn stream<T>(&self, cx: &Context, inner: T) -> FaultyStream<T> {
        FaultyStream { storage: self.clone(), cx: cx.clone(), inner }
    }
}

/// Waits, and ends with an error of kind `Cancelled` as soon as the run is cancelled.
pub fn wait(cx: &Context, time: Duration) -> Result<()> {
    let bell = Arc::new((Mutex::new(false), Condvar::new()));
    let ringer = bell.clone();
    let _guard = cx.on_cancel(move || {
        *ringer.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        ringer.1.notify_all();
    });
    let end = Instant::now() + time;
    let mut rung = bell.0.lock().unwrap_or_else(PoisonError::into_inner);
    while !*rung {
        let Some(rest) = end.checked_duration_since(Instant::now()).filter(|rest| !rest.is_zero()) else {
            break;
        };
        (rung, _) = bell.1.wait_timeout(rung, rest).unwrap_or_else(PoisonError::into_inner);
    }
    drop(rung);
    cx.go_on()
}

impl Storage for Faulty {
    fn create(&self, cx: &Context, key: &str, how: &CreateOptions) -> Result<Box<dyn Upload>> {
        let upload = self.call(Operation::Create, || self.inner.create(cx, key, how))?;
        Ok(Box::new(self.stream(cx, upload)))
    }

    fn open(&self, cx: &Context, key: &str, range: Option<ByteRange>) -> Result<Reader> {
        let reader = self.call(Operation::Open, || self.inner.open(cx, key, range))?;
        Ok(Box::new(self.stream(cx, reader)))
    }

    fn stat(&self, cx: &Context, key: &str) -> Result<Option<Object>> {
        self.call(Operation::Stat, || self.inner.stat(cx, key))
    }

    fn list(&self, cx: &Context, what: &ListOptions) -> Result<Page> {
        self.call(Operation::List, || self.inner.list(cx, what))
    }

    fn delete(&self, cx: &Context, keys: &[String]) -> Result<Vec<Result<()>>> {
        self.call(Operation::Delete, || match self.may_delete() {
            Ok(()) => self.inner.delete(cx, keys),
            Err(denied) => Ok(keys.iter().map(|_| Err(denied.clone())).collect()),
        })
    }

    fn leftovers(&self, cx: &Context, prefix: &str) -> Result<Vec<Leftover>> {
        self.call(Operation::Leftovers, || self.inner.leftovers(cx, prefix))
    }

    fn discard(&self, cx: &Context, leftovers: &[Leftover]) -> Result<()> {
        self.call(Operation::Discard, || self.may_delete().and_then(|()| self.inner.discard(cx, leftovers)))
    }

    fn check(&self, cx: &Context) -> Result<StorageReport> {
        self.call(Operation::Check, || self.inner.check(cx))
    }

    fn by_hand(&self, key: &str) -> Option<String> {
        self.inner.by_hand(key)
    }
}

/// An upload or a reader on its way through.
struct FaultyStream<T> {
    storage: Faulty,
    cx: Context,
    inner: T,
}

impl Write for FaultyStream<Box<dyn Upload>> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Self { storage, cx, inner } = self;
        let most = storage.pass(cx, bytes.len())?;
        Ok(storage.call(Operation::Write, || Ok(inner.write(&bytes[..most])?))?)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl Upload for FaultyStream<Box<dyn Upload>> {
    fn finish(&mut self) -> Result<()> {
        let Self { storage, inner, .. } = self;
        storage.call(Operation::Finish, || inner.finish())
    }

    fn publish(self: Box<Self>) -> Result<Stored> {
        let Self { storage, inner, .. } = *self;
        storage.call(Operation::Publish, || inner.publish())
    }
}

impl Read for FaultyStream<Reader> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Self { storage, cx, inner } = self;
        let most = storage.pass(cx, buffer.len())?;
        Ok(storage.call(Operation::Read, || Ok(inner.read(&mut buffer[..most])?))?)
    }
}
