//! Large objects on their way, on a real server: what is seen of them, what is left of them, and what is told.

mod common;

use std::io::{Read, Write};

use common::{Room, files, server};
use windlass_plugin_api::{Context, CreateOptions, ErrorKind, ListOptions, Plugin, Storage, Upload};
use windlass_storage_webdav::Webdav;
use windlass_test_servers::Dav;
use windlass_testkit::TestHost;

const MIB: usize = 1024 * 1024;

fn storage(options: serde_json::Value, host: &TestHost) -> (Webdav, Context) {
    let cx = host.context();
    (Webdav::new(serde_json::from_value(options).unwrap(), &cx).unwrap(), cx)
}

fn begun(storage: &Webdav, cx: &Context, key: &str, content: &[u8]) -> Box<dyn Upload> {
    let how = CreateOptions { if_absent: true, ..CreateOptions::default() };
    let mut upload = storage.create(cx, key, &how).unwrap();
    upload.write_all(content).unwrap();
    upload
}

fn stored(storage: &Webdav, cx: &Context, key: &str, content: &[u8]) {
    let mut upload = begun(storage, cx, key, content);
    upload.finish().unwrap();
    upload.publish().unwrap();
}

fn bytes(of: u8, length: usize) -> Vec<u8> {
    (0..length).map(|at| of.wrapping_add((at % 251) as u8)).collect()
}

fn listed(storage: &Webdav, cx: &Context, delimiter: Option<&str>) -> Vec<String> {
    let what = ListOptions { delimiter: delimiter.map(str::to_owned), ..ListOptions::default() };
    storage.list(cx, &what).unwrap().entries.into_iter().map(|entry| entry.key).collect()
}

#[test]
fn a_large_object_is_whole_and_seen_only_when_it_is_published() {
    let room = Room::new();
    let (storage, cx) = storage(room.options(), &room.host());
    let content = bytes(1, 5 * MIB + 77);
    let mut upload = begun(&storage, &cx, "shop/one/data", &content);
    assert_eq!(storage.stat(&cx, "shop/one/data").unwrap(), None);
    upload.finish().unwrap();
    assert_eq!(listed(&storage, &cx, None), Vec::<String>::new());
    assert_eq!(room.files().len(), 1, "its bytes aren't on the server");
    upload.publish().unwrap();
    assert_eq!(room.files(), ["shop/one/data"]);
    let mut read = Vec::new();
    storage.open(&cx, "shop/one/data", None).unwrap().read_to_end(&mut read).unwrap();
    assert!(read == content);
}

#[test]
fn a_dropped_upload_leaves_neither_file_nor_folder() {
    let room = Room::new();
    let (storage, cx) = storage(room.options(), &room.host());
    for finish in [false, true] {
        let mut upload = begun(&storage, &cx, "shop/one/data", &bytes(1, 3 * MIB));
        if finish {
            upload.finish().unwrap();
        }
        drop(upload);
        assert_eq!(room.files(), Vec::<String>::new());
        assert!(!server().folder().join(&room.prefix).join("shop/one").exists(), "its folder is left");
    }
}

#[test]
fn a_folder_goes_with_its_last_object_and_no_sooner() {
    let room = Room::new();
    let (storage, cx) = storage(room.options(), &room.host());
    for key in ["shop/one/data", "shop/one/manifest", "shop/two/data"] {
        stored(&storage, &cx, key, b"bytes");
    }
    // A folder is no object: it isn't deleted with all that is in it.
    for (key, left) in [
        ("shop/one", vec!["shop/one/data", "shop/one/manifest", "shop/two/data"]),
        ("shop/one/data", vec!["shop/one/manifest", "shop/two/data"]),
        ("shop/one/manifest", vec!["shop/two/data"]),
    ] {
        storage.delete(&cx, &[key.to_owned()]).unwrap().remove(0).unwrap();
        assert_eq!(room.files(), left, "after `{key}`");
    }
    let what = ListOptions { prefix: "shop/".into(), delimiter: Some("/".into()), ..ListOptions::default() };
    let page = storage.list(&cx, &what).unwrap();
    let keys: Vec<&str> = page.entries.iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!(keys, ["shop/two/"]);
}

