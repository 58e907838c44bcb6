//! Configs, as a user writes them: what is wrong is told at once and in place, what holds is shown with its origin.

mod common;

use std::fs;
use std::io::Write;
use std::process::Stdio;

use common::{Ran, Sandbox, database, repo};
use serde_json::Value;

const GOOD: &str = r#"host = "web1"
include = ["conf.d/*.toml"]

[defaults.pipeline]
storage = ["local"]
filters = [{ plugin = "zstd", level = 5 }]

[source.shop]
plugin = "sqlite"
path = { env = "SHOP_DB", default = "shop.db" }

[storage.local]
plugin = "fs"
root = { command = ["printf", "store"] }

[pipeline.shop]
source = "shop"
schedule = "0 3 * * *"
[pipeline.shop.retention]
keep_daily = 7
"#;

const MEDIA: &str = r#"[source.media]
plugin = "files"
roots = ["media"]
exclude = { file = "exclude.txt" }
[pipeline.media]
source = "media"
filters = []
"#;

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.config(GOOD);
    sandbox.write("conf.d/media.toml", MEDIA.replace("exclude = { file = \"exclude.txt\" }\n", ""));
    sandbox.write("media/a.txt", "a");
    database(&sandbox.path("shop.db"), "delete", 20);
    sandbox
}

#[test]
fn all_mistakes_are_told_at_once_with_line_key_and_the_nearest_name() {
    let sandbox = Sandbox::new();
    sandbox.config(
        r#"[source.shop]
plugin = "sqlite"
pth = "shop.db"
busy_timeout = "long"
[source.other]
plugin = "sqlit"
path = "x"
[source.secret]
plugin = "command"
dump_command = ["true"]
secret_env = { PASSWORD = { env = "NOWHERE_SET" } }
[storage.local]
plugin = "fs"
root = "store"
[pipeline.shop]
source = "shopp"
storage = ["local"]
scedule = "0 3 * * *"
[pipeline.secret]
source = "secret"
storage = ["local", "nass"]
filters = [{ plugin = "zstd", level = 99 }]
"#,
    );
    let ran = sandbox.run(&["check"]).expect(2);
    let errors: Vec<&str> = ran.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    for (line, key, hint) in [
        (3, "source.shop.pth", "`path`"),
        (4, "source.shop.busy_timeout", ""),
        (6, "source.other.plugin", "`sqlite`"),
        (11, "NOWHERE_SET", ""),
        (16, "pipeline.shop.source", "`shop`"),
        (18, "pipeline.shop.scedule", "`schedule`"),
        (21, "pipeline.secret.storage[1]", "`local`"),
        (22, "pipeline.secret.filters[0].level", ""),
    ] {
        let place = format!("error: windlass.toml:{line}: ");
        let at = ran.stderr.lines().position(|text| text.starts_with(&place) && text.contains(key));
        let at = at.unwrap_or_else(|| panic!("{place}{key} isn't in:\n{}", ran.stderr));
        let next = ran.stderr.lines().nth(at + 1).unwrap_or_default();
        assert!(hint.is_empty() || (next.starts_with("hint: ") && next.contains(hint)), "{key}: {next}");
    }
    // The missing `path` of the typo is told too; nothing else is.
    assert_eq!(errors.len(), 9, "{}", ran.stderr);
    assert_eq!(sandbox.files("store").len(), 0);
    let json = sandbox.run(&["--json", "check"]).expect(2);
    assert_eq!(json.stdout.lines().count(), 9);
    assert!(json.stdout.lines().all(|line| serde_json::from_str::<Value>(line).unwrap()["type"] == "error"));
}

#[test]
fn an_unknown_key_at_the_top_stops_every_command_that_reads_the_config() {
    let sandbox = sandbox();
    sandbox.config(&GOOD.replace("[source.shop]", "[sources.shop]"));
    for arguments in [
        &["check"][..],
        &["backup", "--all"],
        &["list"],
        &["verify"],
        &["restore", "shop", "--to", "sqlite:x"],
    ] {
        sandbox.run(arguments).expect(2).says("windlass.toml:8: ").says("`source`");
    }
    sandbox.config("[source.shop\n");
    sandbox.run(&["backup"]).expect(2).says("windlass.toml:1: ");
}

