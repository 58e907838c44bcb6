//! The commands, as a user types them: what they print, write and end with. Restores stand in restoring.rs.

mod common;

use std::fs;
use std::process::Command;

use common::{Ran, Sandbox, database, fill, rows};
use serde_json::Value;

/// A database and a folder, a pipeline for each, and one that can't work.
const CONFIG: &str = r#"
[source.shop]
plugin = "sqlite"
path = "shop.db"
[source.media]
plugin = "files"
roots = ["media"]
[source.gone]
plugin = "sqlite"
path = "gone.db"
[storage.local]
plugin = "fs"
root = "store"
[pipeline.shop]
source = "shop"
filters = [{ plugin = "zstd" }]
storage = ["local"]
tags = { team = "shop" }
[pipeline.broken]
source = "gone"
storage = ["local"]
[pipeline.media]
source = "media"
filters = ["gzip"]
storage = ["local"]
"#;

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.config(CONFIG);
    database(&sandbox.path("shop.db"), "delete", 20);
    sandbox.write("media/a.txt", "a picture");
    sandbox
}

fn json(ran: &str) -> Vec<Value> {
    ran.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect()
}

/// Backs up and says the snapshot's name.
fn stored(sandbox: &Sandbox, arguments: &[&str]) -> String {
    let mut all = vec!["--json", "backup"];
    all.extend(arguments);
    let events = json(&sandbox.ok(&all));
    let stored = events.iter().find(|event| event["type"] == "stored").unwrap();
    stored["snapshot"].as_str().unwrap().to_owned()
}

#[test]
fn init_writes_a_config_that_check_and_backup_accept_and_never_replaces_one() {
    let sandbox = Sandbox::new();
    database(&sandbox.path("shop.db"), "wal", 20);
    let said = sandbox.run(&["init", "sqlite:shop.db"]).expect(0).says("windlass check");
    assert!(said.stdout.starts_with("Wrote a config to windlass.toml ("), "{}", said.stdout);
    let written = fs::read_to_string(sandbox.path("windlass.toml")).unwrap();
    assert!(written.contains("# ") && written.contains("retention"), "it explains itself: {written}");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(sandbox.path("windlass.toml")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);

    sandbox.ok(&["check"]);
    sandbox.ok(&["backup"]);
    assert!(sandbox.ok(&["list"]).contains("shop@"));
    fs::rename(sandbox.path("shop.db"), sandbox.path("before.db")).unwrap();
    sandbox.ok(&["restore", "shop"]);
    assert_eq!(rows(&sandbox.path("shop.db")), rows(&sandbox.path("before.db")));

    sandbox.run(&["init", "files:media"]).expect(1).says("windlass.toml").says("--force");
    assert_eq!(fs::read_to_string(sandbox.path("windlass.toml")).unwrap(), written);
    sandbox.ok(&["init", "files:media", "--force", "--storage", "fs:store"]);
    assert!(fs::read_to_string(sandbox.path("windlass.toml")).unwrap().contains("\"files\""));
}

#[test]
fn init_takes_a_url_that_no_plugin_knows_as_a_mistake() {
    let sandbox = Sandbox::new();
    sandbox.run(&["init", "sqlte:shop.db"]).expect(2).says("sqlte").says("sqlite");
    assert!(sandbox.files("").is_empty());
}

#[test]
fn one_several_or_all_pipelines_are_backed_up_and_the_last_line_names_what_was_stored() {
    let sandbox = sandbox();
    let one = sandbox.ok(&["backup", "shop"]);
    let last = one.lines().last().unwrap();
    let form = last.starts_with("Stored shop@20")
        && last.contains(" KiB → ")
        && last.contains(") in ")
        && last.ends_with('s');
    assert!(form, "{last}");
    let names = |sandbox: &Sandbox| {
        let mut names: Vec<String> =
            sandbox.listed().iter().map(|name| name.split('@').next().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&sandbox), ["shop"]);
    sandbox.ok(&["backup", "media", "shop"]);
    assert_eq!(names(&sandbox), ["media", "shop", "shop"]);
    sandbox.run(&["backup"]).expect(2).says("--all");
    assert_eq!(names(&sandbox).len(), 3);
}

