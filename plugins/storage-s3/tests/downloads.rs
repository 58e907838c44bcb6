//! Downloads and looks through a line and a server that fail, and what is told of a setup that can't work.

mod common;

use std::io::Read;

use common::proxy::{Fault, Proxy, Seen};
use common::{BUCKET, Room, finished, noise, read, server, storage};
use windlass_plugin_api::{ErrorKind, ListOptions, Storage};
use windlass_storage_s3::S3;
use windlass_test_servers::Keys;
use windlass_testkit::TestHost;

const LENGTH: usize = 30 * 1024 * 1024 + 5;

fn behind(room: &Room, host: &TestHost, rule: impl FnMut(&Seen) -> Fault + Send + 'static) -> (Proxy, S3) {
    let proxy = Proxy::before(server().port(), rule);
    let storage = storage(room.options_at(&proxy.endpoint()), host);
    (proxy, storage)
}

fn put(room: &Room, key: &str, bytes: &[u8]) {
    let host = room.host();
    finished(&storage(room.options(), &host), &host, key, bytes).unwrap().publish().unwrap();
}

#[test]
fn a_download_goes_on_where_it_broke() {
    let (room, bytes) = (Room::new(), noise(LENGTH));
    put(&room, "a", &bytes);
    let host = room.host();
    let mut requests = 0;
    let break_often = move |_: &Seen| {
        requests += 1;
        match requests {
            1 => Fault::CutAnswer(300_000),
            3 => Fault::Refuse(503, "SlowDown"),
            5 => Fault::Cut,
            6 => Fault::Refuse(500, "InternalError"),
            count if count % 4 == 0 => Fault::CutAnswer(3_000_000),
            _ => Fault::None,
        }
    };
    let (proxy, storage) = behind(&room, &host, break_often);
    assert!(read(&storage, &host, "a").unwrap() == bytes, "other bytes came");
    let seen = proxy.seen();
    // What had come wasn't asked for again, and all of one version.
    assert!(seen[1].head.contains("range: bytes=300000-1048575"), "{:?}", seen[1]);
    assert!(seen[1..].iter().all(|seen| seen.head.contains("if-match:")), "{seen:?}");
}

#[test]
fn a_reader_that_stops_early_has_fetched_little() {
    let (room, host) = (Room::new(), Room::new().host());
    put(&room, "a", &noise(LENGTH));
    let (proxy, storage) = behind(&room, &host, |_| Fault::None);
    let mut reader = storage.open(&host.context(), "a", None).unwrap();
    reader.read_exact(&mut [0; 1000]).unwrap();
    drop(reader);
    assert_eq!(proxy.seen().len(), 1);
}

#[test]
fn an_object_that_is_replaced_meanwhile_is_told_and_not_mixed() {
    let (room, host) = (Room::new(), Room::new().host());
    put(&room, "a", &noise(LENGTH));
    let storage = storage(room.options(), &host);
    let mut reader = storage.open(&host.context(), "a", None).unwrap();
    reader.read_exact(&mut [0; 1000]).unwrap();
    let cx = host.context();
    storage.delete(&cx, &["a".to_owned()]).unwrap().remove(0).unwrap();
    put(&room, "a", &noise(LENGTH + 8)[8..]);
    let error = std::io::copy(&mut reader, &mut std::io::sink()).unwrap_err();
    assert!(error.to_string().contains("replaced while it was read"), "{error}");
}

