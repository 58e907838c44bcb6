//! What the commands share: the config, the plugins, and the way from names and URLs to plans.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use windlass_plugin_api::{Context, Kind};

use super::args::{AdHoc, Global};
use super::log::{self, PluginLog};
use crate::catalog::snapshot::is_host_label;
use crate::catalog::{Catalog, Manifest, Reference, When};
use crate::config::{
    Config, Entry, Environment, Known, Located, Pipeline, Problems, Secrets, Selection, name_from_url,
    redact_url,
};
use crate::exit::{Exit, Failure, Outcome};
use crate::pipeline::outputs::OpenStorage;
use crate::pipeline::plan::{Chosen, Engine, LazyState, Plan};
use crate::pipeline::watch::Limits;
use crate::plugins::Registry;
use crate::plugins::discover::search_dirs;
use crate::report::{Event, Report, units};
use crate::run::cancel::Cancel;

/// One command under way.
pub struct Session {
    /// The config; empty if there is none.
    pub config: Config,
    /// The plugins.
    pub registry: Arc<Registry>,
    /// Where events go.
    pub report: Arc<dyn Report>,
    /// What is wrong with the config's text; told with what is wrong with its content.
    problems: Problems,
    secrets: Arc<Secrets>,
    cancel: Arc<Cancel>,
    global: Global,
}

impl Session {
    /// Reads the config, if there is one, and knows where plugins are. Judges nothing yet.
    pub fn open(
        global: &Global,
        secrets: Arc<Secrets>,
        report: Arc<dyn Report>,
        cancel: Arc<Cancel>,
    ) -> Outcome<Self> {
        let env = Environment::of_process();
        let (config, problems) = match Config::locate(global.config.as_deref(), &env)? {
            Some(place) => Config::parse(&place, &env),
            None => (Config::default(), Problems::new()),
        };
        let dirs: Vec<_> = config.plugin_dirs.iter().map(|dir| dir.value.clone()).collect();
        let exe = std::env::current_exe().unwrap_or_default();
        let dirs = search_dirs(&global.plugin_dirs, &|name| std::env::var_os(name), &dirs, &exe);
        let registry = Arc::new(Registry::new(dirs, Arc::new(PluginLog), log::level(global)));
        Ok(Self { config, registry, report, problems, secrets, cancel, global: global.clone() })
    }

    /// Judges what `which` names, telling warnings; every problem at once is the error.
    pub fn judge(&self, which: Selection<'_>) -> Outcome<()> {
        let known: &dyn Known = self.registry.as_ref();
        let warnings = self.config.check(known, which, &self.secrets, self.problems.clone())?;
        for warning in warnings {
            self.report.event(&Event::Warning { pipeline: None, message: warning.to_string() });
        }
        Ok(())
    }

    /// The engine: with the keys of `[decode]`.
    pub fn engine(&self) -> Outcome<Arc<Engine>> {
        let mut decode = std::collections::BTreeMap::new();
        for entry in self.config.decode.values() {
            let chosen = self.choose(Kind::Filter, entry, &entry.plugin.value)?;
            decode.insert(chosen.info.full_name(), chosen.options);
        }
        Ok(Arc::new(Engine {
            registry: self.registry.clone(),
            secrets: self.secrets.clone(),
            decode,
            host: self.host()?,
            state: LazyState::new(self.global.state_dir.clone()),
            cancel: self.cancel.clone(),
            report: self.report.clone(),
        }))
    }

    /// Whether results are printed as JSON.
    pub fn is_json(&self) -> bool {
        self.global.json
    }

