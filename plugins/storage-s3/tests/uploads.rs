//! Uploads through a line and a server that fail: nothing is lost, nothing is shown twice, nothing stays.

mod common;

use std::collections::HashSet;
use std::io::Write;

use common::proxy::{Fault, Proxy, Seen};
use common::{Room, finished, noise, read, server, storage};
use windlass_plugin_api::{CreateOptions, ErrorKind, Storage};
use windlass_storage_s3::S3;
use windlass_test_servers::Seaweed;
use windlass_testkit::TestHost;

/// Three parts, of which the last is short.
const LENGTH: usize = 20 * 1024 * 1024 + 77;

struct Bench {
    room: Room,
    host: TestHost,
    proxy: Proxy,
    storage: S3,
}

/// A storage behind a proxy with this rule.
fn bench(rule: impl FnMut(&Seen) -> Fault + Send + 'static) -> Bench {
    let (room, proxy) = (Room::new(), Proxy::before(server().port(), rule));
    let host = room.host();
    let storage = storage(room.options_at(&proxy.endpoint()), &host);
    Bench { room, host, proxy, storage }
}

impl Bench {
    /// The storage without the proxy.
    fn direct(&self) -> S3 {
        storage(self.room.options(), &self.host)
    }

    fn is_clean(&self) {
        assert_eq!(self.direct().leftovers(&self.host.context(), "").unwrap(), [], "a half upload stays");
    }
}

/// The first request of each kind that `name` gives a name fails with `fault`.
fn first_of_each(
    fault: Fault,
    name: impl Fn(&Seen) -> Option<String> + Send + 'static,
) -> impl FnMut(&Seen) -> Fault + Send {
    let mut failed = HashSet::new();
    move |seen| match name(seen) {
        Some(name) if failed.insert(name.clone()) => fault.clone(),
        _ => Fault::None,
    }
}

/// What a request of an upload does, without the parts of it that differ.
fn step(seen: &Seen) -> Option<String> {
    let (method, rest) = seen.line.split_once(' ')?;
    let query =
        rest.split_once('?').map_or("", |(_, query)| query.split(['&', ' ']).next().unwrap_or_default());
    let name = query.split('=').next().unwrap_or_default();
    let detail = if name == "partNumber" { query } else { name };
    (method != "GET" && method != "HEAD").then(|| format!("{method} {detail}"))
}

#[test]
fn an_upload_outlasts_one_failure_of_each_request() {
    let bytes = noise(LENGTH);
    for fault in [
        Fault::Refuse(503, "SlowDown"),
        Fault::Refuse(500, "InternalError"),
        Fault::Refuse(400, "RequestTimeout"),
        Fault::Cut,
        Fault::LoseAnswer,
        Fault::CutAnswer(0),
    ] {
        let bench = bench(first_of_each(fault.clone(), step));
        let upload = finished(&bench.storage, &bench.host, "shop/data", &bytes)
            .unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert_eq!(
            bench.direct().stat(&bench.host.context(), "shop/data").unwrap(),
            None,
            "visible too early"
        );
        let stored = upload.publish().unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert_eq!(stored.size_bytes, LENGTH as u64);
        assert!(read(&bench.direct(), &bench.host, "shop/data").unwrap() == bytes, "{fault:?}: other bytes");
        assert_eq!(
            bench.proxy.count("?uploads="),
            3,
            "{fault:?}: two attempts to begin, and a look for the first one's"
        );
        // The answer to a part is its head: whether a body comes behind it is all the same.
        let parts = if fault == Fault::CutAnswer(0) { 3 } else { 6 };
        assert_eq!(bench.proxy.count("partNumber="), parts, "{fault:?}");
        bench.is_clean();
    }
}

#[test]
fn bytes_that_change_on_the_way_are_refused_and_sent_again() {
    let bytes = noise(LENGTH);
    let bodies = |seen: &Seen| step(seen).filter(|step| step.starts_with("PUT"));
    let bench = bench(first_of_each(Fault::Garble, bodies));
    finished(&bench.storage, &bench.host, "a", &bytes).unwrap().publish().unwrap();
    assert_eq!(bench.proxy.count("partNumber="), 6, "each of three parts twice");
    assert!(read(&bench.direct(), &bench.host, "a").unwrap() == bytes);
    // An object of one request is proved in the same way.
    finished(&bench.storage, &bench.host, "small", b"little").unwrap().publish().unwrap();
    assert_eq!(bench.proxy.count("/small "), 2, "what was changed was taken");
    assert_eq!(read(&bench.direct(), &bench.host, "small").unwrap(), b"little");
}

