//! Objects as a source, through the binary: a bucket is backed up and restored with the keys of its own storage, and a folder's
//! objects go where they are sent.

mod common;

use std::collections::BTreeMap;
use std::fs;

use common::{Ran, Sandbox};
use windlass_test_servers::Seaweed;

const BUCKET: &str = "media";

fn pipeline(storages: &str) -> String {
    format!(
        "{storages}\n[source.media]\nplugin = \"objects\"\nstorage = \"bucket\"\nprefix = \"uploads/\"\n\
         [storage.nas]\nplugin = \"fs\"\nroot = \"backups\"\n\
         [pipeline.media]\nsource = \"media\"\nfilters = [\"zstd\"]\nstorage = [\"nas\"]\n"
    )
}

fn folder(name: &str) -> String {
    format!("[storage.{name}]\nplugin = \"fs\"\nroot = \"{name}\"\n")
}

/// A sandbox whose source is a folder with objects.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("bucket/uploads/a/1", "one");
    sandbox.write("bucket/uploads/2", vec![7; 1_000_000]);
    sandbox.write("bucket/beside", "not ours");
    fs::create_dir(sandbox.path("backups")).unwrap();
    sandbox.config(&pipeline(&(folder("bucket") + &folder("elsewhere"))));
    sandbox
}

#[test]
fn a_bucket_is_backed_up_and_made_equal_to_its_snapshot() {
    let (server, sandbox) = (Seaweed::start(), Sandbox::new());
    server.make_bucket(BUCKET);
    fs::create_dir(sandbox.path("backups")).unwrap();
    let bucket = format!(
        "[storage.bucket]\nplugin = \"s3\"\nbucket = \"{BUCKET}\"\npreset = \"seaweedfs\"\nendpoint = \"{}\"\n\
         access_key_id = {{ env = \"ID\" }}\nsecret_access_key = {{ env = \"KEY\" }}\n",
        server.endpoint()
    );
    sandbox.config(&pipeline(&bucket));
    let run = |arguments: &[&str]| {
        let mut command = sandbox.command(arguments);
        command.env("ID", Seaweed::ADMIN.id).env("KEY", Seaweed::ADMIN.secret);
        Ran::of(command.output().unwrap())
    };
    let mut wanted: BTreeMap<String, Vec<u8>> = (0..30)
        .map(|number| (format!("uploads/avatar {number}.png"), format!("picture {number}").into_bytes()))
        .collect();
    // Of several parts.
    wanted.insert("uploads/film".to_owned(), (0..20_000_000_u32).map(|at| (at >> 3) as u8).collect());
    for (key, bytes) in &wanted {
        server.put(BUCKET, key, bytes);
    }
    run(&["check", "media"]).expect(0);
    run(&["backup", "media"]).expect(0);
    let refused = run(&["restore", "media", "--yes"]).expect(12);
    assert!(refused.stderr.contains("`uploads/` of the storage `bucket`"), "{}", refused.stderr);
    server.put(BUCKET, "uploads/avatar 3.png", b"another");
    server.put(BUCKET, "uploads/new", b"new");
    server.put(BUCKET, "beside", b"not ours");
    let told = run(&["restore", "media", "--mode", "replace", "--yes"]).expect(0).stderr;
    assert!(told.contains("Put 31 objects.") && told.contains("Removed 1 objects"), "{told}");
    for (key, bytes) in &wanted {
        assert!(server.object(BUCKET, key).as_ref() == Some(bytes), "`{key}` is another one");
    }
    assert_eq!(server.object(BUCKET, "uploads/new"), None);
    assert_eq!(server.object(BUCKET, "beside").unwrap(), b"not ours");
}

#[test]
fn objects_are_restored_to_another_storage_and_prefix() {
    let sandbox = sandbox();
    sandbox.ok(&["backup", "media"]);
    fs::create_dir(sandbox.path("elsewhere")).unwrap();
    sandbox.ok(&["restore", "media", "--set", "storage=elsewhere", "--set", "prefix=old/", "--yes"]);
    assert_eq!(fs::read(sandbox.path("elsewhere/old/a/1")).unwrap(), b"one");
    assert_eq!(fs::read(sandbox.path("elsewhere/old/2")).unwrap(), vec![7; 1_000_000]);
    assert!(!sandbox.path("elsewhere/beside").exists() && !sandbox.path("elsewhere/old/beside").exists());
}

#[test]
fn a_storage_that_is_not_in_the_config_is_told() {
    let sandbox = sandbox();
    let told = sandbox.run(&["backup", "objects:bukket", "--storage", "nas"]).expect(2).stderr;
    assert!(told.contains("`bukket`") && told.contains("bucket"), "{told}");
    // A URL may hold a secret.
    let told =
        sandbox.run(&["backup", "objects:s3://key:hunter2@bucket", "--storage", "nas"]).expect(2).stderr;
    assert!(told.contains("by its name in the config") && !told.contains("hunter2"), "{told}");
}
