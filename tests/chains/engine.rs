//! The engine inside of this process, with the plugins that Cargo has built for the tests.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value};
use windlass_host::config::{Environment, Known, Secrets};
use windlass_host::exit::{Exit, Failure};
use windlass_host::pipeline::Engine;
use windlass_host::pipeline::plan::{Chosen, DecodeOptions, LazyState};
use windlass_host::plugins::Registry;
use windlass_host::plugins::discover::search_dirs;
use windlass_host::report::{Event, Report};
use windlass_host::run::cancel::Cancel;
use windlass_host::wrap::limit::Limiters;
use windlass_plugin_api::ffi::logging::LogLines;
use windlass_plugin_api::{Kind, PluginInfo};

use crate::common::binary;
use crate::common::filters::{self, Filter, Ready};

/// An engine, and the filters that there are.
pub struct Workshop {
    pub engine: Arc<Engine>,
    pub filters: Vec<(&'static Filter, Ready)>,
    pub said: Arc<Said>,
}

/// What the engine has told.
#[derive(Default)]
pub struct Said(Mutex<Vec<Event>>);

impl Said {
    /// All of it so far.
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Report for Said {
    fn event(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

struct Silent;

impl LogLines for Silent {
    fn line(&self, _: u8, _: &str, _: &str, _: &str) {}
}

impl Workshop {
    /// With keys and state in `place`.
    pub fn new(place: &Path) -> Self {
        let dirs = search_dirs(&[], &|_| None, &[], &PathBuf::from(binary()));
        let filters = filters::all(&place.join("keys"));
        let said = Arc::<Said>::default();
        let engine = Arc::new_cyclic(|me| Engine {
            registry: Arc::new(Registry::new(dirs, Arc::new(Silent), 0)),
            secrets: Arc::new(Secrets::new(Environment::of_process())),
            decode: decode_options(&filters),
            host: "web1".to_owned(),
            state: LazyState::new(Some(place.join("state"))),
            limiters: Limiters::default(),
            cancel: Cancel::new(),
            report: said.clone(),
            storages: Box::new(|name| Err(Failure::not_found(format!("no storage `{name}` here")))),
            me: me.clone(),
        });
        Self { engine, filters, said }
    }

    /// A plugin with these options.
    pub fn chosen(&self, kind: Kind, name: &str, options: Map<String, Value>) -> Chosen {
        let info = self.engine.registry.info(kind, name).unwrap();
        Chosen { name: name.to_owned(), info, options: options.into(), limit: None }
    }

    /// The filters of a chain, as a plan has them.
    pub fn chain(&self, picks: &[usize]) -> Vec<Chosen> {
        let filters = picks.iter().map(|pick| &self.filters[pick % self.filters.len()]);
        filters.map(|(filter, ready)| self.chosen(Kind::Filter, filter.name, ready.encode.clone())).collect()
    }
}

fn decode_options(filters: &[(&'static Filter, Ready)]) -> DecodeOptions {
    let options: Vec<(&str, Map<String, Value>)> =
        filters.iter().map(|(filter, ready)| (filter.name, ready.decode.clone())).collect();
    Box::new(move |info: &PluginInfo| {
        let found = options.iter().find(|(name, _)| *name == info.name);
        let missing = || Failure::new(Exit::Failed, windlass_plugin_api::Error::failed("no such filter"));
        found.map(|(_, options)| options.clone().into()).ok_or_else(missing)
    })
}
