//! Where snapshots are looked for, and which of them a reference names. Reads storages; loads no source and no filter.

use std::collections::BTreeSet;

use windlass_plugin_api::Kind;

use super::{Session, base};
use crate::catalog::{Catalog, Manifest, Reference, When};
use crate::config::{Located, Selection};
use crate::exit::{Exit, Failure, Outcome};
use crate::pipeline::outputs::OpenStorage;
use crate::pipeline::plan::{Chosen, Engine};
use crate::report::{Event, units};

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

    /// The snapshot that `text` names and the storage it was found in; told as [`Event::Resolved`].
    pub fn resolve(
        &self,
        engine: &Engine,
        text: &str,
        storage: Option<&str>,
    ) -> Outcome<(OpenStorage, Manifest)> {
        let reference = self.reference(text)?;
        let cx = self.context(engine);
        let (mut best, mut last): (Option<(OpenStorage, Manifest)>, Option<Failure>) = (None, None);
        for chosen in self.where_to_look(storage, Some(&reference.pipeline))? {
            let found = engine.open_storage(&chosen, &cx).and_then(|open| {
                let manifest = Catalog::new(open.storage.as_ref(), &cx).resolve(&reference, &engine.host);
                manifest.map(|manifest| (open, manifest)).map_err(|failure| failure.at(chosen.stage()))
            });
            match found {
                Ok(found) => {
                    // A storage may have missed the last runs; of two that have the same, the first is read.
                    let order = |(_, manifest): &(_, Manifest)| (manifest.sequence, manifest.id.clone());
                    if best.as_ref().is_none_or(|best| order(&found) > order(best)) {
                        best = Some(found);
                    }
                    if matches!(reference.when, When::Id(_)) {
                        break;
                    }
                }
                // A storage that can't be read now doesn't hide what another one has.
                Err(failure) => last = Some(graver(last, failure)),
            }
        }
        let Some((open, manifest)) = best else {
            return Err(last.unwrap_or_else(|| Failure::not_found(format!("no snapshot `{text}`"))));
        };
        if let Some(failure) = last.filter(|failure| failure.exit != Exit::NotFound) {
            let message = format!("what it has isn't considered: {failure}");
            self.report.event(&Event::Warning { pipeline: None, message });
        }
        self.tell_resolved(text, &open, &manifest);
        Ok((open, manifest))
    }

    fn tell_resolved(&self, text: &str, open: &OpenStorage, manifest: &Manifest) {
        let age = jiff::Timestamp::now().as_second() - manifest.started.as_second();
        self.report.event(&Event::Resolved {
            reference: text.to_owned(),
            snapshot: manifest.key().to_string(),
            host: manifest.host.clone(),
            storage: open.name.clone(),
            time: units::utc(manifest.started),
            age_seconds: age,
        });
    }
}

/// What to tell if every storage failed: anything rather than "not found".
fn graver(last: Option<Failure>, failure: Failure) -> Failure {
    match last {
        Some(last) if last.exit != Exit::NotFound => last,
        _ => failure,
    }
}
