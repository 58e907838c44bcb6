//! Filters around each other, with a watch on each and a hop between.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Map;
use windlass_plugin_api::{Context, Filter, Finished, Reader, Result, Sink};

use super::faults::{Faults, Watched};
use super::hop::{ReadHop, WriteHop};
use super::meter::Slate;
use crate::catalog::AppliedFilter;
use crate::exit::Stage;

/// A filter that runs, and what a manifest says of it.
#[derive(Clone)]
pub struct Stacked {
    /// The filter.
    pub filter: Arc<dyn Filter>,
    /// Its stage, for errors.
    pub stage: Stage,
    /// Full name, version, suffix, whether it encrypts; params and recipients are a stream's.
    pub applied: AppliedFilter,
}

/// The encoders of one stream: what is written to the result passes `filters` in order, then goes to `last`.
/// What each encoder wants recorded goes to the slate when the chain finishes.
///
/// Every stage works on a thread of its own behind a hop, unless `is_small`; the first is left to the caller.
pub fn encoders(
    filters: &[Stacked],
    cx: &Context,
    stream: &str,
    last: Box<dyn Sink>,
    slate: &Slate,
    faults: &Faults,
    is_small: bool,
) -> Result<Box<dyn Sink>> {
    slate.lock().params = vec![Map::new(); filters.len()];
    let hop = |next: Box<dyn Sink>, name: &str| -> Result<Box<dyn Sink>> {
        if is_small { Ok(next) } else { Ok(Box::new(WriteHop::new(next, name)?)) }
    };
    let mut next = hop(last, if filters.is_empty() { "hash" } else { "storage" })?;
    for (place, stacked) in filters.iter().enumerate().rev() {
        let encoder = stacked
            .filter
            .encode(cx, stream, next)
            .inspect_err(|error| faults.note(&stacked.stage, error))?;
        let watched = Box::new(Watched::new(encoder, &stacked.stage, faults));
        let noted: Box<dyn Sink> = Box::new(Noted { inner: watched, slate: slate.clone(), place });
        next = if place == 0 { noted } else { hop(noted, &stacked.applied.plugin)? };
    }
    Ok(next)
}

/// Writes down what an encoder says when it finishes.
struct Noted {
    inner: Box<dyn Sink>,
    slate: Slate,
    place: usize,
}

impl std::io::Write for Noted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

impl Sink for Noted {
    fn finish(&mut self) -> Result<Finished> {
        let finished = self.inner.finish()?;
        self.slate.lock().params[self.place] = finished.params.clone();
        Ok(finished)
    }
}

/// The decoders of one stream: `input` is read through `filters` backwards. With them comes the rest of `input` that they
/// may leave unread.
pub fn decoders(
    filters: &[Stacked],
    cx: &Context,
    stream: &str,
    input: Reader,
    faults: &Faults,
) -> Result<(Reader, Rest)> {
    let (mut reader, rest) = Rest::of(Box::new(ReadHop::new(input, "storage")?));
    for stacked in filters.iter().rev() {
        let decoder = stacked
            .filter
            .decode(cx, stream, &stacked.applied.decoder_params(), reader)
            .inspect_err(|error| faults.note(&stacked.stage, error))?;
        let watched = Box::new(Watched::new(decoder, &stacked.stage, faults));
        reader = Box::new(ReadHop::new(watched, &stacked.applied.plugin)?);
    }
    Ok((reader, rest))
}

/// What a decoder leaves unread of its input must not hide: shared with whoever proves the stream.
#[derive(Clone)]
pub struct Rest(Arc<Mutex<Option<Reader>>>);

impl Rest {
    /// Splits `input` into a reader for a decoder and the rest that it leaves.
    pub fn of(input: Reader) -> (Reader, Self) {
        let rest = Self(Arc::new(Mutex::new(Some(input))));
        let reader: Reader = Box::new(rest.clone());
        (reader, rest)
    }

    /// Reads what is left to the end.
    pub fn drain(&self) -> std::io::Result<u64> {
        std::io::copy(&mut self.clone(), &mut std::io::sink())
    }
}

impl std::io::Read for Rest {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut input = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        input.as_mut().map_or(Ok(0), |input| input.read(buffer))
    }
}
