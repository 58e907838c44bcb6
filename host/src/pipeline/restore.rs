//! Restore: storage → filters backwards → source. The mirror of [`super::backup`].
//!
//! It destroys nothing on the way: it says what it will overwrite, asks, and applies only what is proved. Where the
//! source applies atomically the end of each stream is held back until the whole is proved; where it doesn't, or only a
//! part is wanted, every stream is read and proved once before it is applied.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use windlass_plugin_api::{
    Error, ErrorKind, Inputs, RawName, RestoreMode, RestoreOptions, Restored, Source, Target,
};

use super::backup::lock_pipeline;
use super::copies::{Copies, Held};
use super::inputs::{Ends, SnapshotInputs};
use super::plan::{Chosen, Engine, Plan};
use super::run::{Run, Ticker};
use super::stored::StoredStream;
use super::verify::{plain_sha256, read_description, stored_stream};
use super::watch::{Limits, supervise};
use crate::catalog::{Manifest, StreamRecord};
use crate::exit::{Exit, Failure, Outcome};
use crate::report::{Event, TargetView, units};

/// Asks the user a question; anything but a yes is an error.
pub type Confirm = Arc<dyn Fn(&str) -> Outcome<()> + Send + Sync>;

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
    pub confirm: Confirm,
}

/// Restores a snapshot.
pub fn restore(engine: &Arc<Engine>, held: &Held, request: &Request) -> Outcome<Exit> {
    let run = Run::new(engine, held.manifest.id.clone());
    let name = held.manifest.key().to_string();
    let work = {
        let (engine, held) = (engine.clone(), held.clone());
        let (request, run) = (request.clone(), run.clone());
        move || apply(&engine, &held, &request, &run)
    };
    let outcome = supervise(&run.cancel, Limits::default(), &run.moved, work).and_then(|outcome| outcome);
    outcome.map_err(|failure| run.faults.cause_of(failure).in_pipeline(&name))
}

/// The whole of a restore, in the order in which data flows.
fn apply(engine: &Engine, held: &Held, request: &Request, run: &Run) -> Outcome<Exit> {
    let (reading, manifest) = (run.reading(), &held.manifest);
    let streams = streams(engine, held, run)?;
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
    let ends = inputs.ends();
    let prove = || {
        // What a preview has read to its end is proved.
        let mut rest = streams.0.iter().filter(|stream| !ends.has_ended(&stream.record.name));
        rest.try_for_each(|stream| stream.check_plain(&reading)).map_err(Failure::from)
    };
    let job = Job {
        name: manifest.key().to_string(),
        ends: inputs.ends(),
        again: true,
        inputs: &inputs,
        how,
        bytes: manifest.plain_bytes(),
    };
    job.run(engine, request, run, source.as_mut(), prove)
}

/// One restore, whatever its streams come from.
pub(super) struct Job<'a> {
    /// What is restored.
    pub name: String,
    /// Its streams.
    pub inputs: &'a dyn Inputs,
    /// Which of them were read to their end.
    pub ends: Ends,
    /// Whether they can be read more than once.
    pub again: bool,
    /// How to restore.
    pub how: RestoreOptions,
    /// Plain bytes in all, if known.
    pub bytes: u64,
}

impl Job<'_> {
    /// Shows the target, asks, and lets the source read. `prove` reads every stream once for nobody.
    pub fn run(
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
        let mut target = source.target(&run.cx, &self.how).map_err(at)?;
        if !target.empty && request.mode != RestoreMode::Fail && self.again {
            let effects = source.preview(&run.cx, self.inputs, &self.how);
            let effects = effects.inspect_err(|error| run.faults.note(&stage, error));
            target.effects.extend(effects.map_err(at)?);
        }
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
pub(super) fn streams(
    engine: &Engine,
    held: &Held,
    run: &Run,
) -> Outcome<(Vec<StoredStream>, super::verify::Description)> {
    let (reading, manifest, notes) = (run.reading(), &held.manifest, held.notes(engine));
    let holding = |(key, bytes, _): (String, u64, &str)| {
        let copies = held.holding(&key, bytes, &notes, run);
        copies.map_err(|(error, open)| Failure::from(error).at(open.stage))
    };
    // In the order of `objects`: the streams, the description, the instructions.
    let mut copies = manifest.objects().into_iter().map(holding).collect::<Outcome<Vec<Copies>>>()?;
    let of_streams: Vec<Copies> = copies.drain(..manifest.streams.len()).collect();
    let description = read_description(engine, copies.swap_remove(0), manifest, &reading)?;
    let open = |(record, copies): (&StreamRecord, Copies)| -> Outcome<StoredStream> {
        let plain = plain_sha256(record, Some(&description));
        let mut stream = stored_stream(copies, &manifest.key(), record, plain);
        stream.filters = engine.open_decoders(&record.filters, &run.cx)?;
        Ok(stream)
    };
    let streams = manifest.streams.iter().zip(of_streams).map(open).collect::<Outcome<_>>()?;
    Ok((streams, description))
}

/// Whatever the manifest says of its source: the one that is restored to must read the formats.
fn check_formats(to: &Chosen, manifest: &Manifest) -> Outcome<()> {
    let unread = manifest.streams.iter().find(|stream| !to.info.can_read(&stream.stream_format));
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

pub(super) fn locks(engine: &Engine, request: &Request, run: &Run) -> Outcome<Vec<crate::run::lock::Lock>> {
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
