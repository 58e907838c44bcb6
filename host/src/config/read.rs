//! From tables to meaning: what may stand where, and whether the parts fit together. Knows no plugin, so a plugin's
//! options stay as they are written.

use std::collections::BTreeMap;
use std::path::PathBuf;

use semver::VersionReq;
use windlass_plugin_api::Kind;

use super::Config;
use super::each::Each;
use super::fan::{StorageUse, quorum, storages};
use super::fields::{Fields, LABEL, NAME, a, is_label, is_name, join};
use super::files::{Document, Documents};
use super::pipeline::{Entry, Pipeline};
use super::priority::Priority;
use super::problem::{Problem, Problems};
use super::retention::Retention;
use super::schedule::Schedule;
use super::value::{Data, Field, Located, Node, Origin, Table};
use crate::catalog::manifest::MOST_FILTERS;

/// Keys at the top of a file.
pub(super) const TOP: [&str; 8] =
    ["decode", "defaults", "host", "include", "pipeline", "plugin_dirs", "source", "storage"];

/// Keys of a `[pipeline.X]`; but for the first [`OWN`], also of `[defaults.pipeline]`.
pub(super) const PIPELINE: [&str; 12] = [
    "source",
    "each",
    "filters",
    "storage",
    "quorum",
    "schedule",
    "retention",
    "timeout",
    "stall_timeout",
    "nice",
    "io_class",
    "tags",
];

const OWN: usize = 2;

/// Makes a config of what was read. What is wrong is left out and told.
pub(super) fn config(documents: Documents, problems: &mut Problems) -> Config {
    let mut reading = Reading::default();
    for document in &documents.all {
        reading.document(document, problems);
    }
    let mut config = Config { files: documents.paths, ..Config::default() };
    config.path = config.files.first().cloned();
    config.host = reading.host.take();
    config.plugin_dirs = std::mem::take(&mut reading.plugin_dirs);
    config.sources = entries(Kind::Source, "source", &reading.sources, problems);
    config.storages = entries(Kind::Storage, "storage", &reading.storages, problems);
    config.decode = entries(Kind::Filter, "decode", &reading.decode, problems);
    reading.check_defaults(problems);
    for (name, field) in reading.pipelines.iter() {
        let pipeline = reading.pipeline(name, field, documents.incomplete, problems);
        config.pipelines.extend(pipeline.map(|pipeline| (name.clone(), pipeline)));
    }
    config
}

/// The parts of all files, put together by name.
#[derive(Default)]
struct Reading {
    host: Option<Located<String>>,
    plugin_dirs: Vec<Located<PathBuf>>,
    sources: Table,
    storages: Table,
    decode: Table,
    pipelines: Table,
    defaults: Table,
}

impl Reading {
    fn document(&mut self, document: &Document, problems: &mut Problems) {
        let origin = Origin::File { file: document.file.clone(), line: 1, column: 1 };
        let mut top = Fields { table: &document.table, path: String::new(), origin, problems };
        top.deny_unknown(&TOP);
        self.host(&mut top);
        for folder in top.strings("plugin_dirs") {
            self.plugin_dirs.push(folder.with(document.file.folder.join(&folder.value)));
        }
        for (section, all) in [
            ("source", &mut self.sources),
            ("storage", &mut self.storages),
            ("decode", &mut self.decode),
            ("pipeline", &mut self.pipelines),
        ] {
            if let Some(mut fields) = top.table(section) {
                collect(&mut fields, all, section != "decode");
            }
        }
        if let Some(mut defaults) = top.table("defaults") {
            defaults.deny_unknown(&["pipeline"]);
            if let Some(mut pipeline) = defaults.table("pipeline") {
                collect(&mut pipeline, &mut self.defaults, false);
            }
        }
    }

    fn host(&mut self, top: &mut Fields<'_, '_>) {
        let Some(host) = top.string("host") else { return };
        if !is_label(&host) {
            top.problem("host", &host.origin, format!("`{}` must match `{LABEL}`", host.value));
        } else if let Some(first) = &self.host {
            top.problem("host", &host.origin, format!("already set at {}", first.origin));
        } else {
            self.host = Some(host);
        }
    }

    /// Wrong defaults are told once, where they stand, and not again under each pipeline.
    fn check_defaults(&mut self, problems: &mut Problems) {
        let table = self.defaults.clone();
        let path = "defaults.pipeline".to_owned();
        let mut fields = Fields { table: &table, path, origin: Origin::Default, problems };
        fields.deny_unknown(&PIPELINE[OWN..]);
        policies(&mut fields);
        filters(&mut fields);
        storages(&mut fields);
        quorum(&mut fields);
        self.defaults.0.retain(|key, _| PIPELINE[OWN..].contains(&key.as_str()));
    }

