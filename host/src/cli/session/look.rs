//! Where snapshots are looked for, and which of them a reference names. Reads storages; loads no source and no filter.

use std::collections::BTreeSet;

use windlass_plugin_api::{Error, ErrorKind, Kind};

use super::{Session, base};
use crate::catalog::{Catalog, Manifest, Reference, When};
use crate::config::{Located, Selection};
use crate::exit::{Exit, Failure, Outcome};
use crate::pipeline::copies::Held;
use crate::pipeline::outputs::OpenStorage;
use crate::pipeline::plan::{Chosen, Engine};
use crate::report::{Event, error_event, units};

impl Session {
    /// The storages in which to look for snapshots: the one that is named; else the pipeline's; else all of the config.
    pub fn where_to_look(&self, storage: Option<&str>, pipeline: Option<&str>) -> Outcome<Vec<Chosen>> {
        self.judge(Selection::Pipelines(&[]))?;
        if let Some(storage) = storage {
            return self.given_storages(&[storage.to_owned()]);
        }
        let pipeline = pipeline.and_then(|name| self.config.pipelines.get(base(name)));
        let mut chosen = match pipeline {
            Some(pipeline) => self.storages_of(pipeline)?,
            None => {
                let names = self.config.storages.keys().map(|name| Located::from_command_line(name.clone()));
                let mut all =
                    names.map(|name| self.named(Kind::Storage, &name, "")).collect::<Outcome<Vec<_>>>()?;
                for pipeline in self.config.pipelines.values() {
                    all.extend(self.storages_of(pipeline)?);
                }
                all
            }
        };
        let mut seen = BTreeSet::new();
        chosen.retain(|storage| seen.insert(storage.identity()));
        if chosen.is_empty() {
            return Err(Failure::usage("no storage is configured")
                .hint("Name one: `--storage fs:/mnt/nas/backups`; or write a config with `windlass init`."));
        }
        Ok(chosen)
    }

    /// An error unless the config has the pipeline: of one that nobody knows it isn't enough to say that it is empty.
    pub fn know_pipeline(&self, name: &str) -> Outcome<()> {
        let known = self.config.pipeline(base(name)).map(|_| ());
        known.map_err(|problem| {
            let failure = Failure { exit: Exit::NotFound, ..Failure::from(problem) };
            failure.hint("See what there is with `windlass list --all-hosts`.")
        })
    }

    /// What `text` refers to. `a/b` is an item where the config's pipeline `a` has an `each`, else a host and a pipeline.
    pub fn reference(&self, text: &str) -> Outcome<Reference> {
        let place = text.split('@').next().unwrap_or(text);
        let pipeline = place.split_once('/').and_then(|(first, _)| self.config.pipelines.get(first));
        if pipeline.is_some_and(|pipeline| pipeline.each.is_some()) && place.matches('/').count() == 1 {
            return format!("{}/{text}", self.host()?).parse();
        }
        text.parse()
    }

    /// The pipelines that `names` name for `command`, which is about all snapshots of each.
    pub fn whole_pipelines(&self, names: &[String], command: &str) -> Outcome<Vec<Reference>> {
        let mut wanted = Vec::new();
        for name in names {
            let reference = self.reference(name)?;
            if reference.when != When::Newest {
                return Err(Failure::usage(format!(
                    "`{command}` takes pipelines, and `{name}` is a snapshot"
                )));
            }
            self.know_pipeline(&reference.pipeline)?;
            wanted.push(reference);
        }
        Ok(wanted)
    }

    /// Each storage of a pipeline, with the names that it has there: its own, or those of the items of its `each`.
    pub fn where_it_lies(
        &self,
        engine: &Engine,
        reference: &Reference,
        storage: Option<&str>,
    ) -> Outcome<Vec<Outcome<Shelved>>> {
        let cx = self.context(engine);
        let host = reference.host.as_ref().unwrap_or(&engine.host);
        let each = self.config.pipelines.get(&reference.pipeline).is_some_and(|found| found.each.is_some());
        let names = |open: &OpenStorage| -> Outcome<Vec<String>> {
            if !each {
                return Ok(vec![reference.pipeline.clone()]);
            }
            let all = Catalog::new(open.storage.as_ref(), &cx).pipelines(host);
            let mut all = all.map_err(|error| Failure::from(error).at(open.stage.clone()))?;
            all.retain(|name| base(name) == reference.pipeline);
            Ok(all)
        };
        let chosen = self.where_to_look(storage, Some(&reference.pipeline))?;
        let open = |chosen| engine.open_storage(chosen, &cx).and_then(|open| Ok((names(&open)?, open)));
        Ok(chosen.iter().map(open).collect())
    }

    /// What couldn't be done is told, and the others go on; a cancelled process does not.
    pub fn left_out(&self, failure: Failure, pipeline: &str) -> Outcome<Exit> {
        if self.cancel.cancelled() {
            return Err(self.cancel.reason().map_or(failure, |reason| reason.failure()));
        }
        let failure = failure.in_pipeline(pipeline);
        self.report.event(&error_event(&failure));
        Ok(match failure.exit {
            Exit::Failed => Exit::Incomplete,
            exit => exit,
        })
    }

