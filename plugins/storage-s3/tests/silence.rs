//! A service that accepts and never answers: it is given up after `timeout`, and asked again where that can help.

mod common;

use std::collections::HashSet;

use common::proxy::{Fault, Proxy, Seen};
use common::{Room, finished, noise, read, server, storage};
use windlass_plugin_api::{ErrorKind, ListOptions, Storage};
use windlass_storage_s3::S3;

/// Two parts: a whole one, which is given time by its length, and a small one.
const LENGTH: usize = 8 * 1024 * 1024 + 77;

fn impatient(room: &Room, rule: impl FnMut(&Seen) -> Fault + Send + 'static) -> (Proxy, S3) {
    let proxy = Proxy::before(server().port(), rule);
    let mut options = room.options_at(&proxy.endpoint());
    options["timeout"] = 1.into();
    let storage = storage(options, &room.host());
    (proxy, storage)
}

#[test]
fn an_upload_outlasts_a_silence_at_each_request() {
    let (room, mut seen) = (Room::new(), HashSet::new());
    let (proxy, storage) = impatient(&room, move |asked| {
        let step = asked.line.split("uploadId").next().unwrap_or_default().to_owned();
        match !asked.line.contains("partNumber=1") && seen.insert(step) {
            true => Fault::Hang,
            false => Fault::None,
        }
    });
    let host = room.host();
    for (key, bytes) in [("large", noise(LENGTH)), ("small", noise(1000))] {
        finished(&storage, &host, key, &bytes).unwrap().publish().unwrap();
        let direct = common::storage(room.options(), &host);
        assert!(read(&direct, &host, key).unwrap() == bytes, "{key}: other bytes");
        assert_eq!(direct.leftovers(&host.context(), "").unwrap(), [], "{key}: a half upload stays");
    }
    assert_eq!((proxy.count("partNumber=2"), proxy.count("/small ")), (2, 2));
}

#[test]
fn a_download_that_stands_still_goes_on_where_it_stood() {
    let room = Room::new();
    let (host, bytes) = (room.host(), noise(LENGTH));
    finished(&storage(room.options(), &host), &host, "a", &bytes).unwrap().publish().unwrap();
    let mut requests = 0;
    let (proxy, storage) = impatient(&room, move |_| {
        requests += 1;
        match requests {
            1 => Fault::HangAnswer(300_000),
            3 => Fault::Hang,
            _ => Fault::None,
        }
    });
    assert!(read(&storage, &host, "a").unwrap() == bytes, "other bytes came");
    let seen = proxy.seen();
    assert!(seen[1].head.contains("range: bytes=300000-1048575"), "{:?}", seen[1]);
}

#[test]
fn what_the_host_asks_again_is_told_in_time() {
    let room = Room::new();
    let (proxy, storage) = impatient(&room, |_| Fault::Hang);
    let (host, cx) = (room.host(), room.host().context());
    for (what, error) in [
        ("stat", storage.stat(&cx, "a").unwrap_err()),
        ("list", storage.list(&cx, &ListOptions::default()).unwrap_err()),
        ("delete", storage.delete(&cx, &["a".to_owned()]).unwrap().remove(0).unwrap_err()),
        ("delete", storage.delete(&cx, &["a", "b"].map(str::to_owned)).unwrap().remove(1).unwrap_err()),
        ("open", read(&storage, &host, "a").unwrap_err()),
    ] {
        assert_eq!(error.kind, ErrorKind::TimedOut, "{what}: {error}");
        assert!(!error.details.contains_key("retry"), "{what}: the host won't try again: {error:?}");
        assert!(
            format!("{error:?}").contains("no answer from `127.0.0.1` in 1 seconds"),
            "{what}: {error:?}"
        );
    }
    assert_eq!(proxy.seen().len(), 5, "one attempt each");
}
