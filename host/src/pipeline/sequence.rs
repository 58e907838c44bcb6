//! The number that orders the snapshots of a pipeline, also when a clock goes back.

use windlass_plugin_api::ErrorKind;

use super::fan::Fan;
use super::plan::{Chosen, Engine, Plan};
use crate::catalog::{Catalog, Found, SnapshotId};
use crate::exit::Outcome;
use crate::run::state::Last;

fn name(engine: &Engine, plan: &Plan) -> String {
    let identities: Vec<String> = plan.storages.iter().map(Chosen::identity).collect();
    format!("{} {}/{}", identities.join("+"), engine.host, plan.pipeline)
}

/// What comes after all that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next {
    /// One more than the last: this machine remembers it, and if it doesn't, the manifests do.
    pub sequence: u64,
    /// No snapshot has a later id, as far as is known. It isn't where a storage can't be listed and this machine doesn't remember any.
    pub is_latest: bool,
}

/// The next snapshot of a plan, whose id would be `id`.
pub fn next(engine: &Engine, plan: &Plan, fan: &Fan, id: &SnapshotId) -> Outcome<Next> {
    let remembered = engine.state.get()?.last(&name(engine, plan));
    let (host, pipeline) = (engine.host.clone(), plan.pipeline.clone());
    let found = fan.each(move |open, cx| {
        match Catalog::new(open.storage.as_ref(), &cx).newest(&host, &pipeline) {
            // A key that can only create is enough for a backup.
            Err(error) if error.kind == ErrorKind::Denied => {
                tracing::info!(%error, "the sequence goes on from what this machine remembers");
                Ok(None)
            }
            found => Ok(Some(found?)),
        }
    })?;
    let is_known = remembered.is_some() || found.iter().all(Option::is_some);
    let found: Vec<Found> = found.into_iter().flatten().flatten().collect();
    let sequences = found.iter().filter_map(|found| found.manifest.as_ref().ok()).map(|m| m.sequence);
    let sequence = sequences.chain(remembered.as_ref().map(|last| last.sequence)).max().unwrap_or(0) + 1;
    // What is remembered counts also where it is gone by now: another storage may have it still.
    let mut ids = found.iter().map(|found| &found.key.id).chain(remembered.as_ref().map(|last| &last.id));
    Ok(Next { sequence, is_latest: is_known && ids.all(|other| other < id) })
}

/// Remembers it on this machine.
pub fn remember(engine: &Engine, plan: &Plan, last: &Last) {
    let Ok(state) = engine.state.get() else { return };
    if let Err(error) = state.remember_last(&name(engine, plan), last) {
        tracing::debug!(%error, "the sequence number isn't remembered; the manifests have it");
    }
}
