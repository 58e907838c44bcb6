//! Restore: storage → filters backwards → source. The mirror of [`super::backup`].
//!
//! It destroys nothing on the way: it says what it will overwrite, asks, and applies only what is proved. Where the
//! source applies atomically the end of each stream is held back until the whole is proved; where it doesn't, or only a
//! part is wanted, every stream is read and proved once before it is applied.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use windlass_plugin_api::{
    Error, ErrorKind, Inputs, RawName, RestoreMode, RestoreOptions, Restored, Source, Target,
};

use super::backup::lock_pipeline;
use super::inputs::{Ends, SnapshotInputs};
use super::outputs::OpenStorage;
use super::plan::{Chosen, Engine, Plan};
use super::stored::StoredStream;
use super::verify::{plain_sha256, read_description, stored_stream};
use super::watch::{Limits, supervise};
use crate::catalog::{Manifest, SnapshotId};
use crate::exit::{Exit, Failure, Outcome};
use crate::report::{Event, TargetView, units};
use crate::run::ticker::{Run, Ticker};

/// What the user wants.
#[derive(Clone)]
pub struct Request {
    /// The source that is restored to.
    pub to: Chosen,
    /// What to do with what is there.
    pub mode: RestoreMode,
    /// Only these.
    pub only: Vec<RawName>,
    /// Show what would happen, and stop.
    pub dry_run: bool,
    /// Pipelines that read that source: their backups are kept away meanwhile.
    pub pipelines: Vec<Plan>,
    /// Asks the user whether to go on; `--yes`, a prompt, or a refusal.
    pub confirm: Arc<dyn Fn(&str) -> Outcome<()> + Send + Sync>,
}

/// Restores a snapshot.
pub fn restore(
    engine: &Arc<Engine>,
    storage: &OpenStorage,
    manifest: &Manifest,
    request: &Request,
) -> Outcome<Exit> {
    let run = Run::new(engine, manifest.id.clone());
    let name = manifest.key().to_string();
    let work = {
        let (engine, storage, manifest) = (engine.clone(), storage.clone(), manifest.clone());
        let (request, run) = (request.clone(), run.clone());
        move || apply(&engine, &storage, &manifest, &request, &run)
    };
    let outcome = supervise(&run.cancel, Limits::default(), &run.moved, work).and_then(|outcome| outcome);
    outcome.map_err(|failure| run.faults.cause_of(failure).in_pipeline(&name))
}

/// The whole of a restore, in the order in which data flows.
fn apply(
    engine: &Engine,
    storage: &OpenStorage,
    manifest: &Manifest,
    request: &Request,
    run: &Run,
) -> Outcome<Exit> {
    let reading = run.reading();
    let streams = streams(engine, storage, manifest, run)?;
    let mut source = engine.open_source(&request.to, &run.cx)?;
    check_formats(&request.to, manifest)?;
    let _locks = locks(engine, request, run)?;
    let how = RestoreOptions {
        mode: request.mode,
        only: request.only.clone(),
        snapshot: manifest.id.to_string(),
        contents: Some(streams.1.contents),
        stream_formats: manifest.streams.iter().map(|s| (s.name.clone(), s.stream_format.clone())).collect(),
        ..RestoreOptions::default()
    };
    let inputs = SnapshotInputs::new(streams.0.clone(), reading.clone());
    let prove = || {
        let mut all = streams.0.iter();
        all.try_for_each(|stream| stream.check_plain(&reading)).map_err(Failure::from)
    };
    let job = Job {
        name: manifest.key().to_string(),
        ends: inputs.ends(),
        inputs: &inputs,
        how,
        bytes: manifest.plain_bytes(),
    };
    job.run(engine, request, run, source.as_mut(), prove)
}

/// One restore, whatever its streams come from.
struct Job<'a> {
    name: String,
    inputs: &'a dyn Inputs,
    ends: Ends,
    how: RestoreOptions,
    bytes: u64,
}

