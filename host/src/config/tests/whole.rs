//! Whole files: what is found in them, includes, defaults, what is shown, the schema and the starter.

use super::*;

/// A config in which everything is right.
const GOOD: &str = r#"
host = "web1"
plugin_dirs = ["plugins"]

[defaults.pipeline]
timeout = "2h"
tags = { team = "shop", tier = "gold" }
retention = { keep_last = 3 }

[source.shop]
plugin = "sqlite3"
version = ">=1.2, <2"
path = "data/shop.db"

[storage.nas]
plugin = "fs"
root = "/mnt/nas"

[pipeline.shop]
source = "shop"
filters = ["zstd", { plugin = "age", recipients = ["age1x"] }]
storage = ["nas", "fs:local"]
schedule = { cron = "0 3 * * *", timezone = "Europe/Berlin" }
stall_timeout = "10m"
tags = { tier = "silver" }

[pipeline.shop.retention]
keep_daily = 7
keep_within = "1y 6mo"
keep_tags = ["release", "env=prod"]

[decode.age]
identities = ["AGE-SECRET-KEY-1"]
"#;

#[test]
fn a_good_config_is_understood_whole() {
    let at = Fixture::new();
    let config = at.config(GOOD);
    assert_eq!(config.host.as_ref().unwrap().value, "web1");
    assert_eq!(config.plugin_dirs[0].value, at.path("plugins"));
    assert_eq!(config.path, Some(at.path("windlass.toml")));
    let shop = config.pipeline("shop").unwrap();
    assert_eq!(shop.storage_names(), ["nas", "fs:local"]);
    assert_eq!(shop.filters[1].key, "pipeline.shop.filters[1]");
    assert_eq!(shop.timeout.unwrap().as_secs(), 7200);
    assert_eq!(shop.stall_timeout.unwrap().as_secs(), 600);
    assert_eq!(shop.schedule.as_ref().unwrap().text, "0 3 * * *");
    assert_eq!(shop.tags["team"], "shop");
    assert_eq!(shop.tags["tier"], "silver", "a pipeline's own tag wins");
    let retention = shop.retention.as_ref().unwrap();
    assert_eq!((retention.keep_daily, retention.keep_last), (Some(7), None), "policies aren't mixed");
    assert_eq!(retention.keep_tags[1].value.as_deref(), Some("prod"));
    assert_eq!(config.check(&fake(), Selection::All, &at.secrets(), Problems::new()).unwrap(), []);
    assert_eq!(config.validate(&fake(), Selection::All), []);
}

