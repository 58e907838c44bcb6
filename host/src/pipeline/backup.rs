//! Backup: source → filters → storages, and the manifest last.
//!
//! Nothing is visible before the verdict: every stream is finished and durable first, and only when the source has said
//! `Ok` are they published, then `contents.json` and RESTORE.txt, then the manifest.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use jiff::Timestamp;
use serde_json::json;
use windlass_plugin_api::{Contents, Error, ErrorKind, Probe, Sink, Source, StreamInfo};

use super::guide::restore_txt;
use super::leftovers::{self, Record};
use super::outputs::{SnapshotOutputs, Writing};
use super::plan::{Engine, Opened, Plan};
use super::run::{Run, Ticker};
use super::sense;
use super::verify::DESCRIPTION_BYTES;
use super::watch::supervise;
use crate::catalog::manifest::{FORMAT, ObjectRecord};
use crate::catalog::snapshot::{CONTENTS, MANIFEST, RESTORE_TXT};
use crate::catalog::{Catalog, Manifest, SnapshotId, SnapshotKey, SourceRecord, StreamRecord};
use crate::exit::{Failure, Outcome};
use crate::report::{Planned, Stored};
use crate::run::lock::Lock;
use crate::run::priority;

/// Runs a plan. The error names its stage; whatever had been written is gone, or is removed by the next run.
pub fn backup(engine: &Arc<Engine>, plan: &Arc<Plan>) -> Outcome<Stored> {
    let run = Run::new(engine, SnapshotId::new(Timestamp::now()));
    let outputs: Arc<OnceLock<Arc<SnapshotOutputs>>> = Arc::default();
    let work = {
        let (engine, plan, run, outputs) = (engine.clone(), plan.clone(), run.clone(), outputs.clone());
        move || {
            // Before any plugin is opened: what it starts inherits it.
            for refused in priority::apply(&plan.priority) {
                engine.warn(&plan.pipeline, refused);
            }
            snapshot(&engine, &plan, &run, &outputs)
        }
    };
    let outcome = supervise(&run.cancel, plan.limits, &run.moved, work).and_then(|outcome| outcome);
    outcome.map_err(|failure| {
        if let Some(outputs) = outputs.get() {
            outputs.abort();
        }
        run.faults.cause_of(failure).in_pipeline(&plan.pipeline)
    })
}

/// The whole of a backup, in the order in which data flows.
fn snapshot(
    engine: &Engine,
    plan: &Plan,
    run: &Run,
    slot: &OnceLock<Arc<SnapshotOutputs>>,
) -> Outcome<Stored> {
    let started = Instant::now();
    let key = run.key(engine, &plan.pipeline);
    let Opened { mut source, filters, storages } = engine.open(plan, &run.cx)?;
    let _locks = lock(engine, plan, run)?;
    leftovers::remove(engine, &plan.pipeline, &storages, &run.cx);
    let probe = probe(engine, plan, run, source.as_mut())?;
    let _ticker = Ticker::start(engine, run, "backup", &plan.pipeline, probe.estimate_bytes);
    let sequence = next_sequence(engine, plan, &storages, run)?;
    let record = Record::begin(engine.state.get()?, &key, &storages)?;
    let writing = Writing::new(run, key, filters, storages);
    let outputs = Arc::new(SnapshotOutputs::new(writing.clone()));
    let _ = slot.set(outputs.clone());

    let result = pour(plan, run, source.as_mut(), &outputs)
        .inspect(|contents| tell(engine, &plan.pipeline, contents))
        .and_then(|contents| {
            let source = (source.as_ref(), &probe);
            describe(engine, plan, &writing, source, sequence, &outputs, contents)
        })
        .and_then(|manifest| publish(&writing, &outputs, &manifest).map(|()| manifest));
    let manifest = match result {
        Ok(manifest) => manifest,
        Err(failure) => {
            outputs.abort();
            if !outputs.is_shown() || leftovers::withdraw(engine, &writing) {
                record.end();
            }
            return Err(failure);
        }
    };
    record.end();
    remember_sequence(engine, plan, sequence);
    Ok(told(&manifest, &writing, started))
}

/// The source writes its streams; its verdict counts.
fn pour(plan: &Plan, run: &Run, source: &mut dyn Source, outputs: &SnapshotOutputs) -> Outcome<Contents> {
    let stage = plan.source.stage();
    let contents = source.backup(&run.cx, outputs).inspect_err(|error| run.faults.note(&stage, error));
    let contents = contents.map_err(|error| Failure::from(error).at(stage.clone()))?;
    outputs.close().map_err(|error| Failure::from(error).at(stage))?;
    Ok(contents)
}

