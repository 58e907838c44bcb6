//! What becomes of blocks: two uploads of one key, uploads that are dropped or left behind, tokens with few rights.

mod common;

use std::io::{Read, Write};

use common::Room;
use serde_json::Value;
use windlass_plugin_api::{Context, CreateOptions, ErrorKind, ListOptions, Plugin, Storage, Upload};
use windlass_storage_azblob::Azblob;
use windlass_testkit::TestHost;

const MIB: usize = 1024 * 1024;

fn storage(options: Value, host: &TestHost) -> (Azblob, Context) {
    let cx = host.context();
    (Azblob::new(serde_json::from_value(options).unwrap(), &cx).unwrap(), cx)
}

fn full(room: &Room, rights: &str) -> (Azblob, Context) {
    storage(room.options_by_token(), &room.host_with(rights))
}

/// Bytes of several blocks.
fn bytes(of: u8) -> Vec<u8> {
    (0..3 * MIB + 77).map(|at| of.wrapping_add((at % 251) as u8)).collect()
}

fn begun(storage: &Azblob, cx: &Context, key: &str, if_absent: bool, content: &[u8]) -> Box<dyn Upload> {
    let how = CreateOptions { if_absent, ..CreateOptions::default() };
    let mut upload = storage.create(cx, key, &how).unwrap();
    upload.write_all(content).unwrap();
    upload
}

fn read(storage: &Azblob, cx: &Context, key: &str) -> Vec<u8> {
    let mut read = Vec::new();
    storage.open(cx, key, None).unwrap().read_to_end(&mut read).unwrap();
    read
}

fn listed(storage: &Azblob, cx: &Context) -> Vec<String> {
    let page = storage.list(cx, &ListOptions::default()).unwrap();
    page.entries.into_iter().map(|entry| entry.key).collect()
}

#[test]
fn blocks_of_a_dropped_upload_are_gone_and_were_never_seen() {
    let room = Room::new();
    let (storage, cx) = full(&room, "rwdlac");
    for finish in [false, true] {
        let mut upload = begun(&storage, &cx, "shop/data", true, &bytes(1));
        if finish {
            upload.finish().unwrap();
        }
        assert_eq!(listed(&storage, &cx), Vec::<String>::new());
        assert_eq!(storage.stat(&cx, "shop/data").unwrap(), None);
        drop(upload);
        assert_eq!(storage.leftovers(&cx, "").unwrap(), []);
        assert_eq!(storage.stat(&cx, "shop/data").unwrap(), None);
    }
    // And the name is free.
    let mut upload = begun(&storage, &cx, "shop/data", true, &bytes(2));
    upload.finish().unwrap();
    upload.publish().unwrap();
    assert!(read(&storage, &cx, "shop/data") == bytes(2));
}

#[test]
fn a_dropped_upload_leaves_the_blob_alone_that_it_was_to_replace() {
    let room = Room::new();
    let (storage, cx) = full(&room, "rwdlac");
    let mut upload = begun(&storage, &cx, "data", false, &bytes(1));
    upload.finish().unwrap();
    upload.publish().unwrap();
    let mut second = begun(&storage, &cx, "data", false, &bytes(2));
    second.finish().unwrap();
    drop(second);
    assert!(read(&storage, &cx, "data") == bytes(1), "the abort touched what was there");
    assert_eq!(storage.leftovers(&cx, "").unwrap(), []);
}

#[test]
fn two_uploads_of_one_key_do_not_mix_and_only_one_is_published_if_absent() {
    let room = Room::new();
    let (storage, cx) = full(&room, "rwdlac");
    let mut one = begun(&storage, &cx, "data", true, &bytes(1));
    let mut other = begun(&storage, &cx, "data", true, &bytes(2));
    one.finish().unwrap();
    other.finish().unwrap();
    one.publish().unwrap();
    let error = other.publish().unwrap_err();
    assert_eq!(error.kind, ErrorKind::AlreadyExists, "{error}");
    assert!(read(&storage, &cx, "data") == bytes(1));
}

