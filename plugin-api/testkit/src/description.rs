//! What every plugin must say of itself, whatever its kind: description, options schema, secrets.
//!
//! It judges what is embedded and derived, and makes no instance but where options are refused.

use std::fmt::Debug;
use std::{env, fs, path::Path};

use schemars::JsonSchema;
use serde_json::{Map, Value};
use windlass_plugin_api::export::Described;
use windlass_plugin_api::{API_VERSION, Kind, Plugin, PluginInfo};

/// What stands in for a secret where one is planted.
const PLANTED: &str = "testkit-planted-secret";

/// A key that no plugin has.
const UNKNOWN: &str = "windlass_testkit_unknown";

pub(crate) fn info<T: Described>() -> PluginInfo {
    T::info().unwrap_or_else(|error| panic!("the description can't be read: {error}"))
}

/// Names are names, versions are versions, and only what fits the kind is declared.
pub fn the_description_is_sane<T: Plugin + Described>() {
    let info = info::<T>();
    assert!(is_name(&info.name), "`{}` is no name: use [a-z0-9-], a letter first", info.name);
    assert!(is_name(&info.vendor), "`{}` is no vendor: use [a-z0-9-], a letter first", info.vendor);
    info.aliases.iter().for_each(|alias| assert!(is_name(alias), "`{alias}` is no alias"));
    assert!(is_version(&info.version), "`{}` is no version", info.version);
    assert_eq!(info.api, API_VERSION, "built against another windlass-plugin-api than this testkit");
    assert_eq!(info.panic, "unwind", "a plugin must be built with `panic = \"unwind\"`");
    assert!(info.extra.is_empty(), "unknown keys in the description: {:?}", info.extra.keys());
    let summary = info.summary.trim();
    assert!(
        !summary.is_empty() && !summary.contains('\n') && !summary.ends_with('.'),
        "summary: one line, no full stop"
    );
    only_what_fits_the_kind(&info);
    let options = properties(&info.options);
    for new in info.renamed_options.values().chain(info.url_option.as_ref()) {
        assert!(options.contains_key(new), "the description names `{new}`, which is no option");
    }
    for old in info.renamed_options.keys() {
        assert!(!options.contains_key(old), "`{old}` is renamed and still an option");
    }
}

fn only_what_fits_the_kind(info: &PluginInfo) {
    let is = |kind| info.kind == kind;
    assert!(is(Kind::Filter) || !(info.encrypts || info.compresses), "only a filter encrypts or compresses");
    assert!(is(Kind::Storage) || !(info.odd_keys || info.read_only), "only a storage has keys");
    match &info.suffix {
        Some(suffix) => {
            let word = suffix.strip_prefix('.').unwrap_or_default();
            let fine = !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            assert!(is(Kind::Filter) && fine, "`{suffix}` is no suffix of a filter");
        }
        None => {
            assert!(!is(Kind::Filter), "a filter declares a suffix: stored names show how to decode them")
        }
    }
    for scheme in &info.schemes {
        let fine =
            scheme.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+.-".contains(&b));
        assert!(fine && !scheme.is_empty(), "`{scheme}` is no URL scheme");
    }
    if is(Kind::Source) {
        assert!(!info.writes.is_empty(), "a source declares the stream formats that it writes");
        for format in &info.writes {
            assert!(is_format(format), "`{format}` is no stream format: `name/1`");
            assert!(info.reads.contains(format), "`{format}` is written and can't be read back");
        }
    } else {
        assert!(info.reads.is_empty() && info.writes.is_empty(), "only a source has stream formats");
    }
    for need in &info.needs {
        assert_eq!(need, "storage", "unknown need");
    }
}

fn is_name(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_version(text: &str) -> bool {
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let numbers: Vec<_> = core.split('.').map(str::parse::<u64>).collect();
    numbers.len() == 3 && numbers.iter().all(Result::is_ok)
}

fn is_format(text: &str) -> bool {
    text.split_once('/').is_some_and(|(name, version)| !name.is_empty() && version.parse::<u32>().is_ok())
}

/// `options.schema.json` in `folder` is what the options type derives, and is what the plugin embeds.
/// With `WINDLASS_WRITE_SCHEMA=1` in the environment the file is rewritten instead.
pub fn the_committed_schema_is_derived<T>(folder: &str)
where
    T: Plugin + Described,
    T::Options: JsonSchema,
{
    let path = Path::new(folder).join("options.schema.json");
    let derived = schemars::schema_for!(T::Options).to_value();
    let text = format!("{derived:#}\n");
    if env::var_os("WINDLASS_WRITE_SCHEMA").is_some_and(|value| value == "1") {
        fs::write(&path, text).unwrap_or_else(|error| panic!("can't write {}: {error}", path.display()));
        return;
    }
    let committed =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("can't read {}: {error}", path.display()));
    let hint = "rewrite it with `WINDLASS_WRITE_SCHEMA=1 cargo test`, look at it, commit it";
    assert_eq!(committed, text, "{} isn't what the options type derives: {hint}", path.display());
    assert_eq!(info::<T>().options, derived, "the plugin embeds another schema than options.schema.json");
}

