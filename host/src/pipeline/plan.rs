//! What a run needs, resolved: which plugins with which options, and where.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use windlass_plugin_api::{Context, Error, ErrorKind, Filter, Kind, PluginInfo, Source, Storage};

use super::chain::Stacked;
use super::fan::Rules;
use super::outputs::OpenStorage;
use super::watch::Limits;
use crate::catalog::{AppliedFilter, Recall, hex};
use crate::config::{Each, Limit, Priority, Secrets};
use crate::exit::{Exit, Failure, Outcome, Stage};
use crate::plugins::Registry;
use crate::report::{Event, Report};
use crate::run::cancel::Cancel;
use crate::run::services::HostServices;
use crate::run::state::StateDir;
use crate::wrap::limit::Limiters;
use crate::wrap::retry::Retry;

/// What all runs of this process share.
pub struct Engine {
    /// The plugins.
    pub registry: Arc<Registry>,
    /// The secrets of everything that was resolved.
    pub secrets: Arc<Secrets>,
    /// Keys for old snapshots and for bare streams.
    pub decode: DecodeOptions,
    /// The host label.
    pub host: String,
    /// The local state folder, opened when it is needed.
    pub state: LazyState,
    /// How fast storages may be used.
    pub limiters: Limiters,
    /// The process's switch.
    pub cancel: Arc<Cancel>,
    /// Where events go.
    pub report: Arc<dyn Report>,
    /// What the config means by the name of a storage, for plugins that use one.
    pub storages: NamedStorages,
    /// Itself, for what outlives a call.
    pub me: Weak<Engine>,
}

/// The storage of a name, with its options.
pub type NamedStorages = Box<dyn Fn(&str) -> Outcome<Chosen> + Send + Sync>;

/// The options with which a filter reads what was stored, whatever the pipelines say. Asked for when a stream needs them: a
/// machine that only backs up has no keys.
pub type DecodeOptions = Box<dyn Fn(&PluginInfo) -> Outcome<Value> + Send + Sync>;

/// The state folder: only runs need one, and a machine that only lists may have none.
#[derive(Default)]
pub struct LazyState {
    /// `--state-dir`.
    pub given: Option<PathBuf>,
    opened: OnceLock<StateDir>,
}

impl LazyState {
    /// The folder that the user named, or a usual one.
    pub fn new(given: Option<PathBuf>) -> Self {
        Self { given, opened: OnceLock::new() }
    }

    /// Opens it, the first time.
    pub fn get(&self) -> Outcome<&StateDir> {
        if let Some(state) = self.opened.get() {
            return Ok(state);
        }
        let state = StateDir::open(self.given.as_deref())?;
        Ok(self.opened.get_or_init(|| state))
    }
}

/// A plugin with its options.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The config's name for it, or the URL without secrets.
    pub name: String,
    /// The plugin.
    pub info: Arc<PluginInfo>,
    /// Its options; secrets by name.
    pub options: Value,
    /// How fast it may be used; only a storage has one.
    pub limit: Option<Limit>,
}

/// A pipeline, resolved for one run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The pipeline's name.
    pub pipeline: String,
    /// The source.
    pub source: Chosen,
    /// At most so many runs read the source at once.
    pub max_runs: Option<u32>,
    /// Each of these items of the source is a snapshot of its own: see [`super::each`].
    pub each: Option<Each>,
    /// The filters, in the order in which they are applied.
    pub filters: Vec<Chosen>,
    /// The storages.
    pub storages: Vec<Chosen>,
    /// Which of them a run can do without.
    pub rules: Rules,
    /// Time limits.
    pub limits: Limits,
    /// How much the run gives way to others.
    pub priority: Priority,
    /// The user's tags.
    pub tags: BTreeMap<String, String>,
    /// How long to wait for a lock.
    pub wait_lock: Duration,
    /// Set if the config asks for what nothing acts on yet.
    pub notes: Vec<String>,
}

/// The running plugins of a plan, but for its storages: see [`super::fan`].
pub struct Opened {
    /// The source.
    pub source: Box<dyn Source>,
    /// The filters.
    pub filters: Vec<Stacked>,
}

impl Chosen {
    /// Its stage: `source shop (sqlite@0.1.0)`.
    pub fn stage(&self) -> Stage {
        let plugin = format!("{}@{}", self.info.short_name(), self.info.version);
        let kind = self.info.kind;
        let name = if self.name == self.info.short_name() || self.name.is_empty() {
            format!("{kind} {}", self.info.short_name())
        } else {
            format!("{kind} {}", self.name)
        };
        Stage { name, plugin: Some(plugin) }
    }

    /// `shop (sqlite)`, or the plugin's name alone.
    pub fn described(&self) -> String {
        let plugin = self.info.short_name();
        if self.name == plugin { plugin } else { format!("{} ({plugin})", self.name) }
    }

    /// What tells this from another: plugin and options, without secrets.
    pub fn identity(&self) -> String {
        hex(&Sha256::digest(format!("{} {}", self.info.full_name(), self.options))[..12])
    }
}

