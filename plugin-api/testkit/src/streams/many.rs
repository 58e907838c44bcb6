//! Several streams by name: what a source backs up to and restores from.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use windlass_plugin_api::{Error, ErrorKind, Inputs, Outputs, Reader, Result, Sink, StreamInfo};

use super::{At, Fault, Seen, SinkView, TestReader, TestSink, lock};

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
        let (_, _, bytes) = found
            .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("no stream `{name}` in the snapshot")))?;
        let mut reader = TestReader::new(bytes.clone());
        reader.fault = self.faults.get(name).cloned();
        reader.step = self.step.unwrap_or(usize::MAX);
        Ok(Box::new(reader))
    }
}