#[test]
fn an_object_whose_answer_was_lost_is_ours_and_another_ones_is_not() {
    // Stored in one request, only if it is absent: the second attempt meets the first one's object.
    let bench = bench(first_of_each(Fault::LoseAnswer, step));
    finished(&bench.storage, &bench.host, "small", b"ours").unwrap().publish().unwrap();
    assert_eq!(read(&bench.direct(), &bench.host, "small").unwrap(), b"ours");
    for bytes in [&b"theirs"[..], &noise(LENGTH)] {
        let late = bench_with_a_rival(bytes);
        let error = late.0.publish().unwrap_err();
        assert_eq!(error.kind, ErrorKind::AlreadyExists, "{error}");
        assert_eq!(read(&late.1.direct(), &late.1.host, "key").unwrap(), b"a rival's");
        late.1.is_clean();
    }
}

/// An upload of `bytes` whose key somebody else takes before it is published, behind a line that loses the first answers.
fn bench_with_a_rival(bytes: &[u8]) -> (Box<dyn windlass_plugin_api::Upload>, Bench) {
    let bench = bench(first_of_each(Fault::Cut, step));
    let upload = finished(&bench.storage, &bench.host, "key", bytes).unwrap();
    finished(&bench.direct(), &bench.host, "key", b"a rival's").unwrap().publish().unwrap();
    (upload, bench)
}

#[test]
fn what_is_dropped_in_the_middle_of_parts_leaves_nothing() {
    let bench = bench(|_| Fault::None);
    for finish in [false, true] {
        let mut upload = bench.storage.create(&bench.host.context(), "a", &CreateOptions::default()).unwrap();
        upload.write_all(&noise(LENGTH)).unwrap();
        if finish {
            upload.finish().unwrap();
        }
        drop(upload);
        bench.is_clean();
        assert_eq!(bench.direct().stat(&bench.host.context(), "a").unwrap(), None);
    }
    assert_eq!(bench.proxy.count("?uploads="), 2, "no upload was begun: what is tested here?");
}

#[test]
fn a_part_that_can_never_be_stored_fails_the_upload_and_leaves_nothing() {
    let refuse = |seen: &Seen| match seen.line.contains("partNumber=2") {
        true => Fault::Refuse(403, "AccessDenied"),
        false => Fault::None,
    };
    let bench = bench(refuse);
    let error = finished(&bench.storage, &bench.host, "a", &noise(LENGTH)).err().unwrap();
    assert_eq!((error.kind, bench.proxy.count("partNumber=2")), (ErrorKind::Denied, 1), "{error}");
    assert!(error.hint.is_some());
    bench.is_clean();
}

#[test]
fn what_a_dead_maker_left_is_told_and_can_be_removed() {
    let bench = bench(|_| Fault::None);
    let cx = bench.host.context();
    for key in ["shop/one", "shop/two", "other/three"] {
        // As after kill -9: no destructor runs.
        std::mem::forget(finished(&bench.storage, &bench.host, key, &noise(LENGTH)).unwrap());
    }
    let storage = bench.direct();
    let left = storage.leftovers(&cx, "shop/").unwrap();
    assert_eq!(left.iter().map(|left| left.key.as_str()).collect::<Vec<_>>(), ["shop/one", "shop/two"]);
    assert!(left.iter().all(|left| left.started.is_some() && !left.handle.is_empty()));
    storage.discard(&cx, &left[..1]).unwrap();
    // Again: what isn't there is removed.
    storage.discard(&cx, &left[..1]).unwrap();
    let rest = storage.leftovers(&cx, "").unwrap();
    assert_eq!(rest.iter().map(|left| left.key.as_str()).collect::<Vec<_>>(), ["other/three", "shop/two"]);
    storage.discard(&cx, &rest).unwrap();
    bench.is_clean();
}

