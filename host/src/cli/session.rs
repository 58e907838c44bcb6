//! What the commands share: the config, the plugins, and the way from names and URLs to plans.

mod chosen;
mod keys;
mod look;

pub use keys::Keys;
pub use look::{Resolved, same};

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};
use windlass_plugin_api::{Context, Kind};

use super::args::{AdHoc, Global};
use super::log::{self, PluginLog};
use crate::catalog::item::item_of;
use crate::catalog::snapshot::is_host_label;
use crate::config::{
    Config, Each, Entry, Environment, Known, Located, Pipeline, Priority, Problems, Secrets, Selection,
    name_from_url, redact_url,
};
use crate::exit::{Exit, Failure, Outcome};
use crate::pipeline::fan::Rules;
use crate::pipeline::plan::{Chosen, Engine, LazyState, Plan};
use crate::pipeline::watch::Limits;
use crate::plugins::Registry;
use crate::plugins::discover::search_dirs;
use crate::report::{Event, Report};
use crate::run::cancel::Cancel;
use crate::wrap::limit::Limiters;

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
    /// Warnings, each of which is told once.
    told: Mutex<BTreeSet<String>>,
    secrets: Arc<Secrets>,
    pub(super) cancel: Arc<Cancel>,
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
        let told = Mutex::default();
        Ok(Self { config, registry, report, problems, told, secrets, cancel, global: global.clone() })
    }

    /// Judges what `which` names, telling warnings; every problem at once is the error.
    pub fn judge(&self, which: Selection<'_>) -> Outcome<()> {
        let known: &dyn Known = self.registry.as_ref();
        let warnings = self.config.check(known, which, &self.secrets, self.problems.clone())?;
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for message in warnings.into_iter().map(|warning| warning.to_string()) {
            if told.insert(message.clone()) {
                self.report.event(&Event::Warning { pipeline: None, message });
            }
        }
        Ok(())
    }

    /// The engine. Keys are those of `[decode]`, and nobody is asked for any.
    pub fn engine(&self) -> Outcome<Arc<Engine>> {
        self.engine_with(Keys::default())
    }

    /// The engine of a command that decodes, with further `keys`.
    pub fn engine_with(&self, keys: Keys) -> Outcome<Arc<Engine>> {
        let (decode, host) = (self.decode_options(keys)?, self.host()?);
        Ok(Arc::new_cyclic(|me| Engine {
            registry: self.registry.clone(),
            secrets: self.secrets.clone(),
            decode,
            host,
            state: LazyState::new(self.global.state_dir.clone()),
            limiters: Limiters::default(),
            cancel: self.cancel.clone(),
            report: self.report.clone(),
            storages: self.named_storages(),
            me: me.clone(),
        }))
    }

    /// Whether results are printed as JSON.
    pub fn is_json(&self) -> bool {
        self.global.json
    }

    /// The host label: `--host`, the config's, else the host name.
    pub fn host(&self) -> Outcome<String> {
        if let Some(host) = self.global.host.as_ref().filter(|host| !host.is_empty()) {
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
        chosen::choose((&self.config, &self.registry, &self.secrets), kind, entry, name)
    }

    /// The source or storage of that name or URL.
    pub fn named(&self, kind: Kind, name: &Located<String>, key: &str) -> Outcome<Chosen> {
        chosen::named((&self.config, &self.registry, &self.secrets), kind, name, key)
    }

    /// The plan of each of `names` (pipelines, or source URLs), all of the config's if there is none.
    pub fn plans(&self, names: &[String], adhoc: &AdHoc) -> Outcome<Vec<Plan>> {
        let mut names: Vec<String> =
            if names.is_empty() { self.config.pipelines.keys().cloned().collect() } else { names.to_vec() };
        let mut seen = BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
        // No pipeline's name has a colon, so one with an unknown scheme is told as such.
        let is_no_url = |name: &&String| !name.contains(':');
        let in_config = |name: &&String| self.config.pipelines.contains_key(base(name));
        let named: Vec<String> =
            names.iter().filter(|name| in_config(name) || is_no_url(name)).cloned().collect();
        if let (Some(unknown), true) = (named.iter().find(|name| !in_config(name)), self.problems.is_empty())
        {
            let failure = self.config.pipeline(unknown).err().map(Failure::from);
            let failure = failure.unwrap_or_else(|| Failure::not_found("no such pipeline"));
            return Err(Failure { exit: Exit::NotFound, ..failure });
        }
        let bases: Vec<String> = named.iter().map(|name| base(name).to_owned()).collect();
        self.judge(Selection::Pipelines(&bases))?;
        let mut plans: Vec<Plan> = Vec::new();
        for name in &names {
            let plan = match self.config.pipelines.get(base(name)) {
                Some(pipeline) if is_no_url(&name) => item_plan(self.plan(pipeline, adhoc)?, name)?,
                Some(pipeline) => self.plan(pipeline, adhoc)?,
                None => self.url_plan(name, &format!("source[{}]", plans.len()), adhoc)?,
            };
            if let Some(other) = plans.iter().find(|other| other.pipeline == plan.pipeline) {
                return Err(two_of_a_name(other, &plan));
            }
            plans.push(plan);
        }
        Ok(plans)
    }

    fn plan(&self, pipeline: &Pipeline, adhoc: &AdHoc) -> Outcome<Plan> {
        let source = self.named(Kind::Source, &pipeline.source, &pipeline.source_key())?;
        let filters = pipeline.filters.iter().map(|entry| self.choose(Kind::Filter, entry, &entry.plugin));
        let filters = filters.collect::<Outcome<_>>()?;
        let (storages, rules) = if adhoc.storages.is_empty() {
            (self.storages_of(pipeline)?, rules_of(pipeline))
        } else {
            (self.given_storages(&adhoc.storages)?, Rules::all(adhoc.storages.len()))
        };
        let mut notes = Vec::new();
        if pipeline.schedule.is_some() {
            notes.push("nothing acts on `schedule` yet: run the backup from cron or a timer".to_owned());
        }
        Ok(Plan {
            pipeline: pipeline.name.clone(),
            source,
            max_runs: self
                .config
                .sources
                .get(&pipeline.source.value)
                .and_then(|source| Some(source.max_runs.as_ref()?.value)),
            each: pipeline.each.clone(),
            filters,
            storages,
            rules,
            limits: Limits { timeout: pipeline.timeout, stall_timeout: pipeline.stall_timeout },
            priority: pipeline.priority,
            tags: pipeline.tags.clone(),
            wait_lock: Duration::ZERO,
            notes,
        })
    }

    /// `key` tells its secrets from those of other URLs.
    fn url_plan(&self, url: &str, key: &str, adhoc: &AdHoc) -> Outcome<Plan> {
        if adhoc.storages.is_empty() {
            return Err(Failure::usage(format!("where should `{}` be stored?", redact_url(url))).hint(
                "Name a storage: `--storage fs:/mnt/nas/backups`; or write a config with `windlass init`.",
            ));
        }
        let url = Located::from_command_line(url.to_owned());
        let filter = |name: &String| -> Outcome<Chosen> {
            let info = self.registry.info(Kind::Filter, name);
            let info = info.map_err(|error| Failure::new(Exit::Usage, error))?;
            Ok(Chosen {
                name: name.clone(),
                info,
                options: Value::Object(serde_json::Map::new()),
                limit: None,
            })
        };
        Ok(Plan {
            pipeline: name_from_url(&url),
            source: self.named(Kind::Source, &url, key)?,
            max_runs: None,
            each: None,
            filters: adhoc.filters.iter().map(filter).collect::<Outcome<_>>()?,
            storages: self.given_storages(&adhoc.storages)?,
            rules: Rules::all(adhoc.storages.len()),
            limits: Limits::default(),
            priority: Priority::default(),
            tags: std::collections::BTreeMap::new(),
            wait_lock: Duration::ZERO,
            notes: Vec::new(),
        })
    }

    fn storages_of(&self, pipeline: &Pipeline) -> Outcome<Vec<Chosen>> {
        let storages = pipeline.storages.iter().enumerate();
        storages.map(|(i, one)| self.named(Kind::Storage, &one.name, &pipeline.storage_key(i))).collect()
    }

    fn given_storages(&self, names: &[String]) -> Outcome<Vec<Chosen>> {
        let named = |(index, name): (usize, &String)| {
            let name = Located::from_command_line(name.clone());
            self.named(Kind::Storage, &name, &format!("storage[{index}]"))
        };
        names.iter().enumerate().map(named).collect()
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

/// Which of a pipeline's storages a run can do without.
fn rules_of(pipeline: &Pipeline) -> Rules {
    let patience = |index| (!pipeline.is_required(index)).then(|| pipeline.patience(index));
    Rules::new((0..pipeline.storages.len()).map(patience).collect(), pipeline.least_storages())
}

/// The pipeline that `name` is, or is an item of.
pub fn base(name: &str) -> &str {
    name.split('/').next().unwrap_or(name)
}

/// The plan for the item that `name` names behind its pipeline, or for all.
fn item_plan(plan: Plan, name: &str) -> Outcome<Plan> {
    let Some((_, label)) = name.split_once('/') else { return Ok(plan) };
    let options = item_options(plan.each.as_ref(), label).ok_or_else(|| {
        Failure::not_found(format!("there is no pipeline `{name}`"))
            .hint(format!("`{}` has no `each` that takes it.", plan.pipeline))
    })?;
    Ok(plan.of_item(label, options))
}

/// What selects the item that a storage knows as `label`.
pub fn item_options(each: Option<&Each>, label: &str) -> Option<Map<String, Value>> {
    let (each, item) = (each?, item_of(label)?);
    each.takes(&item).then(|| Map::from_iter([(each.option.clone(), Value::String(item))]))
}

/// Their snapshots would stand in one row, where each hides the other.
fn two_of_a_name(one: &Plan, other: &Plan) -> Failure {
    let (pipeline, one, other) = (&one.pipeline, &one.source.name, &other.source.name);
    Failure::usage(format!("`{one}` and `{other}` would both be the pipeline `{pipeline}`"))
        .hint("Back them up by themselves to storages of their own, or name each in a config.")
}
