//! `windlass list` and `windlass show`. They load no source and no filter.

use windlass_plugin_api::Context;

use super::args::{List, Show};
use super::merged::{Copies, Merged};
use super::session::{Session, base};
use crate::catalog::{Catalog, Found, Reference, SnapshotKey, When};
use crate::exit::{Exit, Failure, Outcome};
use crate::pipeline::outputs::OpenStorage;
use crate::pipeline::plan::Engine;
use crate::report::{CopyRow, Event, SnapshotRow, error_event, units};

/// What a manifest can be asked for. A key id is the end of a fingerprint, of which it may hold no more than the beginning.
const KNOWN_RECIPIENTS: &str = "give a whole public key, a whole fingerprint, or the beginning of one as \
                                `windlass show` prints it; manifests know no names, and of a key id often nothing";

/// Lists the snapshots that fit.
pub fn list(session: &Session, arguments: &List) -> Outcome<Exit> {
    let wanted: Option<Reference> =
        arguments.pipeline.as_deref().map(|text| session.reference(text)).transpose()?;
    if let Some(Reference { when: When::Id(_) | When::At(_), .. }) = wanted {
        return Err(Failure::usage("`list` takes a pipeline").hint("`windlass show` shows one snapshot."));
    }
    let engine = session.engine()?;
    let cx = session.context(&engine);
    let pipeline = wanted.as_ref().map(|reference| reference.pipeline.as_str());
    let (mut all, mut exit) = (Merged::default(), Exit::Ok);
    for chosen in session.where_to_look(arguments.storage.as_deref(), pipeline)? {
        let read = |open: &OpenStorage| {
            everything(&engine, open, &cx, wanted.as_ref(), arguments.all_hosts)
                .map_err(|error| Failure::from(error).at(open.stage.clone()))
        };
        match engine.open_storage(&chosen, &cx).and_then(|open| read(&open)) {
            Ok(found) => all.add(&chosen.name, found),
            // A storage that can't be read now doesn't hide what the others have.
            Err(failure) => {
                session.report.event(&error_event(&failure));
                exit = exit.and(failure.exit);
            }
        }
    }
    if let (Some(reference), true, Exit::Ok) = (&wanted, all.is_empty(), exit) {
        session.know_pipeline(&reference.pipeline)?;
    }
    let all = all.snapshots(|key| wanted_in(session, &engine, key, arguments.storage.as_ref()));
    let rows: Vec<SnapshotRow> =
        all.iter().filter(|copies| fits(copies.found(), arguments)).map(row).collect();
    if let (Some(recipient), true) = (&arguments.encrypted_to, rows.is_empty()) {
        let message = format!("there is no snapshot encrypted to `{recipient}`: {KNOWN_RECIPIENTS}");
        session.report.event(&Event::Note { pipeline: None, message });
    }
    if rows.iter().flat_map(|row| &row.storages).any(|copy| copy.state == "damaged") {
        exit = exit.and(Exit::Damaged);
    }
    if exit != Exit::Failed || !rows.is_empty() {
        session.report.event(&Event::Snapshots { snapshots: rows });
    }
    Ok(exit)
}

/// The storages that should have a snapshot of this host: its pipeline's. One that was asked for alone isn't compared with them.
fn wanted_in(session: &Session, engine: &Engine, key: &SnapshotKey, asked: Option<&String>) -> Vec<String> {
    let pipeline = session.config.pipelines.get(base(&key.pipeline));
    let pipeline = pipeline.filter(|_| asked.is_none() && key.host == engine.host);
    pipeline.map(|pipeline| pipeline.storage_names()).unwrap_or_default()
}

