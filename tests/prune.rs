//! `prune`: what a policy doesn't keep is removed whole, and nothing else is touched.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use common::fan::{events, listed_in};
use common::{Sandbox, age_key, rename_snapshot, until};
use serde_json::json;

const OBJECTS: [&str; 4] = ["RESTORE.txt", "contents.json", "data", "manifest.json"];
const AUTUMN: [&str; 6] = ["20250930", "20251015", "20251031", "20251121", "20251122", "20251123"];

/// A pipeline `shop` with this policy, and more text behind it.
fn config(sandbox: &Sandbox, retention: &str, more: &str) {
    sandbox.write("data", "some bytes");
    sandbox.config(&format!(
        "[source.it]\nplugin = \"command\"\ndump_command = [\"cat\", \"data\"]\n\
         [storage.nas]\nplugin = \"fs\"\nroot = \"store\"\n\
         [pipeline.shop]\nsource = \"it\"\nstorage = [\"nas\"]\n{retention}\n{more}"
    ));
}

/// A sandbox with a snapshot of each of these days.
fn shop(retention: &str, days: &[&str]) -> Sandbox {
    let sandbox = Sandbox::new();
    config(&sandbox, retention, "");
    back_up(&sandbox, "shop", days);
    sandbox
}

/// A snapshot of each of these days, at noon.
fn back_up(sandbox: &Sandbox, pipeline: &str, days: &[&str]) {
    for day in days {
        sandbox.ok(&["backup", pipeline]);
        date(&sandbox.object(pipeline, ""), day);
    }
}

fn date(folder: &Path, day: &str) {
    let tail = folder.file_name().unwrap().to_str().unwrap()[17..].to_owned();
    rename_snapshot(folder, &format!("{day}T120000Z-{tail}"), &[]);
}

/// The days of the snapshots below `place`, each of which is whole.
fn left(sandbox: &Sandbox, place: &str) -> Vec<String> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in sandbox.files(place) {
        let (id, name) = file.split_once('/').expect("a file beside the snapshots");
        found.entry(id[..8].to_owned()).or_default().push(name.to_owned());
    }
    found.iter().for_each(|(day, objects)| assert_eq!(objects, &OBJECTS, "{place} of {day}"));
    found.into_keys().collect()
}

/// Every file below the store, with its bytes.
fn everything(sandbox: &Sandbox, but: &str) -> BTreeMap<String, Vec<u8>> {
    let files = sandbox.files("store").into_iter().filter(|file| !file.starts_with(but));
    files.map(|file| (file.clone(), fs::read(sandbox.path("store").join(file)).unwrap())).collect()
}

#[test]
fn what_the_policy_does_not_keep_goes_whole_and_nothing_else_is_touched() {
    let sandbox = shop("retention = { keep_daily = 2, keep_monthly = 2 }", &AUTUMN);
    // Names that begin alike, another host, an item's folder, and what isn't ours.
    let near = "[pipeline.shop-2]\nsource = \"it\"\nstorage = [\"nas\"]\n[pipeline.sho]\nsource = \"it\"\nstorage = [\"nas\"]\n";
    config(&sandbox, "retention = { keep_daily = 2, keep_monthly = 2 }", near);
    back_up(&sandbox, "shop-2", &AUTUMN[..2]);
    back_up(&sandbox, "sho", &AUTUMN[..2]);
    sandbox.ok(&["--host", "web2", "backup", "shop"]);
    sandbox.ok(&["--host", "web2", "backup", "shop"]);
    sandbox.write("store/web1/shop-notes.txt", "not a snapshot");
    sandbox.write("store/notes.txt", "not a snapshot");
    let others = everything(&sandbox, "web1/shop/");

    let ran = sandbox.run(&["prune"]).expect(0);
    assert_eq!(ran.stdout.matches("Removed shop@").count(), 3, "{}", ran.stdout);
    let ran = ran.prints("Removed shop@20250930T120000Z-").prints("Pruned shop in nas: 3 removed (");
    let ran = ran.prints("), 3 kept\n");
    assert_eq!(ran.stderr, "");
    assert_eq!(left(&sandbox, "store/web1/shop"), ["20251031", "20251122", "20251123"]);
    assert_eq!(everything(&sandbox, "web1/shop/"), others);
    assert_eq!(sandbox.records(), [""; 0]);
    sandbox.ok(&["verify", "--full", "shop"]);
    assert_eq!(listed_in(&sandbox, "nas").len(), 3);
    // What was removed isn't remembered either, and there is nothing more to do.
    sandbox.run(&["prune", "shop"]).expect(0).prints("Pruned shop in nas: 0 removed (0 B), 3 kept\n");
    assert_eq!(sandbox.ok(&["-q", "prune"]), "");
    sandbox.run(&["prune", "web2/shop"]).expect(0).prints("Pruned shop in nas: 1 removed");
    assert_eq!(sandbox.files("store/web2/shop").len(), OBJECTS.len());
    assert_eq!(left(&sandbox, "store/web1/shop").len(), 3);
}

