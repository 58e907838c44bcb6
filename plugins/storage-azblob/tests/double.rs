//! What the emulator doesn't judge, against a double that answers as the service's documentation says: policies, keys that
//! expire, answers that are lost.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use windlass_plugin_api::{Context, CreateOptions, Error, ErrorKind, Plugin, Storage, Upload};
use windlass_storage_azblob::Azblob;
use windlass_test_servers::{Asked, Double, Said};
use windlass_testkit::TestHost;

const MIB: usize = 1024 * 1024;

fn storage(double: &Double, host: &TestHost, more: Value) -> (Azblob, Context) {
    let cx = host.context();
    let mut options = json!({
        "container": "backups",
        "endpoint": double.endpoint(),
        "sas_token": { "$secret": "token" },
        "part_size": 1,
    });
    options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    (Azblob::new(serde_json::from_value(options).unwrap(), &cx).unwrap(), cx)
}

fn host() -> TestHost {
    TestHost::new().secret("token", "?sv=1&sig=hunter2")
}

fn published(storage: &Azblob, cx: &Context, content: &[u8]) -> windlass_plugin_api::Result<()> {
    let how = CreateOptions { if_absent: true, ..CreateOptions::default() };
    let mut upload: Box<dyn Upload> = storage.create(cx, "data", &how)?;
    upload.write_all(content)?;
    upload.finish()?;
    upload.publish().map(drop)
}

fn refusal(status: u16, code: &str) -> Said {
    Said::status(status).header("x-ms-error-code", code)
}

#[test]
fn a_policy_tier_and_scope_go_with_the_request_that_makes_the_blob() {
    let double = Double::start(|_| Said::status(201).header("etag", "\"0x1\""));
    let more = json!({
        "immutability": { "mode": "locked", "days": 3 },
        "access_tier": "cool",
        "encryption_scope": "backups",
    });
    let (storage, cx) = storage(&double, &host(), more);
    published(&storage, &cx, b"little").unwrap();
    published(&storage, &cx, &vec![7; 2 * MIB + 1]).unwrap();
    let asked = double.asked();
    let made: Vec<_> = asked.iter().filter(|asked| !asked.path.contains("comp=block&")).collect();
    assert_eq!(made.len(), 2, "{asked:?}");
    for asked in made {
        assert_eq!(asked.header("if-none-match"), "*");
        assert_eq!(asked.header("x-ms-immutability-policy-mode"), "locked");
        assert!(asked.header("x-ms-immutability-policy-until-date").ends_with(" GMT"), "{asked:?}");
        assert_eq!(asked.header("x-ms-access-tier"), "Cool");
        assert_eq!(asked.header("x-ms-encryption-scope"), "backups");
    }
    assert!(asked.iter().all(|asked| asked.path.ends_with("sv=1&sig=hunter2")), "{asked:?}");
    assert!(asked.iter().all(|asked| !asked.header("content-md5").is_empty()), "{asked:?}");
}

#[test]
fn a_token_that_expired_is_asked_for_again_in_the_middle_of_a_run() {
    let double = Double::start(|asked| match asked.path.ends_with("second") {
        true => Said::status(200).header("content-length", "7"),
        false => refusal(403, "AuthenticationFailed"),
    });
    let host = TestHost::new().secret("token", "sig=first");
    let (storage, cx) = storage(&double, &host, json!({}));
    let error = storage.stat(&cx, "data").unwrap_err();
    assert_eq!((error.kind, double.asked().len()), (ErrorKind::Denied, 1), "{error:?}");
    let _renewed = host.secret("token", "sig=second");
    assert_eq!(storage.stat(&cx, "data").unwrap().unwrap().size_bytes, 7);
}

/// As the service refuses a token whose time is over, once `good` requests were made with it.
fn expiring(good: usize, answer: impl Fn(&Asked) -> Said + Send + Sync + 'static) -> Double {
    let count = Mutex::new(0);
    Double::start(move |asked| {
        let mut count = count.lock().unwrap();
        *count += 1;
        match asked.path.ends_with("sig=first") && *count > good {
            true => refusal(403, "AuthenticationFailed"),
            false => answer(asked),
        }
    })
}

