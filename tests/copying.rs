//! Snapshots copied from storage to storage: `copy` and `reconcile`. What is copied is whole, what is there stays as it is.

mod common;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use common::fan::{config, events, listed_in};
use common::{Ran, Sandbox, until};

const BOTH: &str = "[\"nas\", \"offsite\"]";
const OBJECTS: [&str; 4] = ["data", "contents.json", "RESTORE.txt", "manifest.json"];
const COPY: [&str; 6] = ["copy", "shop", "--from", "nas", "--to", "offsite"];

/// One snapshot of three blocks, in the storage `nas` alone; `options` are those of both from now on.
fn on_nas(nas: &str, offsite: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    with(&sandbox, "", "");
    sandbox.ok(&["backup", "--storage", "nas"]);
    with(&sandbox, nas, offsite);
    sandbox
}

fn with(sandbox: &Sandbox, nas: &str, offsite: &str) {
    config(sandbox, "bytes = 40000000", BOTH, &[("nas", nas), ("offsite", offsite)]);
}

/// The path of an object of the oldest snapshot.
fn object(sandbox: &Sandbox, storage: &str, name: &str) -> PathBuf {
    let files = sandbox.files(&format!("store/{storage}"));
    let file = files.iter().find(|file| file.ends_with(&format!("/{name}"))).unwrap();
    sandbox.path("store").join(storage).join(file)
}

#[track_caller]
fn nothing_on_offsite(sandbox: &Sandbox, case: &str) {
    assert_eq!(sandbox.files("store/offsite"), [""; 0], "{case}");
    assert_eq!(sandbox.records(), [""; 0], "{case}");
}

#[test]
fn a_copy_has_the_same_objects_and_is_proved_like_the_original() {
    let sandbox = on_nas("", "");
    sandbox.run(&COPY).expect(0).prints("Copied shop@").says("of host web1 in nas");
    sandbox.are_level("nas", "offsite");
    sandbox.ok(&["verify", "shop", "--full", "--storage", "offsite"]);
    let again = sandbox.run(&COPY).expect(0).says("nothing to do");
    assert_eq!(again.stdout, "");
    assert_eq!(sandbox.records(), [""; 0]);
    sandbox.run(&["copy", "shop", "--from", "nas", "--to", "nas"]).expect(2).says("are the same storage");
    sandbox.run(&["copy", "media", "--from", "nas", "--to", "offsite"]).expect(10);
}

#[test]
fn a_snapshot_is_copied_by_url_without_a_config_and_without_its_key() {
    let sandbox = Sandbox::new();
    sandbox.write("plain", "some bytes");
    fs::create_dir_all(sandbox.path("store/other")).unwrap();
    sandbox.config(
        "[source.it]\nplugin = \"command\"\ndump_command = [\"cat\", \"plain\"]\n[pipeline.it]\nsource = \"it\"\nstorage = \"fs:store\"\n\
         filters = [\"zstd\", { plugin = \"age\", passphrase = \"rosebud\" }]\n",
    );
    sandbox.ok(&["backup"]);
    fs::remove_file(sandbox.path("windlass.toml")).unwrap();
    sandbox.ok(&["copy", "it", "--from", "fs:store", "--to", "fs:store/other"]);
    let copied = sandbox.files("store/other/web1");
    assert_eq!(copied.len(), 4);
    for file in copied {
        let read = |root: &str| fs::read(sandbox.path(root).join("web1").join(&file)).unwrap();
        assert!(read("store") == read("store/other"), "{file}");
    }
}

#[test]
fn a_dry_run_says_what_would_be_copied_and_writes_nothing() {
    let sandbox = on_nas("", "");
    let mut copy = COPY.to_vec();
    copy.push("--dry-run");
    sandbox.run(&copy).expect(0).prints("Would copy shop@").prints(" from nas to offsite (38 MiB)");
    let ran = sandbox.run(&["--json", "reconcile", "--dry-run"]).expect(0);
    let copied = events(&ran.stdout, "copied").remove(0);
    assert_eq!(
        (&copied["to"], &copied["dry_run"], &copied["objects"]),
        (&"offsite".into(), &true.into(), &4.into())
    );
    nothing_on_offsite(&sandbox, "dry run");
}

