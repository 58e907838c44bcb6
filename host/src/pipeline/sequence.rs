//! The number that orders the snapshots of a pipeline, also when a clock goes back.

use windlass_plugin_api::ErrorKind;

use super::fan::Fan;
use super::plan::{Chosen, Engine, Plan};
use crate::catalog::manifest::MAX_SEQUENCE;
use crate::catalog::{Catalog, Found, Recall, SnapshotId};
use crate::exit::Outcome;
use crate::run::state::Last;

fn name(engine: &Engine, plan: &Plan) -> String {
    let identities: Vec<String> = plan.storages.iter().map(Chosen::identity).collect();
    format!("{} {}/{}", identities.join("+"), engine.host, plan.pipeline)
}

/// What comes after all that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next {
    /// More than that of every run that is known, and no less than the seconds since 1970 until the start. So runs that knew nothing
    /// of each other, on other storages or other machines, are in order too where their clocks were right.
    pub sequence: u64,
    /// Every id that is known is earlier, and in each of the storages could be looked.
    pub is_latest: bool,
    /// The latest id that is known.
    latest: Option<SnapshotId>,
}

/// The next snapshot of a plan, whose id would be `id`.
pub fn next(engine: &Engine, plan: &Plan, fan: &Fan, id: &SnapshotId) -> Outcome<Next> {
    let state = engine.state.get()?.clone();
    let remembered = state.last(&name(engine, plan));
    let (host, pipeline) = (engine.host.clone(), plan.pipeline.clone());
    let found = fan.each(move |open, cx| {
        let recall = Recall::new(&state, &open.identity);
        match Catalog::new(open.storage.as_ref(), &cx).with(Some(&recall)).newest(&host, &pipeline) {
            // A key that can only create is enough for a backup.
            Err(error) if error.kind == ErrorKind::Denied => {
                tracing::info!(%error, "the sequence goes on from what this machine remembers");
                Ok(None)
            }
            found => Ok(Some(found?)),
        }
    })?;
    let is_known = remembered.is_some() || found.iter().flatten().count() == plan.storages.len();
    let found: Vec<Found> = found.into_iter().flatten().flatten().collect();
    let sequences = found.iter().filter_map(|found| found.manifest.as_ref().ok()).map(|m| m.sequence);
    let last = sequences.chain(remembered.as_ref().map(|last| last.sequence)).max();
    let seconds = u64::try_from(id.time().as_second()).unwrap_or(0);
    let sequence = seconds.max(last.map_or(0, |last| last.saturating_add(1))).min(MAX_SEQUENCE);
    // What is remembered counts also where it is gone by now: another storage may have it still.
    let ids = found.into_iter().map(|found| found.key.id).chain(remembered.map(|last| last.id));
    let latest = ids.max();
    Ok(Next { sequence, is_latest: is_known && latest.as_ref().is_none_or(|latest| latest < id), latest })
}

/// Remembers on this machine that the snapshot `id` was made as `next`.
pub fn remember(engine: &Engine, plan: &Plan, next: &Next, id: &SnapshotId) {
    let Ok(state) = engine.state.get() else { return };
    let id = next.latest.as_ref().map_or(id, |latest| latest.max(id)).clone();
    if let Err(error) = state.remember_last(&name(engine, plan), &Last { sequence: next.sequence, id }) {
        tracing::debug!(%error, "the sequence number isn't remembered; the manifests have it");
    }
}
