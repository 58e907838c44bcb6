//! `windlass verify`.

use super::args::Verify;
use super::session::Session;
use crate::catalog::{Catalog, Found, Reference, When};
use crate::exit::{Exit, Failure, Outcome};
use crate::pipeline::verify::{Depth, verify};

/// Verifies one snapshot, all of a pipeline, or all of every pipeline.
pub fn run(session: &Session, arguments: &Verify) -> Outcome<Exit> {
    let depth = match (arguments.quick, arguments.full) {
        (true, _) => Depth::Quick,
        (_, true) => Depth::Full,
        _ => Depth::Stored,
    };
    let engine = session.engine()?;
    let reference: Option<Reference> = arguments.snapshot.as_deref().map(str::parse).transpose()?;
    if let (Some(text), Some(Reference { when: When::Id(_) | When::At(_), .. })) =
        (&arguments.snapshot, &reference)
    {
        let (open, manifest) = session.resolve(&engine, text, arguments.storage.as_deref())?;
        return verify(&engine, &open, &Found { key: manifest.key(), manifest: Ok(manifest) }, depth);
    }
    let cx = session.context(&engine);
    let mut exit = Exit::Ok;
    let mut count = 0;
    let pipeline = reference.as_ref().map(|reference| reference.pipeline.as_str());
    for chosen in session.where_to_look(arguments.storage.as_deref(), pipeline)? {
        let open = engine.open_storage(&chosen, &cx)?;
        let catalog = Catalog::new(open.storage.as_ref(), &cx);
        let host =
            reference.as_ref().and_then(|reference| reference.host.clone()).unwrap_or(engine.host.clone());
        let at = |error| Failure::from(error).at(open.stage.clone());
        let pipelines = match pipeline {
            Some(pipeline) => vec![pipeline.to_owned()],
            None => catalog.pipelines(&host).map_err(at)?,
        };
        for pipeline in pipelines {
            for found in catalog.snapshots(&host, &pipeline).map_err(at)? {
                count += 1;
                exit = exit.and(verify(&engine, &open, &found, depth)?);
            }
        }
    }
    if count == 0 {
        let what = arguments.snapshot.as_ref().map(|name| format!(" of `{name}`")).unwrap_or_default();
        return Err(Failure::not_found(format!("no snapshot{what}")).hint("See `windlass list --all-hosts`."));
    }
    Ok(exit)
}
