//! What the emulator doesn't judge, against a double that answers as the service's documentation says: tokens, preconditions
//! of sessions, sessions that keep less than was sent, checksums.

use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::json;
use windlass_plugin_api::{Context, CreateOptions, ErrorKind, Plugin, Storage, Upload};
use windlass_storage_gcs::Gcs;
use windlass_test_servers::{Double, Said};
use windlass_testkit::TestHost;

const MIB: usize = 1024 * 1024;

fn refusal(status: u16, reason: &str) -> Said {
    let body = json!({ "error": { "code": status, "message": "no", "errors": [{ "reason": reason }] } });
    Said::status(status).body(body.to_string())
}

fn resource() -> Said {
    Said::status(200).body(json!({ "name": "data", "size": "7" }).to_string())
}

fn storage(endpoint: &str, host: &TestHost) -> (Gcs, Context) {
    let cx = host.context();
    let options = json!({
        "bucket": "backups",
        "endpoint": endpoint,
        "access_token": { "$secret": "token" },
        "part_size": 1,
    });
    (Gcs::new(serde_json::from_value(options).unwrap(), &cx).unwrap(), cx)
}

fn host() -> TestHost {
    TestHost::new().secret("token", "hunter2-token")
}

fn begun(storage: &Gcs, cx: &Context, content: &[u8]) -> Box<dyn Upload> {
    let how = CreateOptions { if_absent: true, ..CreateOptions::default() };
    let mut upload = storage.create(cx, "data", &how).unwrap();
    upload.write_all(content).unwrap();
    upload
}

/// A session that keeps of each request but the last no more than `keeps` bytes.
#[derive(Default)]
struct Session {
    kept: Vec<u8>,
    final_hash: String,
    aborted: bool,
}

/// `says` may refuse the end.
fn session(keeps: usize, says: fn() -> Option<Said>) -> (Double, Arc<Mutex<Session>>) {
    let session = Arc::new(Mutex::new(Session::default()));
    let known = session.clone();
    let double = Double::start(move |asked| {
        let mut session = known.lock().unwrap();
        match asked.method.as_str() {
            "POST" => {
                let place = format!("http://{}/session?upload_id=7", asked.header("host"));
                return Said::status(200).header("location", place);
            }
            "DELETE" => {
                session.aborted = true;
                return Said::status(499);
            }
            _ => {}
        }
        let (range, total) =
            asked.header("content-range").strip_prefix("bytes ").unwrap().split_once('/').unwrap();
        let from: usize = range.split_once('-').unwrap().0.parse().unwrap();
        // What it has it ignores.
        let had = session.kept.len().saturating_sub(from).min(asked.body.len());
        let new = &asked.body[had..];
        if total == "*" {
            session.kept.extend_from_slice(&new[..new.len().min(keeps)]);
            return Said::status(308).header("range", format!("bytes=0-{}", session.kept.len() - 1));
        }
        session.kept.extend_from_slice(new);
        session.final_hash = asked.header("x-goog-hash").to_owned();
        says().unwrap_or_else(|| {
            let hash = session.final_hash.trim_start_matches("crc32c=");
            Said::status(200).body(json!({ "generation": "9", "crc32c": hash }).to_string())
        })
    });
    (double, session)
}

fn bytes() -> Vec<u8> {
    (0..2 * MIB + 300_000).map(|at| (at * 7 % 251) as u8).collect()
}

#[test]
fn what_a_session_did_not_keep_is_sent_again_and_the_whole_is_proved() {
    let (double, session) = session(256 * 1024, || None);
    let (storage, cx) = storage(double.endpoint(), &host());
    let mut upload = begun(&storage, &cx, &bytes());
    upload.finish().unwrap();
    let kept = session.lock().unwrap().kept.len();
    assert!(kept < bytes().len() && kept + 256 * 1024 >= bytes().len(), "{kept} before it is published");
    assert_eq!(upload.publish().unwrap().version.as_deref(), Some("9"));
    let session = session.lock().unwrap();
    assert!(session.kept == bytes(), "other bytes arrived");
    assert!(session.final_hash.starts_with("crc32c="), "{}", session.final_hash);
    let asked = double.asked();
    assert!(asked[0].path.contains("uploadType=resumable&ifGenerationMatch=0"), "{}", asked[0].path);
    assert_eq!(asked[0].header("authorization"), "Bearer hunter2-token");
    assert!(asked[1..].iter().all(|asked| asked.header("authorization").is_empty()), "the session is enough");
}

#[test]
fn an_object_that_came_meanwhile_is_told_when_the_session_ends() {
    let (double, session) = session(usize::MAX, || Some(refusal(412, "conditionNotMet")));
    let (storage, cx) = storage(double.endpoint(), &host());
    let mut upload = begun(&storage, &cx, &bytes());
    upload.finish().unwrap();
    assert_eq!(upload.publish().unwrap_err().kind, ErrorKind::AlreadyExists);
    assert!(session.lock().unwrap().aborted);
}

