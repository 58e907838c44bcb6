//! Which stage failed first.
//!
//! A storage that is full makes the filter before it fail, and that the source: each hands the error on, some as mere
//! text. The host wraps every stage, and the first to fail is the one to report.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use windlass_plugin_api::{Error, ErrorKind, Finished, Reader, Result, Sink};

use crate::exit::{Failure, Stage};
use crate::run::cancel::Cancel;

/// The first fault of a run.
#[derive(Clone)]
pub struct Faults {
    first: Arc<Mutex<Option<(Stage, Error)>>>,
    cancel: Arc<Cancel>,
}

impl Faults {
    /// No fault yet in the run that `cancel` ends.
    pub fn new(cancel: &Arc<Cancel>) -> Self {
        Self { first: Arc::default(), cancel: cancel.clone() }
    }

    /// Notes that `stage` failed, unless another was first. Being cancelled isn't a fault, nor what comes of it.
    pub fn note(&self, stage: &Stage, error: &Error) {
        if error.kind != ErrorKind::Cancelled && !self.cancel.cancelled() {
            self.first
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get_or_insert_with(|| (stage.clone(), error.clone()));
        }
    }

    /// What the run fails with: its first fault, else why it was cancelled, else `failure` itself.
    pub fn cause_of(&self, failure: Failure) -> Failure {
        let noted = self.first.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match (noted, self.cancel.reason()) {
            (Some((stage, error)), _) => Failure::from(error).at(stage),
            (None, Some(reason)) => {
                let cause = reason.failure();
                failure.error.hint.into_iter().fold(cause, Failure::hint)
            }
            (None, None) => failure,
        }
    }

    fn io(&self, stage: &Stage, error: io::Error) -> io::Error {
        if error.kind() == io::ErrorKind::Interrupted {
            return error;
        }
        let error = Error::from(error);
        self.note(stage, &error);
        error.into_io()
    }
}

/// A sink or reader whose errors are noted under its stage.
pub struct Watched<T> {
    inner: T,
    stage: Stage,
    faults: Faults,
}

impl<T> Watched<T> {
    /// Watches `inner` as `stage`.
    pub fn new(inner: T, stage: &Stage, faults: &Faults) -> Self {
        Self { inner, stage: stage.clone(), faults: faults.clone() }
    }
}

impl Write for Watched<Box<dyn Sink>> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes).map_err(|error| self.faults.io(&self.stage, error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush().map_err(|error| self.faults.io(&self.stage, error))
    }
}

impl Sink for Watched<Box<dyn Sink>> {
    fn finish(&mut self) -> Result<Finished> {
        self.inner.finish().inspect_err(|error| self.faults.note(&self.stage, error))
    }
}

impl Read for Watched<Reader> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).map_err(|error| self.faults.io(&self.stage, error))
    }
}
