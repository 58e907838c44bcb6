//! The writing end of one stream: keeps what it is given.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use windlass_plugin_api::{Error, Finished, Result, Sink, StreamInfo};

use super::{At, Fault, lock};

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

/// A sink that keeps what it is given.
pub struct TestSink {
    pub(super) seen: Shared,
    pub(super) fault: Option<At>,
    pub(super) fails_to_finish: Option<Error>,
    pub(super) step: usize,
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