impl Engine {
    /// What plugins get in the run `run` that `cancel` ends.
    pub fn context(&self, run: &str, cancel: &Arc<Cancel>) -> Context {
        let engine = self.me.clone();
        let storage = move |name: &str, cx: &Context| {
            let engine = engine.upgrade().ok_or_else(Error::cancelled)?;
            let open = (engine.storages)(name).and_then(|chosen| engine.open_storage(&chosen, cx));
            Ok(open
                .map_err(|failure| failure.error.during(format!("can't use the storage `{name}`")))?
                .storage)
        };
        let services = HostServices {
            cancel: cancel.clone(),
            secrets: self.secrets.clone(),
            report: self.report.clone(),
            storage: Box::new(storage),
            run: run.to_owned(),
        };
        services.context()
    }

    /// A running source.
    pub fn open_source(&self, chosen: &Chosen, cx: &Context) -> Outcome<Box<dyn Source>> {
        let open = || self.registry.load(&chosen.info)?.source(&chosen.options, cx);
        open().map_err(|error| Failure::from(error).at(chosen.stage()))
    }

    /// A running filter.
    pub fn open_filter(&self, chosen: &Chosen, cx: &Context) -> Outcome<Stacked> {
        let open = || self.registry.load(&chosen.info)?.filter(&chosen.options, cx);
        let filter: Arc<dyn Filter> =
            Arc::from(open().map_err(|error| Failure::from(error).at(chosen.stage()))?);
        let info = &chosen.info;
        let applied = AppliedFilter {
            plugin: info.full_name(),
            version: info.version.clone(),
            suffix: info.suffix.clone().unwrap_or_default(),
            encrypts: info.encrypts,
            recipients: Vec::new(),
            params: Map::new(),
        };
        Ok(Stacked { filter, stage: chosen.stage(), applied })
    }

    /// A running storage.
    pub fn open_storage(&self, chosen: &Chosen, cx: &Context) -> Outcome<OpenStorage> {
        let open = || self.registry.load(&chosen.info)?.storage(&chosen.options, cx);
        let mut storage = open().map_err(|error| Failure::from(error).at(chosen.stage()))?;
        if let Some(limit) = chosen.limit {
            storage = self.limiters.wrap(storage, chosen.identity(), limit, &cx.run());
        }
        let (report, stage) = (self.report.clone(), chosen.stage());
        let tell = move |message| {
            report.event(&Event::Warning { pipeline: None, message: format!("{stage}: {message}") });
        };
        let storage: Arc<dyn Storage> = Arc::new(Retry::new(storage, Arc::new(tell)));
        Ok(OpenStorage {
            name: chosen.name.clone(),
            storage,
            stage: chosen.stage(),
            identity: chosen.identity(),
        })
    }

    /// What this machine has read of a storage. Without a state folder nothing is remembered.
    pub fn recall(&self, open: &OpenStorage) -> Option<Recall> {
        let state =
            self.state.get().inspect_err(|failure| tracing::debug!(%failure.error, "nothing is remembered"));
        state.ok().map(|state| Recall::new(state, &open.identity))
    }

    /// Source and filters of a plan, running.
    pub fn open(&self, plan: &Plan, cx: &Context) -> Outcome<Opened> {
        let source = self.open_source(&plan.source, cx)?;
        let filters =
            plan.filters.iter().map(|chosen| self.open_filter(chosen, cx)).collect::<Outcome<_>>()?;
        Ok(Opened { source, filters })
    }

    /// The running filters that a manifest names, with the params of one stream; keys come from `[decode.…]` alone.
    pub fn open_decoders(&self, applied: &[AppliedFilter], cx: &Context) -> Outcome<Vec<Stacked>> {
        let open = |applied: &AppliedFilter| -> Outcome<Stacked> {
            let info = self.registry.by_full_name(Kind::Filter, &applied.plugin).map_err(|error| {
                // A plugin that is missing or broken is no damage of the snapshot. And what is installed instead would
                // help with a typo, which this is not.
                let error = Error { kind: ErrorKind::Unsupported, hint: None, ..error };
                let failure = Failure::new(Exit::Failed, error);
                failure.hint(format!(
                    "The snapshot was made with `{}` {}: install that plugin.",
                    applied.plugin, applied.version
                ))
            })?;
            let options = (self.decode)(&info)?;
            let chosen = Chosen { name: info.short_name(), info, options, limit: None };
            Ok(Stacked { applied: applied.clone(), ..self.open_filter(&chosen, cx)? })
        };
        applied.iter().map(open).collect()
    }

    /// Tells the user something about a pipeline.
    pub fn warn(&self, pipeline: &str, message: impl Into<String>) {
        self.report.event(&Event::Warning { pipeline: Some(pipeline.to_owned()), message: message.into() });
    }

    /// Tells the user something of interest.
    pub fn note(&self, pipeline: &str, message: impl Into<String>) {
        self.report.event(&Event::Note { pipeline: Some(pipeline.to_owned()), message: message.into() });
    }
}