#[test]
fn a_pipeline_that_fails_does_not_stop_the_others() {
    for jobs in ["1", "3"] {
        let sandbox = sandbox();
        let ran = sandbox
            .run(&["backup", "--all", "--jobs", jobs])
            .expect(1)
            .says("error: broken: source gone (sqlite@");
        assert!(ran.stderr.contains("gone.db"), "{}", ran.stderr);
        let listed = sandbox.listed().join(" ");
        assert!(
            listed.contains("shop@") && listed.contains("media@") && !listed.contains("broken@"),
            "{listed}"
        );
        assert!(sandbox.files("store/web1/broken").is_empty());
    }
}

#[test]
fn an_unknown_pipeline_is_told_with_the_nearest_name_and_nothing_is_backed_up() {
    let sandbox = sandbox();
    sandbox.run(&["backup", "media", "shopp"]).expect(10).says("`shopp`").says("`shop`");
    assert!(sandbox.listed().is_empty());
    for command in
        [["check", "shopp"], ["list", "shopp"], ["show", "shopp"], ["verify", "shopp"], ["restore", "shopp"]]
    {
        sandbox.run(&command).expect(10).says("shopp");
    }
    assert_eq!(sandbox.ok(&["list", "shop"]), "No snapshots.\n", "a known one is only empty");
}

#[test]
fn a_dry_run_of_a_backup_shows_the_plan_and_writes_nothing() {
    let sandbox = sandbox();
    let before = sandbox.files("");
    let changed = || std::fs::metadata(sandbox.path("store")).map(|folder| folder.modified().unwrap()).ok();
    let store = changed();
    let plan = sandbox.ok(&["backup", "shop", "--dry-run"]);
    assert!(plan.contains("shop (sqlite) → zstd → local (fs)"), "{plan}");
    assert!(plan.contains("web1/shop/20"), "{plan}");
    sandbox.run(&["backup", "broken", "--dry-run"]).expect(1).says("gone.db");
    assert_eq!((sandbox.files(""), changed()), (before, store));
}

