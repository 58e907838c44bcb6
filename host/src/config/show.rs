//! `config show`: each value that holds, and where it comes from; no secret among them.

use serde_json::Value;

use super::examine::plugin;
use super::fields::join;
use super::pipeline::Entry;
use super::reference::is_reference;
use super::shape::Shape;
use super::url::{redact_url, sounds_secret};
use super::value::{Data, Node, Table};
use super::{Config, Known};

/// One value of the config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownValue {
    /// Its dotted path.
    pub key: String,
    /// As TOML; a secret, also one inside a URL, is `…`.
    pub value: String,
    /// `windlass.toml:12`, `command line`, `environment WINDLASS_HOST`, `default`.
    pub origin: String,
}

impl Config {
    /// All values, those that plugins declare as defaults too. References are shown as they are written: what they lead
    /// to is asked only for a run.
    pub fn show(&self, known: &dyn Known) -> Vec<ShownValue> {
        let mut shown = Showing { known, values: Vec::new() };
        if let Some(host) = &self.host {
            shown.push("host", quoted(host), host.origin.to_string());
        }
        for (index, folder) in self.plugin_dirs.iter().enumerate() {
            let value = quoted(&folder.display().to_string());
            shown.push(&format!("plugin_dirs[{index}]"), value, folder.origin.to_string());
        }
        for entry in self.sources.values().chain(self.storages.values()).chain(self.decode.values()) {
            shown.entry(entry);
        }
        for (name, pipeline) in &self.pipelines {
            for (key, field) in pipeline.written.iter() {
                match key.as_str() {
                    "filters" => pipeline.filters.iter().for_each(|filter| shown.entry(filter)),
                    _ => shown.node(&join(&join("pipeline", name), key), &field.value, None, false),
                }
            }
        }
        shown.values
    }
}

struct Showing<'a> {
    known: &'a dyn Known,
    values: Vec<ShownValue>,
}

impl Showing<'_> {
    fn push(&mut self, key: &str, value: String, origin: String) {
        self.values.push(ShownValue { key: key.to_owned(), value, origin });
    }

    fn entry(&mut self, entry: &Entry) {
        if !entry.key.starts_with("decode.") {
            self.push(&join(&entry.key, "plugin"), quoted(&entry.plugin), entry.plugin.origin.to_string());
        }
        if let Some(version) = &entry.version {
            self.push(
                &join(&entry.key, "version"),
                quoted(&version.value.to_string()),
                version.origin.to_string(),
            );
        }
        if let Some(count) = &entry.max_runs {
            self.push(&join(&entry.key, "max_runs"), count.value.to_string(), count.origin.to_string());
        }
        let info = plugin(entry, self.known).ok();
        let shape = info.as_ref().map(|info| Shape::of(&info.options));
        for (key, field) in entry.options.iter() {
            let new = info.as_ref().and_then(|info| info.renamed_options.get(key)).unwrap_or(key);
            let shape = shape.as_ref().map(|shape| shape.property(new));
            self.node(&join(&entry.key, key), &field.value, shape.as_ref(), sounds_secret(key));
        }
        let Some((info, shape)) = info.as_ref().zip(shape.as_ref()) else { return };
        for key in shape.keys() {
            let renamed =
                entry.options.keys().any(|old| info.renamed_options.get(old).is_some_and(|new| new == key));
            let default = shape.property(key).default().filter(|default| !default.is_null());
            if let Some(default) = default.filter(|_| !renamed && !entry.options.contains_key(key)) {
                self.push(&join(&entry.key, key), default.to_string(), "default".to_owned());
            }
        }
    }

    /// Without a shape, `guess` says whether it is to be hidden; with one the shape does.
    fn node(&mut self, key: &str, node: &Node, shape: Option<&Shape<'_>>, guess: bool) {
        let origin = node.origin.to_string();
        match &node.value {
            Data::Table(table) if !is_reference(table, shape.unwrap_or(&Shape::of(&Value::Null))) => {
                for (name, field) in table.iter() {
                    let inner = shape.map(|shape| shape.property(name));
                    self.node(&join(key, name), &field.value, inner.as_ref(), guess || sounds_secret(name));
                }
            }
            _ => self.push(key, inline(node, shape, guess), origin),
        }
    }
}

/// In one line, as TOML would have it.
fn inline(node: &Node, shape: Option<&Shape<'_>>, guess: bool) -> String {
    let secret = shape.map_or(guess, Shape::is_secret);
    match &node.value {
        Data::Array(items) => {
            let item_shape = shape.map(Shape::item);
            let items = items.iter().map(|item| inline(item, item_shape.as_ref(), guess));
            format!("[{}]", items.collect::<Vec<_>>().join(", "))
        }
        Data::Table(table) => inline_table(table, shape, guess),
        _ if secret => "…".to_owned(),
        Data::String(text) => quoted(&redact_url(text)),
        other => other.to_json().to_string(),
    }
}

/// A reference shows where the value is; only its default can be the value itself.
fn inline_table(table: &Table, shape: Option<&Shape<'_>>, guess: bool) -> String {
    let reference = is_reference(table, shape.unwrap_or(&Shape::of(&Value::Null)));
    let fields = table.iter().map(|(key, field)| {
        let inner = match (reference, key.as_str()) {
            (true, "default") => inline(&field.value, shape, guess),
            (true, _) => inline(&field.value, None, false),
            (false, _) => {
                let inner = shape.map(|shape| shape.property(key));
                inline(&field.value, inner.as_ref(), guess || sounds_secret(key))
            }
        };
        format!("{} = {inner}", join("", key))
    });
    format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
}

/// A TOML basic string; JSON's escapes are all among TOML's.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
