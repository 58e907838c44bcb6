//! Both ends of a stream in memory, which fail where they are told to and remember how they were treated.
//!
//! [`MemoryOutputs`] is what a source backs up to, [`MemoryInputs`] what it restores from; [`TestSink`] and [`TestReader`]
//! are one stream of each, for filters. Nothing here checks anything: the suites look at [`Seen`] afterwards.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use windlass_plugin_api::{Error, Finished, Inputs, Outputs, Reader, Result, Sink, StreamInfo};

use crate::host::TestHost;

/// What happens at a byte of a stream.
#[derive(Clone)]
pub enum Fault {
    /// The call that would pass the byte returns this error, and so does every later one.
    Error(Error),
    /// The run is cancelled and the stream goes on: the stage has to notice by itself.
    Cancel(TestHost),
    /// The call blocks until the run is cancelled by another thread, and then returns an error of kind `Cancelled`.
    Block(TestHost),
}

/// How long a blocked call waits at most: a test that nobody cancels must fail, not hang.
const BLOCKED_LIMIT: Duration = Duration::from_secs(120);

impl Fault {
    /// What the call that reaches the byte returns.
    fn strike(&self) -> Result<()> {
        match self {
            Self::Error(error) => Err(error.clone()),
            Self::Cancel(host) => {
                host.cancel();
                Ok(())
            }
            Self::Block(host) => {
                host.wait_cancelled(BLOCKED_LIMIT);
                Err(Error::cancelled())
            }
        }
    }
}

/// A fault and where it strikes.
#[derive(Clone)]
struct At {
    offset: usize,
    fault: Fault,
}

/// What became of one stream that was written.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// What the creator said of it.
    pub info: StreamInfo,
    /// The bytes that arrived.
    pub bytes: Vec<u8>,
    /// How often `finish` was called, well or not.
    pub finishes: usize,
    /// `finish` returned `Ok`: a host would store it.
    pub finished: bool,
    /// The sink was dropped.
    pub dropped: bool,
    /// Calls that came after an error or after `finish`: none should.
    pub calls_afterwards: usize,
}

type Shared = Arc<Mutex<Seen>>;

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A sink that keeps what it is given.
pub struct TestSink {
    seen: Shared,
    fault: Option<At>,
    fails_to_finish: Option<Error>,
    step: usize,
    over: bool,
}

/// What a [`TestSink`] saw; outlives it.
#[derive(Clone, Default)]
pub struct SinkView(Shared);

impl SinkView {
    /// What it saw up to now.
    pub fn seen(&self) -> Seen {
        lock(&self.0).clone()
    }

    /// The number of bytes that have arrived up to now.
    pub fn len(&self) -> usize {
        lock(&self.0).bytes.len()
    }

    /// No byte has arrived.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl TestSink {
    /// A sink that takes everything, and the view of it.
    pub fn new() -> (Self, SinkView) {
        let seen = Shared::default();
        (
            Self { seen: seen.clone(), fault: None, fails_to_finish: None, step: usize::MAX, over: false },
            SinkView(seen),
        )
    }

    /// With `fault` at the byte `offset`.
    #[must_use]
    pub fn fault_at(mut self, offset: usize, fault: Fault) -> Self {
        self.fault = Some(At { offset, fault });
        self
    }

    /// With a `finish` that fails.
    #[must_use]
    pub fn fails_to_finish(mut self, error: Error) -> Self {
        self.fails_to_finish = Some(error);
        self
    }

    /// That takes at most `step` bytes a call.
    #[must_use]
    pub fn in_steps_of(mut self, step: usize) -> Self {
        self.step = step.max(1);
        self
    }

    fn call(&mut self) -> Result<()> {
        if !self.over {
            return Ok(());
        }
        lock(&self.seen).calls_afterwards += 1;
        Err(Error::failed("the sink was used after it had ended"))
    }
}

impl Write for TestSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.call()?;
        let mut take = bytes.len().min(self.step);
        if let Some(at) = &self.fault {
            let room = at.offset.saturating_sub(lock(&self.seen).bytes.len());
            if room == 0 && take > 0 {
                let result = at.fault.strike();
                self.fault = None;
                self.over = result.is_err();
                result?;
            } else {
                take = take.min(room);
            }
        }
        lock(&self.seen).bytes.extend_from_slice(&bytes[..take]);
        Ok(take)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(self.call()?)
    }
}

impl Sink for TestSink {
    fn finish(&mut self) -> Result<Finished> {
        lock(&self.seen).finishes += 1;
        self.call()?;
        self.over = true;
        if let Some(error) = self.fails_to_finish.take() {
            return Err(error);
        }
        lock(&self.seen).finished = true;
        Ok(Finished::default())
    }
}

impl Drop for TestSink {
    fn drop(&mut self) {
        lock(&self.seen).dropped = true;
    }
}

/// A reader over bytes in memory.
pub struct TestReader {
    bytes: Arc<[u8]>,
    at: usize,
    step: usize,
    fault: Option<At>,
}

