//! Check: tests the setup of a pipeline without making a snapshot.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde_json::{Map, Value};
use windlass_plugin_api::{Context, Error, ErrorKind, Finished, Result, Sink};

use super::chain::{Stacked, decoders, encoders};
use super::faults::Faults;
use super::meter::Slate;
use super::outputs::OpenStorage;
use super::plan::{Chosen, Engine, Plan};
use super::run::Run;
use super::sense;
use crate::catalog::snapshot::{RESTORE_TXT, pipeline_prefix};
use crate::catalog::{Catalog, SnapshotId};
use crate::exit::{Exit, Failure, Outcome};
use crate::report::{Checked, Event, units};

/// The option of a filter that names files of private keys.
const IDENTITY_FILES: &str = "identity_files";

/// Checks one pipeline, telling each part as [`Event::Checked`]. A part that fails doesn't keep the others from being
/// checked; with `offline` nothing outside of this machine's config and plugins is asked.
pub fn check(engine: &Engine, plan: &Plan, offline: bool) -> Exit {
    let run = Run::new(engine, SnapshotId::new(Timestamp::now()));
    let mut exit = Exit::Ok;
    let mut tell_as = |what: String, grave: Exit, outcome: Outcome<Vec<String>>| {
        let ok = outcome.is_ok();
        let details = match outcome {
            Ok(details) => details,
            Err(failure) => {
                exit = exit.and(if failure.exit == Exit::Usage { Exit::Usage } else { grave });
                let hint = failure.error.hint.clone();
                std::iter::once(failure.to_string()).chain(hint).collect()
            }
        };
        engine.report.event(&Event::Checked(Checked { what, ok, details }));
        ok
    };
    let mut tell = |what, outcome| tell_as(what, Exit::Failed, outcome);
    let odd = sense::order(&plan.filters).into_iter().map(|odd| format!("warning: {odd}"));
    tell(format!("pipeline {}", plan.pipeline), Ok(plan.notes.iter().cloned().chain(odd).collect()));
    tell(part("source", &plan.source), source(engine, plan, offline, &run.cx));
    tell("filters".to_owned(), filters(engine, plan, &run));
    let mut left = plan.storages.len();
    for (index, chosen) in plan.storages.iter().enumerate() {
        let outcome = storage(engine, plan, chosen, offline, &run.cx);
        left -= usize::from(outcome.is_err());
        // A backup goes on without it.
        let spared = plan.rules.patience[index].is_some() && left >= plan.rules.least;
        let grave = if spared { Exit::Incomplete } else { Exit::Failed };
        tell_as(format!("storage {}", plan.rules.described(index, chosen)), grave, outcome);
    }
    exit
}

fn part(kind: &str, chosen: &Chosen) -> String {
    format!("{kind} {}", chosen.described())
}

fn source(engine: &Engine, plan: &Plan, offline: bool, cx: &Context) -> Outcome<Vec<String>> {
    let mut source = engine.open_source(&plan.source, cx)?;
    if offline {
        return Ok(vec!["not asked (--offline)".to_owned()]);
    }
    let mut items = Vec::new();
    if let Some(each) = &plan.each {
        let all = source.discover(cx)?;
        let taken: Vec<&str> =
            all.iter().map(|item| item.name.as_str()).filter(|name| each.takes(name)).collect();
        items.push(format!("`each` takes {} of the {} items that it has", taken.len(), all.len()));
        if taken.is_empty() {
            return Err(Failure::from(Error::new(ErrorKind::NotFound, items.remove(0))));
        }
        items.extend(twins(taken).into_iter().map(|(one, other)| {
            format!("warning: the items `{one}` and `{other}` differ only by case: {TWINS}")
        }));
    }
    let probe = source.probe(cx)?;
    let mut details: Vec<String> =
        probe.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    details.extend(items);
    details.extend(probe.estimate_bytes.map(|bytes| format!("about {}", units::bytes(bytes))));
    details.extend(probe.notes);
    details.extend(probe.warnings.into_iter().map(|warning| format!("warning: {warning}")));
    details.extend(probe.missing.into_iter().map(|missing| format!("it won't be in the backup: {missing}")));
    Ok(details)
}