#[test]
fn wrong_keys_are_told_at_once_with_what_to_do_and_without_the_secret() {
    let (room, wrong) = (Room::new(), Keys { id: "AKIAWINDLASSADMIN", secret: "hunter2-is-not-it" });
    let host = room.host_of(wrong);
    let (proxy, storage) = behind(&room, &host, |_| Fault::None);
    let cx = host.context();
    let errors = [
        storage.list(&cx, &ListOptions::default()).unwrap_err(),
        finished(&storage, &host, "a", b"small").unwrap().publish().unwrap_err(),
        finished(&storage, &host, "a", &noise(LENGTH)).err().unwrap(),
        storage.delete(&cx, &["a".to_owned()]).unwrap().remove(0).unwrap_err(),
        storage.check(&cx).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind, ErrorKind::Denied, "{error:?}");
        assert!(error.hint.as_ref().unwrap().contains("secret_access_key"), "{error:?}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    assert_eq!(storage.stat(&cx, "a").unwrap_err().kind, ErrorKind::Denied);
    assert!(proxy.seen().len() <= 8, "it was tried again: {}", proxy.seen().len());
}

#[test]
fn a_missing_bucket_is_no_missing_object() {
    let (room, host) = (Room::new(), Room::new().host());
    let mut options = room.options();
    options["bucket"] = "nowhere".into();
    let storage = storage(options, &host);
    let cx = host.context();
    for error in [
        storage.stat(&cx, "a").unwrap_err(),
        storage.list(&cx, &ListOptions::default()).unwrap_err(),
        read(&storage, &host, "a").unwrap_err(),
    ] {
        assert_eq!(error.kind, ErrorKind::Config, "{error}");
        assert!(error.hint.unwrap().contains("Create the bucket"));
    }
}

#[test]
fn the_bucket_is_looked_for_once_however_many_objects_are_missing() {
    let room = Room::new();
    let host = room.host();
    let (proxy, storage) = behind(&room, &host, |_| Fault::None);
    for key in ["a", "b", "c"] {
        assert_eq!(storage.stat(&host.context(), key).unwrap(), None);
    }
    assert_eq!(proxy.seen().len(), 4);
}

#[test]
fn a_service_out_of_reach_is_unavailable_and_the_host_may_try_again() {
    let (room, host) = (Room::new(), Room::new().host());
    let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let storage = storage(room.options_at(&format!("http://127.0.0.1:{port}")), &host);
    let error = storage.list(&host.context(), &ListOptions::default()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    assert!(!error.details.contains_key("retry"));
}

#[test]
fn the_region_that_the_service_names_is_used_from_then_on() {
    let (room, host) = (Room::new(), Room::new().host());
    put(&room, "a", b"bytes");
    let elsewhere = |seen: &Seen| match seen.head.contains("/eu-proxy-1/s3/") {
        true => Fault::None,
        false => Fault::Refuse(400, "AuthorizationHeaderMalformed"),
    };
    let (proxy, storage) = behind(&room, &host, elsewhere);
    assert_eq!(read(&storage, &host, "a").unwrap(), b"bytes");
    assert_eq!(read(&storage, &host, "a").unwrap(), b"bytes");
    assert_eq!(proxy.seen().len(), 3, "the region was forgotten");
}

#[test]
fn signs_and_other_scripts_in_keys_come_back() {
    let (room, host) = (Room::new(), Room::new().host());
    let storage = storage(room.options(), &host);
    let keys = ["100%/%2e%2e/%", "a b/c  d", "a+b&c=d?e#f", "quote'\"`$(x)", "~/:*|<>", "ü/日本語/🙂"];
    for key in keys {
        put(&room, key, key.as_bytes());
    }
    let cx = host.context();
    let page = storage.list(&cx, &ListOptions::default()).unwrap();
    assert_eq!(page.entries.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), keys);
    for key in keys {
        assert_eq!(read(&storage, &host, key).unwrap(), key.as_bytes());
    }
    let fates = storage.delete(&cx, &keys.map(str::to_owned)).unwrap();
    assert!(fates.iter().all(Result::is_ok), "{fates:?}");
    assert_eq!(storage.list(&cx, &ListOptions::default()).unwrap().entries, []);
}

#[test]
fn what_lies_beside_the_prefix_is_neither_seen_nor_touched() {
    let (room, host) = (Room::new(), Room::new().host());
    put(&room, "a", b"ours");
    let whole = format!("{}-other", room.prefix);
    let mut options = room.options();
    options["prefix"] = whole.into();
    let other = storage(options, &host);
    finished(&other, &host, "b", b"theirs").unwrap().publish().unwrap();
    let storage = storage(room.options(), &host);
    let page = storage.list(&host.context(), &ListOptions::default()).unwrap();
    assert_eq!(page.entries.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), ["a"]);
    assert_eq!(server().object(BUCKET, &format!("{}/a", room.prefix)).unwrap(), b"ours");
}

#[test]
fn a_check_tells_how_fast_it_is_and_what_the_key_may_not() {
    let room = Room::new();
    let told = |keys| {
        let host = room.host_of(keys);
        let report = storage(room.options(), &host).check(&host.context());
        report.map(|report| (report.warnings, report.notes.join("; ")))
    };
    let (warnings, notes) = told(windlass_test_servers::Seaweed::ADMIN).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    for what in ["latency", "1 MiB up in", "down in", "clock"] {
        assert!(notes.contains(what), "`{what}` isn't in: {notes}");
    }
    let (_, notes) = told(windlass_test_servers::Seaweed::CREATOR).unwrap();
    for what in ["can't delete", "can't list"] {
        assert!(notes.contains(what), "`{what}` isn't in: {notes}");
    }
    let error = told(windlass_test_servers::Seaweed::READER).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{error}");
}