#[test]
fn everything_wrong_is_told_at_once_with_its_line_and_key() {
    let at = Fixture::new();
    let found = at.found(
        r#"hots = "web1"
host = "no/slash"
[source.shop]
plugin = "sqlit"
[source.crm]
plugin = "sqlite"
pth = "crm.db"
busy = "long"
[source.Bad]
plugin = "files"
roots = []
[source.pg]
plugin = "postgres"
prot = 1
password = { env = "NOT_SET" }
[storage.nas]
plugin = "fs"
root = "/mnt"
version = "=2.0"
[pipeline.a]
source = "shpo"
storage = ["nas", "ofsite", "ftp:x"]
filters = [{ plugin = "zstd", level = 30 }, { plugin = "age", recipient = [] }]
schedule = "0 25 * * *"
timeout = 30
[pipeline.a.retention]
keep_day = 1
keep_last = -1
[pipeline.b]
storage = []
retention = { keep_last = 0 }
filters = ["zstd", "zstd", "zstd", "zstd", "zstd", "zstd", "zstd", "zstd", "zstd", "zstd", "zstd", "zstd", "zstd", "zstd", "zstd", "zstd", "zstd"]
"#,
    );
    let wanted = [
        "windlass.toml:1: hots: unknown key",
        "windlass.toml:2: host: `no/slash` must match `[A-Za-z0-9._-]{1,63}`",
        "windlass.toml:4: source.shop.plugin: there is no source plugin `sqlit`",
        "windlass.toml:5: source.crm: the option `path` is missing",
        "windlass.toml:7: source.crm.pth: unknown option",
        "windlass.toml:8: source.crm.busy: expected an integer, found a string",
        "windlass.toml:9: source.Bad: the name `Bad` must match `[a-z0-9][a-z0-9-]{0,62}`",
        "windlass.toml:11: source.Bad.roots: must not be empty",
        "windlass.toml:14: source.pg.prot: unknown option",
        "windlass.toml:15: source.pg.password: the environment variable `NOT_SET` is not set",
        "windlass.toml:19: storage.nas.version: the storage plugin `fs` is version 1.4.0",
        "windlass.toml:21: pipeline.a.source: there is no `[source.shpo]`",
        "windlass.toml:22: pipeline.a.storage[1]: there is no `[storage.ofsite]`",
        "windlass.toml:22: pipeline.a.storage[2]: no storage plugin knows the scheme `ftp:` of `ftp:x`",
        "windlass.toml:23: pipeline.a.filters[0].level: `30` is more than 19",
        "windlass.toml:23: pipeline.a.filters[1].recipient: unknown option",
        "windlass.toml:24: pipeline.a.schedule: `0 25 * * *`: number out of bounds",
        "windlass.toml:25: pipeline.a.timeout: a length of time needs a unit, such as `\"30s\"` or `\"30m\"`",
        "windlass.toml:27: pipeline.a.retention.keep_day: unknown key",
        "windlass.toml:28: pipeline.a.retention.keep_last: `-1` is not a whole number from 0 to 4294967295",
        "windlass.toml:29: pipeline.b: the key `source` is missing",
        "windlass.toml:29: pipeline.b: the key `storage` is missing",
        "windlass.toml:31: pipeline.b.retention: no rule keeps anything",
        "windlass.toml:32: pipeline.b.filters: 17 filters are more than the 16 that a stream may have",
    ];
    assert_eq!(found.len(), wanted.len(), "{found:#?}");
    for (found, wanted) in found.iter().zip(wanted) {
        assert!(found.to_lowercase().starts_with(&wanted.to_lowercase()), "{found}\n{wanted}");
    }
}

#[test]
fn each_typo_has_the_nearest_name_as_its_hint() {
    let at = Fixture::new();
    for (text, hint) in [
        ("hots = 'a'", "Did you mean `host`?"),
        ("[source.a]\nplugin = 'sqlit'\npath = 'x'", "Did you mean `sqlite`?"),
        ("[source.a]\nplugin = 'sqlite'\npath = 'x'\nmoed = 'sql'", "Did you mean `mode`?"),
        ("[source.a]\nplugin = 'sqlite'\npath = 'x'\nmode = 'sqll'", "Did you mean `sql`?"),
        ("[source.a]\nplugin = 'postgres'\ntls = { ca = 'x', kye = 'y' }", "Did you mean `key`?"),
        (
            "[source.a]\nplugin = 'sqlite'\npath = { evn = 'x', file = 'windlass.toml' }",
            "Did you mean `env`?",
        ),
        (
            "[source.shop]\nplugin = 'sqlite'\npath = 'x'\n[pipeline.a]\nsource = 'shpo'\nstorage = 'fs:x'",
            "Did you mean `shop`?",
        ),
        ("[pipeline.a]\nsource = 'sqlit:x'\nstorage = 'fs:x'", "Did you mean `sqlite`?"),
        ("[pipeline.a]\nsource = 'sqlite:x?moed=sql'\nstorage = 'fs:x'", "Did you mean `mode`?"),
    ] {
        let (config, problems) = at.parse(text);
        let all = config.check(&fake(), Selection::All, &at.secrets(), problems).unwrap_err();
        let hints: Vec<_> = all.iter().filter_map(|problem| problem.hint.as_deref()).collect();
        assert_eq!(hints, [hint], "{text}\n{all}");
    }
    assert_eq!(at.config(GOOD).pipeline("sohp").unwrap_err().hint.unwrap(), "Did you mean `shop`?");
}

