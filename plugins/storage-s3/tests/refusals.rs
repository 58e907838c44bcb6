//! What a service refuses that says little of the reason: keys that expire, clocks that differ, failures of its own.

mod common;

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::proxy::{Fault, Proxy, Seen};
use common::{Room, finished, noise, read, server, storage};
use windlass_plugin_api::{CreateOptions, Error, ErrorKind, ListOptions, Storage};
use windlass_storage_s3::S3;
use windlass_test_servers::Seaweed;
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

/// Whether a request is signed with keys that are no longer good.
fn is_old(seen: &Seen) -> bool {
    seen.head.contains(&Seaweed::CREATOR.id.to_lowercase())
}

/// From now on the vault gives out the administrator's keys.
fn renewed(host: &TestHost) {
    let _ = host.clone().secret("id", Seaweed::ADMIN.id).secret("key", Seaweed::ADMIN.secret);
}

/// An answer to HEAD holds no code: AWS answers an expired token with a bare 400 there.
#[test]
fn keys_that_a_bare_answer_refuses_are_asked_for_again() {
    for status in [400, 403] {
        let room = Room::new();
        put(&room, "a", b"bytes");
        let host = room.host_of(Seaweed::CREATOR);
        let (proxy, storage) = behind(&room, &host, move |seen| match is_old(seen) {
            true => Fault::Bare(status, ""),
            false => Fault::None,
        });
        let error = storage.stat(&host.context(), "a").unwrap_err();
        assert_eq!(proxy.seen().len(), 1, "{status}: the same keys were tried again");
        assert!(error.hint.is_some(), "{status}: {error:?}");
        renewed(&host);
        assert_eq!(storage.stat(&host.context(), "a").unwrap().unwrap().size_bytes, 5, "{status}");
        assert_eq!(proxy.seen().len(), 3, "{status}");
    }
}

#[test]
fn keys_that_expire_in_the_middle_of_a_download_are_asked_for_again_or_told() {
    let (room, bytes) = (Room::new(), noise(LENGTH));
    put(&room, "a", &bytes);
    for are_new_ones in [true, false] {
        let host = room.host_of(Seaweed::ADMIN);
        let mut requests = 0;
        let old = Seaweed::ADMIN.id.to_lowercase();
        let (_proxy, storage) = behind(&room, &host, move |seen| {
            requests += 1;
            match requests > 1 && seen.head.contains(&old) {
                true => Fault::Refuse(400, "ExpiredToken"),
                false => Fault::None,
            }
        });
        let mut reader = storage.open(&host.context(), "a", None).unwrap();
        let mut read = vec![0; 1000];
        reader.read_exact(&mut read).unwrap();
        if are_new_ones {
            let _ = host.clone().secret("id", Seaweed::READER.id).secret("key", Seaweed::READER.secret);
            reader.read_to_end(&mut read).unwrap();
            assert!(read == bytes, "other bytes came");
        } else {
            let error = Error::from(reader.read_to_end(&mut read).unwrap_err());
            assert!(
                error.kind == ErrorKind::Denied && error.hint.as_ref().unwrap().contains("renew"),
                "{error:?}"
            );
        }
    }
}

#[test]
fn a_clock_that_is_wrong_is_told_at_once_with_what_to_do() {
    let (room, bytes) = (Room::new(), noise(LENGTH));
    put(&room, "a", &bytes);
    let host = room.host();
    let skewed = || Fault::Refuse(403, "RequestTimeTooSkewed");
    let told = |what: &str, error: Error| {
        assert_eq!(error.kind, ErrorKind::Denied, "{what}: {error:?}");
        assert!(error.hint.as_ref().is_some_and(|hint| hint.contains("NTP")), "{what}: {error:?}");
    };
    let (proxy, storage) = behind(&room, &host, move |_| skewed());
    told("small", finished(&storage, &host, "b", b"small").unwrap().publish().unwrap_err());
    told("large", finished(&storage, &host, "b", &bytes).err().unwrap());
    told("download", read(&storage, &host, "a").unwrap_err());
    assert_eq!(proxy.seen().len(), 3, "tried again");

    // In the middle, as where the clock is set meanwhile. Parts that are under way already end.
    let skewed_part = move |seen: &Seen| match seen.line.contains("partNumber=2") {
        true => skewed(),
        false => Fault::None,
    };
    let (proxy, storage) = behind(&room, &host, skewed_part);
    let mut upload = storage.create(&host.context(), "b", &CreateOptions::default()).unwrap();
    let error = upload.write_all(&bytes).map_err(Error::from).and_then(|()| upload.finish()).unwrap_err();
    told("part", error);
    drop(upload);
    assert_eq!(proxy.count("partNumber=2"), 1, "tried again");

    let mut requests = 0;
    let skewed_later = move |_: &Seen| {
        requests += 1;
        if requests == 3 { skewed() } else { Fault::None }
    };
    let (_proxy, storage) = behind(&room, &host, skewed_later);
    told("range", read(&storage, &host, "a").unwrap_err());

    // Without a body the time in the answer's head says it.
    let date = "Date: Thu, 01 Jan 2015 00:00:00 GMT\r\n";
    let (proxy, storage) = behind(&room, &host, move |_| Fault::Bare(403, date));
    told("stat", storage.stat(&host.context(), "a").unwrap_err());
    assert_eq!(proxy.seen().len(), 1, "tried again");
}

#[test]
fn a_check_warns_of_a_service_whose_clock_differs() {
    let room = Room::new();
    let host = room.host();
    let (_proxy, storage) = behind(&room, &host, |_| Fault::Clock("Thu, 01 Jan 2015 00:00:00 GMT"));
    let report = storage.check(&host.context()).unwrap();
    assert!(
        report.warnings.iter().any(|warning| warning.contains("clocks differ") && warning.contains("ahead")),
        "{report:?}"
    );
}

/// The host makes these calls again; a download that has begun goes on by itself (downloads.rs).
#[test]
fn a_service_that_fails_is_told_as_one_that_may_be_back() {
    let room = Room::new();
    put(&room, "a", b"bytes");
    let (host, fails) = (room.host(), Arc::new(AtomicBool::new(true)));
    let judge = fails.clone();
    let (proxy, storage) = behind(&room, &host, move |_| match judge.load(Ordering::SeqCst) {
        true => Fault::Refuse(500, "InternalError"),
        false => Fault::None,
    });
    let cx = host.context();
    let (one, two) = (["a".to_owned()], ["a".to_owned(), "b".to_owned()]);
    let all = || {
        [
            ("list", storage.list(&cx, &ListOptions::default()).map(drop)),
            ("stat", storage.stat(&cx, "a").map(drop)),
            ("download", read(&storage, &host, "a").map(drop)),
            ("delete", storage.delete(&cx, &one).unwrap().remove(0)),
            ("delete several", storage.delete(&cx, &two).unwrap().remove(1)),
        ]
    };
    for (what, told) in all() {
        let error = told.expect_err(what);
        assert_eq!(error.kind, ErrorKind::Unavailable, "{what}: {error:?}");
        assert!(!error.details.contains_key("retry"), "{what}: the host won't try again: {error:?}");
    }
    assert_eq!(proxy.seen().len(), 5, "the host tries again, and not this");
    fails.store(false, Ordering::SeqCst);
    for (what, told) in all() {
        told.expect(what);
    }
    assert_eq!(storage.stat(&cx, "a").unwrap(), None, "it isn't deleted");
}