    fn pipeline(
        &self,
        name: &str,
        field: &Field,
        incomplete: bool,
        problems: &mut Problems,
    ) -> Option<Pipeline> {
        let path = join("pipeline", name);
        let Data::Table(own) = &field.value.value else {
            problems.push(wrong_type(&field.value, "a table").key(path));
            return None;
        };
        let own = self.merged(own);
        let mut fields = Fields { table: &own, path, origin: field.key.clone(), problems };
        fields.deny_unknown(&PIPELINE);
        let filters = filters(&mut fields);
        let policies = policies(&mut fields);
        let source = fields.string("source");
        let each = fields.table("each").and_then(|mut fields| Each::read(&mut fields));
        let storages = storages(&mut fields);
        let quorum = quorum(&mut fields);
        require(&mut fields);
        if !incomplete {
            self.check_names(&mut fields, source.as_ref(), &storages);
        }
        let pipeline = Pipeline {
            name: name.to_owned(),
            source: source?,
            each,
            filters,
            storages,
            quorum,
            schedule: policies.schedule,
            retention: policies.retention,
            timeout: policies.timeout,
            stall_timeout: policies.stall_timeout,
            priority: policies.priority,
            tags: policies.tags,
            origin: field.key.clone(),
            written: own,
        };
        pipeline.check_storages().into_iter().for_each(|problem| problems.push(problem));
        (!pipeline.storages.is_empty()).then_some(pipeline)
    }

    /// The defaults under a pipeline's own keys. A key of its own replaces the default's; only tags add up, for two
    /// retention policies mixed key by key would keep what neither says.
    fn merged(&self, own: &Table) -> Table {
        let mut merged = own.clone();
        for (key, default) in self.defaults.iter() {
            match merged.0.get_mut(key) {
                None => _ = merged.0.insert(key.clone(), default.clone()),
                Some(Field { value: Located { value: Data::Table(own), .. }, .. }) if key == "tags" => {
                    for (tag, value) in default.value.as_table().into_iter().flat_map(|table| table.iter()) {
                        own.0.entry(tag.clone()).or_insert_with(|| value.clone());
                    }
                }
                Some(_) => {}
            }
        }
        merged
    }

    /// Names that no section defines, and a storage named twice. Whatever has a colon is a URL: no name has one.
    fn check_names(
        &self,
        fields: &mut Fields<'_, '_>,
        source: Option<&Located<String>>,
        storages: &[StorageUse],
    ) {
        let one = source.map(|source| ("source".to_owned(), source, &self.sources, "source"));
        let many = storages.iter().enumerate();
        let many = many
            .map(|(index, storage)| (format!("storage[{index}]"), &storage.name, &self.storages, "storage"));
        for (key, name, known, section) in one.into_iter().chain(many) {
            if !name.contains(':') && !known.contains_key(&name.value) {
                let message = format!("there is no `[{section}.{}]`", name.value);
                let problem = Problem::new(message).at(&name.origin).key(fields.path_of(&key));
                fields.problems.push(problem.suggest(name, known.keys().map(String::as_str)));
            }
        }
        for (index, StorageUse { name, .. }) in storages.iter().enumerate() {
            if storages[..index].iter().any(|other| other.name.value == name.value) {
                let message = format!("the storage `{}` is named twice", super::url::redact_url(name));
                fields.problem(&format!("storage[{index}]"), &name.origin, message);
            }
        }
    }
}

/// What a pipeline can't do without. One of a wrong type has been told already.
fn require(fields: &mut Fields<'_, '_>) {
    if !fields.table.contains_key("source") {
        fields.problem_here("the key `source` is missing", "Name a `[source.X]`, or write a URL.");
    }
    let none = |field: &Field| field.value.to_json() == serde_json::json!([]);
    if fields.table.get("storage").is_none_or(none) {
        fields.problem_here(
            "the key `storage` is missing",
            "Name one `[storage.X]` or several, or write URLs.",
        );
    }
}

/// Adds a section of one file to that of all files; what is defined twice stays as it was first.
fn collect(fields: &mut Fields<'_, '_>, all: &mut Table, named: bool) {
    for (name, field) in fields.table.iter() {
        if let Some(first) = all.get(name) {
            let message = format!("already defined at {}", first.key);
            fields.problem(name, &field.key, message);
            continue;
        }
        if named && !is_name(name) {
            fields.problem(name, &field.key, format!("the name `{name}` must match `{NAME}`"));
        }
        all.0.insert(name.clone(), field.clone());
    }
}