#[test]
fn a_dry_run_explains_and_removes_nothing() {
    let sandbox = shop("retention = { keep_last = 1, keep_within = \"2d\" }", &AUTUMN);
    let before = everything(&sandbox, "-");
    let ran = sandbox.run(&["prune", "--dry-run", "--explain"]).expect(0);
    let ran = ran.prints("Would remove shop@20251031T120000Z-").prints("Would prune shop in nas: 3 removed");
    let ran = ran.prints(" in nas: newest, keep_last, keep_within 2d\n").prints(" in nas: keep_within 2d\n");
    assert_eq!(ran.stdout.matches("Kept shop@").count(), 3, "{}", ran.stdout);
    let told = sandbox.ok(&["--json", "prune", "--dry-run", "--explain"]);
    let (removed, kept) = (events(&told, "removed"), events(&told, "kept"));
    assert_eq!((removed.len(), kept.len()), (3, 3));
    assert_eq!(removed[0]["time"], "2025-09-30T12:00:00Z");
    assert_eq!((&removed[0]["why"], &removed[0]["dry_run"]), (&json!([]), &json!(true)));
    assert_eq!(kept[2]["why"], json!(["newest", "keep_last", "keep_within 2d"]));
    let pruned = events(&told, "pruned").remove(0);
    assert_eq!(
        (&pruned["removed"], &pruned["kept"], &pruned["storage"]),
        (&json!(3), &json!(3), &json!("nas"))
    );
    let bytes: u64 = removed.iter().map(|row| row["stored_bytes"].as_u64().unwrap()).sum();
    assert_eq!(pruned["removed_bytes"], json!(bytes));
    assert_eq!(everything(&sandbox, "-"), before);
    let told = sandbox.ok(&["--json", "prune"]);
    assert_eq!((events(&told, "removed").len(), events(&told, "kept").len()), (3, 0));
    let after: usize = everything(&sandbox, "-").values().map(Vec::len).sum();
    assert_eq!(after as u64 + bytes, before.values().map(Vec::len).sum::<usize>() as u64);
}

