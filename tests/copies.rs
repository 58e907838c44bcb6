//! A snapshot that several storages have: where it lies, which copy is read, and what happens when that is damaged or breaks.

mod common;

use std::fs;

use common::fan::{config, events};
use common::{Sandbox, edit_manifest};
use serde_json::json;

const BOTH: &str = "[\"nas\", \"offsite\"]";
/// More than two blocks of 16 MiB.
const BYTES: u64 = 40_000_000;
const BLOCK: u64 = 16 << 20;

/// A snapshot of three blocks in both storages.
fn backed_up() -> Sandbox {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("target")).unwrap();
    with(&sandbox, "", "");
    sandbox.ok(&["backup"]);
    sandbox
}

/// From now on the storages misbehave so.
fn with(sandbox: &Sandbox, nas: &str, offsite: &str) {
    config(sandbox, &format!("bytes = {BYTES}"), BOTH, &[("nas", nas), ("offsite", offsite)]);
}

/// What a restore has made is what was backed up; then it is removed.
#[track_caller]
fn is_restored(sandbox: &Sandbox) {
    let stored = sandbox.files("store/nas").into_iter().find(|file| file.ends_with("/data")).unwrap();
    let restored = sandbox.path("target/restored.data");
    assert!(fs::read(&restored).unwrap() == fs::read(sandbox.path("store/nas").join(stored)).unwrap());
    fs::remove_file(restored).unwrap();
}

/// The path of an object of the only snapshot.
fn object(sandbox: &Sandbox, storage: &str, name: &str) -> std::path::PathBuf {
    let files = sandbox.files(&format!("store/{storage}"));
    let file = files.iter().find(|file| file.ends_with(name)).unwrap();
    sandbox.path("store").join(storage).join(file)
}

#[test]
fn a_restore_falls_over_to_another_storage_in_the_middle_of_a_stream() {
    let sandbox = backed_up();
    for (nas, said) in [
        ("damaged_at = [0]", "is damaged between bytes 0 and 16777216"),
        ("damaged_at = [20000000]", "is damaged between bytes 16777216 and 33554432"),
        ("damaged_at = [39999999]", "is damaged between bytes 33554432 and 40000000"),
        ("breaks_at = 20000000", "asked to break"),
        ("breaks_at = 33554432", "asked to break"),
    ] {
        with(&sandbox, nas, "");
        let ran = sandbox.run(&["restore", "shop"]);
        assert_eq!(ran.code, 0, "{nas}: {}{}", ran.stdout, ran.stderr);
        let ran = ran.says("warning: shop@").says("storage nas (misbehaving@").says(said);
        let ran = ran.says("it is read from storage offsite (misbehaving@");
        assert_eq!(ran.stderr.matches("it is read from").count(), 1, "{nas}: {}", ran.stderr);
        is_restored(&sandbox);
        let out = sandbox.run(&["restore", "shop", "--output", "out"]).expect(0).says(said);
        assert_eq!(out.stderr.matches("it is read from").count(), 1, "{nas}: {}", out.stderr);
        assert_eq!(sandbox.path("out").metadata().unwrap().len(), BYTES);
        fs::remove_file(sandbox.path("out")).unwrap();
    }
}

#[test]
fn copies_that_are_damaged_in_different_blocks_make_a_whole_one() {
    let sandbox = backed_up();
    let (first, second) = (BLOCK / 2, BLOCK + 5);
    with(&sandbox, &format!("damaged_at = [{first}, 39000000]"), &format!("damaged_at = [{second}]"));
    let ran = sandbox.run(&["restore", "shop"]).expect(0);
    assert_eq!(ran.stderr.matches("it is read from").count(), 3, "{}", ran.stderr);
    is_restored(&sandbox);
}

#[test]
fn copies_that_are_damaged_in_the_same_block_are_refused_and_nothing_is_applied() {
    let sandbox = backed_up();
    with(&sandbox, "damaged_at = [20000000]", "damaged_at = [17000000]");
    let ran = sandbox.run(&["restore", "shop"]);
    let said = ["is damaged between bytes 16777216 and 33554432, and no other storage has it"];
    ran.fails_with_exit(4, "both", &said).says("warning: shop@");
    assert_eq!(sandbox.files("target"), [""; 0]);
    let out = sandbox.command(&["restore", "shop", "--output", "-"]).output().unwrap();
    assert_eq!(out.status.code(), Some(4));
    assert!(out.stdout.len() as u64 <= BLOCK, "{} bytes of a damaged block were given out", out.stdout.len());
    // Broken here and damaged there: damage is what is told.
    with(&sandbox, "breaks_at = 20000000", "damaged_at = [17000000]");
    sandbox.run(&["restore", "shop"]).fails_with_exit(4, "one breaks", &["is damaged between bytes"]);
    with(&sandbox, "breaks_at = 20000000", "breaks_at = 20000000");
    sandbox
        .run(&["restore", "shop"])
        .fails_with("both break", &["asked to break, and no other storage has it"]);
    assert_eq!(sandbox.files("target"), [""; 0]);
}