#[test]
fn a_token_that_expires_in_the_middle_of_an_upload_is_asked_for_again_or_told() {
    for is_new_one in [true, false] {
        let double = expiring(1, |_| Said::status(201).header("etag", "\"0x1\""));
        let host = TestHost::new().secret("token", "sig=first");
        let (storage, cx) = storage(&double, &host, json!({}));
        let mut upload = storage.create(&cx, "data", &CreateOptions::default()).unwrap();
        upload.write_all(&vec![7; MIB]).unwrap();
        if is_new_one {
            // The first block, and no other, is sent before there is another token.
            upload.write_all(&[7]).unwrap();
            while double.asked().is_empty() {
                std::thread::yield_now();
            }
            let _renewed = host.clone().secret("token", "sig=second");
            upload.write_all(&vec![7; 2 * MIB]).unwrap();
            upload.finish().unwrap();
            upload.publish().unwrap();
            let asked = double.asked();
            let kept = asked.iter().filter(|asked| asked.path.contains("comp=block&"));
            let good = kept.filter(|asked| asked.path.ends_with("sig=second")).count();
            assert!(good >= 3, "{asked:?}");
            assert!(asked.last().unwrap().path.contains("comp=blocklist"), "{asked:?}");
        } else {
            let error = upload.write_all(&vec![7; 4 * MIB]).map_err(Error::from);
            let error = error.and_then(|()| upload.finish()).unwrap_err();
            assert!(error.kind == ErrorKind::Denied && error.hint.is_some(), "{error:?}");
        }
    }
}

#[test]
fn a_token_that_expires_in_the_middle_of_a_download_is_asked_for_again_or_told() {
    let content: Vec<u8> = (0..2 * MIB + 77).map(|at| (at * 7 % 251) as u8).collect();
    for is_new_one in [true, false] {
        let shown = content.clone();
        let double = expiring(1, move |asked| {
            let range = asked.header("range").strip_prefix("bytes=").unwrap().split_once('-').unwrap();
            let (from, last): (usize, usize) = (range.0.parse().unwrap(), range.1.parse().unwrap());
            let end = last.saturating_add(1).min(shown.len());
            Said::status(206)
                .header("content-range", format!("bytes {from}-{}/{}", end - 1, shown.len()))
                .header("etag", "\"0x1\"")
                .body(&shown[from..end])
        });
        let host = TestHost::new().secret("token", "sig=first");
        let (storage, cx) = storage(&double, &host, json!({}));
        let mut reader = storage.open(&cx, "data", None).unwrap();
        let mut read = vec![0; 10];
        reader.read_exact(&mut read).unwrap();
        if is_new_one {
            let _renewed = host.clone().secret("token", "sig=second");
            reader.read_to_end(&mut read).unwrap();
            assert!(read == content, "other bytes came");
        } else {
            let error = Error::from(reader.read_to_end(&mut read).unwrap_err());
            assert!(error.kind == ErrorKind::Denied && error.hint.is_some(), "{error:?}");
            assert_eq!(double.asked().len(), 2, "asked again with the same token");
        }
    }
}

#[test]
fn a_blob_whose_answer_was_lost_is_known_by_its_mark_and_another_one_is_not() {
    for is_ours in [true, false] {
        let stored = Arc::new(Mutex::new(None::<String>));
        let known = stored.clone();
        let double = Double::start(move |asked| {
            let mut stored = known.lock().unwrap();
            if asked.method == "HEAD" {
                let mark = if is_ours { stored.clone().unwrap() } else { "another".to_owned() };
                return Said::status(200).header("x-ms-meta-windlassupload", mark).header("etag", "\"0x9\"");
            }
            match stored.replace(asked.header("x-ms-meta-windlassupload").to_owned()) {
                Some(_) => refusal(409, "BlobAlreadyExists"),
                None => Said::lost(),
            }
        });
        let (storage, cx) = storage(&double, &host(), json!({}));
        match (is_ours, published(&storage, &cx, b"little")) {
            (true, result) => result.unwrap(),
            (false, result) => assert_eq!(result.unwrap_err().kind, ErrorKind::AlreadyExists),
        }
    }
}