/// Else a row of bad backups would push the last good one out.
#[test]
fn damaged_snapshots_keep_no_good_one_from_counting_and_are_left_alone() {
    let sandbox = shop("retention = { keep_last = 2 }", &AUTUMN);
    let folder = |day: &str| {
        let ids = fs::read_dir(sandbox.path("store/web1/shop")).unwrap().map(|id| id.unwrap().path());
        ids.into_iter().find(|id| id.file_name().unwrap().to_str().unwrap().starts_with(day)).unwrap()
    };
    fs::remove_file(folder("20251123").join("data")).unwrap();
    fs::write(folder("20251122").join("data"), "").unwrap();
    fs::write(folder("20251121").join("manifest.json"), "{}").unwrap();
    let ran = sandbox.run(&["prune"]).expect(4);
    let ran =
        ran.says("data` is missing").says("has 0 bytes instead of 10").says("the manifest of `shop@20251121");
    assert_eq!(ran.stderr.matches("error: ").count(), 3, "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("it is neither counted nor removed").count(), 3, "{}", ran.stderr);
    ran.says("hint: `windlass reconcile`").prints("1 removed");
    let mut days: Vec<String> =
        sandbox.files("store/web1/shop").iter().map(|file| file[..8].to_owned()).collect();
    days.dedup();
    assert_eq!(days, ["20251015", "20251031", "20251121", "20251122", "20251123"]);
    sandbox.ok(&["verify", "shop@20251031"]);
    sandbox.ok(&["verify", "shop@20251015"]);
}

#[test]
fn a_snapshot_that_a_later_version_made_is_left_alone() {
    let sandbox = shop("retention = { keep_last = 1 }", &AUTUMN[..3]);
    let newest = sandbox.object("shop", "");
    let id = newest.file_name().unwrap().to_str().unwrap().to_owned();
    rename_snapshot(&newest, &id, &[("requires", json!(["dedup"]))]);
    sandbox.run(&["prune"]).expect(3).says("was made by a later version").prints("1 removed");
    assert_eq!(left(&sandbox, "store/web1/shop"), ["20251015", "20251031"]);
}

#[test]
fn the_newest_that_is_complete_stays_while_files_can_not_be_read() {
    let sandbox = shop("retention = { keep_last = 1 }", &AUTUMN[..4]);
    for folder in fs::read_dir(sandbox.path("store/web1/shop")).unwrap().map(|id| id.unwrap().path()) {
        let id = folder.file_name().unwrap().to_str().unwrap().to_owned();
        if id.as_str() > "20251016" {
            rename_snapshot(&folder, &id, &[("left_out", json!(1))]);
        }
    }
    sandbox.run(&["prune", "--explain"]).expect(0).prints(": newest with nothing left out\n");
    assert_eq!(left(&sandbox, "store/web1/shop"), ["20251015", "20251121"]);
}

#[test]
fn a_machine_that_has_no_key_makes_lists_proves_and_prunes() {
    let sandbox = Sandbox::new();
    let (key, recipient) = age_key(&sandbox, "key");
    let away = sandbox.path("store/away");
    fs::rename(&key, &away).unwrap();
    let filters = format!("filters = [\"zstd\", {{ plugin = \"age\", recipients = [\"{recipient}\"] }}]\n");
    config(&sandbox, &format!("{filters}retention = {{ keep_last = 2 }}"), "");
    back_up(&sandbox, "shop", &AUTUMN[..4]);
    let told = sandbox.path("loaded");
    let mut prune = sandbox.command(&["prune"]);
    prune.env("LD_DEBUG", "files").env("LD_DEBUG_OUTPUT", &told);
    assert!(prune.stdout(Stdio::null()).status().unwrap().success());
    let loaded = sandbox.files(".").into_iter().filter(|file| file.starts_with("loaded."));
    let loaded: String = loaded.map(|file| fs::read_to_string(sandbox.path(file)).unwrap()).collect();
    assert!(loaded.contains("libwindlass_storage_fs.so"), "{loaded}");
    assert!(!loaded.contains("libwindlass_filter_") && !loaded.contains("libwindlass_source_"), "{loaded}");
    assert_eq!(listed_in(&sandbox, "nas").len(), 2);
    sandbox.ok(&["verify", "shop"]);
    sandbox.run(&["restore", "shop", "--output", "back"]).expect(1);
    let identity = away.to_str().unwrap();
    sandbox.ok(&["restore", "shop", "--output", "back", "--identity", identity]);
    assert_eq!(fs::read_to_string(sandbox.path("back")).unwrap(), "some bytes");
}

/// As [`shop`], in a storage that misbehaves from now on.
fn misbehaving(days: &[&str], options: &str) -> Sandbox {
    let sandbox = shop("retention = { keep_last = 1 }", days);
    let text = fs::read_to_string(sandbox.path("windlass.toml")).unwrap();
    let root = sandbox.path("store");
    let storage = format!("plugin = \"misbehaving\"\nroot = \"{}\"\n{options}\n", root.display());
    sandbox.config(&text.replace("plugin = \"fs\"\nroot = \"store\"\n", &storage));
    sandbox
}

#[test]
fn what_can_not_be_deleted_stays_whole_and_is_told() {
    let sandbox = misbehaving(&AUTUMN[..3], "deny_delete = true");
    let before = everything(&sandbox, "-");
    let ran =
        sandbox.run(&["prune"]).expect(3).says("it can't be removed: ").prints("0 removed (0 B), 3 kept");
    assert_eq!(ran.stderr.matches("error: shop@").count(), 2, "{}", ran.stderr);
    assert_eq!(everything(&sandbox, "-"), before);
    assert_eq!(sandbox.records(), [""; 0], "what is a snapshot still is no leftover");
    sandbox.ok(&["verify", "shop"]);
}

/// At each step of a removal: after it there is a whole snapshot or none, and what is left of one goes with the next run.
#[test]
fn a_removal_that_breaks_off_leaves_no_half_snapshot_and_the_next_run_goes_on() {
    for (nth, after, listed) in
        [(1, false, 2), (1, true, 1), (2, false, 1), (2, true, 1), (3, false, 1), (3, true, 1)]
    {
        let case = format!("delete {nth}, {after}");
        let fail = format!("fail = [{{ op = \"delete\", nth = {nth}, after = {after} }}]");
        let sandbox = misbehaving(&AUTUMN[..2], &fail);
        let what = if nth == 1 { "it can't be removed: " } else { "what is left of it can't be removed: " };
        sandbox.run(&["prune"]).expect(3).says(what);
        assert_eq!(listed_in(&sandbox, "nas").len(), listed, "{case}");
        sandbox.ok(&["verify", "shop"]);
        assert_eq!(sandbox.records().len(), 1, "{case}");
        // The same storage fails again; what it does first then is to go on where the last run broke off.
        sandbox.run(&["prune"]);
        let ran = sandbox.run(&["prune"]);
        if listed == 1 {
            ran.expect(0);
            assert_eq!(left(&sandbox, "store/web1/shop"), ["20251015"], "{case}");
            assert_eq!(sandbox.records(), [""; 0], "{case}");
        } else {
            assert_eq!(left(&sandbox, "store/web1/shop"), ["20250930", "20251015"], "{case}");
        }
    }
}

#[test]
fn a_backup_under_way_keeps_prune_out_and_what_a_killed_one_leaves_prune_removes() {
    let sandbox = shop("retention = { keep_last = 1 }", &AUTUMN[..2]);
    let gate = sandbox.path("gate");
    assert!(Command::new("mkfifo").arg(&gate).status().unwrap().success());
    let text = fs::read_to_string(sandbox.path("windlass.toml")).unwrap();
    let slow = format!("[\"sh\", \"-c\", \"head -c 6000000 /dev/zero; cat {}\"]", gate.display());
    sandbox.config(&text.replace("[\"cat\", \"data\"]", &slow));
    let mut backup = sandbox.spawn(&["backup"]);
    until("a half upload", || sandbox.files("store").len() > 2 * OBJECTS.len());
    sandbox.run(&["prune"]).expect(11).says("`web1/shop` is locked: ").says("(backup)");
    sandbox.run(&["prune", "--dry-run"]).expect(0).prints("1 removed");
    assert_eq!(listed_in(&sandbox, "nas").len(), 2);
    backup.kill().unwrap();
    backup.wait().unwrap();
    sandbox.run(&["prune", "--wait-lock", "30s"]).expect(0).says("removed 1 leftover").prints("1 removed");
    assert_eq!(left(&sandbox, "store/web1/shop"), ["20251015"]);
    assert_eq!(sandbox.records(), [""; 0]);
}

#[test]
fn each_storage_is_judged_by_itself_and_one_that_is_away_keeps_no_other_from_it() {
    let sandbox = Sandbox::new();
    sandbox.write("data", "some bytes");
    sandbox.config(
        "[source.it]\nplugin = \"command\"\ndump_command = [\"cat\", \"data\"]\n\
         [storage.one]\nplugin = \"fs\"\nroot = \"store/one\"\n[storage.two]\nplugin = \"fs\"\nroot = \"store/two\"\n\
         [pipeline.shop]\nsource = \"it\"\nstorage = [\"one\", { name = \"two\", required = false }]\n\
         retention = { keep_last = 2 }\n",
    );
    for storage in ["one", "two"] {
        fs::create_dir(sandbox.path("store").join(storage)).unwrap();
    }
    for day in AUTUMN {
        sandbox.ok(&["backup"]);
        for storage in ["one", "two"] {
            let place = sandbox.path("store").join(storage).join("web1/shop");
            let mut ids = fs::read_dir(place).unwrap().map(|id| id.unwrap().path());
            date(&ids.find(|id| !id.to_str().unwrap().contains("T120000Z")).unwrap(), day);
        }
    }
    // The second missed the last three.
    for folder in fs::read_dir(sandbox.path("store/two/web1/shop")).unwrap().map(|id| id.unwrap().path()) {
        if folder.file_name().unwrap().to_str().unwrap() > "20251101" {
            fs::remove_dir_all(folder).unwrap();
        }
    }
    fs::rename(sandbox.path("store/two"), sandbox.path("store/away")).unwrap();
    sandbox
        .run(&["prune"])
        .expect(3)
        .says("error: shop: storage two")
        .prints("Pruned shop in one: 4 removed");
    fs::rename(sandbox.path("store/away"), sandbox.path("store/two")).unwrap();
    let ran = sandbox.run(&["prune", "--storage", "two"]).expect(0).prints("Pruned shop in two: 1 removed");
    assert!(!ran.stdout.contains(" in one: "), "{}", ran.stdout);
    assert_eq!(left(&sandbox, "store/one/web1/shop"), ["20251122", "20251123"]);
    assert_eq!(left(&sandbox, "store/two/web1/shop"), ["20251015", "20251031"]);
    fs::remove_dir_all(sandbox.path("store/one")).unwrap();
    fs::remove_dir_all(sandbox.path("store/two")).unwrap();
    sandbox.run(&["prune"]).expect(1);
}

#[test]
fn the_items_of_an_each_are_judged_one_by_one() {
    let sandbox = Sandbox::new();
    sandbox.config(&format!(
        "[source.server]\nplugin = \"misbehaving\"\nbytes = 1000\ntarget = \"{}\"\nitems = [\"one\", \"two\"]\n\
         [pipeline.fleet]\nsource = \"server\"\nstorage = [\"fs:store\"]\neach = {{ item = \"*\" }}\n\
         retention = {{ keep_last = 1 }}\n",
        sandbox.path("back").display()
    ));
    for (item, days) in [("fleet/one", &AUTUMN[..3]), ("fleet/two", &AUTUMN[3..5])] {
        back_up(&sandbox, item, days);
    }
    sandbox.run(&["prune", "fleet/two"]).expect(0).prints("Pruned fleet/two in fs:store: 1 removed");
    assert_eq!(left(&sandbox, "store/web1/fleet/one").len(), 3);
    sandbox.run(&["prune"]).expect(0).prints("Pruned fleet/one in ").prints("Pruned fleet/two in ");
    assert_eq!(left(&sandbox, "store/web1/fleet/one"), ["20251031"]);
    assert_eq!(left(&sandbox, "store/web1/fleet/two"), ["20251122"]);
}

#[test]
fn a_pipeline_that_can_not_be_pruned_keeps_no_other_from_it() {
    let sandbox = Sandbox::new();
    let policy = "retention = { keep_last = 1 }";
    config(&sandbox, policy, "");
    back_up(&sandbox, "shop", &AUTUMN[..2]);
    let broken = "[storage.far]\nplugin = \"fs\"\nroot = { env = \"NOWHERE\" }\n\
                  [pipeline.a]\nsource = \"it\"\nstorage = [\"far\"]\nretention = { keep_last = 1 }\n";
    config(&sandbox, policy, broken);
    sandbox.run(&["prune"]).expect(2).says("NOWHERE").prints("Pruned shop in nas: 1 removed");
    assert_eq!(left(&sandbox, "store/web1/shop"), ["20251015"]);
}

#[test]
fn what_can_not_be_meant_is_refused_and_removes_nothing() {
    let sandbox = shop("retention = { keep_last = 1 }", &AUTUMN[..3]);
    let before = everything(&sandbox, "-");
    sandbox.run(&["prune", "shpo"]).expect(10).says("shpo");
    sandbox.run(&["prune", "shop@2025"]).expect(2).says("`prune` takes pipelines");
    sandbox.run(&["prune", "shop", "--storage", "nsa"]).expect(2);
    // A policy of which a part can't be read keeps less than it should.
    for broken in
        ["{ keep_last = 1, keep_dayly = 7 }", "{ keep_last = 1, keep_within = \"soon\" }", "3", "{}"]
    {
        config(&sandbox, &format!("retention = {broken}"), "");
        for names in [&["prune"][..], &["prune", "shop"]] {
            sandbox.run(names).expect(2).says("pipeline.shop.retention");
        }
    }
    // Nobody's snapshots: else a host of another name would never be pruned, and nobody would know.
    config(&sandbox, "retention = { keep_last = 1 }", "");
    for names in [
        &["prune", "--dry-run", "shop", "wbe1/shop"][..],
        &["prune", "wbe1/shop"],
        &["--host", "nobody", "prune"],
        &["-q", "--host", "nobody", "prune"],
    ] {
        sandbox.run(names).expect(10).says("no snapshot of ").says("hint:");
    }
    let elsewhere = ["prune", "--storage", "fs:store"];
    sandbox.run(&elsewhere).expect(2).says("no pipeline of `fs:store` has a `retention`");
    config(&sandbox, "", "");
    sandbox.run(&["prune"]).expect(2).says("no pipeline has a `retention`").says("hint:");
    sandbox.run(&["prune", "shop"]).expect(2).says("pipeline `shop` has no `retention`").says("hint:");
    assert_eq!(everything(&sandbox, "-"), before);
}
