//! One run: its id, its switch, what it has moved; and the ticker that tells how far it is.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use windlass_plugin_api::Context;

use super::chain::Stacked;
use super::fan::Fan;
use super::faults::Faults;
use super::meter::Moved;
use super::outputs::Writing;
use super::plan::Engine;
use super::stored::Reading;
use crate::catalog::{SnapshotId, SnapshotKey};
use crate::report::{Event, Report};
use crate::run::cancel::{Cancel, ChildGuard};

/// One run of one pipeline. Cheap to clone.
#[derive(Clone)]
pub struct Run {
    /// The id of the snapshot that it makes or reads.
    pub id: SnapshotId,
    /// Its switch: turns with the process's.
    pub cancel: Arc<Cancel>,
    /// What plugins get.
    pub cx: Context,
    /// Bytes moved.
    pub moved: Arc<Moved>,
    /// The first fault.
    pub faults: Faults,
    _guard: Arc<ChildGuard>,
}

impl Run {
    /// A run of `engine`.
    pub fn new(engine: &Engine, id: SnapshotId) -> Self {
        let (cancel, guard) = engine.cancel.child();
        let cx = engine.context(id.as_str(), &cancel);
        let moved = Moved { paced: engine.limiters.paced(id.as_str()), ..Moved::default() };
        Self { id, cx, moved: Arc::new(moved), faults: Faults::new(&cancel), cancel, _guard: Arc::new(guard) }
    }

    /// Where its snapshot lies.
    pub fn key(&self, engine: &Engine, pipeline: &str) -> SnapshotKey {
        SnapshotKey { host: engine.host.clone(), pipeline: pipeline.to_owned(), id: self.id.clone() }
    }

    /// What surrounds its reading.
    pub fn reading(&self) -> Reading {
        Reading {
            cx: self.cx.clone(),
            cancel: self.cancel.clone(),
            moved: self.moved.clone(),
            faults: self.faults.clone(),
        }
    }
}

impl Writing {
    /// What the streams of `run` share, of a source of about `estimate_bytes`.
    pub fn new(
        run: &Run,
        key: SnapshotKey,
        filters: Vec<Stacked>,
        fan: Arc<Fan>,
        estimate_bytes: Option<u64>,
    ) -> Self {
        Self {
            cx: run.cx.clone(),
            cancel: run.cancel.clone(),
            moved: run.moved.clone(),
            faults: run.faults.clone(),
            key,
            filters,
            estimate_bytes,
            fan,
        }
    }
}

/// How often progress is told.
const TICK: Duration = Duration::from_millis(200);

/// Tells how many bytes have moved until it is dropped.
pub struct Ticker {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    report: Arc<dyn Report>,
    run: String,
}

impl Ticker {
    /// Tells that `command` began on `name`, and from then on how far it is.
    pub fn start(
        engine: &Engine,
        run: &Run,
        command: &'static str,
        name: &str,
        estimate_bytes: Option<u64>,
    ) -> Self {
        let (report, id) = (engine.report.clone(), run.id.to_string());
        report.event(&Event::Started { command, name: name.to_owned(), run: id.clone(), estimate_bytes });
        let (stop, stopped) = channel::<()>();
        let (told, moved, of) = (report.clone(), run.moved.clone(), id.clone());
        let thread = std::thread::Builder::new().name("ticker".into()).spawn(move || {
            while stopped.recv_timeout(TICK) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                told.event(&Event::Bytes {
                    run: of.clone(),
                    plain_bytes: moved.plain_bytes.load(Ordering::Relaxed),
                    stored_bytes: moved.stored_bytes.load(Ordering::Relaxed),
                });
            }
        });
        Self { stop: Some(stop), thread: thread.ok(), report, run: id }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.report.event(&Event::Ended { run: self.run.clone() });
    }
}
