//! Holds the option tables of docs/config.md, and of the documents about one plugin each, to what the plugins say of themselves. With `WINDLASS_WRITE_DOCS=1` they are
//! rewritten.

mod common;

use std::fs;

use common::{Sandbox, repo};
use serde_json::Value;

const KINDS: [&str; 4] = ["source", "filter", "storage", "notifier"];

const BEGIN: &str = "<!-- generated: begin -->\n";
const END: &str = "<!-- generated: end -->\n";

#[test]
fn the_option_tables_are_those_of_the_plugins() {
    let sandbox = Sandbox::new();
    let plugins: Vec<Plugin> = folders().iter().map(|folder| Plugin::of(&sandbox, folder)).collect();
    holds("docs/config.md", &plugins.iter().map(Plugin::section).collect::<String>());
    for plugin in plugins.iter().filter(|plugin| plugin.page().is_some()) {
        holds(
            &format!("docs/{}", plugin.page().unwrap()),
            &format!("\n{}\n{}", plugin.facts(), plugin.table()),
        );
    }
}

/// Between the marks of the document stands `real`; or is written there.
#[track_caller]
fn holds(document: &str, real: &str) {
    let path = repo().join(document);
    let text = fs::read_to_string(&path).unwrap();
    let marked = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?)));
    let (before, (written, after)) =
        marked.unwrap_or_else(|| panic!("{document} has no marks for its options"));
    if std::env::var_os("WINDLASS_WRITE_DOCS").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{real}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(
        written, real,
        "{document} differs from the schemas: run this test with WINDLASS_WRITE_DOCS=1"
    );
}

#[test]
fn every_toml_block_of_the_documents_can_be_read() {
    let mut documents: Vec<String> =
        ["README.md", "docs/config.md", "docs/plugins.md", "docs/writing-a-plugin.md"]
            .map(str::to_owned)
            .into();
    documents.extend(pages());
    for document in documents {
        let text = fs::read_to_string(repo().join(&document)).unwrap();
        for block in text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
            if let Err(error) = block.parse::<toml::Table>() {
                panic!("{document}:\n{block}\n{error}");
            }
        }
    }
}

/// The documents about one plugin each.
fn pages() -> Vec<String> {
    let kinds = KINDS.iter().map(|kind| format!("docs/{kind}s"));
    let folders = kinds.filter_map(|folder| Some((fs::read_dir(repo().join(&folder)).ok()?, folder)));
    folders
        .flat_map(|(entries, folder)| {
            entries.map(move |entry| format!("{folder}/{}", entry.unwrap().file_name().to_str().unwrap()))
        })
        .collect()
}

