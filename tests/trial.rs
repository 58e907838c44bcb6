//! `plugins test`: the suite on a storage of one's own, which is afterwards as it was.

mod common;

use std::fs;

use common::{Ran, Sandbox, misbehaving, until};
use rustix::process::{Pid, Signal};
use windlass_test_servers::B2Double;

/// A sandbox with a storage that has something in it.
fn sandbox(options: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    misbehaving::config(&sandbox, "", "", options);
    sandbox.write("store/web1/shop/kept", "kept");
    sandbox
}

fn tested(sandbox: &Sandbox) -> Ran {
    let ran = sandbox.run(&["plugins", "test", "storage", "one"]);
    assert_eq!(sandbox.files("store"), ["web1/shop/kept"], "{}{}", ran.stdout, ran.stderr);
    ran
}

#[test]
fn a_good_storage_passes_and_is_as_it_was() {
    let sandbox = Sandbox::new();
    sandbox.write("nas/web1/shop/kept", "kept");
    sandbox.write("nas/windlass-testing", "somebody else's");
    sandbox.config("[storage.nas]\nplugin = \"fs\"\nroot = \"nas\"\n");
    let ran = sandbox.run(&["plugins", "test", "storage", "nas"]).expect(0);
    assert!(ran.stdout.contains("ok   nas: what is put comes back"), "{}", ran.stdout);
    assert!(ran.stdout.lines().count() > 15 && ran.stdout.lines().all(|line| line.starts_with("ok ")));
    // By its URL too.
    let ran = sandbox.run(&["--json", "plugins", "test", "storage", "fs:nas"]).expect(0);
    let rows: Vec<serde_json::Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(rows.len() > 15 && rows.iter().all(|row| row["ok"] == true), "{}", ran.stdout);
    assert_eq!(sandbox.files("nas"), ["web1/shop/kept", "windlass-testing"]);
    assert_eq!(fs::read_dir(sandbox.path("nas")).unwrap().count(), 2, "a folder was left");
}

#[test]
fn a_storage_that_lies_is_found_out() {
    for lie in ["bytes", "publish"] {
        let ran = tested(&sandbox(&format!("lie = \"{lie}\""))).expect(1);
        assert!(ran.stdout.contains("FAIL one: what is put comes back"), "{lie}: {}", ran.stdout);
        // One that fails doesn't keep the others from being tried.
        assert!(ran.stdout.contains("ok   one: odd keys are kept"), "{lie}: {}", ran.stdout);
    }
}

#[test]
fn a_test_that_is_interrupted_leaves_nothing() {
    let sandbox = sandbox("bytes_per_second = 200000");
    let mut child = sandbox.spawn(&["plugins", "test", "storage", "one"]);
    until("an object of the test", || sandbox.files("store").len() > 1);
    rustix::process::kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(sandbox.files("store"), ["web1/shop/kept"]);
}

#[test]
fn what_the_test_can_not_remove_is_told() {
    let sandbox = sandbox("deny_delete = true");
    let ran = sandbox.run(&["plugins", "test", "storage", "one"]).expect(1);
    assert!(ran.stderr.contains("can't remove what lies below `windlass-test-"), "{}", ran.stderr);
    // Each of them is named, and no further proof has added to them.
    let left = sandbox.files("store").into_iter().filter(|file| file.starts_with("windlass-test-"));
    let left: Vec<String> = left.collect();
    assert!(!left.is_empty() && left.iter().all(|file| ran.stderr.contains(file.as_str())), "{left:?}");
    assert!(ran.stdout.lines().count() <= 2, "{}", ran.stdout);
}

/// A storage `far` over the double, with these options too.
fn backblaze(double: &B2Double, options: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.config(&format!(
        "[storage.far]\nplugin = \"b2\"\nbucket = \"{}\"\nendpoint = \"{}\"\nkey_id = \"{}\"\n\
         application_key = {{ env = \"SECRET\" }}\n{options}\n",
        B2Double::BUCKET,
        double.endpoint(),
        B2Double::KEY_ID
    ));
    sandbox
}

fn tested_far(sandbox: &Sandbox) -> Ran {
    let mut command = sandbox.command(&["plugins", "test", "storage", "far"]);
    Ran::of(command.env("SECRET", B2Double::KEY).output().unwrap())
}

#[test]
fn a_storage_that_locks_is_refused_before_anything_is_asked_of_it() {
    let double = B2Double::start();
    let sandbox = backblaze(&double, "retention = { mode = \"governance\", days = 1 }");
    tested_far(&sandbox).expect(2).says("undeletable (`retention`)").says("hint:");
    assert_eq!(double.asked().len(), 0, "{:?}", double.asked());
    let lock = "{ mode = \"governance\", days = 1 }";
    for (plugin, place, option) in [
        ("s3", "bucket", format!("object_lock = {lock}")),
        ("gcs", "bucket", format!("retention = {}", lock.replace("governance", "unlocked"))),
        ("azblob", "container", format!("immutability = {}", lock.replace("governance", "unlocked"))),
    ] {
        let sandbox = Sandbox::new();
        let endpoint = double.endpoint();
        sandbox.config(&format!(
            "[storage.far]\nplugin = \"{plugin}\"\n{place} = \"a\"\nendpoint = \"{endpoint}\"\n{option}\n"
        ));
        tested_far(&sandbox).expect(2).says("undeletable");
    }
    assert_eq!(double.asked().len(), 0, "{:?}", double.asked());
}

#[test]
fn what_stays_though_it_is_deleted_is_told() {
    let double = B2Double::start();
    let ran = tested_far(&backblaze(&double, "delete = \"hide\"")).expect(3);
    assert!(!ran.stdout.contains("FAIL"), "{}", ran.stdout);
    ran.says("keeps what is deleted").says("below `windlass-test-");
    assert!(double.state().files() > 0);
    // All versions are deleted here: nothing stays, and nothing is told.
    let double = B2Double::start();
    let ran = tested_far(&backblaze(&double, "")).expect(0);
    assert!(!ran.stderr.contains("keeps what is deleted"), "{}", ran.stderr);
    assert_eq!(double.state().files(), 0);
}

#[test]
fn what_can_not_be_tested_is_refused() {
    let sandbox = sandbox("");
    let told = sandbox.run(&["plugins", "test", "storage", "nowhere"]).expect(2).stderr;
    assert!(told.contains("`nowhere`"), "{told}");
    let told = sandbox.run(&["plugins", "test", "storage", "fs:/nowhere/at/all"]).expect(1);
    assert!(
        told.stdout.contains("FAIL") || told.stderr.contains("/nowhere"),
        "{}{}",
        told.stdout,
        told.stderr
    );
}