    /// The host label: `--host`, the config's, else the host name.
    pub fn host(&self) -> Outcome<String> {
        if let Some(host) = &self.global.host {
            if is_host_label(host) {
                return Ok(host.clone());
            }
            return Err(Failure::usage(format!("`{host}` is not a host label"))
                .hint("It has up to 63 letters, digits, `.`, `_` and `-`, and doesn't begin with a dot."));
        }
        if let Some(host) = &self.config.host {
            return Ok(host.value.clone());
        }
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let label: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' })
            .take(63)
            .collect();
        let label = label.trim_start_matches('.').to_owned();
        if label.is_empty() { Ok("localhost".to_owned()) } else { Ok(label) }
    }

    /// A plugin with its resolved options.
    pub fn choose(&self, kind: Kind, entry: &Entry, name: &str) -> Outcome<Chosen> {
        let known: &dyn Known = self.registry.as_ref();
        let options: Value = self.config.resolve(entry, known, &self.secrets, &entry.key)?;
        let info = self
            .registry
            .info(kind, &entry.plugin.value)
            .map_err(|error| Failure::new(Exit::Usage, error))?;
        Ok(Chosen { name: name.to_owned(), info, options })
    }

    /// The source or storage of that name or URL.
    pub fn named(&self, kind: Kind, name: &Located<String>, key: &str) -> Outcome<Chosen> {
        self.secrets.hide_url(name);
        let entry = self.config.entry(kind, name, key, self.registry.as_ref())?;
        self.choose(kind, &entry, &redact_url(name))
    }

    /// The plan of each of `names` (pipelines, or source URLs), all of the config's if there is none.
    pub fn plans(&self, names: &[String], adhoc: &AdHoc) -> Outcome<Vec<Plan>> {
        let names: Vec<String> =
            if names.is_empty() { self.config.pipelines.keys().cloned().collect() } else { names.to_vec() };
        // No pipeline's name has a colon, so one with an unknown scheme is told as such.
        let is_no_url = |name: &&String| !name.contains(':');
        let in_config = |name: &&String| self.config.pipelines.contains_key(*name);
        let named: Vec<String> =
            names.iter().filter(|name| in_config(name) || is_no_url(name)).cloned().collect();
        if let (Some(unknown), true) = (named.iter().find(|name| !in_config(name)), self.problems.is_empty())
        {
            let failure = self.config.pipeline(unknown).err().map(Failure::from);
            let failure = failure.unwrap_or_else(|| Failure::not_found("no such pipeline"));
            return Err(Failure { exit: Exit::NotFound, ..failure });
        }
        self.judge(Selection::Pipelines(&named))?;
        let mut plans = Vec::new();
        for name in &names {
            plans.push(match self.config.pipelines.get(name) {
                Some(pipeline) => self.plan(pipeline, adhoc)?,
                None => self.url_plan(name, adhoc)?,
            });
        }
        Ok(plans)
    }

    fn plan(&self, pipeline: &Pipeline, adhoc: &AdHoc) -> Outcome<Plan> {
        let source = self.named(Kind::Source, &pipeline.source, &pipeline.source_key())?;
        let filters = pipeline.filters.iter().map(|entry| self.choose(Kind::Filter, entry, &entry.plugin));
        let filters = filters.collect::<Outcome<_>>()?;
        let storages = if adhoc.storages.is_empty() {
            self.storages_of(pipeline)?
        } else {
            self.given_storages(&adhoc.storages)?
        };
        let mut notes = Vec::new();
        if pipeline.schedule.is_some() {
            notes.push("nothing acts on `schedule` yet: run the backup from cron or a timer".to_owned());
        }
        if pipeline.retention.is_some() {
            notes.push("nothing acts on `retention` yet: no snapshot is removed".to_owned());
        }
        Ok(Plan {
            pipeline: pipeline.name.clone(),
            source,
            filters,
            storages,
            limits: Limits { timeout: pipeline.timeout, stall_timeout: pipeline.stall_timeout },
            tags: pipeline.tags.clone(),
            wait_lock: Duration::ZERO,
            notes,
        })
    }