#[test]
fn a_broken_pipeline_does_not_keep_a_good_one_from_its_backup() {
    let sandbox = sandbox();
    let broken =
        "[source.b]\nplugin = \"sqlite\"\npath = { env = \"NOWHERE_SET\" }\n[pipeline.b]\nsource = \"b\"\n";
    sandbox.write("conf.d/b.toml", broken);
    sandbox.ok(&["backup", "shop"]);
    sandbox.run(&["backup", "b"]).expect(2).says("conf.d/b.toml:3: ").says("NOWHERE_SET");
    sandbox.run(&["backup", "--all"]).expect(2).says("NOWHERE_SET");
    sandbox.ok(&["list"]);
}

#[test]
fn includes_defaults_and_values_from_elsewhere_make_one_config() {
    let sandbox = sandbox();
    sandbox.write("conf.d/media.toml", MEDIA);
    sandbox.write("exclude.txt", "*.tmp\n");
    sandbox.write("media/b.tmp", "b");
    sandbox.ok(&["check"]);
    fs::rename(sandbox.path("shop.db"), sandbox.path("moved.db")).unwrap();
    sandbox.run(&["backup", "shop"]).expect(1).says("shop.db");
    let mut command = sandbox.command(&["backup", "--all"]);
    Ran::of(command.env("SHOP_DB", "moved.db").output().unwrap()).expect(0);
    let shown = |name: &str| sandbox.ok(&["show", name]);
    assert!(shown("shop").contains("data.zst"), "the default filters: {}", shown("shop"));
    assert!(shown("media").contains("object       data ("), "its own, which are none: {}", shown("media"));
    sandbox.ok(&["restore", "media", "--set", "target=out"]);
    assert_eq!(sandbox.files("out/media"), ["a.txt"]);
}

#[test]
fn paths_are_relative_to_the_config_and_not_to_the_current_folder() {
    let sandbox = sandbox();
    fs::create_dir(sandbox.path("deep")).unwrap();
    let mut command = sandbox.command(&["-c", "../windlass.toml", "backup", "--all"]);
    Ran::of(command.current_dir(sandbox.path("deep")).output().unwrap()).expect(0);
    assert_eq!(sandbox.listed().len(), 2);
    assert!(sandbox.files("deep").is_empty());
}