#[test]
fn what_a_dead_run_has_left_is_told_and_can_be_removed() {
    let room = Room::new();
    let (storage, cx) = storage(room.options(), &room.host());
    let mut upload = begun(&storage, &cx, "shop/one/data", &bytes(1, 3 * MIB));
    upload.finish().unwrap();
    // As after kill -9: no destructor runs.
    std::mem::forget(upload);
    stored(&storage, &cx, "shop/two/data", b"published");
    assert_eq!(listed(&storage, &cx, None), ["shop/two/data"]);
    let left = storage.leftovers(&cx, "shop/one/").unwrap();
    let [leftover] = left.as_slice() else { panic!("{left:?}") };
    assert_eq!((leftover.key.as_str(), leftover.size_bytes), ("shop/one/data", Some(3 * MIB as u64)));
    assert_eq!(storage.leftovers(&cx, "shop/two/").unwrap(), []);
    // A handle that names something else is none.
    let mut forged = leftover.clone();
    forged.handle = format!("{}/shop/two/data", room.prefix);
    assert!(storage.discard(&cx, &[forged]).is_err());
    storage.discard(&cx, &left).unwrap();
    assert_eq!(room.files(), ["shop/two/data"]);
}

#[test]
fn an_upload_whose_server_dies_fails_at_once_and_is_not_seen_when_it_is_back() {
    let (own, room) = (Dav::start(), Room::new());
    let (storage, cx) = storage(room.options_at(&own.endpoint()), &room.host());
    stored(&storage, &cx, "shop/one/first", b"bytes");
    let mut upload = begun(&storage, &cx, "shop/one/data", &bytes(1, 3 * MIB));
    own.stop();
    let broken = upload.write_all(&bytes(2, 8 * MIB)).and_then(|()| Ok(upload.finish()?));
    let error = windlass_plugin_api::Error::from(broken.unwrap_err());
    assert!(error.hint.as_ref().is_some_and(|hint| hint.contains("again")), "{error:?}");
    own.restart();
    drop(upload);
    assert_eq!(listed(&storage, &cx, None), ["shop/one/first"]);
    for leftover in storage.leftovers(&cx, "").unwrap() {
        storage.discard(&cx, &[leftover]).unwrap();
    }
    assert_eq!(files(&own.folder().join(&room.prefix)), ["shop/one/first"]);
}

#[test]
fn a_wrong_password_is_told_at_once_with_what_to_do_and_not_repeated() {
    let room = Room::new();
    let (storage, cx) = storage(room.options(), &TestHost::new().secret("password", "hunter2"));
    let mut small = begun(&storage, &cx, "data", b"little");
    small.finish().unwrap();
    for error in [storage.stat(&cx, "data").unwrap_err(), small.publish().unwrap_err()] {
        assert_eq!(error.kind, ErrorKind::Denied, "{error:?}");
        assert!(error.hint.as_ref().unwrap().contains("password"), "{error:?}");
        let said = format!("{error:?}");
        assert!(!said.contains("hunter2") && !said.contains("attempts"), "{said}");
    }
}

#[test]
fn a_password_that_changed_is_asked_for_again_in_the_middle_of_a_run() {
    let room = Room::new();
    let host = TestHost::new().secret("password", "of yesterday");
    let (storage, cx) = storage(room.options(), &host);
    assert_eq!(storage.leftovers(&cx, "").unwrap_err().kind, ErrorKind::Denied);
    let _changed = host.secret("password", Dav::PASSWORD);
    assert_eq!(storage.leftovers(&cx, "").unwrap(), []);
}

#[test]
fn a_top_folder_that_is_not_there_is_told_and_not_made() {
    let room = Room::new();
    for prefix in [room.prefix.as_str(), ""] {
        let mut options = room.options_at(&format!("{}/nowhere", server().endpoint()));
        options["prefix"] = prefix.into();
        let (storage, cx) = storage(options, &room.host());
        let mut small = begun(&storage, &cx, "data", b"little");
        small.finish().unwrap();
        for error in [
            storage.stat(&cx, "data").unwrap_err(),
            storage.list(&cx, &ListOptions::default()).unwrap_err(),
            storage.open(&cx, "data", None).err().unwrap(),
            small.publish().unwrap_err(),
        ] {
            assert_eq!(error.kind, ErrorKind::Config, "{error:?}");
            assert!(error.hint.as_ref().unwrap().contains("Make the folder"), "{error:?}");
        }
    }
    assert!(!server().folder().join("nowhere").exists());
}