/// Writes what describes the streams, all but the manifest, and makes that.
fn describe(
    engine: &Engine,
    plan: &Plan,
    writing: &Writing,
    (source, probe): (&dyn Source, &Probe),
    sequence: u64,
    outputs: &SnapshotOutputs,
    contents: Contents,
) -> Outcome<Manifest> {
    let (streams, plain): (Vec<StreamRecord>, Vec<String>) = outputs.records().into_iter().unzip();
    let plain: BTreeMap<_, _> = streams.iter().map(|stream| stream.name.clone()).zip(plain).collect();
    let document = json!({ "format": 1, "plain_sha256": plain, "contents": contents });
    let document = document.to_string();
    if document.len() as u64 > DESCRIPTION_BYTES {
        let message = format!(
            "the source describes its content in {} bytes, more than {DESCRIPTION_BYTES}",
            document.len()
        );
        return Err(Failure::from(Error::new(ErrorKind::Broken, message)));
    }
    write_own(outputs, CONTENTS, "contents/1", document.as_bytes(), true)?;
    let first = writing.storages.first().ok_or_else(|| Failure::usage("the pipeline has no storage"))?;
    let name = plan.source.info.short_name();
    let guide = restore_txt(
        &writing.key,
        &streams,
        &writing.filters,
        (&name, source, &contents),
        first.storage.as_ref(),
    );
    // Its commands come from plugins, of which one may be careless.
    let guide = engine.secrets.redact(&guide);
    write_own(outputs, RESTORE_TXT, "text/1", guide.as_bytes(), false)?;
    let mut own = outputs.records().into_iter().skip(streams.len()).map(|(record, _)| record);
    let (Some(contents_record), Some(guide)) = (own.next(), own.next()) else {
        return Err(Failure::usage("the description wasn't written"));
    };
    let mut versions = probe.versions.clone();
    versions.extend(contents.versions);
    Ok(Manifest {
        format: FORMAT,
        requires: Vec::new(),
        sequence,
        host: writing.key.host.clone(),
        pipeline: writing.key.pipeline.clone(),
        id: writing.key.id.clone(),
        started: writing.key.id.time(),
        finished: now(),
        tags: plan.tags.clone(),
        source: SourceRecord {
            plugin: plan.source.info.full_name(),
            version: plan.source.info.version.clone(),
        },
        versions,
        consistency_point: contents.consistency_point,
        left_out: contents.left_out_count.max(contents.left_out.len() as u64),
        streams,
        contents: contents_record,
        restore_txt: ObjectRecord {
            name: guide.name,
            stored_bytes: guide.stored_bytes,
            stored_sha256: guide.stored_sha256,
        },
        index: None,
        extra: serde_json::Map::new(),
    })
}

/// Makes everything visible: the streams and what describes them, in every storage, then the manifest in every storage.
///
/// The manifest is durable before the first of them is visible: a storage that has no room for it leaves nothing, even
/// where deleting is denied.
fn publish(writing: &Writing, outputs: &SnapshotOutputs, manifest: &Manifest) -> Outcome<()> {
    let last = SnapshotOutputs::new(writing.clone());
    write_own(&last, MANIFEST, "manifest/1", &manifest.to_bytes()?, false)?;
    outputs.publish()?;
    last.publish()?;
    Ok(())
}

fn write_own(
    outputs: &SnapshotOutputs,
    name: &str,
    format: &str,
    bytes: &[u8],
    filtered: bool,
) -> Outcome<()> {
    let info = StreamInfo::new(format).size_hint(bytes.len() as u64);
    let mut sink: Box<dyn Sink> = outputs.create_own(name, info, filtered)?;
    sink.write_all(bytes)?;
    sink.finish()?;
    Ok(())
}

fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

fn probe(engine: &Engine, plan: &Plan, run: &Run, source: &mut dyn Source) -> Outcome<Probe> {
    let probe = source.probe(&run.cx).map_err(|error| Failure::from(error).at(plan.source.stage()))?;
    for message in &plan.notes {
        engine.note(&plan.pipeline, message);
    }
    for message in sense::order(&plan.filters).into_iter().chain(probe.warnings.iter().cloned()) {
        engine.warn(&plan.pipeline, message);
    }
    for missing in &probe.missing {
        engine.warn(&plan.pipeline, format!("it won't be in the backup: {missing}"));
    }
    Ok(probe)
}

