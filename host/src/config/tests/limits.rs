//! The host's own `limit` among a storage's options.

use super::*;

const PIPELINE: &str =
    "[source.it]\nplugin = \"sqlite\"\npath = \"x\"\n[pipeline.p]\nsource = \"it\"\nstorage = \"nas\"\n";

fn with(limit: &str) -> String {
    format!("{PIPELINE}[storage.nas]\nplugin = \"fs\"\nroot = \"/mnt\"\n{limit}\n")
}

fn limit_of(text: &str) -> Option<Limit> {
    let at = Fixture::new();
    let config = at.config(text);
    config.limit(&config.storages["nas"], &fake())
}

#[test]
fn a_limit_is_the_hosts_and_the_plugin_never_sees_it() {
    let at = Fixture::new();
    let config = at.config(&with("limit = \"20 MB/s\""));
    let options = config.resolve(&config.storages["nas"], &fake(), &at.secrets(), "x").unwrap();
    assert_eq!(options, json!({ "root": "/mnt" }));
    let both = |up, down| Some(Limit { up, down });
    assert_eq!(limit_of(&with("limit = \"20 MB/s\"")), both(Some(20_000_000), Some(20_000_000)));
    assert_eq!(limit_of(&with("limit = { up = \"1 MiB/s\" }")), both(Some(1 << 20), None));
    assert_eq!(
        limit_of(&with("limit.up = \"8 kbit/s\"\nlimit.down = \"1 GB/s\"")),
        both(Some(1000), Some(1_000_000_000))
    );
    assert_eq!(limit_of(&with("")), None);
    assert!(at.found(&with("limit = \"20 MB/s\"")).is_empty());
    let shown = config.show(&fake());
    let shown = shown.iter().find(|value| value.key == "storage.nas.limit").unwrap();
    assert_eq!((shown.value.as_str(), shown.origin.as_str()), ("\"20 MB/s\"", "windlass.toml:10"));
}

#[test]
fn a_limit_that_makes_no_sense_is_told_with_its_place_and_an_example() {
    let at = Fixture::new();
    for (limit, told) in [
        ("limit = \"fast\"", "windlass.toml:10: storage.nas.limit: `fast` is not a speed"),
        ("limit = 20", "windlass.toml:10: storage.nas.limit: expected a speed, found an integer"),
        (
            "limit = \"20 MB\"",
            "windlass.toml:10: storage.nas.limit: `20 MB` doesn't say how much in which time",
        ),
        (
            "limit = { up = \"0 B/s\" }",
            "windlass.toml:10: storage.nas.limit.up: `0 B/s` must be at least a byte a second",
        ),
        ("limit = { upp = \"1 B/s\" }", "windlass.toml:10: storage.nas.limit.upp: unknown key"),
        ("limit = {}", "windlass.toml:10: storage.nas.limit: it says no limit"),
        ("limt = \"1 MB/s\"", "windlass.toml:10: storage.nas.limt: unknown option"),
    ] {
        assert_eq!(at.found(&with(limit)), [told], "{limit}");
        let (config, problems) = at.parse(&with(limit));
        let problems =
            config.check(&fake(), Selection::All, &at.secrets(), problems).unwrap_err().to_string();
        let hints = [("limt", "Did you mean `limit`?"), ("limit = { upp", "Did you mean `up`?")];
        let hint = hints.iter().find(|(of, _)| limit.starts_with(of)).map_or("20 MB/s", |(_, hint)| hint);
        assert!(problems.contains(hint), "{problems}");
        assert_eq!(config.limit(&config.storages["nas"], &fake()), None);
    }
    let text = with("").replace("path = \"x\"", "path = \"x\"\nlimit = \"1 MB/s\"");
    assert_eq!(
        at.found(&text),
        ["windlass.toml:4: source.it.limit: unknown option"],
        "only a storage has one"
    );
}

#[test]
fn a_plugin_that_has_an_option_of_that_name_keeps_it() {
    let at = Fixture::new();
    let options = json!({ "type": "object", "additionalProperties": false,
        "properties": { "limit": { "type": "integer" } } });
    let known =
        Fake(vec![plugin("storage", "tape", json!({ "schemes": ["tape"], "url_option": "limit" }), options)]);
    let config = at.config("[storage.nas]\nplugin = \"tape\"\nlimit = 3\n");
    let entry = &config.storages["nas"];
    assert_eq!(config.resolve(entry, &known, &at.secrets(), "x").unwrap(), json!({ "limit": 3 }));
    assert_eq!(config.limit(entry, &known), None);
    assert_eq!(
        schema(&known)["$defs"]["storage"]["oneOf"][0]["properties"]["limit"]["anyOf"][0],
        json!({ "type": "integer" })
    );
}

#[test]
fn a_url_may_hold_a_limit() {
    let of = |url: &str| {
        let entry = entry_from_url(Kind::Storage, &on_command_line(url), &fake()).unwrap();
        (Config::default().limit(&entry, &fake()), entry.options.0.keys().cloned().collect::<Vec<_>>())
    };
    let keys = || vec!["limit".to_owned(), "root".to_owned()];
    let limit = |up, down| Some(Limit { up, down });
    assert_eq!(of("fs:/mnt?limit=20MB/s"), (limit(Some(20_000_000), Some(20_000_000)), keys()));
    assert_eq!(of("fs:/mnt?limit.up=1%20kB/s"), (limit(Some(1000), None), keys()));
    assert_eq!(of("fs:/mnt?limit.up=1kB/s&limit.down=2kB/s"), (limit(Some(1000), Some(2000)), keys()));
    for (url, told) in [
        ("fs:/mnt?limit=1kB/s&limit=2kB/s", "set twice"),
        ("fs:/mnt?limit=1kB/s&limit.up=2kB/s", "set twice"),
        ("fs:/mnt?limits=1kB/s", "unknown option `limits`"),
    ] {
        let problem = entry_from_url(Kind::Storage, &on_command_line(url), &fake()).unwrap_err();
        assert!(problem.message.contains(told), "{url}: {problem}");
    }
    let source = entry_from_url(Kind::Source, &on_command_line("sqlite:x?limit=1kB/s"), &fake());
    assert!(source.unwrap_err().message.contains("unknown option `limit`"));
}

#[test]
fn the_schema_knows_the_limit_of_a_storage() {
    let schema = schema(&fake());
    let limit = &schema["$defs"]["storage"]["oneOf"][0]["properties"]["limit"];
    let validator = jsonschema::validator_for(limit).unwrap();
    for good in [json!("20 MB/s"), json!({ "up": "1 B/s" }), json!({ "up": "1 B/s", "down": "2 B/s" })] {
        assert!(validator.is_valid(&good), "{good}");
    }
    for bad in [json!(20), json!({}), json!({ "upp": "1 B/s" })] {
        assert!(!validator.is_valid(&bad), "{bad}");
    }
    assert!(schema["$defs"]["source"]["oneOf"][0]["properties"].get("limit").is_none());
}
