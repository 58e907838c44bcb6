//! A plugin that describes itself wrongly doesn't pass.

use std::fs;
use std::panic::{UnwindSafe, catch_unwind};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use windlass_plugin_api::export::Described;
use windlass_plugin_api::{Context, Plugin, Result, Secret};
use windlass_testkit::description::{self as suite, DebugText as _, Hold, NoDebugText as _};

/// A plugin of this description and these options.
macro_rules! plugin {
    ($name:ident, $options:ty, $($description:literal),+) => {
        struct $name;

        impl Described for $name {
            const DESCRIPTION: &'static [&'static str] =
                &["windlass-plugin-1\n{\"api\":\"", windlass_plugin_api::API_VERSION, $($description),+];
        }

        impl Plugin for $name {
            type Options = $options;

            fn new(_: $options, _: &Context) -> Result<Self> {
                Ok(Self)
            }
        }
    };
}

fn passes(proof: impl FnOnce() + UnwindSafe) -> bool {
    catch_unwind(proof).is_ok()
}

/// Good options.
#[derive(Deserialize, JsonSchema, Debug)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
#[allow(dead_code)]
struct Good {
    /// How hard to try.
    level: u8,
    /// Opens it.
    password: Option<Secret>,
    /// Old keys, too.
    passphrases: Vec<Secret>,
}

plugin!(
    Fine,
    Good,
    r#"","panic":"unwind","kind":"filter","name":"fine","version":"1.2.3-rc.1","summary":"fine","suffix":".fi","#,
    r#""renamed_options":{"lvl":"level"},"options":{"properties":{"level":{},"password":{"format":"secret"},"#,
    r#""passphrases":{"type":"array","items":{"format":"secret"}}}}}"#
);

#[test]
fn a_sane_description_passes() {
    suite::the_description_is_sane::<Fine>();
    suite::every_option_is_described::<Fine>();
    suite::an_unknown_option_is_refused::<Fine>(vec![json!({}), json!({ "level": 3, "password": "x" })]);
    let hold = Hold::<Fine>::planted(vec![json!({})]);
    let texts = hold.debug_texts();
    assert_eq!(texts.len(), 1, "the Debug of the options wasn't found, or nothing could be planted");
    assert!(texts[0].contains("Secret(…)"), "{texts:?}");
    suite::shows_no_secret(texts);
}