#[test]
fn a_damaged_origin_is_never_copied() {
    for damage in ["damaged_at = [0]", "damaged_at = [20000000]", "damaged_at = [39999999]"] {
        let sandbox = on_nas(damage, "");
        for command in [&COPY[..], &["reconcile"]] {
            let said = ["is damaged between bytes", "storage nas"];
            sandbox.run(command).fails_with_exit(4, damage, &said);
            nothing_on_offsite(&sandbox, damage);
        }
    }
    for object_name in ["contents.json", "RESTORE.txt"] {
        let sandbox = on_nas("", "");
        let path = object(&sandbox, "nas", object_name);
        let mut bytes = fs::read(&path).unwrap();
        bytes[3] ^= 1;
        fs::write(&path, &bytes).unwrap();
        sandbox.run(&COPY).fails_with_exit(4, object_name, &[object_name, "damaged"]);
        fs::remove_file(&path).unwrap();
        sandbox.run(&COPY).fails_with_exit(4, object_name, &[object_name, "is missing"]);
        nothing_on_offsite(&sandbox, object_name);
    }
}

#[test]
fn a_copy_that_fails_in_any_phase_leaves_nothing() {
    for operation in ["create", "write", "finish", "publish"] {
        for (nth, name) in OBJECTS.iter().enumerate() {
            // The stream takes many writes.
            let nth = if operation == "write" && nth > 0 { 8 + nth } else { nth + 1 };
            let case = format!("`{operation}` of {name}");
            let fail = format!("fail = [{{ op = \"{operation}\", nth = {nth}, kind = \"full\" }}]");
            let sandbox = Sandbox::new();
            config(&sandbox, "bytes = 2000000", BOTH, &[("nas", ""), ("offsite", &fail)]);
            sandbox.ok(&["backup", "--storage", "nas"]);
            let said = ["was told to fail", "storage offsite (misbehaving@"];
            sandbox.run(&COPY).fails_with(&case, &said);
            nothing_on_offsite(&sandbox, &case);
            sandbox.run(&["reconcile"]).fails_with_exit(3, &case, &said);
            nothing_on_offsite(&sandbox, &case);
        }
    }
    let sandbox = on_nas("", "publish_then_fail = 4");
    sandbox.run(&COPY).fails_with("died", &["storage offsite"]);
    nothing_on_offsite(&sandbox, "died");
    let sandbox = on_nas("", "lie = \"publish\"");
    sandbox.run(&COPY).fails_with("lies", &["it says that it stored 0 bytes"]);
    nothing_on_offsite(&sandbox, "lies");
}

#[test]
fn a_killed_copy_leaves_nothing_visible_and_the_next_one_clears_up() {
    let sandbox = on_nas("bytes_per_second = 4000000", "");
    for command in [&COPY[..], &["reconcile"]] {
        let mut child = sandbox.spawn(command);
        until("a half upload", || !sandbox.files("store/offsite").is_empty());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(listed_in(&sandbox, "offsite"), [""; 0]);
        assert_eq!((sandbox.files("store/offsite").len(), sandbox.records().len()), (1, 1));
        sandbox.run(&["list"]).expect(0).prints("ok, missing in offsite");
        with(&sandbox, "", "");
        sandbox.run(command).expect(0).says("removed 1 leftover objects").prints("Copied shop@");
        sandbox.are_level("nas", "offsite");
        assert_eq!(sandbox.records(), [""; 0]);
        fs::remove_dir_all(sandbox.path("store/offsite")).unwrap();
        with(&sandbox, "bytes_per_second = 4000000", "");
    }
}

/// Of a run of another machine that died: no record names it, so it isn't removed; where it is right it is used.
#[test]
fn what_is_there_already_is_proved_and_never_overwritten() {
    let sandbox = on_nas("", "");
    sandbox.ok(&COPY);
    fs::remove_file(object(&sandbox, "offsite", "manifest.json")).unwrap();
    fs::remove_file(object(&sandbox, "offsite", "contents.json")).unwrap();
    let ran = sandbox.run(&["--json", "copy", "shop", "--from", "nas", "--to", "offsite"]).expect(0);
    assert_eq!(events(&ran.stdout, "copied")[0]["objects"], 2);
    sandbox.are_level("nas", "offsite");
    fs::remove_file(object(&sandbox, "offsite", "manifest.json")).unwrap();
    let path = object(&sandbox, "offsite", "data");
    let mut bytes = fs::read(&path).unwrap();
    bytes[30_000_000] ^= 1;
    for bytes in [&bytes[..], &bytes[1..]] {
        fs::write(&path, bytes).unwrap();
        let said = ["can't be copied there: ", "storage offsite"];
        sandbox.run(&COPY).fails_with("something else", &said).says("hint: Nothing is overwritten");
        sandbox.run(&["reconcile"]).fails_with_exit(3, "something else", &said);
        assert!(fs::read(&path).unwrap() == bytes);
        assert_eq!(listed_in(&sandbox, "offsite"), [""; 0]);
    }
}