fn everything(
    engine: &Engine,
    open: &OpenStorage,
    cx: &Context,
    wanted: Option<&Reference>,
    all_hosts: bool,
) -> windlass_plugin_api::Result<Vec<Found>> {
    let recall = engine.recall(open);
    let catalog = Catalog::new(open.storage.as_ref(), cx).with(recall.as_ref());
    let hosts = match wanted.and_then(|reference| reference.host.clone()) {
        Some(host) => vec![host],
        None if all_hosts => catalog.hosts()?,
        None => vec![engine.host.clone()],
    };
    let mut all = Vec::new();
    for host in hosts {
        all.extend(catalog.everything(&host, wanted.map(|reference| reference.pipeline.as_str()))?);
    }
    Ok(all)
}

/// A damaged snapshot fits every question that only its manifest could answer: it must be seen.
fn fits(found: &Found, arguments: &List) -> bool {
    if arguments.since.is_some_and(|since| found.key.id.time() < since) {
        return false;
    }
    let Ok(manifest) = &found.manifest else { return true };
    let plugin = manifest.source.plugin.as_str();
    let of_type = |wanted: &String| plugin == wanted || plugin.strip_prefix("windlass/") == Some(wanted);
    arguments.source_type.as_ref().is_none_or(of_type)
        && arguments.tags.iter().all(|(key, value)| manifest.tags.get(key) == Some(value))
        && (!arguments.encrypted || manifest.is_encrypted())
        && arguments.encrypted_to.as_ref().is_none_or(|recipient| manifest.is_encrypted_to(recipient))
        && (!arguments.plain || !manifest.is_encrypted())
}

fn row(copies: &Copies) -> SnapshotRow {
    let found = copies.found();
    let manifest = found.manifest.as_ref();
    let best = CopyRow::of("", &found.manifest);
    let (state, problem) = (best.state, best.problem);
    let storages: Vec<CopyRow> =
        copies.all.iter().map(|(storage, manifest)| CopyRow::of(storage, manifest)).collect();
    let manifest = manifest.ok();
    let stream = manifest.and_then(|manifest| manifest.streams.first());
    let filters = stream.map(|stream| stream.filters.iter().map(|filter| filter.plugin.clone()).collect());
    SnapshotRow {
        snapshot: found.key.to_string(),
        host: found.key.host.clone(),
        pipeline: found.key.pipeline.clone(),
        id: found.key.id.to_string(),
        time: units::utc(manifest.map_or_else(|| found.key.id.time(), |manifest| manifest.started)),
        storage: copies.storage().to_owned(),
        storages,
        state,
        problem,
        plain_bytes: manifest.map(|manifest| manifest.plain_bytes()),
        stored_bytes: manifest.map(|manifest| manifest.stored_bytes()),
        filters: filters.unwrap_or_default(),
        source: manifest.map(|manifest| manifest.source.plugin.clone()),
        encrypted: manifest.map(|manifest| manifest.is_encrypted()),
        recipients: manifest.map(|manifest| manifest.recipients()).unwrap_or_default(),
        left_out: manifest.map_or(0, |manifest| manifest.left_out),
        tags: manifest.map(|manifest| manifest.tags.clone()).unwrap_or_default(),
    }
}

/// Shows one snapshot.
pub fn show(session: &Session, arguments: &Show) -> Outcome<Exit> {
    let engine = session.engine()?;
    let resolved = session.resolve(&engine, &arguments.snapshot, arguments.storage.as_deref())?;
    let rows = resolved.copies.iter().map(|copy| CopyRow::of(&copy.open.name, &copy.manifest));
    let wanted = wanted_in(session, &engine, &resolved.manifest.key(), arguments.storage.as_ref());
    let rows = rows.filter(|row| row.state != "missing" || wanted.contains(&row.storage));
    let rows: Vec<CopyRow> = rows.collect();
    let exit = if rows.iter().any(|copy| copy.state == "damaged") { Exit::Damaged } else { Exit::Ok };
    let held = resolved.held(session);
    let storage = held.copies.first().map(|open| open.name.clone()).unwrap_or_default();
    session.report.event(&Event::Shown { manifest: Box::new(held.manifest), storage, storages: rows });
    Ok(exit)
}
