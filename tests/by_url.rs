//! Without a config, and after it: everything by URL.

mod common;

use std::fs;

use common::{Sandbox, database, rows};

/// A database, and nothing else.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    database(&sandbox.path("shop.db"), "wal", 20);
    sandbox
}

const CONFIG: &str = r#"
[source.shop]
plugin = "sqlite"
path = "shop.db"
[storage.local]
plugin = "fs"
root = "store"
[pipeline.shop]
source = "shop"
filters = ["zstd"]
storage = ["local"]
"#;

#[test]
fn every_command_works_without_a_config() {
    let sandbox = sandbox();
    let whole = rows(&sandbox.path("shop.db"));
    sandbox.ok(&["check", "sqlite:shop.db", "--storage", "fs:store", "--filter", "zstd"]);
    let plan =
        sandbox.ok(&["backup", "sqlite:shop.db", "--storage", "fs:store", "--filter", "zstd", "--dry-run"]);
    assert!(plan.contains("sqlite:shop.db (sqlite) → zstd → fs:store (fs)"), "{plan}");
    let stored = sandbox.ok(&[
        "backup",
        "sqlite:shop.db",
        "--storage",
        "fs:store",
        "--filter",
        "zstd",
        "--tag",
        "a=b",
    ]);
    assert!(stored.starts_with("Stored shop@"), "the pipeline's name is the file's: {stored}");
    let names = sandbox.listed();
    assert_eq!(names.len(), 1);
    let found = sandbox.ok(&["list", "shop", "--storage", "fs:store", "--tag", "a=b"]);
    assert!(found.contains(&names[0]), "{found}");
    let shown = sandbox.ok(&["show", &names[0], "--storage", "fs:store"]);
    assert!(shown.contains("windlass/zstd"), "{shown}");
    sandbox.ok(&["verify", "--storage", "fs:store", "--full"]);
    sandbox.ok(&["verify", "shop", "--storage", "fs:store"]);
    sandbox.ok(&["restore", "shop", "--storage", "fs:store", "--to", "sqlite:new.db"]);
    assert_eq!(rows(&sandbox.path("new.db")), whole);
    sandbox.ok(&["restore", "shop", "--storage", "fs:store", "--output", "plain.db"]);
    assert_eq!(rows(&sandbox.path("plain.db")), whole);
    for arguments in [
        &["plugins", "list"][..],
        &["plugins", "path"],
        &["plugins", "info", "sqlite"],
        &["config", "schema"],
    ] {
        sandbox.ok(arguments);
    }
    assert!(!sandbox.path("windlass.toml").exists());
}

#[test]
fn what_is_missing_without_a_config_is_told_with_what_to_do() {
    let sandbox = sandbox();
    for command in ["backup", "check"] {
        sandbox.run(&[command]).expect(2).says("windlass init");
        sandbox.run(&[command, "sqlite:shop.db"]).expect(2).says("--storage");
    }
    for arguments in [&["list"][..], &["verify"], &["show", "shop"], &["restore", "shop"]] {
        sandbox.run(arguments).expect(2).says("--storage");
    }
    sandbox.run(&["backup", "sqlite:shop.db", "--storage", "ft:store"]).expect(2).says("`ft:`");
    sandbox.run(&["backup", "sqlit:shop.db", "--storage", "fs:store"]).expect(2).says("sqlite");
    sandbox.run(&["backup", "sqlite:shop.db?mod=sql", "--storage", "fs:store"]).expect(2).says("`mode`");
    sandbox
        .run(&["backup", "sqlite:shop.db", "--storage", "fs:store", "--filter", "zst2"])
        .expect(2)
        .says("`zst2`");
    sandbox.run(&["backup", "sqlite:shop.db", "--storage", "nas"]).expect(2).says("`nas`");
    assert!(sandbox.files("store").is_empty());
}

#[test]
fn a_url_carries_options_and_names_with_any_character() {
    let sandbox = sandbox();
    let odd = "odd name?&%41.db";
    fs::rename(sandbox.path("shop.db"), sandbox.path(odd)).unwrap();
    let whole = rows(&sandbox.path(odd));
    let said = sandbox.ok(&["backup", "sqlite:odd%20name%3F%26%2541.db?mode=sql", "--storage", "fs:store"]);
    assert!(said.starts_with("Stored odd-name-41@"), "{said}");
    let stored = fs::read_to_string(sandbox.object("odd-name-41", "data")).unwrap();
    assert!(
        stored.contains("CREATE TABLE item") || stored.contains("create table item"),
        "SQL: {}",
        &stored[..200]
    );
    sandbox.ok(&[
        "restore",
        "odd-name-41",
        "--storage",
        "fs:store",
        "--to",
        "sqlite:x%3F.db?safety_copy=true",
    ]);
    assert_eq!(rows(&sandbox.path("x?.db")), whole);
}