/// Why names that differ only by case are told. Which storage it concerns nobody knows: a share looks like any other folder.
const TWINS: &str = "a storage that takes them for one name, as many drives and shares do, refuses the second or mixes \
                     their snapshots; give one of them a storage or a prefix of its own";

/// Those of the names that differ only by case from one before them. Only hosts and items of an `each` may have capitals.
fn twins(names: Vec<&str>) -> Vec<(&str, &str)> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    let twin = |name| Some((seen.insert(str::to_lowercase(name), name)?, name));
    names.into_iter().filter_map(twin).collect()
}

/// Encodes a sample and decodes it again: the bytes must come back. What encrypts is decoded with the keys of a restore,
/// and a machine may have none.
fn filters(engine: &Engine, plan: &Plan, run: &Run) -> Outcome<Vec<String>> {
    if plan.filters.is_empty() {
        return Ok(vec!["none: what is stored is as it came".to_owned()]);
    }
    let filters: Vec<Stacked> =
        plan.filters.iter().map(|chosen| engine.open_filter(chosen, &run.cx)).collect::<Outcome<_>>()?;
    let (stored, params) = encoded(&filters, run)?;
    let names: Vec<String> = plan.filters.iter().map(Chosen::described).collect();
    let (names, sizes) = (names.join(", "), format!("{SAMPLE_BYTES} → {} bytes", stored.len()));
    let unproved = |why: &[String]| {
        let why = format!("can't prove that it can be decoded, no identity here: {}", why.join("; "));
        Ok(vec![format!("{names}: a sample was encoded ({sizes})"), why])
    };
    let mut stacked = filters;
    let mut missing = Vec::new();
    for ((filter, params), chosen) in stacked.iter_mut().zip(params).zip(&plan.filters) {
        filter.applied = filter.applied.clone().recorded(params);
        if filter.applied.encrypts {
            let keyed = with_keys(engine, chosen, &run.cx, &mut missing)?;
            let Some(keyed) = keyed else { return unproved(&missing) };
            filter.filter = keyed.filter;
        }
    }
    let faults = Faults::new(&run.cancel);
    let is_encrypted = stacked.iter().any(|filter| filter.applied.encrypts);
    let decode = || -> Result<Vec<u8>> {
        let input = Box::new(io::Cursor::new(stored));
        let (mut reader, _) = decoders(&stacked, &run.cx, "check", input, &faults)?;
        let mut back = Vec::new();
        reader.read_to_end(&mut back)?;
        Ok(back)
    };
    let back = match decode().map_err(|error| faults.cause_of(error.into())) {
        Err(failure) if is_encrypted && failure.error.kind == ErrorKind::Denied => {
            missing.insert(0, failure.to_string());
            return unproved(&missing);
        }
        back => back?,
    };
    if back != sample() {
        return Err(Failure::from(Error::damaged("a sample doesn't come back as it was")));
    }
    Ok(vec![format!("{names}: a sample came back ({sizes})")])
}

/// How much is encoded to see whether it can be.
const SAMPLE_BYTES: u32 = 100_000;

