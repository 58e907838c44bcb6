//! Backup: source → filters → storages, and the manifest last.
//!
//! Nothing is visible before the verdict: every stream is finished and durable first, and only when the source has said
//! `Ok` are they published, then `contents.json` and RESTORE.txt, then the manifest.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use jiff::Timestamp;
use windlass_plugin_api::{Contents, Context, ErrorKind, ListOptions, Probe, Result, Source};

use super::describe::{describe, write_own};
use super::fan::Fan;
use super::leftovers::{self, Record};
use super::outputs::{OpenStorage, SnapshotOutputs, Writing};
use super::plan::{Engine, Opened, Plan};
use super::run::{Run, Ticker};
use super::watch::supervise;
use super::{sense, sequence};
use crate::catalog::snapshot::{MANIFEST, pipeline_prefix};
use crate::catalog::{Manifest, SnapshotId, SnapshotKey};
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
    engine: &Arc<Engine>,
    plan: &Plan,
    run: &Run,
    slot: &OnceLock<Arc<SnapshotOutputs>>,
) -> Outcome<Stored> {
    let started = Instant::now();
    let Opened { mut source, filters } = engine.open(plan, &run.cx)?;
    let fan = Fan::open(engine, plan, run)?;
    let _locks = lock(engine, plan, run)?;
    leftovers::remove(engine, &plan.pipeline, &fan)?;
    let probe = probe(engine, plan, run, source.as_mut())?;
    let _ticker = Ticker::start(engine, run, "backup", &plan.pipeline, probe.estimate_bytes);
    let next = sequence::next(engine, plan, &fan, &run.id)?;
    let mut key = run.key(engine, &plan.pipeline);
    if !next.is_latest {
        key.id = key.id.belated();
    }
    let record = Record::begin(engine.state.get()?, &key, fan.members.iter().map(|member| &member.open))?;
    let writing = Writing::new(run, key, filters, fan, probe.estimate_bytes);
    let outputs = Arc::new(SnapshotOutputs::new(writing.clone()));
    let _ = slot.set(outputs.clone());

    let result = pour(plan, run, source.as_mut(), &outputs)
        .inspect(|contents| tell(engine, &plan.pipeline, contents))
        .and_then(|contents| {
            let source = (source.as_ref(), &probe);
            describe(engine, plan, &writing, source, next.sequence, &outputs, contents)
        })
        .and_then(|manifest| publish(&writing, &outputs, &manifest).map(|()| manifest));
    let failed = result.is_err();
    if failed {
        outputs.abort();
        writing.fan.abort();
    }
    // Of a good run only what it went on without.
    let spoilt = writing.fan.members.iter().filter(|member| failed || member.is_out());
    record.end(leftovers::withdraw(engine, &writing.key, outputs.is_shown(), spoilt));
    let manifest = result?;
    sequence::remember(engine, plan, &next, &manifest.id);
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

/// Makes everything visible: the streams and what describes them, in every storage, then the manifest in every storage.
///
/// The manifest is durable before the first of them is visible: a storage that has no room for it leaves nothing, even
/// where deleting is denied. And what it names is there, by the storages' own listings.
fn publish(writing: &Writing, outputs: &SnapshotOutputs, manifest: &Manifest) -> Outcome<()> {
    let last = SnapshotOutputs::new(writing.clone());
    write_own(&last, MANIFEST, "manifest/1", &manifest.to_bytes()?, false)?;
    outputs.publish()?;
    outputs.look()?;
    last.publish()?;
    last.look()?;
    writing.fan.go_on()?;
    Ok(())
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

fn told(manifest: &Manifest, writing: &Writing, started: Instant) -> Stored {
    Stored {
        pipeline: manifest.pipeline.clone(),
        snapshot: manifest.key().to_string(),
        storages: writing.fan.in_it().map(|member| member.open.name.clone()).collect(),
        storages_left_out: writing.fan.left_out(),
        plain_bytes: manifest.plain_bytes(),
        stored_bytes: manifest.stored_bytes(),
        seconds: started.elapsed().as_secs_f64(),
        left_out: manifest.left_out,
    }
}

/// What a backup would do: opens and asks everything, lets the filters encode a sample, and writes nothing. So it proves no
/// right to write: `check` does.
pub fn dry_run(engine: &Arc<Engine>, plan: &Plan) -> Outcome<Planned> {
    let run = Run::new(engine, SnapshotId::new(Timestamp::now()));
    let mut opened = engine.open(plan, &run.cx)?;
    super::check::encoded(&opened.filters, &run)?;
    let ask = || -> Outcome<Arc<Fan>> {
        let fan = Fan::open(engine, plan, &run)?;
        let prefix = pipeline_prefix(&engine.host, &plan.pipeline);
        for unseen in fan.each(move |open, cx| look(&open, &cx, &prefix))?.into_iter().flatten() {
            engine.warn(&plan.pipeline, unseen);
        }
        Ok(fan)
    };
    let fan = ask().map_err(|failure| run.faults.cause_of(failure))?;
    let probe = probe(engine, plan, &run, opened.source.as_mut())?;
    let storages = plan.storages.iter().enumerate();
    Ok(Planned {
        pipeline: plan.pipeline.clone(),
        host: engine.host.clone(),
        source: plan.source.described(),
        filters: plan.filters.iter().map(super::plan::Chosen::described).collect(),
        storages: storages.map(|(index, chosen)| plan.rules.described(index, chosen)).collect(),
        least_storages: plan.rules.least,
        storages_left_out: fan.left_out(),
        estimate_bytes: probe.estimate_bytes,
        prefix: SnapshotKey { host: engine.host.clone(), pipeline: plan.pipeline.clone(), id: run.id }
            .prefix(),
    })
}

/// Whether the storage answers. What a credential that can only create can't tell is returned.
fn look(open: &OpenStorage, cx: &Context, prefix: &str) -> Result<Option<String>> {
    let what = ListOptions { prefix: prefix.to_owned(), limit: Some(1), ..ListOptions::default() };
    match open.storage.list(cx, &what) {
        Err(error) if error.kind == ErrorKind::Denied => Ok(Some(format!(
            "storage {} can't be looked into, and a dry run stores nothing; `windlass check` tells whether it can be \
             stored to: {}",
            open.name,
            error.one_line()
        ))),
        listed => listed.map(|_| None),
    }
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
