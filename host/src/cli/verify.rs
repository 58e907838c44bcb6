//! `windlass verify`.

use windlass_plugin_api::{ErrorKind, Result};

use super::args::Verify;
use super::session::{Keys, Resolved, Session};
use crate::catalog::{Catalog, Found, Reference, When};
use crate::exit::{Exit, Failure, Outcome};
use crate::pipeline::plan::Engine;
use crate::pipeline::verify::{Depth, verify};
use crate::report::error_event;

/// Verifies one snapshot, all of a pipeline, or all of every pipeline.
pub fn run(session: &Session, arguments: &Verify) -> Outcome<Exit> {
    let depth = match (arguments.quick, arguments.full) {
        (true, _) => Depth::Quick,
        (_, true) => Depth::Full,
        _ => Depth::Stored,
    };
    let engine = session.engine_with(Keys::of_command(&arguments.identities, &session.cancel)?)?;
    let reference: Option<Reference> =
        arguments.snapshot.as_deref().map(|text| session.reference(text)).transpose()?;
    if let (Some(text), Some(Reference { when: When::Id(_) | When::At(_), .. })) =
        (&arguments.snapshot, &reference)
    {
        let resolved = session.resolve(&engine, text, arguments.storage.as_deref())?;
        return every_copy(&engine, resolved, depth);
    }
    let cx = session.context(&engine);
    let mut exit = Exit::Ok;
    let mut count = 0;
    let pipeline = reference.as_ref().map(|reference| reference.pipeline.as_str());
    for chosen in session.where_to_look(arguments.storage.as_deref(), pipeline)? {
        let all = engine.open_storage(&chosen, &cx).and_then(|open| {
            let found =
                snapshots(&Catalog::new(open.storage.as_ref(), &cx), reference.as_ref(), &engine.host);
            let found = found.map_err(|error| Failure::from(error).at(open.stage.clone()))?;
            Ok((open, found))
        });
        match all {
            Ok((open, all)) => {
                for found in all {
                    count += 1;
                    exit = exit.and(verify(&engine, &open, &found, depth)?);
                }
            }
            // A storage that can't be read now keeps nobody from proving the others.
            Err(failure) => {
                session.report.event(&error_event(&failure));
                exit = exit.and(failure.exit);
            }
        }
    }
    if count == 0 && exit == Exit::Ok {
        let what = arguments.snapshot.as_ref().map(|name| format!(" of `{name}`")).unwrap_or_default();
        return Err(Failure::not_found(format!("no snapshot{what}")).hint("See `windlass list --all-hosts`."));
    }
    Ok(exit)
}

/// One snapshot, in every storage that has it.
fn every_copy(engine: &Engine, resolved: Resolved, depth: Depth) -> Outcome<Exit> {
    let Resolved { manifest, copies, failures } = resolved;
    let mut exit = Exit::Ok;
    for failure in failures.iter().filter(|failure| failure.exit != Exit::Damaged) {
        engine.report.event(&error_event(failure));
        exit = exit.and(failure.exit);
    }
    for copy in copies {
        // What one storage lacks is told by `list`; there is nothing to prove.
        let is_there = copy.manifest.as_ref().map_or_else(|error| error.kind == ErrorKind::Damaged, |_| true);
        if is_there {
            let found = Found { key: manifest.key(), manifest: copy.manifest, is_recalled: false };
            exit = exit.and(verify(engine, &copy.open, &found, depth)?);
        }
    }
    Ok(exit)
}

/// All of the pipeline that `reference` names; without one, of every pipeline of `host`.
fn snapshots(catalog: &Catalog<'_>, reference: Option<&Reference>, host: &str) -> Result<Vec<Found>> {
    let host = reference.and_then(|reference| reference.host.as_deref()).unwrap_or(host);
    catalog.everything(host, reference.map(|reference| reference.pipeline.as_str()))
}