#[test]
fn reconcile_brings_every_storage_level() {
    let sandbox = on_nas("", "");
    sandbox.ok(&["backup", "--storage", "offsite"]);
    sandbox.ok(&["--host", "web2", "backup", "--storage", "offsite"]);
    sandbox.ok(&["backup"]);
    let ran = sandbox.run(&["reconcile"]).expect(0);
    assert_eq!(ran.stdout.matches("Copied shop@").count(), 2, "{}", ran.stdout);
    let mine = |storage: &str| listed_in(&sandbox, storage);
    assert_eq!((mine("nas").len(), mine("nas")), (3, mine("offsite")));
    assert!(!sandbox.files("store/nas").iter().any(|file| file.starts_with("web2/")), "another host's");
    sandbox.run(&["reconcile", "shop"]).expect(0).says("nothing to do: 3 snapshots are in nas, offsite");
    sandbox.ok(&["reconcile", "web2/shop"]);
    sandbox.are_level("nas", "offsite");
    sandbox.ok(&["verify", "--full"]);
    sandbox.run(&["reconcile", "media"]).expect(10);
    sandbox.run(&["reconcile", "shop@2026"]).expect(2);
}

#[test]
fn reconcile_brings_what_a_backup_had_to_leave_out() {
    let sandbox = Sandbox::new();
    let storage = "[\"nas\", { name = \"offsite\", required = false }]";
    config(&sandbox, "", storage, &[("nas", ""), ("offsite", "fail = [{ op = \"finish\" }]")]);
    sandbox.run(&["backup"]).expect(3);
    sandbox.run(&["list"]).expect(0).prints("ok, missing in offsite");
    sandbox.run(&["reconcile"]).fails_with_exit(3, "still broken", &["storage offsite"]);
    config(&sandbox, "", storage, &[("nas", ""), ("offsite", "")]);
    sandbox.ok(&["reconcile"]);
    sandbox.are_level("nas", "offsite");
}

#[test]
fn reconcile_mends_a_snapshot_that_lacks_an_object() {
    let sandbox = on_nas("", "");
    sandbox.ok(&COPY);
    for name in ["data", "RESTORE.txt"] {
        fs::remove_file(object(&sandbox, "offsite", name)).unwrap();
        sandbox.run(&["verify", "--quick"]).expect(4);
        sandbox.ok(&["reconcile"]);
        sandbox.are_level("nas", "offsite");
    }
    fs::remove_file(object(&sandbox, "offsite", "data")).unwrap();
    fs::remove_file(object(&sandbox, "nas", "data")).unwrap();
    sandbox.run(&["reconcile"]).expect(4).says("is missing");
}

#[test]
fn reconcile_reads_each_block_from_a_storage_that_has_it() {
    let sandbox = Sandbox::new();
    let three = "[\"one\", \"two\", \"three\"]";
    config(&sandbox, "bytes = 40000000", three, &[("one", ""), ("two", ""), ("three", "")]);
    sandbox.ok(&["backup", "--storage", "one", "--storage", "two"]);
    let storages = [("one", "damaged_at = [5]"), ("two", "damaged_at = [20000000]"), ("three", "")];
    config(&sandbox, "bytes = 40000000", three, &storages);
    let ran = sandbox.run(&["reconcile"]).expect(0).prints("from one, two to three");
    assert_eq!(ran.stderr.matches("it is read from").count(), 2, "{}", ran.stderr);
    sandbox.are_level("one", "three");
}