fn sample() -> Vec<u8> {
    (0..SAMPLE_BYTES).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// What an encoder wants recorded.
type Params = Map<String, Value>;

/// What the encoders make of a sample, and what each wants recorded. What they can't do fails here as in a backup.
pub(super) fn encoded(filters: &[Stacked], run: &Run) -> Outcome<(Vec<u8>, Vec<Params>)> {
    let (kept, slate, faults) = (Kept::default(), Slate::default(), Faults::new(&run.cancel));
    let encode = || -> Result<()> {
        let last: Box<dyn Sink> = Box::new(kept.clone());
        let mut sink = encoders(filters, &run.cx, "check", last, &slate, &faults, true)?;
        sink.write_all(&sample())?;
        sink.finish().map(|_| ())
    };
    encode().map_err(|error| faults.cause_of(error.into()))?;
    let params = std::mem::take(&mut slate.lock().params);
    Ok((kept.take(), params))
}

/// The filter with the keys that a restore has, as far as they are on this machine; none if what `[decode]` refers to can't be
/// had. Why others are missing goes to `missing`.
fn with_keys(
    engine: &Engine,
    chosen: &Chosen,
    cx: &Context,
    missing: &mut Vec<String>,
) -> Outcome<Option<Stacked>> {
    // What `[decode]` says in itself was judged when the run began: what is left to fail is a key that lies elsewhere.
    let mut options = match (engine.decode)(&chosen.info) {
        Ok(options) => options,
        Err(failure) => {
            missing.extend(failure.all().map(Failure::to_string));
            return Ok(None);
        }
    };
    missing.extend(without_missing(&mut options));
    engine.open_filter(&Chosen { options, ..chosen.clone() }, cx).map(Some)
}

/// Takes files of keys that aren't on this machine, or aren't for this user, out of the options: what is there is tried
/// without them. Why each is missing.
fn without_missing(options: &mut Value) -> Vec<String> {
    let mut missing = Vec::new();
    if let Some(files) = options.get_mut(IDENTITY_FILES).and_then(Value::as_array_mut) {
        files.retain(|file| {
            // Only a regular file is opened: a pipe gives what it holds once.
            let path = Path::new(file.as_str().unwrap_or_default());
            let look = || if path.metadata()?.is_file() { File::open(path).map(drop) } else { Ok(()) };
            let error = look().err();
            missing.extend(error.as_ref().map(|error| format!("can't read `{}`: {error}", path.display())));
            error.is_none()
        });
    }
    missing
}

fn storage(
    engine: &Engine,
    plan: &Plan,
    chosen: &Chosen,
    offline: bool,
    cx: &Context,
) -> Outcome<Vec<String>> {
    let open: OpenStorage = engine.open_storage(chosen, cx)?;
    if offline {
        return Ok(vec!["not asked (--offline)".to_owned()]);
    }
    let report = open.storage.check(cx)?;
    let mut details: Vec<String> =
        report.free_bytes.map(|bytes| format!("{} free", units::bytes(bytes))).into_iter().collect();
    details.extend(report.notes);
    details.extend(report.warnings.into_iter().map(|warning| format!("warning: {warning}")));
    match held(&open, &engine.host, &plan.pipeline, cx) {
        // Enough to back up: the storage has said so itself.
        Err(error) if error.kind == ErrorKind::Denied => {
            details.push(format!("what it holds isn't known: {}", error.one_line()));
        }
        held => details.extend(held?),
    }
    Ok(details)
}

/// What the storage holds of the pipeline: its snapshots, and what runs have left there.
fn held(open: &OpenStorage, host: &str, pipeline: &str, cx: &Context) -> Result<Vec<String>> {
    let catalog = Catalog::new(open.storage.as_ref(), cx);
    let snapshots = catalog.snapshots(host, pipeline)?;
    let mut details = vec![match snapshots.last() {
        Some(newest) => format!("{} snapshots, the newest is {}", snapshots.len(), newest.key),
        None => "no snapshot yet".to_owned(),
    }];
    // Who may list their own host's snapshots alone isn't told about others.
    let hosts = match catalog.hosts() {
        Err(error) if error.kind == ErrorKind::Denied => Vec::new(),
        hosts => hosts?,
    };
    let alike = hosts.iter().filter(|other| *other != host && other.eq_ignore_ascii_case(host));
    details.extend(alike.map(|other| {
        format!(
            "warning: there are snapshots of `{other}` too, which differs from `{host}` only by case: {TWINS}"
        )
    }));
    let errors = snapshots.iter().filter_map(|snapshot| snapshot.manifest.as_ref().err());
    details.extend(errors.map(|error| format!("warning: {}", error.one_line())));
    let whose =
        "a run that is under way, or one that died on another machine (`prune` clears up after a week)";
    for key in catalog.incomplete(host, pipeline)? {
        // The last object before the manifest.
        let has_text = open.storage.stat(cx, &key.object(RESTORE_TXT))?.is_some();
        let whose =
            if has_text { "it may be a snapshot that has lost it; see its RESTORE.txt" } else { whose };
        details.push(format!("warning: `{}` holds no manifest: {whose}", key.prefix()));
    }
    for half in open.storage.leftovers(cx, &pipeline_prefix(host, pipeline))? {
        details.push(format!("warning: there is a half upload of `{}`: {whose}", half.key));
    }
    Ok(details)
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Kept {
    fn finish(&mut self) -> Result<Finished> {
        Ok(Finished::default())
    }
}
