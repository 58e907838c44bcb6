//! A config against the plugins: every entry that the chosen pipelines need, each once.

use std::collections::BTreeMap;

use serde_json::Value;
use windlass_plugin_api::Kind;

use super::examine::{Resolver, examine, plugin};
use super::pipeline::{Entry, Pipeline};
use super::problem::{Problem, Problems};
use super::secrets::Secrets;
use super::shape::Shape;
use super::url::redact_url;
use super::{Config, Known};

/// Which part of a config is judged.
#[derive(Clone, Copy, Debug)]
pub enum Selection<'a> {
    /// Everything, also what no pipeline names.
    All,
    /// These pipelines and what they name. Names that don't exist are for [`Config::pipeline`] to tell.
    Pipelines(&'a [String]),
}

impl Config {
    /// Judges everything in `which` but references: those ask for secrets, and [`check`](Self::check) is for that.
    pub fn validate(&self, known: &dyn Known, which: Selection<'_>) -> Vec<Problem> {
        let (entries, problems) = self.selected(known, which);
        let found = entries.iter().flat_map(|entry| examine(entry, known, None).problems);
        let all: Problems = problems.into_iter().chain(found).collect();
        all.into_iter().collect()
    }

    /// Judges everything in `which`, references and secrets too but for those of `[decode]` (see
    /// [`validate_decode`](Self::validate_decode)), and adds what [`parse`](Self::parse) has found: the one
    /// call before a run. Gives the warnings; the error has everything.
    pub fn check(
        &self,
        known: &dyn Known,
        which: Selection<'_>,
        secrets: &Secrets,
        mut problems: Problems,
    ) -> Result<Vec<Problem>, Problems> {
        let (entries, unnamed) = self.selected(known, which);
        problems.extend(unnamed);
        for entry in entries {
            let is_key = self.decode.values().any(|key| key.key == entry.key);
            let resolver = (!is_key).then_some(Resolver { secrets, prefix: &entry.key });
            problems.extend(examine(&entry, known, resolver).problems);
        }
        problems.into_result()
    }

    /// Judges `[decode]` but for references: those ask for keys, which only a restore needs.
    pub fn validate_decode(&self, known: &dyn Known) -> Result<Vec<Problem>, Problems> {
        let found = self.decode.values().flat_map(|entry| examine(entry, known, None).problems);
        found.collect::<Problems>().into_result()
    }

    /// The options document for the plugin of `entry`: references resolved and converted to the schema's types, old names
    /// replaced, paths (`"format": "path"` in the schema, also of list items) absolute, and each secret
    /// (`"format": "secret"`) replaced by `{"$secret": "<name_prefix>.<option>"}`, which `secrets` can reveal.
    ///
    /// Relative paths are relative to the config's folder, those of the command line to the current one.
    pub fn resolve(
        &self,
        entry: &Entry,
        known: &dyn Known,
        secrets: &Secrets,
        name_prefix: &str,
    ) -> Result<Value, Problems> {
        let examined = examine(entry, known, Some(Resolver { secrets, prefix: name_prefix }));
        examined.document.ok_or_else(|| examined.problems.into_iter().collect())
    }

    /// The entries in `which`, and problems of names and URLs that lead to none.
    fn selected(&self, known: &dyn Known, which: Selection<'_>) -> (Vec<Entry>, Vec<Problem>) {
        let mut selected = Selected { config: self, known, entries: BTreeMap::new(), problems: Vec::new() };
        match which {
            Selection::All => {
                let named = self.sources.values().chain(self.storages.values()).chain(self.decode.values());
                named.cloned().for_each(|entry| selected.add(entry));
                self.pipelines.values().for_each(|pipeline| selected.pipeline(pipeline));
            }
            Selection::Pipelines(names) => {
                let chosen = names.iter().filter_map(|name| self.pipelines.get(name));
                chosen.for_each(|pipeline| selected.pipeline(pipeline));
            }
        }
        (selected.entries.into_values().collect(), selected.problems)
    }
}

struct Selected<'a> {
    config: &'a Config,
    known: &'a dyn Known,
    /// By key: an entry that two pipelines name is judged once.
    entries: BTreeMap<String, Entry>,
    problems: Vec<Problem>,
}

impl Selected<'_> {
    fn add(&mut self, entry: Entry) {
        self.entries.insert(entry.key.clone(), entry);
    }

    fn pipeline(&mut self, pipeline: &Pipeline) {
        pipeline.filters.iter().cloned().for_each(|filter| self.add(filter));
        let source = (Kind::Source, &pipeline.source, pipeline.source_key());
        let storages = pipeline.storages.iter().enumerate();
        let storages =
            storages.map(|(index, storage)| (Kind::Storage, &storage.name, pipeline.storage_key(index)));
        self.each(pipeline);
        for (kind, named, key) in std::iter::once(source).chain(storages) {
            match self.config.entry(kind, named, &key, self.known) {
                Ok(entry) => self.add(entry),
                Err(problem) if named.contains(':') => self.problems.push(problem.key(key)),
                // An undefined name was told when the config was read.
                Err(_) => {}
            }
        }
    }
}

impl Selected<'_> {
    /// The option that `each` sets must be one of the source's.
    fn each(&mut self, pipeline: &Pipeline) {
        let Some(each) = &pipeline.each else { return };
        let entry = self.config.entry(Kind::Source, &pipeline.source, &pipeline.source_key(), self.known);
        // An unknown source or plugin is told elsewhere.
        let Some(info) = entry.ok().and_then(|entry| plugin(&entry, self.known).ok()) else { return };
        let shape = Shape::of(&info.options);
        let keys = shape.keys();
        if !keys.contains(&each.option.as_str()) {
            let message =
                format!("the source plugin `{}` has no option `{}`", info.short_name(), each.option);
            let problem =
                Problem::new(message).at(&each.origin).key(format!("pipeline.{}.each", pipeline.name));
            self.problems.push(problem.suggest(&each.option, keys));
        }
    }
}

impl Pipeline {
    /// The key of its source, for [`Config::entry`].
    pub fn source_key(&self) -> String {
        format!("pipeline.{}.source", self.name)
    }

    /// The key of one of its storages, for [`Config::entry`].
    pub fn storage_key(&self, index: usize) -> String {
        format!("pipeline.{}.storage[{index}]", self.name)
    }

    /// The name or URL of each storage, fit to be shown.
    pub fn storage_names(&self) -> Vec<String> {
        self.storages.iter().map(|storage| redact_url(&storage.name)).collect()
    }
}