impl TestReader {
    /// A reader of `bytes`.
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self { bytes: bytes.into(), at: 0, step: usize::MAX, fault: None }
    }

    /// That gives at most `step` bytes a call.
    #[must_use]
    pub fn in_steps_of(mut self, step: usize) -> Self {
        self.step = step.max(1);
        self
    }

    /// With `fault` at the byte `offset`; at the number of bytes: in place of end-of-file.
    #[must_use]
    pub fn fault_at(mut self, offset: usize, fault: Fault) -> Self {
        self.fault = Some(At { offset, fault });
        self
    }
}

impl Read for TestReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut end = self.bytes.len();
        if let Some(At { offset, fault }) = &self.fault {
            if self.at >= *offset {
                fault.strike()?;
                self.fault = None;
            } else {
                end = end.min(*offset);
            }
        }
        let count = buffer.len().min(self.step).min(end - self.at);
        buffer[..count].copy_from_slice(&self.bytes[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

/// Streams in memory, for a source to back up to.
#[derive(Clone, Default)]
pub struct MemoryOutputs {
    streams: Arc<Mutex<Vec<(String, SinkView)>>>,
    fault: Option<At>,
    fails_to_create: Option<Error>,
    fails_to_finish: Option<Error>,
    step: Option<usize>,
}

impl MemoryOutputs {
    /// Outputs that take everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// With `fault` at the byte `offset` of each stream.
    #[must_use]
    pub fn fault_at(mut self, offset: usize, fault: Fault) -> Self {
        self.fault = Some(At { offset, fault });
        self
    }

    /// With a `create` that fails.
    #[must_use]
    pub fn fails_to_create(mut self, error: Error) -> Self {
        self.fails_to_create = Some(error);
        self
    }

    /// With sinks that take at most `step` bytes a call.
    #[must_use]
    pub fn in_steps_of(mut self, step: usize) -> Self {
        self.step = Some(step.max(1));
        self
    }

    /// With a `finish` of each stream that fails.
    #[must_use]
    pub fn fails_to_finish(mut self, error: Error) -> Self {
        self.fails_to_finish = Some(error);
        self
    }

    /// Every stream by name, in the order of creation.
    pub fn seen(&self) -> Vec<(String, Seen)> {
        lock(&self.streams).iter().map(|(name, view)| (name.clone(), view.seen())).collect()
    }

    /// What was backed up, to restore from.
    pub fn inputs(&self) -> MemoryInputs {
        let mut inputs = MemoryInputs::new();
        for (name, seen) in self.seen() {
            inputs = inputs.stream(&name, seen.info, seen.bytes);
        }
        inputs
    }
}

impl Outputs for MemoryOutputs {
    fn create(&self, name: &str, info: StreamInfo) -> Result<Box<dyn Sink>> {
        if let Some(error) = &self.fails_to_create {
            return Err(error.clone());
        }
        let mut streams = lock(&self.streams);
        if streams.iter().any(|(known, _)| known == name) {
            return Err(Error::failed(format!("the stream `{name}` was already created")));
        }
        let (mut sink, view) = TestSink::new();
        lock(&sink.seen).info = info;
        sink.fault = self.fault.clone();
        sink.fails_to_finish = self.fails_to_finish.clone();
        sink.step = self.step.unwrap_or(usize::MAX);
        streams.push((name.to_owned(), view));
        Ok(Box::new(sink))
    }
}

/// Streams in memory, for a source to restore from.
#[derive(Clone, Default)]
pub struct MemoryInputs {
    streams: Vec<(String, StreamInfo, Arc<[u8]>)>,
    faults: BTreeMap<String, At>,
    step: Option<usize>,
}

impl MemoryInputs {
    /// No stream yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a stream.
    #[must_use]
    pub fn stream(mut self, name: &str, info: StreamInfo, bytes: impl Into<Arc<[u8]>>) -> Self {
        self.streams.push((name.to_owned(), info, bytes.into()));
        self
    }

    /// With readers that give at most `step` bytes a call.
    #[must_use]
    pub fn in_steps_of(mut self, step: usize) -> Self {
        self.step = Some(step.max(1));
        self
    }

    /// With `fault` at the byte `offset` of the stream `name`.
    #[must_use]
    pub fn fault_in(mut self, name: &str, offset: usize, fault: Fault) -> Self {
        self.faults.insert(name.to_owned(), At { offset, fault });
        self
    }

    /// The streams' names and lengths in bytes, in order.
    pub fn lengths(&self) -> Vec<(String, usize)> {
        self.streams.iter().map(|(name, _, bytes)| (name.clone(), bytes.len())).collect()
    }
}

impl Inputs for MemoryInputs {
    fn streams(&self) -> Vec<(String, StreamInfo)> {
        self.streams.iter().map(|(name, info, _)| (name.clone(), info.clone())).collect()
    }

    fn open(&self, name: &str) -> Result<Reader> {
        let found = self.streams.iter().find(|(known, ..)| known == name);
        let (_, _, bytes) = found.ok_or_else(|| {
            Error::new(
                windlass_plugin_api::ErrorKind::NotFound,
                format!("no stream `{name}` in the snapshot"),
            )
        })?;
        let mut reader = TestReader::new(bytes.clone());
        reader.fault = self.faults.get(name).cloned();
        reader.step = self.step.unwrap_or(usize::MAX);
        Ok(Box::new(reader))
    }
}