    fn url_plan(&self, url: &str, adhoc: &AdHoc) -> Outcome<Plan> {
        if adhoc.storages.is_empty() {
            return Err(Failure::usage(format!("where should `{}` be stored?", redact_url(url))).hint(
                "Name a storage: `--storage fs:/mnt/nas/backups`; or write a config with `windlass init`.",
            ));
        }
        let url = Located::from_command_line(url.to_owned());
        let filter = |name: &String| -> Outcome<Chosen> {
            let info = self.registry.info(Kind::Filter, name);
            let info = info.map_err(|error| Failure::new(Exit::Usage, error))?;
            Ok(Chosen { name: name.clone(), info, options: Value::Object(serde_json::Map::new()) })
        };
        Ok(Plan {
            pipeline: name_from_url(&url),
            source: self.named(Kind::Source, &url, "source")?,
            filters: adhoc.filters.iter().map(filter).collect::<Outcome<_>>()?,
            storages: self.given_storages(&adhoc.storages)?,
            limits: Limits::default(),
            tags: std::collections::BTreeMap::new(),
            wait_lock: Duration::ZERO,
            notes: Vec::new(),
        })
    }

    fn storages_of(&self, pipeline: &Pipeline) -> Outcome<Vec<Chosen>> {
        let storages = pipeline.storages.iter().enumerate();
        storages.map(|(i, name)| self.named(Kind::Storage, name, &pipeline.storage_key(i))).collect()
    }

    fn given_storages(&self, names: &[String]) -> Outcome<Vec<Chosen>> {
        let names = names.iter().map(|name| Located::from_command_line(name.clone()));
        names.map(|name| self.named(Kind::Storage, &name, "storage")).collect()
    }

    /// The storages in which to look for snapshots: the one that is named; else the pipeline's; else all of the config.
    pub fn where_to_look(&self, storage: Option<&str>, pipeline: Option<&str>) -> Outcome<Vec<Chosen>> {
        self.judge(Selection::Pipelines(&[]))?;
        if let Some(storage) = storage {
            return self.given_storages(&[storage.to_owned()]);
        }
        let pipeline =
            pipeline.and_then(|name| self.config.pipelines.get(name.split('/').next().unwrap_or(name)));
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
        let mut seen = std::collections::BTreeSet::new();
        chosen.retain(|storage| seen.insert(storage.identity()));
        if chosen.is_empty() {
            return Err(Failure::usage("no storage is configured")
                .hint("Name one: `--storage fs:/mnt/nas/backups`; or write a config with `windlass init`."));
        }
        Ok(chosen)
    }

    /// An error unless the config has the pipeline: of one that nobody knows it isn't enough to say that it is empty.
    pub fn know_pipeline(&self, name: &str) -> Outcome<()> {
        let base = name.split('/').next().unwrap_or(name);
        let known = self.config.pipeline(base).map(|_| ());
        known.map_err(|problem| {
            let failure = Failure { exit: Exit::NotFound, ..Failure::from(problem) };
            failure.hint("See what there is with `windlass list --all-hosts`.")
        })
    }

    /// The snapshot that `text` names and the storage it was found in; told as [`Event::Resolved`].
    pub fn resolve(
        &self,
        engine: &Engine,
        text: &str,
        storage: Option<&str>,
    ) -> Outcome<(OpenStorage, Manifest)> {
        let reference: Reference = text.parse()?;
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

    /// What plugins get outside of a run.
    pub fn context(&self, engine: &Engine) -> Context {
        engine.context("", &self.cancel)
    }

    /// The config's own plugin folders and the rest, in search order.
    pub fn plugin_dirs(&self) -> Vec<(&Path, String)> {
        self.registry.dirs().iter().map(|dir| (dir.path.as_path(), dir.origin.to_string())).collect()
    }
}

/// What to tell if every storage failed: anything rather than "not found".
fn graver(last: Option<Failure>, failure: Failure) -> Failure {
    match last {
        Some(last) if last.exit != Exit::NotFound => last,
        _ => failure,
    }
}
