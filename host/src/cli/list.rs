//! `windlass list` and `windlass show`. They load no source and no filter.

use windlass_plugin_api::Context;

use super::args::{List, Show};
use super::session::Session;
use crate::catalog::{Catalog, Found, Reference, When};
use crate::exit::{Exit, Failure, Outcome};
use crate::pipeline::outputs::OpenStorage;
use crate::report::{Event, SnapshotRow, error_event, units};

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
    let (mut rows, mut exit, mut count) = (Vec::new(), Exit::Ok, 0);
    for chosen in session.where_to_look(arguments.storage.as_deref(), pipeline)? {
        let read = |open: &OpenStorage| {
            everything(open, &cx, wanted.as_ref(), &engine.host, arguments.all_hosts)
                .map_err(|error| Failure::from(error).at(open.stage.clone()))
        };
        match engine.open_storage(&chosen, &cx).and_then(|open| read(&open)) {
            Ok(found) => {
                count += found.len();
                let fitting = found.iter().filter(|found| fits(found, arguments));
                rows.extend(fitting.map(|found| row(found, &chosen.name)));
            }
            // A storage that can't be read now doesn't hide what the others have.
            Err(failure) => {
                session.report.event(&error_event(&failure));
                exit = exit.and(failure.exit);
            }
        }
    }
    if let (Some(reference), 0, Exit::Ok) = (&wanted, count, exit) {
        session.know_pipeline(&reference.pipeline)?;
    }
    if rows.iter().any(|row: &SnapshotRow| row.state == "damaged") {
        exit = exit.and(Exit::Damaged);
    }
    if exit != Exit::Failed || !rows.is_empty() {
        session.report.event(&Event::Snapshots { snapshots: rows });
    }
    Ok(exit)
}

fn everything(
    open: &OpenStorage,
    cx: &Context,
    wanted: Option<&Reference>,
    host: &str,
    all_hosts: bool,
) -> windlass_plugin_api::Result<Vec<Found>> {
    let catalog = Catalog::new(open.storage.as_ref(), cx);
    let hosts = match wanted.and_then(|reference| reference.host.clone()) {
        Some(host) => vec![host],
        None if all_hosts => catalog.hosts()?,
        None => vec![host.to_owned()],
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

fn row(found: &Found, storage: &str) -> SnapshotRow {
    let manifest = found.manifest.as_ref();
    let (state, problem) = match manifest {
        Ok(_) => ("ok", None),
        Err(error) if error.kind == windlass_plugin_api::ErrorKind::Damaged => {
            ("damaged", Some(error.one_line()))
        }
        Err(error) => ("unreadable", Some(error.one_line())),
    };
    let manifest = manifest.ok();
    let stream = manifest.and_then(|manifest| manifest.streams.first());
    let filters = stream.map(|stream| stream.filters.iter().map(|filter| filter.plugin.clone()).collect());
    SnapshotRow {
        snapshot: found.key.to_string(),
        host: found.key.host.clone(),
        pipeline: found.key.pipeline.clone(),
        id: found.key.id.to_string(),
        time: units::utc(manifest.map_or_else(|| found.key.id.time(), |manifest| manifest.started)),
        storage: storage.to_owned(),
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
    let (open, manifest) = session.resolve(&engine, &arguments.snapshot, arguments.storage.as_deref())?;
    session.report.event(&Event::Shown { manifest: Box::new(manifest), storage: open.name });
    Ok(Exit::Ok)
}