#[test]
fn several_storages_and_several_sources_by_url() {
    let sandbox = sandbox();
    sandbox.write("media/a.txt", "a");
    fs::create_dir(sandbox.path("second")).unwrap();
    sandbox.ok(&[
        "backup",
        "sqlite:shop.db",
        "files:media",
        "--storage",
        "fs:store",
        "--storage",
        "fs:second",
    ]);
    assert_eq!(sandbox.files("store"), sandbox.files("second"));
    let pipelines: Vec<String> =
        sandbox.listed().iter().map(|name| name.split('@').next().unwrap().to_owned()).collect();
    assert_eq!(pipelines, ["media", "shop"]);
}

#[test]
fn two_sources_that_would_be_one_pipeline_are_refused_and_one_named_twice_runs_once() {
    let sandbox = sandbox();
    fs::create_dir(sandbox.path("old")).unwrap();
    database(&sandbox.path("old/shop.db"), "delete", 1);
    let to = ["--storage", "fs:store"];
    sandbox
        .run(&["backup", "sqlite:shop.db", "sqlite:old/shop.db", to[0], to[1]])
        .expect(2)
        .says("`sqlite:shop.db` and `sqlite:old/shop.db` would both be the pipeline `shop`");
    assert!(sandbox.files("store").is_empty());
    sandbox.ok(&["backup", "sqlite:shop.db", "sqlite:shop.db", "--jobs", "2", to[0], to[1]]);
    assert_eq!(sandbox.listed().len(), 1);
}

#[test]
fn a_snapshot_outlives_its_config() {
    let sandbox = sandbox();
    sandbox.config(CONFIG);
    sandbox.ok(&["backup"]);
    let whole = rows(&sandbox.path("shop.db"));
    fs::remove_file(sandbox.path("windlass.toml")).unwrap();
    // As on a new machine: no state either.
    fs::remove_dir_all(sandbox.path(".local")).unwrap();
    fs::remove_file(sandbox.path("shop.db")).unwrap();
    let _ = fs::remove_file(sandbox.path("shop.db-wal"));
    let _ = fs::remove_file(sandbox.path("shop.db-shm"));
    assert_eq!(sandbox.listed().len(), 1);
    sandbox.ok(&["verify", "--storage", "fs:store", "--full"]);
    sandbox.run(&["restore", "shop", "--storage", "fs:store"]).expect(2).says("--to");
    sandbox.ok(&["restore", "shop", "--storage", "fs:store", "--to", "sqlite:shop.db"]);
    assert_eq!(rows(&sandbox.path("shop.db")), whole);
    // Another host has to name it, and can.
    sandbox
        .run(&["--host", "web2", "restore", "shop", "--storage", "fs:store", "--to", "sqlite:x.db"])
        .expect(10);
    sandbox.ok(&["--host", "web2", "restore", "web1/shop", "--storage", "fs:store", "--to", "sqlite:x.db"]);
    assert_eq!(rows(&sandbox.path("x.db")), whole);
}

#[test]
fn a_pipeline_that_the_config_no_longer_has_is_listed_verified_and_restored() {
    let sandbox = sandbox();
    sandbox.config(CONFIG);
    sandbox.ok(&["backup"]);
    let whole = rows(&sandbox.path("shop.db"));
    sandbox.config("[storage.local]\nplugin = \"fs\"\nroot = \"store\"\n");
    let listed = sandbox.ok(&["list"]);
    assert!(listed.contains("shop@"), "{listed}");
    assert!(sandbox.ok(&["list", "shop"]).contains("shop@"));
    sandbox.ok(&["verify"]);
    sandbox.ok(&["verify", "shop"]);
    sandbox.run(&["restore", "shop"]).expect(2).says("no pipeline `shop`").says("--to");
    sandbox.ok(&["restore", "shop", "--to", "sqlite:new.db"]);
    assert_eq!(rows(&sandbox.path("new.db")), whole);
    sandbox.run(&["backup", "shop"]).expect(10);
}

#[test]
fn a_run_by_url_and_a_run_by_config_continue_one_sequence() {
    let sandbox = sandbox();
    sandbox.config(CONFIG);
    sandbox.ok(&["backup"]);
    sandbox.ok(&["backup", "sqlite:shop.db", "--storage", "fs:store"]);
    let rows = sandbox.ok(&["--json", "list", "--storage", "fs:store"]);
    let ids = rows.lines().map(|row| {
        let row: serde_json::Value = serde_json::from_str(row).unwrap();
        row["id"].as_str().unwrap().to_owned()
    });
    let number = |id: String| {
        let shown = sandbox.ok(&["show", &format!("shop@{id}"), "--storage", "fs:store"]);
        let line = shown.lines().find(|line| line.starts_with("sequence ")).unwrap().to_owned();
        line.split_whitespace().last().unwrap().parse::<u64>().unwrap()
    };
    let numbers: Vec<u64> = ids.map(number).collect();
    assert!(numbers.len() == 2 && numbers[0] < numbers[1], "{numbers:?}");
}