#[test]
fn a_refused_plugin_says_why_and_an_old_option_only_warns() {
    let at = Fixture::new();
    let found = at.found("[source.a]\nplugin = 'broken'\n[source.b]\nplugin = 'sqlite'\nfile = 'b.db'\n");
    assert_eq!(
        found,
        [
            "windlass.toml:2: source.a.plugin: `/lib/x.so` is world-writable",
            "windlass.toml:5: source.b.file: is now called `path`",
        ]
    );
    let text = "[source.b]\nplugin = 'sqlite'\nfile = 'b.db'\n";
    let config = at.config(text);
    let warnings = config.check(&fake(), Selection::All, &at.secrets(), Problems::new()).unwrap();
    assert!(warnings[0].warning);
    let document = at.source(text, &at.secrets()).unwrap();
    assert_eq!(document, json!({ "path": at.path("b.db") }));
    assert!(at.found("[source.b]\nplugin = 'sqlite'\nfile = 'b'\npath = 'c'\n")[0].contains("is now called"));
}

#[test]
fn syntax_errors_make_no_false_problems() {
    let at = Fixture::new();
    at.file("conf.d/a.toml", "[source.shop]\nplugin = \n");
    let found =
        at.found("include = ['conf.d/*.toml']\nhots = 1\n[pipeline.a]\nsource = 'shop'\nstorage = 'nas'\n");
    assert!(found.iter().any(|line| line.starts_with("conf.d/a.toml:2: ")), "{found:?}");
    assert!(found.contains(&"windlass.toml:2: hots: unknown key".to_owned()), "{found:?}");
    assert!(!found.iter().any(|line| line.contains("there is no `[source.shop]`")), "{found:?}");
}

