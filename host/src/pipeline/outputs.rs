//! Where a source puts its streams during a backup.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use windlass_plugin_api::{
    Context, CreateOptions, Error, ErrorKind, Outputs, Result, Sink, Storage, Stored, StreamInfo,
};

use super::chain::{Stacked, encoders};
use super::fan::Fan;
use super::fan_out::{Berth, End, FanOut};
use super::faults::Faults;
use super::hop::WriteHop;
use super::landed;
use super::meter::{Moved, PlainMeter, Slate, StoredMeter};
use crate::catalog::manifest::{BLOCK_BYTES, object_name};
use crate::catalog::snapshot::is_stream_name;
use crate::catalog::{AppliedFilter, SnapshotKey, StreamRecord};
use crate::exit::Stage;
use crate::run::cancel::Cancel;

/// A storage that a run writes to.
#[derive(Clone)]
pub struct OpenStorage {
    /// The config's name, or the URL without secrets.
    pub name: String,
    /// The storage.
    pub storage: Arc<dyn Storage>,
    /// Its stage, for errors.
    pub stage: Stage,
    /// What tells this storage from another: for locks and records.
    pub identity: String,
}

/// What all streams of a run share.
#[derive(Clone)]
pub struct Writing {
    /// What plugins get.
    pub cx: Context,
    /// The run's switch.
    pub cancel: Arc<Cancel>,
    /// Bytes moved.
    pub moved: Arc<Moved>,
    /// The first fault.
    pub faults: Faults,
    /// Where the snapshot will lie.
    pub key: SnapshotKey,
    /// The filters.
    pub filters: Vec<Stacked>,
    /// About how large the source is.
    pub estimate_bytes: Option<u64>,
    /// The storages.
    pub fan: Arc<Fan>,
}

/// A stream under way.
struct Stream {
    name: String,
    info: StreamInfo,
    filters: Vec<Stacked>,
    slate: Slate,
    berths: Vec<Berth>,
}

/// The streams of a run. Finished ones are durable and invisible until [`publish`](Self::publish).
pub struct SnapshotOutputs {
    writing: Writing,
    streams: Mutex<Vec<Stream>>,
    closed: AtomicBool,
    is_shown: AtomicBool,
}

impl SnapshotOutputs {
    /// No streams yet.
    pub fn new(writing: Writing) -> Self {
        let (closed, is_shown) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { writing, streams: Mutex::default(), closed, is_shown }
    }

    /// Opens an object that passes the filters, or none if `filtered` is false. The host's own objects are small.
    pub fn create_own(&self, name: &str, info: StreamInfo, filtered: bool) -> Result<Box<dyn Sink>> {
        let filters = if filtered { self.writing.filters.clone() } else { Vec::new() };
        self.add(name, info, filters, true)
    }

    fn add(
        &self,
        name: &str,
        info: StreamInfo,
        filters: Vec<Stacked>,
        is_small: bool,
    ) -> Result<Box<dyn Sink>> {
        let mut streams = self.lock();
        if streams.iter().any(|stream| stream.name == name) {
            return Err(Error::new(
                ErrorKind::Broken,
                format!("the source created the stream `{name}` twice"),
            ));
        }
        let object = object_name(name, filters.iter().map(|filter| filter.applied.suffix.as_str()));
        // The whole of a backup is no less than any stream of it.
        let about = info.size_hint.or(self.writing.estimate_bytes.filter(|_| !is_small));
        let (size_hint, made_of_bytes) = match filters.is_empty() {
            true => (info.size_hint, about),
            false => (None, about),
        };
        // What a source writes as it is comes fast enough to be hashed and written by two threads; behind a codec one does both.
        let is_alone = |count: usize| is_small || (count == 1 && !filters.is_empty());
        let (berths, ends) = self.land(&object, (size_hint, made_of_bytes), is_alone)?;
        let slate = Slate::default();
        let sink = self.chain(name, &filters, ends, &slate, is_small).inspect_err(|_| {
            berths.iter().for_each(Berth::abort);
        })?;
        streams.push(Stream { name: name.to_owned(), info, filters, slate, berths });
        Ok(sink)
    }

    /// An upload of `object` in every storage, and its writing ends.
    fn land(
        &self,
        object: &str,
        (size_hint, made_of_bytes): (Option<u64>, Option<u64>),
        is_alone: impl Fn(usize) -> bool,
    ) -> Result<(Vec<Berth>, Vec<End>)> {
        let writing = &self.writing;
        let how = CreateOptions {
            if_absent: true,
            size_hint,
            made_of_bytes,
            run: writing.key.id.to_string(),
            ..CreateOptions::default()
        };
        Berth::begin(&writing.fan, &writing.key.object(object), &how, is_alone, &writing.faults)
    }

