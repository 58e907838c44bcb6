//! What it is asked to do wrong, it does wrong, and nothing else.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;
use windlass_plugin_api::ffi::root::{Root, storage_header};
use windlass_plugin_api::{Context, CreateOptions, ErrorKind, Result, Storage, Stored};
use windlass_storage_misbehaving::Misbehaving;

fn cx() -> Context {
    Context::default()
}

fn made(root: &Path, wrong: &Value) -> Result<Arc<dyn Storage>> {
    let mut options = wrong.clone();
    options["root"] = json!(root);
    Root::linked(Box::leak(Box::new(storage_header::<Misbehaving>()))).unwrap().storage(&options, &cx())
}

fn put(storage: &dyn Storage, key: &str, bytes: &[u8]) -> Result<Stored> {
    let mut upload = storage.create(&cx(), key, &CreateOptions::default())?;
    upload.write_all(bytes)?;
    upload.finish()?;
    upload.publish()
}

fn get(storage: &dyn Storage, key: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    storage.open(&cx(), key, None)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Puts and gets an object with what is `wrong`.
fn used(wrong: Value) -> (TempDir, Result<Vec<u8>>) {
    let root = tempfile::tempdir().unwrap();
    let result = made(root.path(), &wrong).and_then(|storage| {
        put(&*storage, "a/b", b"bytes")?;
        get(&*storage, "a/b")
    });
    (root, result)
}

fn is_there(root: &TempDir) -> bool {
    root.path().join("a/b").exists()
}

#[test]
fn panics_come_where_they_were_asked_for() {
    for place in ["new", "create", "write", "finish", "publish", "open", "read"] {
        let (root, result) = used(json!({ "panic_in": place }));
        assert_eq!(result.unwrap_err().kind, ErrorKind::Broken, "{place}");
        assert_eq!(is_there(&root), ["open", "read"].contains(&place), "{place}");
        let halves = fs::read_dir(root.path().join(",half")).into_iter().flatten().count();
        assert_eq!(halves, 0, "{place}: a half upload is left");
    }
    assert_eq!(used(json!({ "panic_in": "drop" })).1.unwrap(), b"bytes");
}

#[test]
fn lies_are_told_where_they_were_asked_for() {
    for lie in ["writes", "reads"] {
        let error = used(json!({ "lie": lie })).1.unwrap_err();
        assert!(error.kind == ErrorKind::Broken && error.message.contains("claims"), "{error}");
    }
    assert_eq!(used(json!({ "lie": "bytes" })).1.unwrap(), b"cytes");
    let (root, result) = used(json!({ "lie": "publish" }));
    assert_eq!(result.unwrap_err().kind, ErrorKind::NotFound);
    assert!(!is_there(&root));
    let root = tempfile::tempdir().unwrap();
    let storage = made(root.path(), &json!({ "lie": "sizes" })).unwrap();
    assert_eq!(put(&*storage, "a/b", b"bytes").unwrap().size_bytes, 6);
    assert_eq!(storage.stat(&cx(), "a/b").unwrap().unwrap().size_bytes, 6);
    assert_eq!(storage.list(&cx(), &Default::default()).unwrap().entries[0].size_bytes, 6);
}

#[test]
fn calls_fail_where_they_were_asked_to() {
    let (root, result) = used(json!({ "fail": [{ "op": "write", "kind": "full" }] }));
    assert_eq!(result.unwrap_err().kind, ErrorKind::Full);
    assert!(!is_there(&root));
    let (root, result) =
        used(json!({ "fail": [{ "op": "finish", "nth": 1, "kind": "denied", "for_ever": true }] }));
    assert_eq!(result.unwrap_err().kind, ErrorKind::Denied);
    assert!(!is_there(&root));
    assert_eq!(used(json!({ "fail": [{ "op": "finish", "nth": 2 }] })).1.unwrap(), b"bytes");
    let (root, result) = used(json!({ "publish_then_fail": 1 }));
    assert_eq!(result.unwrap_err().kind, ErrorKind::Unavailable);
    assert!(is_there(&root));
}

#[test]
fn a_denied_delete_leaves_the_object() {
    let root = tempfile::tempdir().unwrap();
    let storage = made(root.path(), &json!({ "deny_delete": true })).unwrap();
    put(&*storage, "a/b", b"bytes").unwrap();
    let fates = storage.delete(&cx(), &["a/b".into()]).unwrap();
    assert_eq!(fates[0].as_ref().unwrap_err().kind, ErrorKind::Denied);
    assert!(is_there(&root));
}

#[test]
fn a_folder_that_vanished_does_not_come_back() {
    let (root, result) = used(json!({ "vanish": 1 }));
    result.unwrap_err();
    assert!(!root.path().exists());
}
