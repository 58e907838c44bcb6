//! Uploads in sessions, on the emulator: what is seen of them when, and that their bytes arrive.

mod common;

use std::io::{Read, Write};

use common::{BUCKET, Room, server};
use windlass_plugin_api::{Context, CreateOptions, ErrorKind, ListOptions, Plugin, Storage, Upload};
use windlass_storage_gcs::Gcs;
use windlass_testkit::TestHost;

const MIB: usize = 1024 * 1024;

fn storage(options: serde_json::Value, host: &TestHost) -> (Gcs, Context) {
    let cx = host.context();
    (Gcs::new(serde_json::from_value(options).unwrap(), &cx).unwrap(), cx)
}

fn begun(storage: &Gcs, cx: &Context, key: &str, content: &[u8]) -> Box<dyn Upload> {
    let how = CreateOptions { if_absent: true, ..CreateOptions::default() };
    let mut upload = storage.create(cx, key, &how).unwrap();
    upload.write_all(content).unwrap();
    upload
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 % 251) as u8).collect()
}

/// Lengths beside those at which a part, or the step in which sessions take bytes, ends.
#[test]
fn an_object_of_several_parts_is_whole_and_seen_only_when_it_is_published() {
    let room = Room::new();
    let (storage, cx) = storage(room.options(), &room.host());
    for length in [MIB + 1, 2 * MIB, 2 * MIB + 256 * 1024, 3 * MIB + 77] {
        let key = format!("data-{length}");
        let mut upload = begun(&storage, &cx, &key, &bytes(length));
        upload.finish().unwrap();
        assert_eq!(storage.stat(&cx, &key).unwrap(), None, "seen before it is published");
        upload.publish().unwrap();
        let mut read = Vec::new();
        storage.open(&cx, &key, None).unwrap().read_to_end(&mut read).unwrap();
        assert!(read == bytes(length), "{length}");
        let stored =
            server().object(BUCKET, &format!("{}/{key}", room.prefix)).expect("not where it belongs");
        assert!(stored == bytes(length), "{length} by another door");
    }
}

#[test]
fn a_dropped_session_leaves_nothing() {
    let room = Room::new();
    let (storage, cx) = storage(room.options(), &room.host());
    for finish in [false, true] {
        let mut upload = begun(&storage, &cx, "shop/data", &bytes(3 * MIB));
        if finish {
            upload.finish().unwrap();
        }
        drop(upload);
        assert_eq!(storage.stat(&cx, "shop/data").unwrap(), None);
        assert_eq!(storage.list(&cx, &ListOptions::default()).unwrap().entries, []);
    }
}

#[test]
fn a_missing_bucket_is_told_by_every_call() {
    let room = Room::new();
    let mut options = room.options();
    options["bucket"] = "nowhere".into();
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
        assert!(error.hint.as_ref().unwrap().contains("Create the bucket"), "{error:?}");
    }
}

#[test]
fn a_broken_key_of_a_service_account_is_told_at_once_and_not_repeated() {
    let room = Room::new();
    for key in [
        "hunter2",
        r#"{"type":"service_account","client_email":"a@b.example","private_key":"-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n"}"#,
    ] {
        let mut options = room.options();
        options["anonymous"] = false.into();
        options["service_account_key"] = serde_json::json!({ "$secret": "key" });
        let (storage, cx) = storage(options, &TestHost::new().secret("key", key));
        let error = storage.stat(&cx, "data").unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied, "{error:?}");
        assert!(error.hint.as_ref().unwrap().contains("JSON document"), "{error:?}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}
