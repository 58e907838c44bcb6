//! The number that orders the snapshots of a pipeline, also when a clock goes back.

use windlass_plugin_api::ErrorKind;

use super::fan::Fan;
use super::plan::{Chosen, Engine, Plan};
use crate::catalog::Catalog;
use crate::exit::Outcome;

fn name(engine: &Engine, plan: &Plan) -> String {
    let identities: Vec<String> = plan.storages.iter().map(Chosen::identity).collect();
    format!("{} {}/{}", identities.join("+"), engine.host, plan.pipeline)
}

/// One more than the last: this machine remembers it, and if it doesn't, the manifests do.
pub fn next(engine: &Engine, plan: &Plan, fan: &Fan) -> Outcome<u64> {
    let remembered = engine.state.get()?.sequence(&name(engine, plan));
    let (host, pipeline) = (engine.host.clone(), plan.pipeline.clone());
    let found = fan.each(move |open, cx| {
        let catalog = Catalog::new(open.storage.as_ref(), &cx);
        let found = match remembered {
            Some(_) => catalog.newest_by_id(&host, &pipeline),
            None => catalog.snapshots(&host, &pipeline),
        };
        let found = match found {
            // A key that can only create is enough for a backup.
            Err(error) if error.kind == ErrorKind::Denied => {
                tracing::info!(%error, "the sequence goes on from what this machine remembers");
                return Ok(0);
            }
            found => found?,
        };
        let sequences = found.iter().filter_map(|found| found.manifest.as_ref().ok()).map(|m| m.sequence);
        Ok(sequences.max().unwrap_or(0))
    })?;
    Ok(found.into_iter().chain(remembered).max().unwrap_or(0) + 1)
}

/// Remembers it on this machine.
pub fn remember(engine: &Engine, plan: &Plan, sequence: u64) {
    let Ok(state) = engine.state.get() else { return };
    if let Err(error) = state.remember_sequence(&name(engine, plan), sequence) {
        tracing::debug!(%error, "the sequence number isn't remembered; the manifests have it");
    }
}