#[test]
fn a_config_comes_from_standard_input_a_variable_or_a_named_file() {
    let sandbox = sandbox();
    let text = fs::read_to_string(sandbox.path("windlass.toml")).unwrap();
    fs::remove_file(sandbox.path("windlass.toml")).unwrap();
    let mut child = sandbox
        .command(&["-c", "-", "backup", "shop"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    Ran::of(child.wait_with_output().unwrap()).expect(0);
    assert_eq!(sandbox.listed().len(), 1);
    let mut command = sandbox.command(&["backup", "--all"]);
    Ran::of(command.env("WINDLASS_CONFIG_TOML", &text).output().unwrap()).expect(0);
    assert_eq!(sandbox.listed().len(), 3);
    let mut command = sandbox.command(&["backup", "nosuch"]);
    command.env("WINDLASS_CONFIG_TOML", "[pipeline.x]\nsorce = \"a\"\n");
    Ran::of(command.output().unwrap()).expect(2).says("WINDLASS_CONFIG_TOML:2: ");

    sandbox.write(
        "etc/other.toml",
        text.replace("\"shop.db\"", "\"../shop.db\"").replace("\"store\"", "\"../store\""),
    );
    let mut command = sandbox.command(&["backup", "shop"]);
    Ran::of(command.env("WINDLASS_CONFIG", "etc/other.toml").output().unwrap()).expect(0);
    assert_eq!(sandbox.listed().len(), 4);
    sandbox.write(".config/windlass/windlass.toml", text);
    assert!(sandbox.ok(&["config", "show"]).contains(".config/windlass/windlass.toml:"));
    sandbox.run(&["-c", "gone.toml", "list"]).expect(2).says("gone.toml");
}

#[test]
fn config_show_names_the_origin_of_each_value() {
    let sandbox = sandbox();
    let shown = sandbox.ok(&["config", "show"]);
    for line in [
        "host = \"web1\"  # windlass.toml:1",
        "source.shop.path = { default = \"shop.db\", env = \"SHOP_DB\" }  # windlass.toml:10",
        "source.shop.busy_timeout = 30.0  # default",
        "source.shop.mode = \"pages\"  # default",
        "source.media.roots = [\"media\"]  # conf.d/media.toml:3",
        "pipeline.shop.filters[0].level = 5  # windlass.toml:6",
        "pipeline.shop.storage = [\"local\"]  # windlass.toml:5",
        "pipeline.shop.schedule = \"0 3 * * *\"  # windlass.toml:18",
        "pipeline.shop.retention.keep_daily = 7  # windlass.toml:20",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} isn't in:\n{shown}");
    }
    let values: Vec<Value> = sandbox
        .ok(&["--json", "config", "show"])
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(values.iter().all(|value| value["type"] == "value"));
    assert!(values.iter().any(|value| value["key"] == "host" && value["origin"] == "windlass.toml:1"));
}

fn as_json(toml: &str) -> Value {
    toml::from_str(toml).unwrap()
}

#[test]
fn the_schema_is_one_and_accepts_what_the_host_accepts() {
    let sandbox = sandbox();
    let schema: Value = serde_json::from_str(&sandbox.ok(&["config", "schema"])).unwrap();
    assert!(jsonschema::meta::is_valid(&schema), "not a valid JSON schema");
    let validator = jsonschema::validator_for(&schema).unwrap();
    let judge = |name: &str, text: &str| {
        let errors: Vec<String> =
            validator.iter_errors(&as_json(text)).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{name}: {errors:?}");
    };
    judge("good", GOOD);
    judge("media", MEDIA);
    fs::remove_file(sandbox.path("windlass.toml")).unwrap();
    sandbox.ok(&["init", "sqlite:shop.db"]);
    judge("init", &fs::read_to_string(sandbox.path("windlass.toml")).unwrap());
    for example in fs::read_dir(repo().join("examples/pipelines")).into_iter().flatten() {
        let path = example.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            judge(&path.display().to_string(), &fs::read_to_string(&path).unwrap());
        }
    }
    for (from, to) in [
        ("level = 5", "levle = 5"),
        ("plugin = \"fs\"", "plugin = \"sf\""),
        ("source = \"shop\"", "source = 1"),
    ] {
        assert!(GOOD.contains(from));
        assert!(!validator.is_valid(&as_json(&GOOD.replace(from, to))), "{to} is accepted");
    }
}

#[test]
fn schedule_and_retention_are_judged_in_full_and_a_schedule_is_said_to_do_nothing_yet() {
    let sandbox = sandbox();
    let check = sandbox.ok(&["check", "shop"]);
    assert!(check.contains("nothing acts on `schedule` yet"), "{check}");
    sandbox.run(&["backup", "shop"]).expect(0).says("nothing acts on `schedule` yet");
    let quiet = sandbox.run(&["backup", "media"]).expect(0);
    assert!(!quiet.stderr.contains("nothing acts"), "{}", quiet.stderr);
    for (from, to, told) in [
        ("0 3 * * *", "0 25 * * *", "windlass.toml:18: pipeline.shop.schedule"),
        ("0 3 * * *", "0 0 30 2 *", "no month has"),
        ("0 3 * * *", "@dayly", "@daily"),
        ("\"0 3 * * *\"", "{ cron = \"0 3 * * *\", timezone = \"Europe/Berlim\" }", "Europe/Berlim"),
        ("keep_daily = 7", "keep_daily = -1", "windlass.toml:20: pipeline.shop.retention.keep_daily"),
        ("keep_daily = 7", "keep_dayly = 7", "`keep_daily`"),
        ("keep_daily = 7", "", "windlass.toml:19: "),
        ("keep_daily = 7", "keep_within = \"soon\"", "soon"),
    ] {
        assert!(GOOD.contains(from));
        sandbox.config(&GOOD.replace(from, to));
        sandbox.run(&["check"]).expect(2).says(told);
        sandbox.run(&["backup", "shop"]).expect(2).says(told);
    }
    let zoned = GOOD.replace("\"0 3 * * *\"", "{ cron = \"0 3 * * *\", timezone = \"Europe/Berlin\" }");
    sandbox.config(&zoned);
    sandbox.ok(&["check"]);
}