/// The locks of the pipeline on each of its storages, in one order for everybody.
fn lock(engine: &Engine, plan: &Plan, run: &Run) -> Outcome<Vec<Lock>> {
    lock_pipeline(engine, plan, "backup", run)
}

/// As [`lock`], for whoever must keep a pipeline's backups away.
pub(super) fn lock_pipeline(engine: &Engine, plan: &Plan, doing: &str, run: &Run) -> Outcome<Vec<Lock>> {
    let what = format!("{}/{}", engine.host, plan.pipeline);
    let mut identities: Vec<String> = plan.storages.iter().map(super::plan::Chosen::identity).collect();
    identities.sort();
    identities.dedup();
    let state = engine.state.get()?;
    let take = |identity: &String| Lock::take(state, (identity, &what), doing, plan.wait_lock, &run.cancel);
    identities.iter().map(take).collect()
}

fn sequence_name(engine: &Engine, plan: &Plan) -> String {
    let identities: Vec<String> = plan.storages.iter().map(super::plan::Chosen::identity).collect();
    format!("{} {}/{}", identities.join("+"), engine.host, plan.pipeline)
}

/// One more than the last: this machine remembers it, and if it doesn't, the manifests do.
fn next_sequence(
    engine: &Engine,
    plan: &Plan,
    storages: &[super::outputs::OpenStorage],
    run: &Run,
) -> Outcome<u64> {
    let remembered = engine.state.get()?.sequence(&sequence_name(engine, plan));
    let mut last = remembered.unwrap_or(0);
    for open in storages {
        let catalog = Catalog::new(open.storage.as_ref(), &run.cx);
        let found = match remembered {
            Some(_) => catalog.newest_by_id(&engine.host, &plan.pipeline),
            None => catalog.snapshots(&engine.host, &plan.pipeline),
        };
        let found = match found {
            // A key that can only create is enough for a backup.
            Err(error) if error.kind == ErrorKind::Denied => {
                tracing::info!(%error, "the sequence goes on from what this machine remembers");
                continue;
            }
            found => found.map_err(|error| Failure::from(error).at(open.stage.clone()))?,
        };
        let sequences = found.iter().filter_map(|found| found.manifest.as_ref().ok()).map(|m| m.sequence);
        last = last.max(sequences.max().unwrap_or(0));
    }
    Ok(last + 1)
}

fn remember_sequence(engine: &Engine, plan: &Plan, sequence: u64) {
    let Ok(state) = engine.state.get() else { return };
    if let Err(error) = state.remember_sequence(&sequence_name(engine, plan), sequence) {
        tracing::debug!(%error, "the sequence number isn't remembered; the manifests have it");
    }
}

fn told(manifest: &Manifest, writing: &Writing, started: Instant) -> Stored {
    Stored {
        pipeline: manifest.pipeline.clone(),
        snapshot: manifest.key().to_string(),
        storages: writing.storages.iter().map(|open| open.name.clone()).collect(),
        plain_bytes: manifest.plain_bytes(),
        stored_bytes: manifest.stored_bytes(),
        seconds: started.elapsed().as_secs_f64(),
        left_out: manifest.left_out,
    }
}

/// What a backup would do: opens and asks everything, writes nothing.
pub fn dry_run(engine: &Arc<Engine>, plan: &Plan) -> Outcome<Planned> {
    let run = Run::new(engine, SnapshotId::new(Timestamp::now()));
    let mut opened = engine.open(plan, &run.cx)?;
    let probe = probe(engine, plan, &run, opened.source.as_mut())?;
    for open in &opened.storages {
        open.storage.check(&run.cx).map_err(|error| Failure::from(error).at(open.stage.clone()))?;
    }
    Ok(Planned {
        pipeline: plan.pipeline.clone(),
        host: engine.host.clone(),
        source: plan.source.described(),
        filters: plan.filters.iter().map(super::plan::Chosen::described).collect(),
        storages: plan.storages.iter().map(super::plan::Chosen::described).collect(),
        estimate_bytes: probe.estimate_bytes,
        prefix: SnapshotKey { host: engine.host.clone(), pipeline: plan.pipeline.clone(), id: run.id }
            .prefix(),
    })
}

/// Tells what the source says of its own backup.
fn tell(engine: &Engine, pipeline: &str, contents: &Contents) {
    for message in &contents.warnings {
        engine.warn(pipeline, message);
    }
    for name in &contents.left_out {
        engine.warn(pipeline, format!("left out: {name}"));
    }
}
