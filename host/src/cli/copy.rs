//! `windlass copy`.

use super::args::Copy;
use super::session::Session;
use crate::exit::{Exit, Failure, Outcome};
use crate::pipeline::copy::{Request, copy, lock};
use crate::pipeline::outputs::OpenStorage;
use crate::pipeline::sense;
use crate::report::Event;

/// Copies one snapshot.
pub fn run(session: &Session, arguments: &Copy) -> Outcome<Exit> {
    let engine = session.engine()?;
    let held = session.resolve(&engine, &arguments.snapshot, Some(&arguments.from))?.held(session);
    let to = session.where_to_look(Some(&arguments.to), None)?.remove(0);
    sense::can_be_stored(&held.manifest.pipeline, std::slice::from_ref(&to))?;
    let to = engine.open_storage(&to, &session.context(&engine))?;
    if held.copies.iter().any(|open| open.identity == to.identity) {
        return Err(Failure::usage("`--from` and `--to` are the same storage"));
    }
    let (host, pipeline) = (held.manifest.host.clone(), held.manifest.pipeline.clone());
    let (snapshot, name) = (held.manifest.key().to_string(), to.name.clone());
    let both: Vec<OpenStorage> = held.copies.iter().chain([&to]).cloned().collect();
    let wait = arguments.wait_lock.unwrap_or_default();
    let _locks = match arguments.dry_run {
        true => Vec::new(),
        false => lock(&engine, &format!("{host}/{pipeline}"), both.iter(), "copy", wait)?,
    };
    let request = Request { held, to, dry_run: arguments.dry_run };
    match copy(&engine, &request)? {
        Some(copied) => engine.report.event(&Event::Copied(copied)),
        None => engine.note(&pipeline, format!("nothing to do: `{snapshot}` is in {name} already")),
    }
    Ok(Exit::Ok)
}