fn entries(kind: Kind, section: &str, table: &Table, problems: &mut Problems) -> BTreeMap<String, Entry> {
    let mut entries = BTreeMap::new();
    for (name, field) in table.iter() {
        let plugin = (section == "decode").then(|| Located::new(name.clone(), field.key.clone()));
        let entry = entry(kind, join(section, name), &field.key, &field.value, plugin, problems);
        entries.extend(entry.map(|entry| (name.clone(), entry)));
    }
    entries
}

/// Reads a table with `plugin`, `version` and options. `plugin` is given where the place says it already.
fn entry(
    kind: Kind,
    key: String,
    origin: &Origin,
    node: &Node,
    plugin: Option<Located<String>>,
    problems: &mut Problems,
) -> Option<Entry> {
    let Data::Table(table) = &node.value else {
        problems.push(wrong_type(node, "a table").key(key));
        return None;
    };
    let mut options = table.clone();
    let mut fields = Fields { table, path: key.clone(), origin: origin.clone(), problems };
    let plugin = match plugin {
        Some(plugin) => Some(plugin),
        None => {
            options.0.remove("plugin");
            if !table.contains_key("plugin") {
                fields.problem_here(
                    "the key `plugin` is missing",
                    "`windlass plugins list` tells which there are.",
                );
            }
            fields.string("plugin")
        }
    };
    options.0.remove("version");
    let origin_of_version = table.get("version").map(|field| field.value.origin.clone());
    let version = fields.parsed("version", |text| {
        VersionReq::parse(text).map_err(|error| format!("`{text}` is not a version requirement: {error}"))
    });
    let version = version.zip(origin_of_version).map(|(version, origin)| Located::new(version, origin));
    let mut max_runs = None;
    if kind == Kind::Source {
        let field = options.0.remove("max_runs");
        max_runs = fields.count("max_runs").zip(field).map(|(count, field)| field.value.with(count));
        if max_runs.as_ref().is_some_and(|count| count.value == 0) {
            fields.problem_here("`max_runs` must be more than 0", "Leave it out for no limit.");
        }
    }
    Some(Entry { kind, plugin: plugin?, version, max_runs, options, key, origin: origin.clone() })
}

/// `filters = ["zstd", { plugin = "age", recipients = […] }]`
fn filters(fields: &mut Fields<'_, '_>) -> Vec<Entry> {
    let Some(field) = fields.table.get("filters") else { return Vec::new() };
    let Data::Array(items) = &field.value.value else {
        fields.problems.push(wrong_type(&field.value, "an array").key(fields.path_of("filters")));
        return Vec::new();
    };
    let mut filters = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let key = format!("{}[{index}]", fields.path_of("filters"));
        match &item.value {
            Data::String(plugin) => filters.push(Entry {
                kind: Kind::Filter,
                plugin: item.with(plugin.clone()),
                version: None,
                max_runs: None,
                options: Table::default(),
                key,
                origin: item.origin.clone(),
            }),
            _ => filters.extend(entry(Kind::Filter, key, &item.origin, item, None, fields.problems)),
        }
    }
    if filters.len() > MOST_FILTERS {
        let message =
            format!("{} filters are more than the {MOST_FILTERS} that a stream may have", filters.len());
        fields.problem("filters", &field.value.origin, message);
    }
    filters
}

struct Policies {
    schedule: Option<Schedule>,
    retention: Option<Retention>,
    timeout: Option<std::time::Duration>,
    stall_timeout: Option<std::time::Duration>,
    priority: Priority,
    tags: BTreeMap<String, String>,
}

fn policies(fields: &mut Fields<'_, '_>) -> Policies {
    Policies {
        schedule: schedule(fields),
        retention: fields.table("retention").map(|mut fields| Retention::read(&mut fields)),
        timeout: fields.duration("timeout"),
        stall_timeout: fields.duration("stall_timeout"),
        priority: Priority::read(fields),
        tags: fields.labels("tags"),
    }
}

/// `schedule = "0 3 * * *"` or `schedule = { cron = "0 3 * * *", timezone = "Europe/Berlin" }`
fn schedule(fields: &mut Fields<'_, '_>) -> Option<Schedule> {
    if !matches!(fields.table.get("schedule")?.value.value, Data::Table(_)) {
        return fields.parsed("schedule", |text| Schedule::parse(text, None));
    }
    let mut parts = fields.table("schedule")?;
    parts.deny_unknown(&["cron", "timezone"]);
    let timezone = parts.string("timezone");
    if !parts.table.contains_key("cron") {
        parts.problem_here("the key `cron` is missing", "Write it as `cron = \"0 3 * * *\"`.");
    }
    parts.parsed("cron", |text| {
        Schedule::parse(text, timezone.as_ref().map(|timezone| timezone.value.as_str()))
    })
}

fn wrong_type(node: &Node, wanted: &str) -> Problem {
    Problem::new(format!("expected {wanted}, found {}", a(node.type_name()))).at(&node.origin)
}
