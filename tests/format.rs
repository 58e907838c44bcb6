//! Snapshots of every format that ever was can be listed, proved and restored: they lie in tests/fixtures, as files, and are
//! never changed. A change of the format adds one.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use common::{Sandbox, database, repo};
use rusqlite::Connection;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Of the fixture's manifest, which vouches for all the rest.
const MANIFEST_SHA256: &str = "94285851b86eea71298ebf7a99601ad2c5cf810ca5c112f1a1158e774ad5a02f";
const SNAPSHOT: &str = "web1/shop@20261122T224617Z-n3by";

fn fixture() -> PathBuf {
    repo().join("tests/fixtures/snapshot-format-1").canonicalize().unwrap()
}

fn storage() -> String {
    format!("fs:{}", fixture().display())
}

fn manifest(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn frozen() -> Vec<u8> {
    fs::read(fixture().join("web1/shop/20261122T224617Z-n3by/manifest.json")).unwrap()
}

#[test]
fn the_fixture_is_as_it_was_frozen() {
    let sum: String = Sha256::digest(frozen()).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(sum, MANIFEST_SHA256, "a frozen snapshot is never changed: add another");
}

#[test]
fn a_snapshot_of_format_1_is_listed_shown_and_proved() {
    let sandbox = Sandbox::new();
    let listed = sandbox.ok(&["--json", "list", "--all-hosts", "--storage", &storage()]);
    let row: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(
        (row["state"].as_str(), row["tags"]["made"].as_str()),
        (Some("ok"), Some("by-windlass-0.1.0"))
    );
    let shown = sandbox.ok(&["show", SNAPSHOT, "--storage", &storage()]);
    assert!(shown.contains("sequence     1") && shown.contains("filter windlass/zstd 0.1.0"), "{shown}");
    let storage = storage();
    for depth in [&["--quick"][..], &[], &["--full"]] {
        let verify = [&["verify", "web1/shop", "--storage", &storage], depth].concat();
        assert!(sandbox.ok(&verify).contains("good"), "{depth:?}");
    }
}

#[test]
fn a_snapshot_of_format_1_is_restored() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["restore", SNAPSHOT, "--storage", &storage(), "--to", "sqlite:new.db"]);
    let restored = Connection::open(sandbox.path("new.db")).unwrap();
    let check: String = restored.query_row("pragma integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    let mut statement = restored.prepare("select id || '|' || note || '|' || quote(body) from item").unwrap();
    let rows: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let zeros = "0".repeat(10_000);
    assert_eq!(rows, ["1|a rope|X'00FF'", "2|zwei Körbe|NULL", &format!("3|a hook|X'{zeros}'")]);
    let notes: i64 = restored.query_row("select count(*) from notes", [], |row| row.get(0)).unwrap();
    assert_eq!(notes, 3);
}

/// What a reader of format 1 counts on, and what docs/snapshot-format.md describes.
#[test]
fn what_is_written_today_has_every_field_of_format_1_and_every_field_is_documented() {
    let sandbox = Sandbox::new();
    database(&sandbox.path("shop.db"), "wal", 5).close().unwrap();
    let store = format!("fs:{}", sandbox.path("store").display());
    sandbox.ok(&["backup", "sqlite:shop.db", "--storage", &store, "--filter", "zstd", "--tag", "made=x"]);
    let today = manifest(&fs::read(sandbox.object("shop", "manifest.json")).unwrap());
    let (today, frozen) = (fields(&today, ""), fields(&manifest(&frozen()), ""));
    assert_eq!(frozen.difference(&today).collect::<Vec<_>>(), Vec::<&String>::new(), "fields that are gone");

    let text = fs::read_to_string(repo().join("docs/snapshot-format.md")).unwrap();
    for field in &today {
        let name = field.rsplit('.').next().unwrap();
        let is_free = field.contains("versions.") || field.contains("tags.");
        assert!(is_free || text.contains(&format!("`{name}`")), "`{field}` isn't documented");
    }
}

/// The dotted paths of all keys.
fn fields(value: &Value, path: &str) -> BTreeSet<String> {
    match value {
        Value::Object(object) => object
            .iter()
            .flat_map(|(key, value)| {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let mut below = fields(value, &path);
                below.insert(path);
                below
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(|item| fields(item, path)).collect(),
        _ => BTreeSet::new(),
    }
}