/// All plugins of this repository, in the order in which data flows.
fn folders() -> Vec<String> {
    let mut folders: Vec<String> = fs::read_dir(repo().join("plugins"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    folders.sort_by_key(|folder| {
        let kind = folder.split('-').next().unwrap_or_default().to_owned();
        (KINDS.iter().position(|known| *known == kind), folder.clone())
    });
    assert!(folders.len() >= 6, "{folders:?}");
    folders
}

/// What a plugin says of itself.
struct Plugin {
    info: Value,
}

impl Plugin {
    fn of(sandbox: &Sandbox, folder: &str) -> Self {
        let named = folder.replacen('-', "/", 1);
        Self { info: serde_json::from_str(&sandbox.ok(&["plugins", "info", &named])).unwrap() }
    }

    fn said(&self, key: &str) -> &str {
        self.info[key].as_str().unwrap()
    }

    /// Its own document below `docs`, if there is one.
    fn page(&self) -> Option<String> {
        let page = format!("{}s/{}.md", self.said("kind"), self.said("name"));
        repo().join("docs").join(&page).exists().then_some(page)
    }

    /// What stands of it in docs/config.md.
    fn section(&self) -> String {
        let head = format!("\n### {} `{}`\n\n", self.said("kind"), self.said("name"));
        match self.page() {
            Some(page) => {
                let what = capitalised(self.said("summary"));
                format!("{head}{what}: [its options]({page}#options).\n")
            }
            None => format!("{head}{}\n{}", self.facts(), self.table()),
        }
    }

    fn facts(&self) -> String {
        format!("{}.{}\n", capitalised(self.said("summary")), facts(&self.info))
    }

    fn table(&self) -> String {
        let options = &self.info["options"];
        let mut text = "| option | type | default | |\n|---|---|---|---|\n".to_owned();
        let required: Vec<&str> =
            options["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (name, schema) in options["properties"].as_object().unwrap() {
            let default =
                if required.contains(&name.as_str()) { "required".to_owned() } else { default(schema) };
            let kind = type_of(options, schema);
            text.push_str(&format!("| `{name}` | {kind} | {default} | {} |\n", description(options, schema)));
        }
        text
    }
}

/// What else a user may want to know, in sentences.
fn facts(info: &Value) -> String {
    let list = |key: &str| -> Vec<String> {
        let items = info[key].as_array().into_iter().flatten();
        items.map(|item| format!("`{}`", item.as_str().unwrap())).collect()
    };
    let mut facts = String::new();
    if let (Some(option), [scheme, ..]) = (info["url_option"].as_str(), list("schemes").as_slice()) {
        facts.push_str(&format!(" URL: `{}:<{option}>`.", scheme.trim_matches('`')));
    }
    if let Some(suffix) = info["suffix"].as_str() {
        facts.push_str(&format!(" Suffix: `{suffix}`."));
    }
    for (key, what) in [("writes", "Writes"), ("reads", "Reads"), ("aliases", "Also called")] {
        if !list(key).is_empty() {
            facts.push_str(&format!(" {what} {}.", list(key).join(", ")));
        }
    }
    facts
}

fn resolved<'a>(options: &'a Value, schema: &'a Value) -> &'a Value {
    let Some(name) = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) else {
        return schema;
    };
    &options["$defs"][name]
}

fn type_of(options: &Value, schema: &Value) -> String {
    let schema = resolved(options, schema);
    let choices = schema["oneOf"].as_array().or(schema["anyOf"].as_array());
    if let Some(choices) = choices {
        let names =
            choices.iter().filter(|choice| choice["type"] != "null").map(|choice| match &choice["const"] {
                Value::Null => type_of(options, choice),
                value => format!("`{value}`"),
            });
        return names.collect::<Vec<_>>().join(" or ");
    }
    if let Some(values) = schema["enum"].as_array() {
        return values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(" or ");
    }
    let name = match &schema["type"] {
        Value::Array(types) => {
            types.iter().filter_map(Value::as_str).find(|name| *name != "null").unwrap_or("any")
        }
        name => name.as_str().unwrap_or("any"),
    };
    match (name, schema["format"].as_str()) {
        ("string", Some("path")) => "path".to_owned(),
        ("string", Some("secret")) => "secret".to_owned(),
        ("array", _) => format!("list of {}s", type_of(options, &schema["items"])),
        ("object", _) if schema["properties"].is_object() => format!("`{{ {} }}`", fields(options, schema)),
        ("object", _) => format!("table of {}s", type_of(options, &schema["additionalProperties"])),
        ("integer" | "number", _) => number(name, schema),
        (name, _) => name.to_owned(),
    }
}

/// What a table of its own has in it, as one writes it: `days = N, mode = "governance" or "compliance"`.
fn fields(options: &Value, schema: &Value) -> String {
    let field = |(name, schema): (&String, &Value)| {
        let kind = type_of(options, schema).replace('`', "");
        let value = match kind.split(',').next().unwrap_or_default() {
            "integer" | "number" => "N",
            "string" | "path" | "secret" => "\"…\"",
            _ => kind.as_str(),
        };
        format!("{name} = {value}")
    };
    schema["properties"].as_object().into_iter().flatten().map(field).collect::<Vec<_>>().join(", ")
}

/// The table that an option may be, with fields of its own.
fn table_of<'a>(options: &'a Value, schema: &'a Value) -> Option<&'a Value> {
    let schema = resolved(options, schema);
    let choices = schema["anyOf"].as_array().into_iter().flatten();
    let mut candidates = choices.map(|choice| resolved(options, choice)).chain([schema]);
    candidates.find(|candidate| candidate["properties"].is_object())
}

fn number(name: &str, schema: &Value) -> String {
    match (&schema["minimum"], &schema["maximum"]) {
        (Value::Number(least), Value::Number(most)) => format!("{name}, {least} to {most}"),
        _ => name.to_owned(),
    }
}

fn default(schema: &Value) -> String {
    match &schema["default"] {
        Value::Null => "none".to_owned(),
        value => format!("`{value}`"),
    }
}

/// In one line; what each choice means follows.
fn description(options: &Value, schema: &Value) -> String {
    let said = |schema: &Value| -> String {
        let text = schema["description"].as_str().unwrap_or_default();
        text.split("\n\n")
            .map(|part| part.replace('\n', " "))
            .collect::<Vec<_>>()
            .join("<br>")
            .replace('|', "\\|")
    };
    let mut text = said(schema);
    for (name, field) in
        table_of(options, schema).and_then(|table| table["properties"].as_object()).into_iter().flatten()
    {
        let limits = Some(type_of(options, field)).filter(|kind| kind.starts_with("integer"));
        let limits = limits.map(|kind| format!(" ({kind})")).unwrap_or_default();
        text.push_str(&format!("<br>`{name}`{limits}: {}", description(options, field)));
    }
    let target = resolved(options, schema);
    for choice in target["oneOf"].as_array().into_iter().flatten() {
        if let Some(value) = choice["const"].as_str() {
            text.push_str(&format!("<br>`{value}`: {}", said(choice)));
        }
    }
    text
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// What each page of a storage says, under the same heading: whoever compares storages looks for it there.
#[test]
fn every_storage_has_a_page_with_its_rights_its_limits_how_it_was_tested_and_its_options() {
    let storages: Vec<String> =
        folders().iter().filter_map(|folder| folder.strip_prefix("storage-").map(str::to_owned)).collect();
    assert!(storages.len() >= 12, "{storages:?}");
    for name in storages {
        let text = fs::read_to_string(repo().join(format!("docs/storages/{name}.md")))
            .unwrap_or_else(|error| panic!("docs/storages/{name}.md: {error}"));
        for heading in ["Rights", "Limits", "How it was tested", "By hand", "Options"] {
            let section = text.split("\n## ").skip(1).find(|section| section.starts_with(heading));
            let body = section.and_then(|section| section.split_once('\n')).map(|(_, body)| body.trim());
            assert!(body.is_some_and(|body| body.len() > 30), "docs/storages/{name}.md lacks `{heading}`");
        }
    }
}

#[test]
fn schemas_become_words() {
    let options =
        serde_json::json!({ "$defs": { "M": { "oneOf": [{ "const": "a", "description": "One." }] } } });
    let choice = serde_json::json!({ "$ref": "#/$defs/M", "description": "Which\nway." });
    assert_eq!(type_of(&options, &choice), "`\"a\"`");
    assert_eq!(description(&options, &choice), "Which way.<br>`a`: One.");
    let list = serde_json::json!({ "type": "array", "items": { "type": "string", "format": "path" }, "default": [] });
    assert_eq!((type_of(&options, &list), default(&list)), ("list of paths".to_owned(), "`[]`".to_owned()));
    let options = serde_json::json!({ "$defs": {
        "L": { "type": "object", "description": "Not shown.", "properties": {
            "days": { "type": "integer", "minimum": 1, "maximum": 9, "description": "How long." },
            "mode": { "$ref": "#/$defs/M", "description": "How firmly." },
        } },
        "M": { "oneOf": [{ "const": "a", "description": "One." }, { "const": "b", "description": "Two." }] },
    } });
    let lock = serde_json::json!({ "anyOf": [{ "$ref": "#/$defs/L" }, { "type": "null" }], "description": "Locks." });
    assert_eq!(type_of(&options, &lock), "`{ days = N, mode = \"a\" or \"b\" }`");
    assert_eq!(
        description(&options, &lock),
        "Locks.<br>`days` (integer, 1 to 9): How long.<br>`mode`: How firmly.<br>`a`: One.<br>`b`: Two."
    );
    let level = serde_json::json!({ "type": ["integer", "null"], "minimum": 1, "maximum": 9 });
    assert_eq!(
        (type_of(&options, &level), default(&level)),
        ("integer, 1 to 9".to_owned(), "none".to_owned())
    );
}