#[test]
fn what_a_dead_run_has_staged_is_told_and_can_be_removed() {
    let room = Room::new();
    let (storage, cx) = full(&room, "rwdlac");
    let mut upload = begun(&storage, &cx, "shop/one/data", true, &bytes(1));
    upload.finish().unwrap();
    // As after kill -9: no destructor runs.
    std::mem::forget(upload);
    let mut published = begun(&storage, &cx, "shop/two/data", true, &bytes(2));
    published.finish().unwrap();
    published.publish().unwrap();
    let left = storage.leftovers(&cx, "shop/").unwrap();
    assert_eq!(left.iter().map(|left| left.key.as_str()).collect::<Vec<_>>(), ["shop/one/data"]);
    assert_eq!(storage.leftovers(&cx, "other/").unwrap(), []);
    storage.discard(&cx, &left).unwrap();
    assert_eq!(storage.leftovers(&cx, "").unwrap(), []);
    assert_eq!(listed(&storage, &cx), ["shop/two/data"]);
}

#[test]
fn a_token_that_can_only_create_is_enough_and_can_do_nothing_else() {
    let room = Room::new();
    let (storage, cx) = full(&room, "cw");
    for (key, content) in [("large", bytes(1)), ("small", b"little".to_vec())] {
        let mut upload = begun(&storage, &cx, key, true, &content);
        upload.finish().unwrap();
        upload.publish().unwrap();
    }
    // What it can't remove, it leaves without an error: the service forgets it.
    drop(begun(&storage, &cx, "dropped", true, &bytes(2)));
    assert_eq!(storage.list(&cx, &ListOptions::default()).unwrap_err().kind, ErrorKind::Denied);
    assert_eq!(storage.stat(&cx, "large").unwrap_err().kind, ErrorKind::Denied);
    let (reader, cx) = full(&room, "rl");
    assert!(read(&reader, &cx, "large") == bytes(1));
    assert_eq!(listed(&reader, &cx), ["large", "small"]);
}

#[test]
fn a_wrong_key_is_told_at_once_with_what_to_do_and_not_repeated() {
    let room = Room::new();
    let host = TestHost::new().secret("key", "aHVudGVyMi1pcy1ub3QtaXQtYXQtYWxsLXJlYWxseQ==");
    let (storage, cx) = storage(room.options(), &host);
    let error = storage.stat(&cx, "data").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{error:?}");
    assert!(error.hint.as_ref().unwrap().contains("account_key"), "{error:?}");
    let said = format!("{error:?}");
    assert!(!said.contains("aHVudGVyMi") && !said.contains("attempts"), "{said}");
    // And one that is none.
    let host = TestHost::new().secret("key", "hunter2 isn't base64");
    let (storage, cx) = self::storage(room.options(), &host);
    let error = storage.stat(&cx, "data").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Config, "{error:?}");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}

#[test]
fn a_missing_container_is_told_by_every_call() {
    let room = Room::new();
    let mut options = room.options();
    options["container"] = "nowhere".into();
    let (storage, cx) = storage(options, &room.host());
    for error in [
        storage.stat(&cx, "data").unwrap_err(),
        storage.list(&cx, &ListOptions::default()).unwrap_err(),
        begun(&storage, &cx, "data", true, b"x").publish_finished().unwrap_err(),
    ] {
        assert_eq!(error.kind, ErrorKind::Config, "{error:?}");
        assert!(error.hint.unwrap().contains("Create the container"));
    }
}

trait PublishFinished {
    fn publish_finished(self) -> windlass_plugin_api::Result<windlass_plugin_api::Stored>;
}

impl PublishFinished for Box<dyn Upload> {
    fn publish_finished(mut self) -> windlass_plugin_api::Result<windlass_plugin_api::Stored> {
        self.finish()?;
        self.publish()
    }
}