#[test]
fn includes_are_read_in_order_and_relative_to_their_own_file() {
    let at = Fixture::new();
    at.file("conf.d/b.toml", "[storage.nas]\nplugin = 'fs'\nroot = 'nas'\n");
    at.file(
        "conf.d/a.toml",
        "include = 'more/deep.toml'\n[source.one]\nplugin = 'sqlite'\npath = 'one.db'\n",
    );
    at.file("conf.d/.hidden.toml", "nonsense = true\n");
    at.file("conf.d/more/deep.toml", "[source.two]\nplugin = 'sqlite'\npath = 'two.db'\n");
    let config = at.config("include = ['conf.d/*.toml', 'none.d/*.toml']\n");
    assert_eq!(config.sources.keys().collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(
        config.files,
        [
            at.path("windlass.toml"),
            at.path("conf.d/a.toml"),
            at.path("conf.d/more/deep.toml"),
            at.path("conf.d/b.toml")
        ]
    );
    assert_eq!(config.sources["two"].origin.to_string(), "conf.d/more/deep.toml:1");
    let two = config.resolve(&config.sources["two"], &fake(), &at.secrets(), "x").unwrap();
    assert_eq!(two["path"], json!(at.path("two.db")), "paths are relative to the main config's folder");
}

#[test]
fn cycles_missing_files_and_double_definitions_are_told() {
    let at = Fixture::new();
    at.file(
        "a.toml",
        "include = 'windlass.toml'\nhost = 'a'\n[source.shop]\nplugin = 'sqlite'\npath = 'x'\n",
    );
    let found =
        at.found("include = ['a.toml', 'gone.toml', 'a.toml']\nhost = 'b'\n[source.shop]\nplugin = 'fs'\n");
    for line in [
        "a.toml:1: include: `windlass.toml` includes itself",
        "a.toml:2: host: already set at windlass.toml:2",
        "a.toml:3: source.shop: already defined at windlass.toml:3",
        "windlass.toml:1: include: there is no file `gone.toml`",
    ] {
        assert!(found.contains(&line.to_owned()), "{line}\n{found:#?}");
    }
}

#[test]
fn a_wrong_default_is_told_once() {
    let at = Fixture::new();
    let text = "[defaults.pipeline]\nsource = 'x'\ntimeout = 'soon'\nfilters = [{ plugin = 'zstd', levle = 1 }]\n\
        [pipeline.a]\nsource = 'sqlite:a'\nstorage = 'fs:x'\n[pipeline.b]\nsource = 'sqlite:b'\nstorage = 'fs:x'\n";
    let found = at.found(text);
    assert_eq!(found.len(), 3, "{found:#?}");
    assert_eq!(found[0], "windlass.toml:2: defaults.pipeline.source: unknown key");
    assert!(found[1].starts_with("windlass.toml:3: defaults.pipeline.timeout: "), "{}", found[1]);
    assert!(
        found[2].starts_with("windlass.toml:4: ") && found[2].ends_with("unknown option"),
        "{}",
        found[2]
    );
}

#[test]
fn only_the_chosen_pipelines_are_judged() {
    let at = Fixture::new();
    let config = at.config(
        "[source.a]\nplugin = 'sqlite'\npath = 'a'\n[source.b]\nplugin = 'sqlite'\npath = { env = 'NOT_SET' }\n\
         [pipeline.a]\nsource = 'a'\nstorage = 'fs:x'\n[pipeline.b]\nsource = 'b'\nstorage = 'fs:x'\n",
    );
    let check = |name: &str| {
        let names = [name.to_owned()];
        config.check(&fake(), Selection::Pipelines(&names), &at.secrets(), Problems::new())
    };
    assert_eq!(check("a").unwrap(), []);
    assert_eq!(check("b").unwrap_err().len(), 1);
    assert_eq!(
        config.validate(&fake(), Selection::All),
        [],
        "a reference is judged only once it is resolved"
    );
}

#[test]
fn text_of_a_variable_is_a_config_too() {
    let at = Fixture::new();
    let place = Place::Text("[source.a]\nplugin = 'sqlite'\npath = 'a.db'\nmoed = 1".into());
    let (config, problems) = Config::parse(&place, &at.env());
    assert_eq!(config.path, None);
    let all = config.check(&fake(), Selection::All, &at.secrets(), problems).unwrap_err();
    assert!(all.to_string().starts_with("WINDLASS_CONFIG_TOML:4: source.a.moed: unknown option"), "{all}");
}

#[test]
fn a_file_that_is_no_text_or_no_file_is_one_problem() {
    let at = Fixture::new();
    std::fs::write(at.path("windlass.toml"), b"host = '\xff'").unwrap();
    let parse = |path: &str| Config::parse(&Place::File(path.into()), &at.env()).1;
    assert_eq!(parse("windlass.toml").to_string(), "windlass.toml: the config isn't UTF-8");
    std::fs::create_dir(at.path("folder")).unwrap();
    assert!(parse("folder").to_string().starts_with("folder: can't read the config: "));
}

#[test]
fn what_is_shown_names_each_origin_and_no_secret() {
    let at = Fixture::new();
    let config = at.config(
        "[source.pg]\nplugin = 'postgres'\nurl = 'postgres://u:hunter2@db/shop'\npassword = 'hunter2'\n\
         tls = { ca = 'ca.pem', key = { env = 'K', default = 'hunter2' } }\n\
         [source.odd]\nplugin = 'not-there'\napi_token = 'hunter2'\nhost = 'h'\n\
         [source.file]\nplugin = 'sqlite'\npath = { env = 'DB' }\n\
         [pipeline.a]\nsource = 'postgres://u:hunter2@db/a'\nstorage = ['fs:x']\nfilters = ['zstd']\ntimeout = '1h'\n\
         [decode.age]\nidentities = ['hunter2', { file = 'k' }]\n",
    );
    let shown = config.show(&fake());
    let all: Vec<_> =
        shown.iter().map(|shown| format!("{} = {}  # {}", shown.key, shown.value, shown.origin)).collect();
    assert!(!all.join("\n").contains("hunter2"), "{all:#?}");
    for line in [
        r#"source.pg.url = "postgres://u:…@db/shop"  # windlass.toml:3"#,
        "source.pg.password = …  # windlass.toml:4",
        r#"source.pg.tls.ca = "ca.pem"  # windlass.toml:5"#,
        r#"source.pg.tls.key = { default = …, env = "K" }  # windlass.toml:5"#,
        "source.odd.api_token = …  # windlass.toml:8",
        r#"source.odd.host = "h"  # windlass.toml:9"#,
        r#"source.file.mode = "pages"  # default"#,
        r#"source.file.path = { env = "DB" }  # windlass.toml:12"#,
        r#"pipeline.a.source = "postgres://u:…@db/a"  # windlass.toml:14"#,
        "pipeline.a.filters[0].level = 3  # default",
        r#"decode.age.identities = […, { file = "k" }]  # windlass.toml:19"#,
    ] {
        assert!(all.contains(&line.to_owned()), "{line}\n{all:#?}");
    }
}

#[test]
fn the_schema_accepts_what_the_config_does_and_refuses_typos() {
    let at = Fixture::new();
    let schema = schema(&fake());
    let validator = jsonschema::validator_for(&schema).unwrap();
    let judge = |text: &str| {
        at.file("schema.toml", text);
        let value: Value = toml::from_str(text).unwrap();
        validator.iter_errors(&value).map(|error| error.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(judge(GOOD), [] as [&str; 0]);
    assert_eq!(
        judge("[source.a]\nplugin = 'sqlite'\npath = { env = 'X', default = 'y' }\nfile = 'old'\n"),
        [] as [&str; 0]
    );
    let nested = "[decode.age]\nidentities = ['x', { file = 'k' }]\n[source.a]\nplugin = 'postgres'\n\
        tls = { ca = 'ca.pem', key = { command = ['pass', 'k'] } }\nenv = { A = { env = 'B' } }\n";
    assert_eq!(judge(nested), [] as [&str; 0]);
    for wrong in [
        "hots = 1",
        "[decode.age]\nidentities = [{ fiel = 'k' }]",
        "[source.a]\nplugin = 'sqlit'\npath = 'x'",
        "[source.a]\nplugin = 'sqlite'\npth = 'x'\npath = 'x'",
        "[source.a]\nplugin = 'postgres'\nurll = 'x'",
        "[source.a]\nplugin = 'sqlite'\npath = { env = 'X', file = 'y' }",
        "[source.A]\nplugin = 'sqlite'\npath = 'x'",
        "[pipeline.a]\nretention = { keep = 1 }",
        "[defaults.pipeline]\nsource = 'x'",
    ] {
        assert!(!judge(wrong).is_empty(), "{wrong}");
    }
}

#[test]
fn the_starter_is_a_config_without_a_problem() {
    let at = Fixture::new();
    for (url, name) in
        [("sqlite:data/my shop.db", "my-shop"), ("files:/srv/media", "media"), ("postgres://u@db/crm", "crm")]
    {
        let text = starter(Some(url), Some("fs:./backups"), &fake()).unwrap();
        assert_eq!(at.found(&text), [] as [&str; 0], "{text}");
        let config = at.config(&text);
        let pipeline = config.pipeline(name).unwrap();
        assert_eq!(pipeline.filters[0].plugin.value, "zstd");
        assert_eq!(pipeline.storages[0].name.value, "backups");
        let storage = config.resolve(&config.storages["backups"], &fake(), &at.secrets(), "x").unwrap();
        assert_eq!(storage["root"], json!(at.path("backups")));
        // What stands there as a comment must work too once the mark is taken away.
        let uncommented: String = text
            .lines()
            .map(|line| {
                line.strip_prefix("# ")
                    .filter(|rest| rest.contains(" = ") || rest.starts_with('['))
                    .unwrap_or(line)
            })
            .filter(|line| !line.starts_with("password"))
            .map(|line| format!("{line}\n"))
            .collect();
        assert!(uncommented.contains("\nkeep_daily = 7\n"));
        assert_eq!(at.found(&uncommented), [] as [&str; 0], "{uncommented}");
    }
    assert!(starter(Some("sqlit:x"), Some("fs:y"), &fake()).unwrap_err().hint.unwrap().contains("sqlite"));
}

#[test]
fn a_file_from_another_system_is_read_too() {
    let at = Fixture::new();
    let config = at.config("\u{feff}host = 'web1'\r\n[source.a]\r\nplugin = 'sqlite'\r\npath = 'x'\r\n");
    assert_eq!(config.sources["a"].options["path"].key.to_string(), "windlass.toml:4");
}