#[test]
fn keys_that_expire_in_the_middle_are_asked_for_again() {
    let old = Seaweed::ADMIN.id.to_lowercase();
    let mut parts = 0;
    let expire = move |seen: &Seen| {
        parts += u32::from(seen.line.contains("partNumber"));
        match parts > 1 && seen.head.contains(&old) {
            true => Fault::Refuse(400, "ExpiredToken"),
            false => Fault::None,
        }
    };
    let bench = bench(expire);
    let mut upload = bench.storage.create(&bench.host.context(), "a", &CreateOptions::default()).unwrap();
    let bytes = noise(LENGTH);
    upload.write_all(&bytes[..1000]).unwrap();
    // As when the vault gave out new ones: for the run's second half they are another user's.
    let host = bench.host.clone().secret("id", Seaweed::CREATOR.id).secret("key", Seaweed::CREATOR.secret);
    assert_eq!(host.secret_values().len(), 2);
    upload.write_all(&bytes[1000..]).unwrap();
    upload.finish().unwrap();
    upload.publish().unwrap();
    let direct = storage(bench.room.options(), &bench.room.host());
    assert!(read(&direct, &bench.room.host(), "a").unwrap() == bytes);
}

#[test]
fn expired_keys_without_new_ones_are_told_at_once() {
    let bench = bench(|_| Fault::Refuse(400, "ExpiredToken"));
    let error = finished(&bench.storage, &bench.host, "a", b"small").unwrap().publish().unwrap_err();
    assert_eq!((error.kind, bench.proxy.seen().len()), (ErrorKind::Denied, 1), "{error}");
    assert!(error.hint.unwrap().contains("renew"));
}

#[test]
fn a_service_without_conditions_is_looked_at_before() {
    let lack = |seen: &Seen| match seen.head.contains("if-none-match") {
        true => Fault::Refuse(501, "NotImplemented"),
        false => Fault::None,
    };
    let bench = bench(lack);
    for (key, bytes) in [("small", noise(1000)), ("large", noise(LENGTH))] {
        finished(&bench.storage, &bench.host, key, &bytes).unwrap().publish().unwrap();
        assert!(read(&bench.direct(), &bench.host, key).unwrap() == bytes);
        let error =
            finished(&bench.storage, &bench.host, key, &noise(LENGTH)).unwrap().publish().unwrap_err();
        assert_eq!(error.kind, ErrorKind::AlreadyExists, "{error}");
        assert!(read(&bench.direct(), &bench.host, key).unwrap() == bytes, "it was replaced");
    }
    bench.is_clean();
}

#[test]
fn an_object_carries_what_the_options_say() {
    let (room, proxy) = (Room::new(), Proxy::before(server().port(), |_| Fault::Refuse(403, "AccessDenied")));
    let mut options = room.options_at(&proxy.endpoint());
    options["storage_class"] = "STANDARD_IA".into();
    options["encryption"] = "aws:kms".into();
    options["kms_key_id"] = "key-1".into();
    options["object_lock"] = serde_json::json!({ "mode": "compliance", "days": 30 });
    let host = room.host();
    let storage = storage(options, &host);
    for bytes in [&b"small"[..], &noise(LENGTH)] {
        let _ = finished(&storage, &host, "a", bytes).and_then(|upload| upload.publish());
    }
    assert_eq!(proxy.count("PUT") + proxy.count("POST"), 2);
    for Seen { head, line } in proxy.seen() {
        for header in [
            "x-amz-storage-class: standard_ia",
            "x-amz-server-side-encryption: aws:kms",
            "x-amz-server-side-encryption-aws-kms-key-id: key-1",
            "x-amz-object-lock-mode: compliance",
            "x-amz-object-lock-retain-until-date: 20",
        ] {
            assert!(head.contains(header), "{line} lacks `{header}`: {head}");
        }
        assert!(line.starts_with("POST") || head.contains("content-md5:"), "{line}");
    }
}

/// A service that has to find out what it is given by itself may compress it, at the cost of its own processor and of whoever reads it.
#[test]
fn every_object_and_every_part_of_one_has_a_type() {
    let bench = bench(|_| Fault::None);
    for (key, bytes) in [("small", &b"small"[..]), ("large", &noise(LENGTH))] {
        finished(&bench.storage, &bench.host, key, bytes).unwrap().publish().unwrap();
    }
    let stores = |seen: &Seen| seen.line.starts_with("PUT") || seen.line.contains("?uploads");
    let untyped = |seen: &Seen| !seen.head.contains("content-type: application/octet-stream");
    let stored: Vec<Seen> = bench.proxy.seen().into_iter().filter(stores).collect();
    assert_eq!(stored.len(), 5, "{stored:?}");
    let untyped: Vec<&str> =
        stored.iter().filter(|seen| untyped(seen)).map(|seen| seen.line.as_str()).collect();
    assert_eq!(untyped, [""; 0]);
}
