//! A JSON schema of the whole config file, with the options of every plugin that is there: for editors.
//!
//! Checking a config doesn't use it: what it could say of a wrong value is "fits none of these twelve forms".

use serde_json::{Map, Value, json};
use windlass_plugin_api::{Kind, PluginInfo};

use super::Known;
use super::fields::NAME;
use super::limit;
use super::shape::Shape;

/// The definition of `{ env | file | command }`; no plugin's own can be called so, for type names begin with a capital.
const REFERENCE: &str = "reference";

/// The schema, draft 2020-12.
pub fn schema(known: &dyn Known) -> Value {
    let mut defs = Map::new();
    defs.insert(REFERENCE.to_owned(), reference());
    for (name, kind) in [("source", Kind::Source), ("storage", Kind::Storage), ("filter", Kind::Filter)] {
        let infos: Vec<_> = known.names(kind).iter().filter_map(|name| known.info(kind, name).ok()).collect();
        let entries: Vec<Value> = infos.iter().map(|info| entry(info, true, &mut defs)).collect();
        // An empty `oneOf` is no schema.
        let entries =
            if entries.is_empty() { json!({ "type": "object" }) } else { json!({ "oneOf": entries }) };
        defs.insert(name.to_owned(), entries);
    }
    let filters = known.names(Kind::Filter);
    let decode: Map<String, Value> = filters
        .iter()
        .filter_map(|name| Some((name.clone(), known.info(Kind::Filter, name).ok()?)))
        .map(|(name, info)| (name, entry(&info, false, &mut defs)))
        .collect();
    let pipeline = pipeline();
    let mut defaults = pipeline.clone();
    defaults["properties"].as_object_mut().map(|keys| keys.remove("source"));
    defs.insert("pipeline".to_owned(), pipeline);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Windlass config",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "host": {
                "description": "The label under which this host's snapshots stand. Default: the host name.",
                "type": "string",
                "pattern": "^[A-Za-z0-9._-]{1,63}$",
            },
            "include": texts("Further files, as glob patterns relative to this one."),
            "plugin_dirs": texts("Folders that are searched for plugins."),
            "source": named("What is backed up.", "source"),
            "storage": named("Where snapshots are kept.", "storage"),
            "pipeline": named("One source, its filters, and one or more storages.", "pipeline"),
            "decode": {
                "description": "Keys for old snapshots, by filter plugin.",
                "type": "object",
                "additionalProperties": false,
                "properties": decode,
            },
            "defaults": {
                "type": "object",
                "additionalProperties": false,
                "properties": { "pipeline": defaults },
            },
        },
        "$defs": defs,
    })
}

fn named(description: &str, def: &str) -> Value {
    json!({
        "description": description,
        "type": "object",
        "propertyNames": { "pattern": format!("^{NAME}$") },
        "additionalProperties": { "$ref": format!("#/$defs/{def}") },
    })
}

fn texts(description: &str) -> Value {
    json!({
        "description": description,
        "oneOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }],
    })
}

fn reference() -> Value {
    let one = |key: &str, schema: Value, default: bool| {
        let mut properties = Map::from_iter([(key.to_owned(), schema)]);
        if default {
            properties.insert("default".to_owned(), json!(true));
        }
        json!({ "type": "object", "required": [key], "additionalProperties": false, "properties": properties })
    };
    json!({
        "description": "A value that stands elsewhere: in a variable, in a file, or in what a command writes.",
        "oneOf": [
            one("env", json!({ "type": "string" }), true),
            one("file", json!({ "type": "string" }), true),
            one("command", json!({ "type": "array", "minItems": 1, "items": { "type": "string" } }), false),
        ],
    })
}