/// Every property has a description, every object denies unknown keys, and what is called a secret has a secret's type.
pub fn every_option_is_described<T>()
where
    T: Plugin + Described,
    T::Options: JsonSchema,
{
    let schema = schemars::schema_for!(T::Options).to_value();
    each_object(&schema, "", &mut |place, object| {
        for (name, property) in properties(object) {
            let described =
                property.get("description").and_then(Value::as_str).is_some_and(|text| !text.is_empty());
            assert!(described, "option `{place}{name}` has no doc comment");
            let sounds_secret =
                ["password", "passphrase", "secret", "token"].iter().any(|word| name.contains(word));
            let is_text = ["\"string\"", "\"array\""].iter().any(|kind| property.to_string().contains(kind));
            let is_secret = property.to_string().contains("\"format\":\"secret\"");
            assert!(!(sounds_secret && is_text) || is_secret, "option `{place}{name}` should be a `Secret`");
        }
        let closed = |key| object.get(key) == Some(&Value::Bool(false));
        assert!(
            closed("additionalProperties") || closed("unevaluatedProperties"),
            "the options at `{place}` take unknown keys: `#[serde(deny_unknown_fields)]`"
        );
    });
}

/// Calls `look` for every schema in `schema` that has properties.
fn each_object(schema: &Value, place: &str, look: &mut dyn FnMut(&str, &Value)) {
    match schema {
        Value::Object(object) => {
            if object.get("properties").is_some_and(Value::is_object) {
                look(place, schema);
            }
            for (key, value) in object {
                let inner = match key.as_str() {
                    "default" | "examples" | "const" | "enum" => continue,
                    "properties" | "$defs" => place.to_owned(),
                    _ if place.is_empty() && key == "title" => continue,
                    _ => format!("{place}{key}."),
                };
                each_object(value, &inner, look);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| each_object(item, place, look)),
        _ => {}
    }
}

/// Options that can be read can't any more with one unknown key among them, and the error names the key.
pub fn an_unknown_option_is_refused<T: Plugin>(samples: Vec<Value>) {
    for mut sample in samples {
        if let Err(error) = serde_json::from_value::<T::Options>(sample.clone()) {
            panic!("the suite was given options that can't be read, {sample}: {error}");
        }
        sample[UNKNOWN] = Value::Bool(true);
        let error = serde_json::from_value::<T::Options>(sample).err().expect("an unknown option was taken");
        assert!(error.to_string().contains(UNKNOWN), "the error doesn't name the unknown option: {error}");
    }
}

/// Options into which a secret was planted wherever the schema has room for one.
#[doc(hidden)]
pub struct Hold<T: Plugin>(Vec<T::Options>);

impl<T: Plugin + Described> Hold<T> {
    #[doc(hidden)]
    pub fn planted(samples: Vec<Value>) -> Self {
        let schema = info::<T>().options;
        let planted = samples.into_iter().map(|sample| plant(&schema, sample));
        Self(planted.filter_map(|sample| serde_json::from_value(sample).ok()).collect())
    }
}

fn plant(schema: &Value, mut sample: Value) -> Value {
    for name in secret_options(schema) {
        let is_list = schema["properties"][&name].to_string().contains("\"array\"");
        sample[name] = if is_list { vec![PLANTED].into() } else { PLANTED.into() };
    }
    sample
}

/// The names of the options that are secrets.
pub(crate) fn secret_options(schema: &Value) -> Vec<String> {
    let is_secret = |property: &Value| property.to_string().contains("\"format\":\"secret\"");
    properties(schema).into_iter().filter(|(_, property)| is_secret(property)).map(|(name, _)| name).collect()
}

/// The literal secrets in `options`.
pub(crate) fn secrets_in(info: &PluginInfo, options: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for name in secret_options(&info.options) {
        match options.get(&name) {
            Some(Value::String(text)) => found.push(text.clone()),
            Some(Value::Array(items)) => {
                found.extend(items.iter().filter_map(Value::as_str).map(str::to_owned))
            }
            _ => {}
        }
    }
    found.retain(|secret| !secret.is_empty());
    found
}

fn properties(schema: &Value) -> Map<String, Value> {
    schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default()
}

/// Chosen by method resolution where the options have a `Debug`.
#[doc(hidden)]
pub trait DebugText {
    fn debug_texts(&self) -> Vec<String>;
}

impl<T: Plugin> DebugText for Hold<T>
where
    T::Options: Debug,
{
    fn debug_texts(&self) -> Vec<String> {
        self.0.iter().map(|options| format!("{options:?} {options:#?}")).collect()
    }
}

/// Chosen, one reference further away, where they have none.
#[doc(hidden)]
pub trait NoDebugText {
    fn debug_texts(&self) -> Vec<String>;
}

impl<T: Plugin> NoDebugText for &Hold<T> {
    fn debug_texts(&self) -> Vec<String> {
        Vec::new()
    }
}

/// None of `texts` holds a planted secret.
#[doc(hidden)]
pub fn shows_no_secret(texts: Vec<String>) {
    for text in texts {
        assert!(!text.contains(PLANTED), "the options' Debug shows a secret: {text}");
    }
}