impl Job<'_> {
    fn run(
        self,
        engine: &Engine,
        request: &Request,
        run: &Run,
        source: &mut dyn Source,
        prove: impl FnOnce() -> Outcome<()>,
    ) -> Outcome<Exit> {
        let started = Instant::now();
        let stage = request.to.stage();
        let at = |error: Error| Failure::from(error).at(stage.clone());
        let target = source.target(&run.cx, &self.how).map_err(at)?;
        agree(engine, request, &self.name, &target)?;
        if request.dry_run {
            return Ok(Exit::Ok);
        }
        let ticker = Ticker::start(engine, run, "restore", &self.name, Some(self.bytes));
        let is_proved = !target.atomic || !request.only.is_empty();
        if is_proved {
            prove()?;
        }
        let before = run.moved.plain_bytes.load(Ordering::Relaxed);
        let restored = source
            .restore(&run.cx, self.inputs, &self.how)
            .inspect_err(|error| run.faults.note(&stage, error))
            .map_err(at)?;
        if let (false, Some(stream)) = (is_proved, self.ends.unread()) {
            let broken = format!("it says that it is done, but didn't read `{stream}` to its end");
            return Err(at(Error::new(ErrorKind::Broken, broken)));
        }
        drop(ticker);
        let plain_bytes = run.moved.plain_bytes.load(Ordering::Relaxed) - before;
        Ok(tell(engine, &self.name, &restored, plain_bytes, started))
    }
}

/// The snapshot's streams with their running decoders, and the description of the content.
fn streams(
    engine: &Engine,
    storage: &OpenStorage,
    manifest: &Manifest,
    run: &Run,
) -> Outcome<(Vec<StoredStream>, super::verify::Description)> {
    let reading = run.reading();
    for (key, bytes, _) in manifest.objects() {
        let stat = storage.storage.stat(&run.cx, &key);
        let found = stat.map_err(|error| Failure::from(error).at(storage.stage.clone()))?;
        if found.as_ref().map(|object| object.size_bytes) != Some(bytes) {
            let what = if found.is_some() { "has another size than it should" } else { "is missing" };
            return Err(Failure::from(Error::damaged(format!("`{key}` {what}"))).at(storage.stage.clone()));
        }
    }
    let description = read_description(engine, storage, manifest, &reading)?;
    let open = |record: &crate::catalog::StreamRecord| -> Outcome<StoredStream> {
        let plain = plain_sha256(record, Some(&description));
        let mut stream = stored_stream(storage, &manifest.key(), record, plain);
        stream.filters = engine.open_decoders(&record.filters, &run.cx)?;
        Ok(stream)
    };
    let streams = manifest.streams.iter().map(open).collect::<Outcome<_>>()?;
    Ok((streams, description))
}

/// Whatever the manifest says of its source: the one that is restored to must read the formats.
fn check_formats(to: &Chosen, manifest: &Manifest) -> Outcome<()> {
    let unread = manifest.streams.iter().find(|stream| !to.info.reads.contains(&stream.stream_format));
    let Some(stream) = unread else { return Ok(()) };
    let error = Error::new(
        ErrorKind::Unsupported,
        format!("it can't read the stream format `{}` of this snapshot", stream.stream_format),
    );
    Err(Failure::new(Exit::Usage, error).at(to.stage()).hint(format!(
        "It reads {}. `--output FILE` gives the decoded stream to any program.",
        to.info.reads.join(", ")
    )))
}

fn locks(engine: &Engine, request: &Request, run: &Run) -> Outcome<Vec<crate::run::lock::Lock>> {
    let mut locks = Vec::new();
    for plan in &request.pipelines {
        locks.extend(lock_pipeline(engine, plan, "restore", run)?);
    }
    Ok(locks)
}

/// Shows the target, refuses what the mode doesn't allow, asks where something would be overwritten.
fn agree(engine: &Engine, request: &Request, name: &str, target: &Target) -> Outcome<()> {
    let modified = target.modified.and_then(|time| jiff::Timestamp::from_second(time).ok()).map(units::utc);
    engine.report.event(&Event::Target(TargetView {
        snapshot: name.to_owned(),
        place: target.place.clone(),
        empty: target.empty,
        size_bytes: target.size_bytes,
        modified,
        sessions: target.sessions.clone(),
        effects: target.effects.clone(),
        mode: request.mode.as_str(),
        atomic: target.atomic,
    }));
    if target.empty {
        return Ok(());
    }
    if request.mode == RestoreMode::Fail {
        return Err(Failure::refused(format!("`{}` isn't empty", target.place)).at(request.to.stage()).hint(
            "Overwrite it with `--mode replace`, add to it with `--mode merge`, or restore elsewhere with `--to` or `--set`.",
        ));
    }
    if request.dry_run {
        return Ok(());
    }
    (request.confirm)(&format!("{} `{}` with `{name}`?", verb(request.mode), target.place))
}

fn verb(mode: RestoreMode) -> &'static str {
    if mode == RestoreMode::Merge { "Overlay" } else { "Replace" }
}

