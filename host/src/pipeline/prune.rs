//! Removes from a storage the snapshots that a policy doesn't keep.
//!
//! Each storage is judged by itself: what another one has keeps nothing here. A snapshot that is damaged, as far as manifests and
//! listings tell, is none that a policy could count on, and nothing that it removes either. The manifest goes first, so that a
//! snapshot is whole or none at every moment; a record of the run lets the next one remove what this one couldn't.

use std::sync::Arc;

use jiff::tz::TimeZone;
use windlass_plugin_api::{During, Error, ErrorKind, Result};

use super::abandoned::Abandoned;
use super::leftovers::{self, Record};
use super::outputs::OpenStorage;
use super::plan::Engine;
use super::run::Run;
use super::watch::{Limits, supervise};
use crate::catalog::level::Shelf;
use crate::catalog::snapshot::{MANIFEST, RESTORE_TXT};
use crate::catalog::{Catalog, Found, Manifest, SnapshotId, SnapshotKey};
use crate::config::Retention;
use crate::exit::{Exit, Failure, Outcome};
use crate::report::{Event, PruneRow, Pruned, error_event, units};
use crate::retention::judge;

/// What is to be pruned, and how.
#[derive(Clone)]
pub struct Request {
    /// The host label.
    pub host: String,
    /// The pipeline, or the item of an `each`.
    pub pipeline: String,
    /// Where.
    pub open: OpenStorage,
    /// What is kept.
    pub policy: Retention,
    /// Only say what would be removed.
    pub dry_run: bool,
    /// Say of what is kept, too, why it is.
    pub explain: bool,
}

/// Prunes one pipeline in one storage. What can't be removed is told, and the others go.
pub fn prune(engine: &Arc<Engine>, request: &Request) -> Outcome<Done> {
    let run = Run::new(engine, SnapshotId::new(jiff::Timestamp::now()));
    let work = {
        let (engine, request, run) = (engine.clone(), request.clone(), run.clone());
        move || Pruning { engine: &engine, request: &request, run: &run }.prune()
    };
    let outcome = supervise(&run.cancel, Limits::default(), &run.moved, work).and_then(|outcome| outcome);
    outcome.map_err(|failure| run.cancel.reason().map_or(failure, |reason| reason.failure()))
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    /// What the process should end with, if this were all.
    pub exit: Exit,
    /// How many snapshots there were.
    pub found: usize,
}

impl Done {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { exit: self.exit.and(other.exit), found: self.found + other.found }
    }
}

struct Pruning<'a> {
    engine: &'a Engine,
    request: &'a Request,
    run: &'a Run,
}