/// One plugin's options as an entry: each, and each part of one, may also be a reference.
fn entry(info: &PluginInfo, with_plugin: bool, defs: &mut Map<String, Value>) -> Value {
    let prefix = format!("{}-{}-", info.kind, info.full_name().replace('/', "-"));
    let mut schema = info.options.clone();
    allow_references(&mut schema);
    adopt(&mut schema, &prefix, defs);
    let Value::Object(mut schema) = schema else { return json!({ "type": "object" }) };
    schema.remove("$schema");
    schema.remove("title");
    if !info.summary.is_empty() {
        schema.insert("description".to_owned(), info.summary.clone().into());
    }
    if let Value::Object(properties) = schema.entry("properties").or_insert_with(|| json!({})) {
        let requirement = json!({ "description": "Which versions of the plugin will do.", "type": "string" });
        properties.insert("version".to_owned(), requirement);
        if info.kind == Kind::Source {
            let limit = json!({ "description": "At most so many runs read it at once.", "type": "integer", "minimum": 1 });
            properties.insert("max_runs".to_owned(), limit);
        }
        if limit::is_hosts(info.kind, &Shape::of(&info.options)) {
            properties.insert(limit::LIMIT.to_owned(), speed_limit());
        }
        for (old, new) in &info.renamed_options {
            if let Some(mut now) = properties.get(new).cloned() {
                now["deprecated"] = true.into();
                properties.insert(old.clone(), now);
            }
        }
    }
    if with_plugin {
        require_plugin(&mut schema, info);
    }
    if Shape::of(&info.options).forgot_to_deny() {
        schema.insert("additionalProperties".to_owned(), false.into());
    }
    schema.into()
}

fn speed_limit() -> Value {
    let speed = json!({ "type": "string", "examples": ["20 MB/s", "1.5 MiB/s", "100 Mbit/s"] });
    json!({
        "description": "How fast it may be used.",
        "oneOf": [speed, {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": false,
            "properties": { "up": speed, "down": speed },
        }],
    })
}

/// Every value of a table and every item of a list may be a reference instead.
fn allow_references(schema: &mut Value) {
    let Value::Object(object) = schema else { return };
    for keyword in ["anyOf", "oneOf", "allOf"] {
        let parts = object.get_mut(keyword).and_then(Value::as_array_mut);
        parts.into_iter().flatten().for_each(allow_references);
    }
    for keyword in ["$defs", "properties"] {
        let parts = object.get_mut(keyword).and_then(Value::as_object_mut);
        for part in parts.into_iter().flat_map(|parts| parts.values_mut()) {
            allow_references(part);
            if keyword == "properties" {
                or_reference(part);
            }
        }
    }
    for keyword in ["items", "additionalProperties"] {
        if let Some(part) = object.get_mut(keyword).filter(|part| part.is_object()) {
            allow_references(part);
            or_reference(part);
        }
    }
}

/// What editors show stays at the outside.
fn or_reference(schema: &mut Value) {
    let plain = std::mem::take(schema);
    let shown = ["description", "default"].map(|keyword| (keyword, plain.get(keyword).cloned()));
    *schema = json!({ "anyOf": [plain, { "$ref": format!("#/$defs/{REFERENCE}") }] });
    for (keyword, value) in shown {
        if let Some(value) = value {
            schema[keyword] = value;
        }
    }
}

/// The key that says which plugin it is.
fn require_plugin(schema: &mut Map<String, Value>, info: &PluginInfo) {
    let names: Vec<String> =
        [info.short_name(), info.full_name()].into_iter().chain(info.aliases.clone()).collect();
    schema["properties"]["plugin"] = json!({ "enum": names });
    match schema.entry("required").or_insert_with(|| json!([])) {
        Value::Array(required) => required.push("plugin".into()),
        other => *other = json!(["plugin"]),
    }
}

/// Moves a plugin's `$defs` to the common ones, under names that no other plugin has.
fn adopt(schema: &mut Value, prefix: &str, defs: &mut Map<String, Value>) {
    rename_references(schema, prefix);
    let own = schema.as_object_mut().and_then(|schema| schema.remove("$defs"));
    if let Some(Value::Object(own)) = own {
        defs.extend(own.into_iter().map(|(name, def)| (format!("{prefix}{name}"), def)));
    }
}