    fn chain(
        &self,
        name: &str,
        filters: &[Stacked],
        ends: Vec<End>,
        slate: &Slate,
        is_small: bool,
    ) -> Result<Box<dyn Sink>> {
        let writing = &self.writing;
        let stored = Box::new(StoredMeter::new(FanOut::over(ends), slate, &writing.moved));
        let encoded = encoders(filters, &writing.cx, name, stored, slate, &writing.faults, is_small)?;
        let (moved, cancel) = (&writing.moved, &writing.cancel);
        let metered = |next| Box::new(PlainMeter::new(next, slate, moved, cancel, filters.is_empty()));
        let hop = |next, first: &Stacked| WriteHop::new(next, &first.applied.plugin).map(Box::new);
        // The plain bytes are hashed by the first filter's thread: most compress on others, while the source has enough to
        // do. One that encrypts does so on its own: before it, the source's thread hashes.
        match filters.first().filter(|_| !is_small) {
            Some(first) if first.applied.encrypts => Ok(metered(hop(encoded, first)?)),
            Some(first) => Ok(hop(metered(encoded), first)?),
            None => Ok(metered(encoded)),
        }
    }

    /// No stream may be created any more; every one must have finished.
    pub fn close(&self) -> Result<()> {
        self.closed.store(true, Ordering::Release);
        let unfinished = |stream: &&Stream| !stream.slate.lock().finished;
        match self.lock().iter().find(unfinished) {
            Some(stream) => Err(Error::new(
                ErrorKind::Broken,
                format!("the source returned without finishing its stream `{}`", stream.name),
            )),
            None => Ok(()),
        }
    }

    /// What the manifest says of the finished stream `name`, with the hash of its plain bytes.
    pub fn records(&self) -> Vec<(StreamRecord, String)> {
        self.lock().iter().map(Stream::record).collect()
    }

    /// Whether anything may be visible. Where nothing is, a failed run needs no right to list or to delete.
    pub fn is_shown(&self) -> bool {
        self.is_shown.load(Ordering::Acquire)
    }

    /// Publishes every finished object, in every storage; first in those that the run can't do without.
    pub fn publish(&self) -> Result<()> {
        self.is_shown.store(true, Ordering::Release);
        for stream in self.lock().iter() {
            for is_required in [true, false] {
                for berth in stream.berths.iter().filter(|berth| berth.member.is_required() == is_required) {
                    self.writing.cx.go_on()?;
                    berth.publish(|stored| stream.check(stored))?;
                }
            }
        }
        Ok(())
    }

    /// Looks whether what was published is there, in every storage.
    pub fn look(&self) -> Result<()> {
        let writing = &self.writing;
        let published = |stream: &Stream| {
            let object =
                object_name(&stream.name, stream.filters.iter().map(|filter| filter.applied.suffix.as_str()));
            (writing.key.object(&object), stream.slate.lock().stored_bytes)
        };
        let published: Vec<(String, u64)> = self.lock().iter().map(published).collect();
        let (prefix, cancel) = (writing.key.prefix(), writing.cancel.clone());
        let look = move |open: OpenStorage, cx: Context| {
            landed::look(open.storage.as_ref(), &prefix, &published, (&cx, &cancel))
        };
        writing.fan.each(look).map(drop)
    }

    /// Aborts every upload that isn't published.
    pub fn abort(&self) {
        self.closed.store(true, Ordering::Release);
        // A source that was left behind may be creating a stream now: then it is the next run that cleans up.
        if let Ok(streams) = self.streams.try_lock() {
            streams.iter().flat_map(|stream| &stream.berths).for_each(Berth::abort);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Stream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream {
    /// A storage that says something else than it was given hasn't kept it.
    fn check(&self, stored: &Stored) -> Result<()> {
        let (given, kept) = (self.slate.lock().stored_bytes, stored.size_bytes);
        if kept == given {
            return Ok(());
        }
        let what = format!("it says that it stored {kept} bytes of `{}` instead of {given}", self.name);
        Err(Error::new(ErrorKind::Broken, what))
    }

    fn record(&self) -> (StreamRecord, String) {
        let measured = self.slate.lock().clone();
        let params = measured.params.into_iter();
        let filters: Vec<AppliedFilter> = self
            .filters
            .iter()
            .zip(params)
            .map(|(stacked, params)| stacked.applied.clone().recorded(params))
            .collect();
        let encrypted = filters.iter().any(|filter| filter.encrypts);
        let plain_sha256 = measured.plain_sha256.unwrap_or_else(|| measured.stored_sha256.clone());
        let record = StreamRecord {
            name: self.name.clone(),
            stream_format: self.info.stream_format.clone(),
            filters,
            stored_bytes: measured.stored_bytes,
            stored_sha256: measured.stored_sha256,
            sha256_states: measured.sha256_states,
            block_bytes: BLOCK_BYTES,
            plain_bytes: measured.plain_bytes,
            plain_sha256: (!encrypted).then(|| plain_sha256.clone()),
        };
        (record, plain_sha256)
    }
}

impl Outputs for SnapshotOutputs {
    fn create(&self, name: &str, info: StreamInfo) -> Result<Box<dyn Sink>> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::cancelled());
        }
        if !is_stream_name(name) {
            return Err(Error::new(ErrorKind::Broken, format!("`{name}` is not a stream name"))
                .hint("Stream names match `[a-z0-9][a-z0-9-]{0,31}`."));
        }
        self.add(name, info, self.writing.filters.clone(), false)
    }
}
