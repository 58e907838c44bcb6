//! The storage's end of a chain.
//!
//! The host keeps every upload in its own hand: a chain only writes into it and finishes it. So a filter can't publish, a
//! run that fails after its streams have finished leaves nothing visible, and a plugin that never comes back can't keep
//! an upload open. What goes to several storages at the same time parts in [`super::fan_out`].

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use windlass_plugin_api::{Error, ErrorKind, Finished, Result, Sink, Stored, Upload};

enum State {
    Open(Box<dyn Upload>),
    Finished(Box<dyn Upload>),
    Gone,
}

/// An upload that a chain writes to and only the host publishes or aborts.
pub struct Landing(Mutex<State>);

impl Landing {
    /// Takes an upload in hand.
    pub fn new(upload: Box<dyn Upload>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State::Open(upload))))
    }

    /// The writing end for a chain. Dropping it doesn't abort: the host does that for the whole run.
    pub fn sink(self: &Arc<Self>) -> Box<dyn Sink> {
        Box::new(LandingSink(self.clone()))
    }

    /// Aborts what isn't published. If a write is stuck in the storage the upload is left to the next run's clean-up.
    pub fn abort(&self) {
        if let Ok(mut state) = self.0.try_lock() {
            *state = State::Gone;
        }
    }

    /// Publishes a finished upload.
    pub fn publish(&self) -> Result<Stored> {
        let mut state = self.lock();
        match std::mem::replace(&mut *state, State::Gone) {
            State::Finished(upload) => upload.publish(),
            _ => Err(Error::new(ErrorKind::Broken, "an upload that isn't finished can't be published")),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_open<T>(&self, work: impl FnOnce(&mut Box<dyn Upload>) -> io::Result<T>) -> io::Result<T> {
        match &mut *self.lock() {
            State::Open(upload) => work(upload),
            // After an abort whatever a codec's destructor still writes is ignored by failing.
            _ => Err(Error::cancelled().into_io()),
        }
    }
}

struct LandingSink(Arc<Landing>);

impl Write for LandingSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.with_open(|upload| upload.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for LandingSink {
    fn finish(&mut self) -> Result<Finished> {
        self.0.with_open(|upload| Ok(upload.finish()?))?;
        let mut state = self.0.lock();
        *state = match std::mem::replace(&mut *state, State::Gone) {
            State::Open(upload) => State::Finished(upload),
            other => other,
        };
        Ok(Finished::default())
    }
}