    /// The snapshot that `text` names, and what each storage has of it; told as [`Event::Resolved`].
    pub fn resolve(&self, engine: &Engine, text: &str, storage: Option<&str>) -> Outcome<Resolved> {
        let reference = self.reference(text)?;
        let cx = self.context(engine);
        let (mut read, mut failures) = (Vec::new(), Vec::new());
        for chosen in self.where_to_look(storage, Some(&reference.pipeline))? {
            match engine.open_storage(&chosen, &cx) {
                Ok(open) => {
                    let recall = engine.recall(&open);
                    let catalog = Catalog::new(open.storage.as_ref(), &cx).with(recall.as_ref());
                    let manifest = catalog.resolve(&reference, &engine.host);
                    read.push((open, manifest));
                }
                Err(failure) => failures.push(failure),
            }
        }
        // A storage may have missed the last runs; of two that have the same, the first is read.
        let order = |manifest: &Manifest| (manifest.sequence, manifest.id.clone());
        let found = read.iter().rev().filter_map(|(_, manifest)| manifest.as_ref().ok());
        let best = found.max_by_key(|manifest| order(manifest)).cloned();
        let Some(manifest) = best else {
            let all = read.into_iter().filter_map(|(open, manifest)| Some(manifest.err()?.at(open.stage)));
            let gravest = all.chain(failures).fold(None, |last, failure| Some(graver(last, failure)));
            return Err(gravest.unwrap_or_else(|| Failure::not_found(format!("no snapshot `{text}`"))));
        };
        let mut copies = Vec::new();
        for (open, found) in read {
            let found = match found {
                Ok(found) if found.key() == manifest.key() => Ok(found),
                // What it can't be read for counts, even if another snapshot of it can be.
                Err(failure) if failure.exit != Exit::NotFound => {
                    let error = failure.error.clone();
                    failures.push(failure.at(open.stage.clone()));
                    Err(error)
                }
                _ => Catalog::new(open.storage.as_ref(), &cx).manifest(&manifest.key()),
            };
            let found = found.and_then(|found| same(&manifest, found));
            copies.push(Copy { open, manifest: found });
        }
        let resolved = Resolved { manifest, copies, failures };
        self.tell_resolved(text, &resolved);
        Ok(resolved)
    }

    fn tell_resolved(&self, text: &str, resolved: &Resolved) {
        let manifest = &resolved.manifest;
        let age = jiff::Timestamp::now().as_second() - manifest.started.as_second();
        self.report.event(&Event::Resolved {
            reference: text.to_owned(),
            snapshot: manifest.key().to_string(),
            host: manifest.host.clone(),
            storage: resolved.first().map(|open| open.name.clone()).unwrap_or_default(),
            time: units::utc(manifest.started),
            age_seconds: age,
        });
    }
}

/// The names that a pipeline has in a storage, and that storage.
pub type Shelved = (Vec<String>, OpenStorage);

/// A snapshot, and what each storage that could be asked has of it.
pub struct Resolved {
    /// Its manifest.
    pub manifest: Manifest,
    /// What each storage has, in the config's order.
    pub copies: Vec<Copy>,
    /// Why others couldn't be asked.
    pub failures: Vec<Failure>,
}

/// What a storage has of a snapshot.
pub struct Copy {
    /// The storage.
    pub open: OpenStorage,
    /// The same manifest as the others; else what is wrong with it, or that there is none.
    pub manifest: Result<Manifest, Error>,
}

impl Resolved {
    /// The storages that hold it; what the others lack is told as a warning, but not that they lack it altogether.
    pub fn held(self, session: &Session) -> Held {
        let warn = |message: String| session.report.event(&Event::Warning { pipeline: None, message });
        for failure in &self.failures {
            warn(format!("what it has isn't considered: {failure}"));
        }
        let mut copies = Vec::new();
        for copy in self.copies {
            let stage = &copy.open.stage;
            let is_told = |failure: &Failure| failure.stage.as_ref() == Some(stage);
            match copy.manifest {
                Ok(_) => copies.push(copy.open),
                Err(error) if error.kind == ErrorKind::NotFound || self.failures.iter().any(is_told) => {}
                Err(error) => warn(format!("what it has isn't considered: {stage}: {error}")),
            }
        }
        Held { manifest: self.manifest, copies }
    }

    fn first(&self) -> Option<&OpenStorage> {
        self.copies.iter().find(|copy| copy.manifest.is_ok()).map(|copy| &copy.open)
    }
}

/// A manifest is the same in every storage; another one under the same key isn't that of this snapshot.
pub fn same(manifest: &Manifest, other: Manifest) -> Result<Manifest, Error> {
    if *manifest == other {
        return Ok(other);
    }
    let key = other.key();
    Err(Error::damaged(format!("the manifest of `{key}` differs from that in another storage")))
}

/// What to tell if every storage failed: anything rather than "not found".
fn graver(last: Option<Failure>, failure: Failure) -> Failure {
    match last {
        Some(last) if last.exit != Exit::NotFound => last,
        _ => failure,
    }
}
