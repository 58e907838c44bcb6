//! A folder read through real web servers: Python's, which knows no ranges, and rclone's, which does and wants a password.

use std::fs;
use std::io::Read;
use std::path::Path;

use serde_json::{Value, json};
use windlass_plugin_api::{
    ByteRange, Context, CreateOptions, ErrorKind, ListOptions, Plugin, Result, Storage,
};
use windlass_storage_http::Published;
use windlass_test_servers::Web;
use windlass_testkit::noise::noise;

windlass_testkit::conformance! { @description Published, vec![json!({ "url": "https://web.example/backups" })] }

fn cx() -> Context {
    Context::default()
}

fn made(options: Value) -> Published {
    Published::new(serde_json::from_value(options).unwrap(), &cx()).unwrap()
}

/// Both servers, over folders with these files.
fn servers(files: &[(&str, &[u8])]) -> [(Web, Published); 2] {
    [Web::python(), Web::rclone()].map(|server| {
        for (key, bytes) in files {
            write(&server.folder(), key, bytes);
        }
        let storage = made(json!({ "url": server.url(), "user": Web::USER, "password": Web::PASSWORD }));
        (server, storage)
    })
}

fn write(folder: &Path, key: &str, bytes: &[u8]) {
    let path = folder.join(key);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn get(storage: &Published, key: &str, range: Option<ByteRange>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    storage.open(&cx(), key, range)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn keys(storage: &Published, mut what: ListOptions) -> Vec<String> {
    let mut keys = Vec::new();
    loop {
        let page = storage.list(&cx(), &what).unwrap();
        keys.extend(page.entries.into_iter().map(|entry| entry.key));
        if !page.more {
            return keys;
        }
        what.after = keys.last().cloned();
    }
}

#[test]
fn what_is_listed_is_what_is_there_in_byte_order() {
    let there = ["a-b", "a/b/data", "a/b/manifest.json", "a/c", "a.zst", "b/x y & z/<ü>", "c"];
    let mut files: Vec<(&str, &[u8])> = there.iter().map(|key| (*key, b"bytes".as_slice())).collect();
    files.push((".windlass-uploads/.windlass-run-1~a", b"half"));
    let mut wanted = there.to_vec();
    wanted.sort_unstable();
    for (_server, storage) in servers(&files) {
        assert_eq!(keys(&storage, ListOptions::default()), wanted);
        for limit in 1..4 {
            assert_eq!(keys(&storage, ListOptions { limit: Some(limit), ..ListOptions::default() }), wanted);
        }
        let below = |prefix: &str, delimiter: Option<&str>| {
            let (prefix, delimiter) = (prefix.to_owned(), delimiter.map(str::to_owned));
            keys(&storage, ListOptions { prefix, delimiter, ..ListOptions::default() })
        };
        assert_eq!(below("", Some("/")), ["a-b", "a.zst", "a/", "b/", "c"]);
        assert_eq!(below("a/", Some("/")), ["a/b/", "a/c"]);
        assert_eq!(below("a/b", None), ["a/b/data", "a/b/manifest.json"]);
        assert_eq!(below("a", Some("/")), ["a-b", "a.zst", "a/"]);
        assert_eq!(below("absent/", None), [""; 0]);
        assert_eq!(below("../", None), [""; 0]);
        for entry in storage.list(&cx(), &ListOptions::default()).unwrap().entries {
            assert_eq!(Some(entry.clone()), storage.stat(&cx(), &entry.key).unwrap());
            assert!(entry.size_bytes == 5 && entry.modified.is_some(), "{entry:?}");
            assert_eq!(get(&storage, &entry.key, None).unwrap(), b"bytes");
        }
    }
}

#[test]
fn an_object_comes_whole_and_in_parts() {
    let bytes = noise(1, 11_000_000);
    for (_server, storage) in servers(&[("large", &bytes), ("empty", b""), ("a/b", b"x")]) {
        assert!(get(&storage, "large", None).unwrap() == bytes, "other bytes came back");
        for (offset, length) in [
            (0, Some(1)),
            (5, Some(2_000_000)),
            (10_999_999, None),
            (4_000_000, None),
            (11_000_000, None),
            (12_000_000, Some(3)),
            (7, Some(0)),
        ] {
            let part = get(&storage, "large", Some(ByteRange { offset, length })).unwrap();
            let from = (offset as usize).min(bytes.len());
            let end = length.map_or(bytes.len(), |length| (from + length as usize).min(bytes.len()));
            assert!(part == bytes[from..end], "{offset} {length:?}: {} bytes", part.len());
        }
        assert_eq!(get(&storage, "empty", None).unwrap(), b"");
        for key in ["absent", "a", "absent/b"] {
            assert_eq!(get(&storage, key, None).unwrap_err().kind, ErrorKind::NotFound, "{key}");
            assert_eq!(storage.stat(&cx(), key).unwrap(), None, "{key}");
        }
    }
}

#[test]
fn a_server_without_ranges_is_asked_once_for_a_large_object() {
    let bytes = noise(2, 21_000_000);
    let [(server, storage), _] = servers(&[("large", &bytes)]);
    let mut readers: Vec<_> = (0..3).map(|_| storage.open(&cx(), "large", None).unwrap()).collect();
    let mut read = vec![Vec::new(); 3];
    for _ in 0..7 {
        for (reader, read) in readers.iter_mut().zip(&mut read) {
            reader.take(3_000_000).read_to_end(read).unwrap();
        }
    }
    assert!(read.iter().all(|read| *read == bytes), "other bytes came back");
    assert_eq!(server.log().matches("GET /large").count(), 3, "{}", server.log());
}

#[test]
fn nothing_is_ever_stored_or_deleted() {
    let [(server, storage), _] = servers(&[("a", b"bytes")]);
    let error = storage.create(&cx(), "b", &CreateOptions::default()).err().unwrap();
    assert!(
        error.kind == ErrorKind::Unsupported && error.to_string().contains("can only be read"),
        "{error}"
    );
    assert!(error.hint.is_some());
    let deleted = storage.delete(&cx(), &["a".to_owned()]).unwrap().remove(0);
    assert_eq!(deleted.unwrap_err().kind, ErrorKind::Unsupported);
    assert_eq!(storage.leftovers(&cx(), "").unwrap(), []);
    let report = storage.check(&cx()).unwrap();
    assert!(report.warnings.iter().any(|warning| warning.contains("https://")), "{report:?}");
    assert!(report.notes.iter().any(|note| note.contains("showed 1 names")), "{report:?}");
    assert!(report.notes.iter().any(|note| note.contains("clock")), "{report:?}");
    assert_eq!(fs::read(server.folder().join("a")).unwrap(), b"bytes");
}

#[test]
fn a_folder_that_is_not_there_and_a_password_that_is_wrong_are_told_with_a_hint() {
    let [(python, _), (rclone, _)] = servers(&[("a", b"bytes")]);
    let absent = made(json!({ "url": format!("{}/absent", python.url()) }));
    let error = absent.list(&cx(), &ListOptions::default()).unwrap_err();
    assert!(error.kind == ErrorKind::Config && error.hint.as_ref().unwrap().contains("`url`"), "{error:?}");
    assert!(absent.check(&cx()).is_err());
    let wrong = made(json!({ "url": rclone.url(), "user": Web::USER, "password": "wrong-Geheim-2d" }));
    for error in [
        wrong.list(&cx(), &ListOptions::default()).unwrap_err(),
        wrong.stat(&cx(), "a").unwrap_err(),
        get(&wrong, "a", None).unwrap_err(),
    ] {
        assert_eq!(error.kind, ErrorKind::Denied, "{error}");
        assert!(error.hint.as_ref().unwrap().contains("password"), "{error:?}");
        assert!(!format!("{error:?}").contains("wrong-Geheim-2d"), "{error:?}");
    }
}

#[test]
fn the_command_by_hand_writes_the_object_out() {
    let [(_server, storage), _] = servers(&[("it's/a b", b"bytes")]);
    let command = storage.by_hand("it's/a b").unwrap();
    assert!(!command.contains(Web::PASSWORD), "{command}");
    let command = command.replace(&format!("--user '{}'", Web::USER), "--user any:any");
    let output = std::process::Command::new("sh").args(["-c", &command]).output().unwrap();
    assert_eq!(output.stdout, b"bytes", "{command}: {}", String::from_utf8_lossy(&output.stderr));
}