fn tell(engine: &Engine, name: &str, restored: &Restored, plain_bytes: u64, started: Instant) -> Exit {
    for message in &restored.notes {
        engine.note(name, message);
    }
    for left_out in &restored.left_out {
        engine.warn(name, format!("left out: {left_out}"));
    }
    engine.report.event(&Event::Restored {
        snapshot: name.to_owned(),
        place: restored.place.clone(),
        plain_bytes,
        seconds: started.elapsed().as_secs_f64(),
    });
    if restored.left_out.is_empty() { Exit::Ok } else { Exit::Incomplete }
}

/// A stream without a manifest: a file, or standard input.
pub struct Bare {
    /// How to open it; again only where `again`.
    pub open: Box<dyn Fn() -> windlass_plugin_api::Result<windlass_plugin_api::Reader> + Send + Sync>,
    /// Whether it can be opened more than once.
    pub again: bool,
    /// What to call it.
    pub name: String,
    /// The filters that were applied to it, in order.
    pub filters: Vec<Chosen>,
    /// The format of its plain bytes.
    pub stream_format: String,
}

/// Restores a bare stream. Nothing says what its bytes should be: its filters' own checks are all there is.
pub fn restore_bare(engine: &Arc<Engine>, bare: Bare, request: &Request) -> Outcome<Exit> {
    let run = Run::new(engine, SnapshotId::new(jiff::Timestamp::now()));
    let name = bare.name.clone();
    let (own, request, inner) = (engine.clone(), request.clone(), run.clone());
    let work = move || apply_bare(&own, bare, &request, &inner);
    let outcome = supervise(&run.cancel, Limits::default(), &run.moved, work).and_then(|outcome| outcome);
    outcome.map_err(|failure| run.faults.cause_of(failure).in_pipeline(&name))
}

fn apply_bare(engine: &Engine, bare: Bare, request: &Request, run: &Run) -> Outcome<Exit> {
    let mut source = engine.open_source(&request.to, &run.cx)?;
    let filters =
        bare.filters.iter().map(|chosen| engine.open_filter(chosen, &run.cx)).collect::<Outcome<_>>()?;
    let _locks = locks(engine, request, run)?;
    let how = RestoreOptions {
        mode: request.mode,
        only: request.only.clone(),
        snapshot: run.id.to_string(),
        stream_formats: [(super::bare::STREAM.to_owned(), bare.stream_format.clone())].into(),
        ..RestoreOptions::default()
    };
    let (name, again) = (bare.name.clone(), bare.again);
    let inputs = super::bare::BareInputs::new(bare, filters, run.reading());
    let prove = || {
        if !again {
            return Err(Failure::usage("this restore isn't atomic, so its stream must be read twice")
                .hint("Write it to a file first and restore with `--input FILE`."));
        }
        Ok(inputs.check()?)
    };
    let job = Job { name, ends: inputs.ends(), inputs: &inputs, how, bytes: 0 };
    job.run(engine, request, run, source.as_mut(), prove)
}

/// Decodes one stream of a snapshot into `out`; its last bytes come only once all is proved.
pub fn decode(
    engine: &Engine,
    storage: &OpenStorage,
    manifest: &Manifest,
    stream: Option<&str>,
    out: &mut dyn std::io::Write,
) -> Outcome<u64> {
    let run = Run::new(engine, manifest.id.clone());
    let name = manifest.key().to_string();
    let mut work = || -> Outcome<u64> {
        let (streams, _) = streams(engine, storage, manifest, &run)?;
        let chosen = match (stream, streams.as_slice()) {
            (Some(wanted), all) => all.iter().find(|stream| stream.record.name == wanted),
            (None, [only]) => Some(only),
            (None, _) => None,
        };
        let Some(chosen) = chosen else {
            let names: Vec<&str> = streams.iter().map(|stream| stream.record.name.as_str()).collect();
            return Err(Failure::usage(format!("the snapshot has the streams {}", names.join(", ")))
                .hint("Choose one with `--only STREAM`."));
        };
        let _ticker = Ticker::start(engine, &run, "restore", &name, Some(chosen.record.plain_bytes));
        let mut reader = chosen.open(&run.reading())?;
        let count = std::io::copy(&mut reader, out).map_err(|error| Failure::from(Error::from(error)))?;
        out.flush()?;
        Ok(count)
    };
    work().map_err(|failure| run.faults.cause_of(failure).in_pipeline(&name))
}

/// A lock that a restore waits for: not at all.
pub const NO_WAIT: Duration = Duration::ZERO;