#[test]
fn list_has_a_table_and_json() {
    let sandbox = sandbox();
    let name = stored(&sandbox, &["shop", "--tag", "why=release"]);
    stored(&sandbox, &["media"]);
    let table = sandbox.ok(&["list", "shop"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 2, "{table}");
    assert!(lines[0].starts_with("SNAPSHOT") && lines[1].starts_with(&name), "{table}");
    for cell in ["web1", "zstd", "local", "ok", " KiB"] {
        assert!(lines[1].contains(cell), "{cell} in {table}");
    }
    let objects = json(&sandbox.ok(&["--json", "list"]));
    assert_eq!(objects.len(), 2);
    assert!(objects.iter().all(|object| object["type"] == "snapshot"));
    let shop = objects.iter().find(|object| object["pipeline"] == "shop").unwrap();
    assert_eq!(shop["snapshot"], name.as_str());
    assert_eq!(
        (&shop["host"], &shop["state"], &shop["source"]),
        (&"web1".into(), &"ok".into(), &"windlass/sqlite".into())
    );
    assert_eq!(shop["tags"], serde_json::json!({ "team": "shop", "why": "release" }));
    let size = fs::metadata(sandbox.object("shop", "data.zst")).unwrap().len();
    assert_eq!(shop["stored_bytes"], size);
    assert_eq!(shop["plain_bytes"], fs::metadata(sandbox.path("shop.db")).unwrap().len());
}

#[test]
fn list_filters_by_tag_type_time_and_encryption() {
    let sandbox = sandbox();
    let shop = stored(&sandbox, &["shop", "--tag", "why=release"]);
    let media = stored(&sandbox, &["media"]);
    common::edit_manifest(&sandbox.object("media", "manifest.json"), |manifest| {
        manifest["streams"][0]["filters"][0]["encrypts"] = true.into();
    });
    let listed = |arguments: &[&str]| {
        let mut all = vec!["--json", "list"];
        all.extend(arguments);
        json(&sandbox.ok(&all))
            .iter()
            .map(|row| row["snapshot"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    for (arguments, expected) in [
        (&["--tag", "why=release"][..], vec![&shop]),
        (&["--tag", "why=release", "--tag", "team=shop"], vec![&shop]),
        (&["--tag", "why=other"], vec![]),
        (&["--type", "files"], vec![&media]),
        (&["--type", "windlass/sqlite"], vec![&shop]),
        (&["--type", "sql"], vec![]),
        (&["--encrypted"], vec![&media]),
        (&["--plain"], vec![&shop]),
        (&["--since", "1h"], vec![&media, &shop]),
        (&["--since", "2020-01-01"], vec![&media, &shop]),
        (&["--since", "2020-01-01T00:00:00Z"], vec![&media, &shop]),
        (&["--since", "2120-01-01"], vec![]),
    ] {
        assert_eq!(listed(arguments).iter().collect::<Vec<_>>(), expected, "{arguments:?}");
    }
    sandbox.run(&["list", "--encrypted", "--plain"]).expect(2);
    sandbox.run(&["list", "--since", "yesterday"]).expect(2);
}

#[test]
fn show_tells_all_of_one_snapshot() {
    let sandbox = sandbox();
    let name = stored(&sandbox, &["shop", "--tag", "why=release"]);
    let ran = sandbox.run(&["show", "shop"]).expect(0);
    let hash = common::sha256(&sandbox.object("shop", "data.zst"));
    for text in [&name, "data.zst", "sqlite/1", &hash, "windlass/zstd", "why=release", "web1"] {
        assert!(ran.stdout.contains(text), "{text} in {}", ran.stdout);
    }
    assert!(ran.stderr.contains("here, just now"), "what the reference resolved to: {}", ran.stderr);
    let objects = json(&sandbox.ok(&["--json", "show", "shop"]));
    let shown = objects.iter().find(|object| object["type"] == "shown").unwrap();
    assert_eq!(shown["manifest"]["streams"][0]["stored_sha256"], hash.as_str());
    let resolved = objects.iter().find(|object| object["type"] == "resolved").unwrap();
    assert_eq!(resolved["snapshot"], name.as_str());
}

#[test]
fn a_snapshot_is_named_as_the_newest_by_id_by_date_and_of_another_host() {
    let sandbox = sandbox();
    let connection = database(&sandbox.path("shop.db"), "delete", 0);
    let mut ids = Vec::new();
    for time in ["20260101T100000Z-aaaa", "20260101T100000Z-aabb", "20260203T100000Z-cccc"] {
        stored(&sandbox, &["shop"]);
        common::rename_snapshot(&sandbox.object("shop", ""), time, &[]);
        fill(&connection, 1);
        ids.push(time);
    }
    let shown = |reference: &str| {
        let objects = json(&sandbox.ok(&["--json", "show", reference]));
        objects.last().unwrap()["manifest"]["id"].as_str().unwrap().to_owned()
    };
    assert_eq!(shown("shop"), ids[2]);
    assert_eq!(shown("shop@20260101T100000Z-aab"), ids[1]);
    assert_eq!(shown("shop@202602"), ids[2]);
    assert_eq!(shown("web1/shop@20260101T100000Z-aaaa"), ids[0]);
    assert_eq!(shown("shop@2026-01-01"), ids[1], "of that day the newest");
    assert_eq!(shown("shop@2026-02-02T23:00"), ids[1]);
    assert_eq!(shown("shop@2026-02-03T10:00Z"), ids[2]);
    assert_eq!(shown("shop@2026-02-03T12:00:00+02:00"), ids[2]);
    sandbox.run(&["show", "shop@20260101T10"]).expect(10).says("several ids").says("aaaa").says("aabb");
    sandbox.run(&["show", "shop@2025-12-31"]).expect(10).says("the oldest is `shop@20260101T100000Z-aaaa`");
    sandbox.run(&["show", "shop@2027"]).expect(10);
    sandbox.run(&["show", "web2/shop"]).expect(10);
    sandbox.run(&["show", "shop@../x"]).expect(2);
    let other = sandbox.run(&["--host", "web2", "show", "shop"]).expect(10);
    assert!(other.stderr.contains("`web1/shop`"), "the hint names the host that has some: {}", other.stderr);
    sandbox.ok(&["--host", "web2", "show", "web1/shop"]);
}

#[test]
fn the_newest_snapshot_is_looked_for_in_every_storage() {
    let sandbox = sandbox();
    fs::create_dir(sandbox.path("other")).unwrap();
    sandbox.config(
        &CONFIG
            .replace("[pipeline.shop]", "[storage.other]\nplugin = \"fs\"\nroot = \"other\"\n[pipeline.shop]")
            .replacen("storage = [\"local\"]", "storage = [\"local\", \"other\"]", 1),
    );
    stored(&sandbox, &["shop"]);
    let newest = stored(&sandbox, &["shop", "--storage", "other"]);
    let shown = sandbox.ok(&["show", "shop"]);
    assert!(shown.contains(&newest) && shown.contains("other"), "{shown}");
    fs::rename(sandbox.path("store"), sandbox.path("unplugged")).unwrap();
    let ran = sandbox.run(&["show", "shop"]).expect(0).says("warning: ").says("storage local");
    assert!(ran.stdout.contains(&newest), "{}", ran.stdout);
    for command in ["list", "verify"] {
        let ran = sandbox.run(&[command]).expect(1).says("error: storage local (fs@");
        assert!(ran.stdout.contains(&newest), "one storage that is gone hides no other: {}", ran.stdout);
    }
}

#[test]
fn verify_takes_nothing_a_pipeline_or_a_snapshot() {
    let sandbox = sandbox();
    sandbox.run(&["verify"]).expect(10);
    let first = stored(&sandbox, &["shop"]);
    stored(&sandbox, &["shop"]);
    stored(&sandbox, &["media"]);
    let count = |arguments: &[&str]| {
        sandbox.ok(arguments).lines().filter(|line| line.starts_with("Verified ")).count()
    };
    assert_eq!(count(&["verify"]), 3);
    assert_eq!(count(&["verify", "shop"]), 2);
    assert_eq!(count(&["verify", &first]), 1);
    assert_eq!(count(&["verify", "--quick", "media"]), 1);
    let full = json(&sandbox.ok(&["--json", "verify", "--full", &first]));
    let verified = full.iter().find(|event| event["type"] == "verified").unwrap();
    assert_eq!((&verified["snapshot"], &verified["depth"]), (&first.as_str().into(), &"full".into()));
    sandbox.run(&["verify", "--quick", "--full"]).expect(2);

    let object = sandbox.object("shop", "data.zst");
    let mut bytes = fs::read(&object).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&object, bytes).unwrap();
    let ran = sandbox.run(&["verify"]).expect(4);
    let damaged: Vec<&str> = ran.stdout.lines().filter(|line| line.starts_with("Damaged shop@")).collect();
    assert!(damaged.len() == 1 && damaged[0].contains("data.zst"), "{}", ran.stdout);
    assert_eq!(count(&["verify", "--quick"]), 3, "sizes say nothing of a flipped bit");
}

#[test]
fn quiet_prints_nothing_on_success_and_errors_all_the_same() {
    let sandbox = sandbox();
    let store = ["--storage", "fs:store"];
    let runs: [&[&str]; 8] = [
        &["init", "sqlite:shop.db", "--output", "new.toml"],
        &["check", "shop"],
        &["backup", "shop", "media"],
        &["verify"],
        &["restore", "shop", "--to", "sqlite:new.db"],
        &["restore", "shop", "--output", "plain.db"],
        &["restore", "shop", "--mode", "replace", "--yes"],
        &["man", "pages"],
    ];
    for arguments in runs {
        let mut all = vec!["-q"];
        all.extend(arguments);
        let Ran { stdout, stderr, .. } = sandbox.run(&all).expect(0);
        assert_eq!((stdout.as_str(), stderr.as_str()), ("", ""), "{arguments:?}");
    }
    assert!(sandbox.path("plain.db").exists());
    // A warning is no failure; what was left out is.
    assert!(Command::new("mkfifo").arg(sandbox.path("media/pipe")).status().unwrap().success());
    sandbox.run(&["backup", "media"]).expect(0).says("warning: media: ");
    assert_eq!(sandbox.run(&["-q", "backup", "media"]).expect(0).stderr, "");
    let left_out = ["-q", "backup", "misbehaving:none?left_out=2", store[0], store[1]];
    sandbox.run(&left_out).expect(3).says("left out: ");
    sandbox.run(&["-q", "backup", "broken"]).expect(1).says("error: broken:");
    sandbox.run(&["-q", "-v", "list", store[0], store[1]]).expect(2);
}

#[test]
fn every_command_prints_json_objects_with_a_type_and_nothing_else() {
    let sandbox = sandbox();
    let runs: [(&[&str], i32, &str); 14] = [
        (&["init", "sqlite:shop.db", "--output", "new.toml"], 0, "wrote"),
        (&["check", "shop"], 0, "checked"),
        (&["backup", "--all", "--dry-run"], 1, "planned"),
        (&["backup", "--all"], 1, "stored"),
        (&["list"], 0, "snapshot"),
        (&["show", "shop"], 0, "shown"),
        (&["verify", "shop"], 0, "verified"),
        (&["restore", "shop", "--to", "sqlite:new.db"], 0, "restored"),
        (&["restore", "shop"], 12, "error"),
        (&["restore", "shop", "--output", "plain"], 0, "wrote"),
        (&["plugins", "list"], 0, "plugin"),
        (&["plugins", "info", "zstd"], 0, "document"),
        (&["config", "show"], 0, "value"),
        (&["show", "nosuch"], 10, "error"),
    ];
    for (arguments, code, kind) in runs {
        let mut all = vec!["--json"];
        all.extend(arguments);
        let ran = sandbox.run(&all).expect(code);
        assert_eq!(ran.stderr, "", "{arguments:?}");
        let objects = json(&ran.stdout);
        assert!(objects.iter().all(|object| object["type"].is_string()), "{arguments:?}: {}", ran.stdout);
        assert!(
            objects.iter().any(|object| object["type"] == kind),
            "no {kind} of {arguments:?}: {}",
            ran.stdout
        );
        let errors = objects.iter().filter(|object| object["type"] == "error");
        let exits: Vec<Option<i64>> = errors.map(|error| error["exit"].as_i64()).collect();
        let expected = if code == 0 { vec![] } else { vec![Some(code.into())] };
        assert_eq!(exits, expected, "{arguments:?}");
    }
}

#[test]
fn completions_and_manual_pages_are_made_from_the_commands() {
    let sandbox = Sandbox::new();
    for (shell, sign) in
        [("bash", "complete -F _windlass"), ("zsh", "#compdef windlass"), ("fish", "complete -c windlass")]
    {
        let script = sandbox.ok(&["completions", shell]);
        assert!(
            script.contains(sign) && script.contains("verify"),
            "{shell}: {}",
            &script[..200.min(script.len())]
        );
    }
    sandbox.ok(&["man", "pages"]);
    let pages = sandbox.files("pages");
    for page in ["windlass.1", "windlass-backup.1", "windlass-restore.1"] {
        assert!(pages.iter().any(|name| name == page), "{page} in {pages:?}");
    }
    let page = fs::read_to_string(sandbox.path("pages/windlass-restore.1")).unwrap();
    assert!(page.starts_with(".") && page.contains("SNAPSHOT"), "{page}");
}

#[test]
fn help_lists_the_commands_that_exist_and_no_other() {
    let sandbox = Sandbox::new();
    let help = sandbox.ok(&["--help"]);
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next())
        .collect();
    let expected =
        "init check backup list show restore verify copy reconcile prune plugins config completions man help";
    assert_eq!(commands.join(" "), expected);
    for command in &commands[..commands.len() - 1] {
        let page = sandbox.ok(&[command, "--help"]);
        assert!(page.contains(&format!("Usage: windlass {command}")), "{page}");
    }
    for later in ["rehearse", "pin", "unpin", "schedule", "import"] {
        sandbox.run(&[later]).expect(2);
    }
}