/// Nothing may be made in place of the blocks by who can't delete it again.
#[test]
fn an_abort_without_the_right_to_delete_makes_nothing() {
    let double = Double::start(|asked| match asked.method.as_str() {
        "DELETE" => refusal(403, "AuthorizationPermissionMismatch"),
        _ => Said::status(201),
    });
    let (storage, cx) = storage(&double, &host(), json!({}));
    let mut upload = storage.create(&cx, "data", &CreateOptions::default()).unwrap();
    upload.write_all(&vec![7; 2 * MIB]).unwrap();
    drop(upload);
    let asked = double.asked();
    assert!(asked.iter().any(|asked| asked.method == "DELETE"), "{asked:?}");
    assert!(!asked.iter().any(|asked| asked.path.contains("comp=blocklist")), "{asked:?}");
}

/// Of a blob that a policy keeps the service says 409: that is neither there to be tried again nor the fate of others.
#[test]
fn a_blob_that_is_kept_is_told_and_asked_for_once_and_others_are_deleted() {
    for code in ["BlobImmutableDueToPolicy", "BlobImmutableDueToLegalHold"] {
        let double = Double::start(move |asked| match asked.path.contains("kept") {
            true => refusal(409, code),
            false => Said::status(202),
        });
        let (storage, cx) = storage(&double, &host(), json!({}));
        let keys = ["one", "kept", "two"].map(str::to_owned);
        let fates = storage.delete(&cx, &keys).unwrap();
        assert!(fates[0].is_ok() && fates[2].is_ok(), "{fates:?}");
        let error = fates[1].as_ref().unwrap_err();
        assert_eq!((error.kind, double.asked().len()), (ErrorKind::Denied, 3), "{error:?}");
        assert!(error.hint.as_ref().unwrap().contains("kept by an immutability policy"), "{error:?}");
    }
}

/// A container in memory. A policy of the container itself keeps what is in it, if `keeps`.
fn container(keeps: bool) -> Double {
    let blobs = Mutex::new(std::collections::BTreeMap::<String, Vec<u8>>::new());
    Double::start(move |asked| {
        let mut blobs = blobs.lock().unwrap();
        let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
        let is_there = blobs.contains_key(path);
        match asked.method.as_str() {
            "DELETE" if keeps && is_there => refusal(409, "BlobImmutableDueToPolicy"),
            "DELETE" if asked.header("if-match") == "\"0x0\"" && is_there => refusal(412, "ConditionNotMet"),
            "DELETE" => match blobs.remove(path) {
                Some(_) => Said::status(202),
                None => refusal(404, "BlobNotFound"),
            },
            "PUT" if query.contains("comp=block&") => Said::status(201),
            "PUT" if is_there && asked.header("if-none-match") == "*" => refusal(409, "BlobAlreadyExists"),
            "PUT" => {
                blobs.insert(path.to_owned(), asked.body.clone());
                Said::status(201).header("etag", "\"0x1\"")
            }
            _ if query.contains("comp=list") => {
                let names: String = blobs
                    .keys()
                    .map(|path| format!("<Blob><Name>{}</Name></Blob>", path.rsplit('/').next().unwrap()))
                    .collect();
                Said::status(200)
                    .body(format!("<EnumerationResults><Blobs>{names}</Blobs></EnumerationResults>"))
            }
            _ => match blobs.get(path) {
                Some(bytes) => Said::status(206)
                    .header("content-range", format!("bytes 0-{}/{}", bytes.len() - 1, bytes.len()))
                    .body(bytes.clone()),
                None => refusal(404, "BlobNotFound"),
            },
        }
    })
}

#[test]
fn a_check_makes_nothing_immutable_and_tells_what_a_policy_of_the_container_keeps() {
    let more = json!({ "immutability": { "mode": "locked", "days": 3 }, "access_tier": "archive" });
    for keeps in [false, true] {
        let double = container(keeps);
        let (storage, cx) = storage(&double, &host(), more.clone());
        let report = storage.check(&cx).unwrap();
        let asked = double.asked();
        let policies = asked.iter().flat_map(|asked| asked.headers.keys());
        assert!(!policies.into_iter().any(|name| name.contains("immutability") || name.contains("tier")));
        let says = |what: &str| report.notes.iter().any(|note| note.contains(what));
        assert_eq!((report.keeps_deleted, says("(64 bytes) stays")), (keeps, keeps), "{report:?}");
        assert_eq!(says("1 MiB up in"), !keeps, "{report:?}");
        let largest = asked.iter().map(|asked| asked.body.len()).max().unwrap();
        assert_eq!(largest, if keeps { 64 } else { MIB }, "more may stay than must");
    }
}