fn rename_references(schema: &mut Value, prefix: &str) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::String(target)) = object.get_mut("$ref")
                && let Some(name) = target.strip_prefix("#/$defs/").filter(|name| *name != REFERENCE)
            {
                *target = format!("#/$defs/{prefix}{name}");
            }
            object.values_mut().for_each(|value| rename_references(value, prefix));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename_references(item, prefix)),
        _ => {}
    }
}

fn io_class() -> Value {
    json!({
        "description": "The I/O class of its runs, as `ionice` has them.",
        "oneOf": [{ "enum": ["idle", "best-effort"] }, {
            "type": "object",
            "required": ["class"],
            "additionalProperties": false,
            "properties": {
                "class": { "enum": ["idle", "best-effort"] },
                "level": { "type": "integer", "minimum": 0, "maximum": 7 },
            },
        }],
    })
}

fn pipeline() -> Value {
    let count = json!({ "type": "integer", "minimum": 0 });
    let length = |description: &str| json!({ "description": description, "type": "string", "examples": ["30m", "2h"] });
    let storage = json!({ "anyOf": [{ "type": "string" }, {
        "type": "object",
        "required": ["name"],
        "additionalProperties": false,
        "properties": {
            "name": { "description": "The name of a `[storage.X]`, or a URL.", "type": "string" },
            "required": { "description": "Whether a run fails without it. Default: true.", "type": "boolean" },
            "stall_timeout": length("Of one that isn't required: how long it may hold the others back. Default: 5m."),
        },
    }] });
    let cron = json!({ "type": "string", "examples": ["0 3 * * *", "@daily"] });
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "source": { "description": "The name of a `[source.X]`, or a URL.", "type": "string" },
            "each": {
                "description": "Every item of the source whose name fits is backed up by itself, as `NAME/ITEM`.",
                "type": "object",
                "minProperties": 1,
                "maxProperties": 2,
                "properties": { "except": texts("Patterns of the names that are left out: `template*`.") },
                "additionalProperties": texts("The source's option that selects an item, and patterns of names: `*`."),
                "examples": [{ "database": "*", "except": ["template*"] }],
            },
            "filters": {
                "description": "In the order in which a backup passes through them.",
                "type": "array",
                "items": { "anyOf": [{ "type": "string" }, { "$ref": "#/$defs/filter" }] },
            },
            "storage": {
                "description": "Names of `[storage.X]`, or URLs; each must succeed unless something else is said.",
                "oneOf": [storage, { "type": "array", "minItems": 1, "items": storage }],
            },
            "quorum": {
                "description": "So many storages must have a snapshot. Where none says `required`, none is by itself.",
                "type": "integer",
                "minimum": 1,
            },
            "schedule": {
                "description": "When it should run: five cron fields, or `@daily` and the like.",
                "oneOf": [cron, {
                    "type": "object",
                    "required": ["cron"],
                    "additionalProperties": false,
                    "properties": { "cron": cron, "timezone": { "type": "string", "examples": ["Europe/Berlin"] } },
                }],
            },
            "retention": {
                "description": "What should be kept: all that any of the rules keeps.",
                "type": "object",
                "additionalProperties": false,
                "minProperties": 1,
                "properties": {
                    "keep_last": count, "keep_hourly": count, "keep_daily": count, "keep_weekly": count,
                    "keep_monthly": count, "keep_yearly": count,
                    "keep_within": { "type": "string", "examples": ["30d", "1y"] },
                    "keep_tags": texts("Tags that keep: `release`, `release=1.0`."),
                },
            },
            "timeout": length("How long a run may take in all."),
            "stall_timeout": length("How long a run may go on without a byte being moved."),
            "nice": {
                "description": "The nice level of its runs: the more, the more other programs come first.",
                "type": "integer",
                "minimum": -20,
                "maximum": 19,
            },
            "io_class": io_class(),
            "tags": {
                "description": "Labels that each snapshot gets.",
                "type": "object",
                "additionalProperties": { "type": "string" },
            },
        },
    })
}