#[test]
fn what_can_not_be_copied_keeps_nothing_else_from_it() {
    let sandbox = on_nas("", "");
    sandbox.ok(&COPY);
    sandbox.ok(&["backup", "--storage", "nas"]);
    let manifest = object(&sandbox, "offsite", "manifest.json");
    let good = fs::read(&manifest).unwrap();
    fs::write(&manifest, &good[..100]).unwrap();
    let ran = sandbox.run(&["reconcile"]);
    let ran = ran.fails_with_exit(3, "damaged there", &["is overwritten there", "storage offsite"]);
    ran.prints("Copied shop@");
    assert_eq!(fs::read(&manifest).unwrap(), &good[..100]);
    assert_eq!(sandbox.files("store/offsite").len(), 8);
    fs::write(&manifest, good).unwrap();
    sandbox.run(&["reconcile"]).expect(0).says("nothing to do");
    let (one, other) =
        (object(&sandbox, "nas", "manifest.json"), object(&sandbox, "offsite", "manifest.json"));
    [one, other].iter().for_each(|path| fs::write(path, "{}").unwrap());
    sandbox.run(&["reconcile"]).fails_with_exit(4, "lost", &["the manifest of", "is damaged"]);
    with(&sandbox, "", "panic_in = \"new\"");
    sandbox.run(&["reconcile"]).expect(4).says("error: shop: storage offsite");
}

#[test]
fn a_copy_waits_for_no_run_of_its_pipeline() {
    let sandbox = on_nas("", "");
    let text = fs::read_to_string(sandbox.path("windlass.toml")).unwrap();
    let waiting = text.replace("bytes = 40000000", "bytes = 40000000\nbehaviour = \"waits\"");
    let waiting = sandbox.write("waiting.toml", waiting);
    let child = sandbox.spawn(&["-c", waiting.to_str().unwrap(), "backup"]);
    until("a record", || !sandbox.records().is_empty());
    for command in [&COPY[..], &["reconcile"]] {
        sandbox.run(command).fails_with_exit(11, "locked", &["`web1/shop` is locked", "(backup)"]);
    }
    let mut later = COPY.to_vec();
    later.extend(["--wait-lock", "60s"]);
    let later = sandbox.spawn(&later);
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM)
        .unwrap();
    Ran::of(child.wait_with_output().unwrap()).expect(143);
    Ran::of(later.wait_with_output().unwrap()).expect(0);
    sandbox.are_level("nas", "offsite");
}

#[test]
fn a_signal_ends_a_copy_cleanly() {
    let sandbox = on_nas("bytes_per_second = 4000000", "");
    for command in [&COPY[..], &["reconcile"]] {
        let child = sandbox.spawn(command);
        until("a half upload", || !sandbox.files("store/offsite").is_empty());
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT)
            .unwrap();
        Ran::of(child.wait_with_output().unwrap()).expect(130);
        nothing_on_offsite(&sandbox, "signal");
    }
}

#[test]
fn the_items_of_an_each_are_brought_level_too() {
    let sandbox = Sandbox::new();
    let source = "items = [\"a\", \"b\"]";
    let each = format!("{BOTH}\neach = {{ item = \"*\" }}");
    config(&sandbox, source, &each, &[("nas", ""), ("offsite", "")]);
    sandbox.ok(&["backup", "--storage", "nas"]);
    sandbox.ok(&["backup", "shop/a", "--storage", "offsite"]);
    let ran = sandbox.run(&["reconcile"]).expect(0);
    assert_eq!(ran.stdout.matches("Copied shop/").count(), 3, "{}", ran.stdout);
    sandbox.are_level("nas", "offsite");
}

/// At moments spread over a run: whatever was copied by then is whole or invisible, and the next run clears up.
#[test]
fn a_reconcile_killed_at_any_moment_leaves_whole_snapshots_or_none() {
    let sandbox = Sandbox::new();
    let storages = [("nas", ""), ("offsite", "")];
    config(&sandbox, "bytes = 3000000", BOTH, &storages);
    for _ in 0..3 {
        sandbox.ok(&["backup", "--storage", "nas"]);
    }
    let mut killed = 0;
    for moment in 1..=40 {
        let mut child = sandbox.spawn(&["reconcile"]);
        std::thread::sleep(Duration::from_millis(moment * 2));
        child.kill().unwrap();
        killed += u32::from(child.wait().unwrap().code().is_none());
        for id in listed_in(&sandbox, "offsite") {
            sandbox.ok(&["verify", &id, "--storage", "offsite"]);
        }
        if moment % 4 == 0 {
            sandbox.ok(&["reconcile"]);
            sandbox.are_level("nas", "offsite");
            assert_eq!(sandbox.records(), [""; 0]);
            fs::remove_dir_all(sandbox.path("store/offsite")).unwrap();
            config(&sandbox, "bytes = 3000000", BOTH, &storages);
        }
    }
    assert!(killed > 0, "every run ended before it could be killed");
}