impl Pruning<'_> {
    fn prune(&self) -> Outcome<Done> {
        let Request { host, pipeline, open, policy, dry_run, .. } = self.request;
        if !dry_run {
            leftovers::remove_from(self.engine, pipeline, open, &self.run.cx);
        }
        let recall = self.engine.recall(open);
        let catalog = Catalog::new(open.storage.as_ref(), &self.run.cx).with(recall.as_ref());
        let shelf = catalog.shelf(host, pipeline);
        let shelf = shelf.map_err(|error| Failure::from(error).at(open.stage.clone()))?;
        let (mut exit, mut good) = (Exit::Ok, Vec::new());
        for found in &shelf.found {
            match shelf.whole(found) {
                Ok(manifest) => good.push(manifest),
                // Another machine has removed it meanwhile.
                Err(gone) if gone.kind == ErrorKind::NotFound => {}
                Err(fault) => exit = exit.and(self.left_alone(found, fault)),
            }
        }
        let reasons = judge(policy, &good, &TimeZone::system(), jiff::Timestamp::now());
        let newest = good.last().map(|manifest| manifest.key());
        let mut told = self.nothing_yet(&shelf);
        for (manifest, why) in good.into_iter().zip(reasons) {
            exit = exit.and(self.settle(&shelf, manifest, why, &mut told)?);
        }
        if let Some(newest) = newest {
            exit = exit.and(self.clear(&shelf, &newest)?);
        }
        self.engine.report.event(&Event::Pruned(told));
        Ok(Done { exit, found: shelf.found.len() })
    }

    /// Removes what runs have left that died long ago.
    fn clear(&self, shelf: &Shelf, newest: &SnapshotKey) -> Outcome<Exit> {
        let Request { pipeline, open, dry_run, .. } = self.request;
        let (storage, cx) = (open.storage.as_ref(), &self.run.cx);
        let cleared = Abandoned { shelf, newest, now: jiff::Timestamp::now() }.clear(storage, cx, *dry_run);
        cx.go_on()?;
        match cleared {
            Ok(0) => {}
            Ok(count) => {
                let verb = if *dry_run { "would remove" } else { "removed" };
                self.engine.note(pipeline, format!("{verb} {count} objects of runs that had died long ago"));
            }
            Err(error) => {
                self.engine
                    .warn(pipeline, format!("what dead runs have left in {} stays: {error}", open.stage));
                return Ok(Exit::Incomplete);
            }
        }
        Ok(Exit::Ok)
    }

    /// Removes it, or says why it is kept.
    fn settle(
        &self,
        shelf: &Shelf,
        manifest: &Manifest,
        why: Vec<String>,
        told: &mut Pruned,
    ) -> Outcome<Exit> {
        let key = manifest.key();
        let (keys, stored_bytes) = shelf.all_of(&key);
        let row = PruneRow {
            snapshot: key.to_string(),
            host: key.host.clone(),
            pipeline: key.pipeline.clone(),
            storage: self.request.open.name.clone(),
            time: units::utc(manifest.started),
            stored_bytes,
            why,
            dry_run: self.request.dry_run,
        };
        if !row.why.is_empty() {
            if self.request.explain {
                self.engine.report.event(&Event::Kept(row));
            }
            return Ok(Exit::Ok);
        }
        if !self.request.dry_run {
            self.run.cx.go_on()?;
            if let Err(error) = self.remove(&key, keys) {
                self.run.cx.go_on()?;
                return Ok(self.tell(&key, Exit::Incomplete, error));
            }
        }
        told.removed += 1;
        told.removed_bytes += stored_bytes;
        told.kept -= 1;
        self.engine.report.event(&Event::Removed(row));
        Ok(Exit::Ok)
    }

    /// Removes a snapshot, of which `keys` are all objects. Whatever stops it, it is a whole snapshot or none.
    fn remove(&self, key: &SnapshotKey, keys: Vec<String>) -> Result<()> {
        let open = &self.request.open;
        let state = self.engine.state.get().map_err(|failure| failure.error)?;
        let record = Record::begin(state, key, std::iter::once(open))?;
        let (manifest, text) = (key.object(MANIFEST), key.object(RESTORE_TXT));
        let others: Vec<String> = keys.into_iter().filter(|key| *key != manifest && *key != text).collect();
        let delete = |keys: &[String]| leftovers::delete(open.storage.as_ref(), keys, &self.run.cx);
        let unlisted = delete(&[manifest]);
        let is_as_it_was = unlisted.as_ref().is_err_and(|error| error.kind == ErrorKind::Denied);
        let removed = unlisted.during("it can't be removed").and_then(|()| {
            // A folder with that text is taken for a snapshot that may be saved.
            delete(&[text])
                .and_then(|()| delete(&others))
                .during("it is no snapshot any more, and what is left of it can't be removed")
        });
        // Where it isn't known what was removed, the next run looks, and leaves alone what is a snapshot still.
        let is_clean = removed.is_ok() || is_as_it_was;
        record.end(if is_clean { Vec::new() } else { vec![open.identity.clone()] });
        removed
    }

    /// What is damaged, or can't be judged, is neither counted nor removed.
    fn left_alone(&self, found: &Found, fault: Error) -> Exit {
        let exit = if fault.kind == ErrorKind::Damaged { Exit::Damaged } else { Exit::Incomplete };
        let mut error = fault.during("it is neither counted nor removed");
        if exit == Exit::Damaged {
            error = error.hint(
                "`windlass reconcile` heals it if another storage has it whole; else remove its folder, `manifest.json` first.",
            );
        }
        self.tell(&found.key, exit, error)
    }

    fn tell(&self, key: &SnapshotKey, exit: Exit, error: Error) -> Exit {
        let failure =
            Failure::new(exit, error).at(self.request.open.stage.clone()).in_pipeline(&key.to_string());
        self.engine.report.event(&error_event(&failure));
        exit
    }

    fn nothing_yet(&self, shelf: &Shelf) -> Pruned {
        let Request { host, pipeline, open, dry_run, .. } = self.request;
        Pruned {
            pipeline: pipeline.clone(),
            host: host.clone(),
            storage: open.name.clone(),
            removed: 0,
            removed_bytes: 0,
            kept: shelf.found.len(),
            dry_run: *dry_run,
        }
    }
}