/// The program commits at end-of-file: damage of the last block in both copies must not reach it as an end.
#[test]
fn the_end_of_a_stream_is_held_back_until_every_block_is_proved() {
    let sandbox = Sandbox::new();
    let place = sandbox.path("");
    let place = place.display();
    let mut noise = 1_u64;
    let mut next = || {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        noise.to_le_bytes()[7]
    };
    let plain: Vec<u8> = (0..BYTES).map(|_| next()).collect();
    sandbox.write("plain", &plain);
    let config = |nas: &str, offsite: &str| {
        let mut text = format!(
            "[source.dump]\nplugin = \"command\"\ndump_command = [\"cat\", \"{place}plain\"]\natomic = true\n\
             restore_command = [\"sh\", \"-c\", \"cd {place} && cat > half && mv half restored\"]\n\
             [pipeline.dump]\nsource = \"dump\"\nstorage = {BOTH}\nfilters = [\"lz4\"]\n"
        );
        for (name, options) in [("nas", nas), ("offsite", offsite)] {
            fs::create_dir_all(sandbox.path("store").join(name)).unwrap();
            text += &format!(
                "[storage.{name}]\nplugin = \"misbehaving\"\nroot = \"{place}store/{name}\"\n{options}\n"
            );
        }
        sandbox.config(&text);
    };
    config("", "");
    sandbox.ok(&["backup"]);
    let last = object(&sandbox, "nas", "/data.lz4").metadata().unwrap().len() - 1;
    assert!(last > 2 * BLOCK);
    let damaged = format!("damaged_at = [{last}]");
    let restore = ["restore", "dump", "--mode", "replace", "--yes"];
    config(&damaged, &damaged);
    sandbox.run(&restore).fails_with_exit(4, "both", &["damaged between bytes"]);
    assert!(sandbox.path("half").exists(), "the command was not even started");
    assert!(!sandbox.path("restored").exists(), "the command saw the end of the stream");
    config(&damaged, "");
    sandbox.run(&restore).expect(0).says("it is read from storage offsite");
    assert!(fs::read(sandbox.path("restored")).unwrap() == plain);
}

#[test]
fn an_object_that_one_storage_lacks_is_read_from_the_other() {
    let sandbox = backed_up();
    for name in ["/data", "/contents.json", "/RESTORE.txt"] {
        let path = object(&sandbox, "nas", name);
        let good = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let ran = sandbox.run(&["restore", "shop", "--to", "misbehaving:none?target=target/elsewhere"]);
        ran.expect(0).says(&format!("{name}` is missing"));
        fs::write(&path, &good[1..]).unwrap();
        fs::remove_file(sandbox.path("target/elsewhere.data")).unwrap();
        let ran = sandbox.run(&["restore", "shop"]).expect(0).says("has another size than it should");
        assert!(ran.stderr.contains("storage nas"), "{}", ran.stderr);
        fs::write(&path, &good).unwrap();
        is_restored(&sandbox);
    }
    fs::remove_file(object(&sandbox, "nas", "/data")).unwrap();
    fs::remove_file(object(&sandbox, "offsite", "/data")).unwrap();
    sandbox.run(&["restore", "shop"]).fails_with_exit(4, "none", &["/data` is missing"]);
}

#[test]
fn a_storage_that_can_not_be_asked_is_passed_over() {
    let sandbox = backed_up();
    for fail in ["fail = [{ op = \"list\" }]", "fail = [{ op = \"stat\", for_ever = true }]"] {
        with(&sandbox, fail, "");
        sandbox
            .run(&["restore", "shop"])
            .expect(0)
            .says("storage nas (misbehaving@")
            .says("was told to fail");
        is_restored(&sandbox);
    }
}