plugin!(
    BadName,
    Good,
    r#"","panic":"unwind","kind":"filter","name":"Fine!","version":"1.0.0","summary":"s","suffix":".f"}"#
);
plugin!(
    BadVersion,
    Good,
    r#"","panic":"unwind","kind":"filter","name":"f","version":"1.0","summary":"s","suffix":".f"}"#
);
plugin!(
    BadApi,
    Good,
    r#"1","panic":"unwind","kind":"filter","name":"f","version":"1.0.0","summary":"s","suffix":".f"}"#
);
plugin!(
    Aborts,
    Good,
    r#"","panic":"abort","kind":"filter","name":"f","version":"1.0.0","summary":"s","suffix":".f"}"#
);
plugin!(Silent, Good, r#"","panic":"unwind","kind":"filter","name":"f","version":"1.0.0","suffix":".f"}"#);
plugin!(NoSuffix, Good, r#"","panic":"unwind","kind":"filter","name":"f","version":"1.0.0","summary":"s"}"#);
plugin!(
    Unreadable,
    Good,
    r#"","panic":"unwind","kind":"source","name":"s","version":"1.0.0","summary":"s","writes":["a/1"]}"#
);
plugin!(
    Odd,
    Good,
    r#"","panic":"unwind","kind":"notifier","name":"n","version":"1.0.0","summary":"s","odd_keys":true}"#
);
plugin!(
    Mistyped,
    Good,
    r#"","panic":"unwind","kind":"notifier","name":"n","version":"1.0.0","summary":"s","sufix":".n"}"#
);
plugin!(
    Renamed,
    Good,
    r#"","panic":"unwind","kind":"notifier","name":"n","version":"1.0.0","summary":"s","renamed_options":{"a":"b"}}"#
);

#[test]
fn a_description_that_is_not_sane_does_not_pass() {
    assert!(!passes(suite::the_description_is_sane::<BadName>));
    assert!(!passes(suite::the_description_is_sane::<BadVersion>));
    assert!(!passes(suite::the_description_is_sane::<BadApi>));
    assert!(!passes(suite::the_description_is_sane::<Aborts>));
    assert!(!passes(suite::the_description_is_sane::<Silent>));
    assert!(!passes(suite::the_description_is_sane::<NoSuffix>));
    assert!(!passes(suite::the_description_is_sane::<Unreadable>));
    assert!(!passes(suite::the_description_is_sane::<Odd>));
    assert!(!passes(suite::the_description_is_sane::<Mistyped>));
    assert!(!passes(suite::the_description_is_sane::<Renamed>));
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
#[allow(dead_code)]
struct Undescribed {
    level: u8,
}

/// Takes unknown keys.
#[derive(Deserialize, JsonSchema)]
#[serde(default)]
#[derive(Default)]
#[allow(dead_code)]
struct Open {
    /// How hard to try.
    level: u8,
}

/// Has an inner part that takes unknown keys.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
#[allow(dead_code)]
struct OpenInside {
    /// The inner part.
    inner: Option<Open>,
}

/// Has a secret in the open.
#[derive(Deserialize, JsonSchema, Debug)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
#[allow(dead_code)]
struct Telling {
    /// Opens it.
    password: Option<String>,
}

plugin!(WithUndescribed, Undescribed, r#"","kind":"filter","name":"f","panic":"unwind","version":"1.0.0"}"#);
plugin!(WithOpen, Open, r#"","kind":"filter","name":"f","panic":"unwind","version":"1.0.0"}"#);
plugin!(WithOpenInside, OpenInside, r#"","kind":"filter","name":"f","panic":"unwind","version":"1.0.0"}"#);
plugin!(
    WithTelling,
    Telling,
    r#"","kind":"filter","name":"f","panic":"unwind","version":"1.0.0","#,
    r#""options":{"properties":{"password":{"type":"string","format":"secret"}}}}"#
);

#[test]
fn options_that_are_not_described_closed_and_discreet_do_not_pass() {
    assert!(!passes(suite::every_option_is_described::<WithUndescribed>));
    assert!(!passes(suite::every_option_is_described::<WithOpen>));
    assert!(!passes(suite::every_option_is_described::<WithOpenInside>));
    assert!(!passes(suite::every_option_is_described::<WithTelling>));
    assert!(!passes(|| suite::an_unknown_option_is_refused::<WithOpen>(vec![json!({})])));
    let hold = Hold::<WithTelling>::planted(vec![json!({})]);
    let texts = hold.debug_texts();
    assert!(!passes(|| suite::shows_no_secret(texts)));
    // Without a Debug there is nothing to see.
    let hold = Hold::<WithOpen>::planted(vec![json!({})]);
    assert_eq!((&hold).debug_texts(), Vec::<String>::new());
}

#[test]
fn a_schema_that_was_not_committed_does_not_pass() {
    if std::env::var_os("WINDLASS_WRITE_SCHEMA").is_some() {
        return; // Then it is written, not compared.
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap().to_owned();
    assert!(!passes(|| suite::the_committed_schema_is_derived::<Fine>(&path)), "no schema file");
    let derived: Value = schemars::schema_for!(Good).to_value();
    fs::write(folder.path().join("options.schema.json"), format!("{derived:#}\n")).unwrap();
    // The file is right now, and the plugin still embeds another one.
    assert!(!passes(|| suite::the_committed_schema_is_derived::<Fine>(&path)), "another schema is embedded");
}