#[test]
fn other_bytes_than_were_sent_are_damage() {
    let other =
        || Some(Said::status(200).body(json!({ "generation": "9", "crc32c": "AAAAAA==" }).to_string()));
    let (double, _session) = session(usize::MAX, other);
    let (storage, cx) = storage(double.endpoint(), &host());
    let mut upload = begun(&storage, &cx, &bytes());
    upload.finish().unwrap();
    assert_eq!(upload.publish().unwrap_err().kind, ErrorKind::Damaged);
}

/// The answer to a small object is lost; the next attempt finds an object there, and the mark tells that it is ours.
#[test]
fn an_object_whose_answer_was_lost_is_known_by_its_mark_and_another_one_is_not() {
    for is_ours in [true, false] {
        let stored = Arc::new(Mutex::new(None::<String>));
        let known = stored.clone();
        let double = Double::start(move |asked| {
            let mut stored = known.lock().unwrap();
            if asked.method == "GET" {
                let mark = if is_ours { stored.clone().unwrap() } else { "another".to_owned() };
                let metadata = json!({ "windlass-upload": mark });
                return Said::status(200)
                    .body(json!({ "generation": "9", "metadata": metadata }).to_string());
            }
            if stored.is_some() {
                return refusal(412, "conditionNotMet");
            }
            let text = String::from_utf8_lossy(&asked.body).into_owned();
            let mark = text.split("\"windlass-upload\":\"").nth(1).unwrap();
            *stored = Some(mark[..16].to_owned());
            Said::lost()
        });
        let (storage, cx) = storage(double.endpoint(), &host());
        let mut upload = begun(&storage, &cx, b"little");
        upload.finish().unwrap();
        let published = upload.publish();
        match is_ours {
            true => assert_eq!(published.unwrap().version.as_deref(), Some("9")),
            false => assert_eq!(published.unwrap_err().kind, ErrorKind::AlreadyExists),
        }
    }
}

#[test]
fn a_retention_class_and_key_go_with_small_and_large_objects() {
    let (double, _session) = session(usize::MAX, || None);
    let cx = host().context();
    let options = json!({
        "bucket": "backups",
        "endpoint": double.endpoint(),
        "anonymous": true,
        "part_size": 1,
        "storage_class": "COLDLINE",
        "kms_key": "projects/p/k",
        "retention": { "mode": "locked", "days": 3 },
    });
    let storage = Gcs::new(serde_json::from_value(options).unwrap(), &cx).unwrap();
    for content in [bytes(), b"little".to_vec()] {
        let mut upload = begun(&storage, &cx, &content);
        upload.finish().unwrap();
        // The double knows no answer to a small one.
        let _ = upload.publish();
    }
    let begun: Vec<_> = double.asked().into_iter().filter(|asked| asked.method == "POST").collect();
    assert!(begun.len() >= 2, "{begun:?}");
    for asked in begun {
        assert!(asked.path.contains("kmsKeyName=projects%2Fp%2Fk"), "{}", asked.path);
        let text = String::from_utf8_lossy(&asked.body);
        assert!(text.contains("\"storageClass\":\"COLDLINE\""), "{text}");
        assert!(text.contains("\"mode\":\"Locked\",\"retainUntilTime\":\"20"), "{text}");
    }
}

#[test]
fn a_wrong_token_is_told_at_once_with_what_to_do_and_not_repeated() {
    let double = Double::start(|_| refusal(401, "authError"));
    let (storage, cx) = storage(double.endpoint(), &host());
    let error = storage.stat(&cx, "data").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{error:?}");
    assert!(error.hint.as_ref().unwrap().contains("access_token"), "{error:?}");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    assert_eq!(double.asked().len(), 1, "asked again with the same token");
}

#[test]
fn a_token_that_expired_is_asked_for_again_in_the_middle_of_a_run() {
    let double = Double::start(|asked| match asked.header("authorization") {
        "Bearer second" => resource(),
        _ => refusal(401, "authError"),
    });
    let host = TestHost::new().secret("token", "first");
    let (storage, cx) = storage(double.endpoint(), &host);
    assert_eq!(storage.stat(&cx, "data").unwrap_err().kind, ErrorKind::Denied);
    let _renewed = host.secret("token", "second");
    assert_eq!(storage.stat(&cx, "data").unwrap().unwrap().size_bytes, 7);
}

#[test]
fn a_busy_service_is_asked_again_and_one_that_forbids_is_not() {
    let count = Mutex::new(0);
    let double = Double::start(move |_| {
        let mut count = count.lock().unwrap();
        *count += 1;
        match *count {
            1 => refusal(503, "backendError"),
            2 => refusal(403, "rateLimitExceeded"),
            3 => resource(),
            _ => refusal(403, "forbidden"),
        }
    });
    let (storage, cx) = storage(double.endpoint(), &host());
    for (asked, kind) in [(3, None), (4, Some(ErrorKind::Denied))] {
        let mut upload = begun(&storage, &cx, b"little");
        upload.finish().unwrap();
        assert_eq!(upload.publish().err().map(|error| error.kind), kind);
        assert_eq!(double.asked().len(), asked);
    }
}