#[test]
fn each_snapshot_is_listed_once_with_the_storages_that_have_it() {
    let sandbox = backed_up();
    let both = sandbox.ok(&["list"]);
    assert_eq!(both.matches("shop@").count(), 1, "{both}");
    assert!(both.contains("  nas, offsite  ok\n"), "{both}");
    sandbox.ok(&["backup", "--storage", "offsite"]);
    let ran = sandbox.run(&["list"]).expect(0).prints("  offsite       ok, missing in nas\n");
    assert_eq!(ran.stdout.matches("shop@").count(), 2);
    let rows = events(&sandbox.ok(&["--json", "list"]), "snapshot");
    let storages = json!([
        { "storage": "nas", "state": "missing", "problem": null },
        { "storage": "offsite", "state": "ok", "problem": null }
    ]);
    assert_eq!(
        (&rows[1]["storages"], &rows[1]["storage"], &rows[1]["state"]),
        (&storages, &json!("offsite"), &json!("ok"))
    );
    assert_eq!(rows[0]["storages"][0]["state"], "ok", "the oldest first");
    let alone = events(&sandbox.ok(&["--json", "list", "--storage", "offsite"]), "snapshot");
    assert_eq!(alone.len(), 2);
    assert!(alone.iter().all(|row| row["storages"].as_array().unwrap().len() == 1));
    sandbox.run(&["show", "shop"]).expect(0).prints("storage      missing in nas\nstorage      offsite\n");
    let shown = events(&sandbox.ok(&["--json", "show", "shop"]), "shown").remove(0);
    assert_eq!(shown["storages"], storages);
    // Of a snapshot that no pipeline of the config makes nobody says where it should be.
    let text = fs::read_to_string(sandbox.path("windlass.toml")).unwrap();
    sandbox.config(&text.replace("[pipeline.shop]", "[pipeline.other]"));
    for command in ["list", "show"] {
        let told = sandbox.ok(&[command, "shop"]);
        assert!(told.contains("offsite") && !told.contains("missing"), "{told}");
    }
}

#[test]
fn a_manifest_that_is_damaged_in_one_storage_is_told_and_the_other_is_read() {
    let sandbox = backed_up();
    let path = object(&sandbox, "nas", "manifest.json");
    let good = fs::read(&path).unwrap();
    fs::write(&path, &good[..100]).unwrap();
    let ran = sandbox.run(&["list"]).expect(4).prints("ok, damaged in nas: the manifest of");
    assert_eq!(ran.stdout.matches("\nshop@").count(), 1, "{}", ran.stdout);
    let row = events(&sandbox.run(&["--json", "list"]).stdout, "snapshot").remove(0);
    assert_eq!((&row["state"], &row["storages"][0]["state"]), (&json!("ok"), &json!("damaged")));
    sandbox.run(&["show", "shop"]).expect(4).prints("storage      damaged in nas");
    sandbox.run(&["restore", "shop"]).expect(0).says("warning: ").says("storage nas");
    fs::write(&path, good).unwrap();
    is_restored(&sandbox);
    // Another manifest under the same key is no copy, however well it adds up.
    edit_manifest(&object(&sandbox, "offsite", "manifest.json"), |manifest| {
        manifest["tags"] = json!({ "a": "b" })
    });
    sandbox.run(&["list"]).expect(4).prints("damaged in offsite: the manifest of");
    sandbox.run(&["restore", "shop"]).expect(0).says("differs from that in another storage");
    is_restored(&sandbox);
    with(&sandbox, "damaged_at = [5]", "");
    sandbox.run(&["restore", "shop"]).fails_with_exit(4, "other", &["is damaged between bytes 0 and"]);
}

#[test]
fn verify_proves_every_copy_and_names_its_storage() {
    let sandbox = backed_up();
    with(&sandbox, "", "damaged_at = [20000000]");
    let id = events(&sandbox.ok(&["--json", "list"]), "snapshot")[0]["snapshot"].as_str().unwrap().to_owned();
    for arguments in
        [vec!["verify"], vec!["verify", "shop"], vec!["verify", &id], vec!["verify", "--full", &id]]
    {
        let ran = sandbox.run(&arguments).expect(4).prints(&format!("Verified {id} in nas"));
        ran.prints(&format!("Damaged {id} in offsite: ")).prints("between bytes 16777216 and 33554432");
    }
    with(&sandbox, "", "");
    let good = sandbox.ok(&["verify", &id]);
    assert!(good.contains("in nas (") && good.contains("in offsite ("), "{good}");
    let manifest = object(&sandbox, "offsite", "manifest.json");
    fs::write(&manifest, &fs::read(&manifest).unwrap()[..100]).unwrap();
    sandbox.run(&["verify", &id]).expect(4).prints("Damaged").prints("in offsite: the manifest");
    with(&sandbox, "", "fail = [{ op = \"list\" }]");
    sandbox.run(&["verify", &id]).expect(1).prints("in nas").says("error: storage offsite");
}