/// Of an object that is kept the service says 403 with a reason: that is no matter of rights, and not the fate of others.
#[test]
fn an_object_that_is_kept_is_told_and_asked_for_once_and_others_are_deleted() {
    for reason in ["retentionPolicyNotMet", "objectUnderActiveHold"] {
        let double = Double::start(move |asked| match asked.path.contains("kept") {
            true => refusal(403, reason),
            false => Said::status(204),
        });
        let (storage, cx) = storage(double.endpoint(), &host());
        let keys = ["one", "kept", "two"].map(str::to_owned);
        let fates = storage.delete(&cx, &keys).unwrap();
        assert!(fates[0].is_ok() && fates[2].is_ok(), "{fates:?}");
        let error = fates[1].as_ref().unwrap_err();
        assert_eq!((error.kind, double.asked().len()), (ErrorKind::Denied, 3), "{error:?}");
        assert!(error.hint.as_ref().unwrap().contains("kept by a retention or a hold"), "{error:?}");
    }
}

/// A bucket in memory that takes objects of one request, and begins sessions.
fn bucket(may_delete: bool) -> Double {
    let objects = Mutex::new(std::collections::BTreeMap::<String, Vec<u8>>::new());
    Double::start(move |asked| {
        let mut objects = objects.lock().unwrap();
        let place = format!("http://{}/session?upload_id=7", asked.header("host"));
        let key =
            asked.path.split(['?', '/']).find(|part| part.contains("windlass-check")).unwrap_or_default();
        match asked.method.as_str() {
            "POST" if asked.path.contains("uploadType=resumable") => {
                Said::status(200).header("location", place)
            }
            "POST" => {
                let (head, rest) = split(&asked.body, b"\r\n\r\n{");
                let (described, rest) = split(rest, b"\r\n--");
                let described: serde_json::Value = serde_json::from_slice(&[b"{", described].concat())
                    .unwrap_or_else(|_| panic!("{head:?}"));
                let (_, rest) = split(rest, b"\r\n\r\n");
                let (bytes, _) = split(rest, b"\r\n--");
                let name = described["name"].as_str().unwrap().to_owned();
                match asked.path.contains("ifGenerationMatch=0") && objects.contains_key(&name) {
                    true => refusal(412, "conditionNotMet"),
                    false => {
                        objects.insert(name, bytes.to_vec());
                        resource()
                    }
                }
            }
            "DELETE" if asked.path.contains("session") => Said::status(499),
            _ if !may_delete => refusal(403, "forbidden"),
            "DELETE" => match objects.remove(key) {
                Some(_) => Said::status(204),
                None => refusal(404, "notFound"),
            },
            "GET" if asked.path.contains("alt=media") => {
                let bytes = objects[key].clone();
                Said::status(206)
                    .header("content-range", format!("bytes 0-{}/{}", bytes.len() - 1, bytes.len()))
                    .body(bytes)
            }
            _ => {
                let items: Vec<_> = objects.keys().map(|name| json!({ "name": name, "size": "1" })).collect();
                Said::status(200).body(json!({ "items": items }).to_string())
            }
        }
    })
}

fn split<'b>(bytes: &'b [u8], at: &[u8]) -> (&'b [u8], &'b [u8]) {
    let found = bytes.windows(at.len()).position(|window| window == at).unwrap();
    (&bytes[..found], &bytes[found + at.len()..])
}

#[test]
fn a_check_retains_nothing_and_an_object_creator_makes_no_object() {
    for may_delete in [true, false] {
        let double = bucket(may_delete);
        let cx = host().context();
        let options = json!({
            "bucket": "backups",
            "endpoint": double.endpoint(),
            "access_token": { "$secret": "token" },
            "retention": { "mode": "locked", "days": 3 },
        });
        let storage = Gcs::new(serde_json::from_value(options).unwrap(), &cx).unwrap();
        // The second one isn't in the way of the first.
        let reports = [storage.check(&cx).unwrap(), storage.check(&cx).unwrap()];
        let asked = double.asked();
        let stored = asked.iter().filter(|asked| asked.path.contains("uploadType=multipart"));
        let stored: Vec<_> = stored.map(|asked| String::from_utf8_lossy(&asked.body).into_owned()).collect();
        assert_eq!(stored.len(), if may_delete { 6 } else { 0 });
        assert!(!stored.iter().any(|body| body.contains("retainUntilTime")), "a probe is retained");
        for report in reports {
            let says = |what: &str| report.notes.iter().any(|note| note.contains(what));
            assert!(says("1 MiB up in") == may_delete && says("can't delete") != may_delete, "{report:?}");
        }
        let sessions = asked.iter().filter(|asked| asked.path.contains("uploadType=resumable"));
        assert!(
            sessions
                .into_iter()
                .all(|asked| String::from_utf8_lossy(&asked.body).contains("retainUntilTime"))
        );
    }
}
