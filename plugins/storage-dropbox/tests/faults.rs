//! What goes wrong between us and the service: lines that break, tokens that expire, a service that is busy, full or refuses.

mod common;

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

use common::Service;
use serde_json::json;
use windlass_plugin_api::{Context, CreateOptions, ErrorKind, Plugin, Result, Storage, Upload};
use windlass_storage_dropbox::Dropbox;
use windlass_test_servers::{DropboxDouble, DropboxState, Fault, Said};
use windlass_testkit::TestHost;

const MIB: usize = 1024 * 1024;

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 % 251) as u8).collect()
}

fn begun(storage: &Dropbox, cx: &Context, key: &str, content: &[u8]) -> Result<Box<dyn Upload>> {
    let how = CreateOptions { if_absent: true, ..CreateOptions::default() };
    let mut upload = storage.create(cx, key, &how)?;
    upload.write_all(content)?;
    upload.finish()?;
    Ok(upload)
}

fn put(storage: &Dropbox, cx: &Context, key: &str, content: &[u8]) -> Result<()> {
    begun(storage, cx, key, content)?.publish().map(drop)
}

fn get(storage: &Dropbox, cx: &Context, key: &str) -> Vec<u8> {
    let mut read = Vec::new();
    storage.open(cx, key, None).unwrap().read_to_end(&mut read).unwrap();
    read
}

/// The call of that name fails in that way, so often.
fn times(
    count: u32,
    name: &'static str,
    fault: fn() -> Fault,
) -> impl FnMut(&windlass_test_servers::Asked, &mut DropboxState) -> Fault {
    let mut left = count;
    move |asked, _| {
        if DropboxDouble::call(asked) != name || left == 0 {
            return Fault::No;
        }
        left -= 1;
        fault()
    }
}

#[test]
fn a_token_that_expires_in_the_middle_of_a_long_upload_is_renewed() {
    let service = Service::start();
    let (storage, cx) = service.storage();
    let mut appends = 0;
    service.fail(move |asked, state| {
        appends += u32::from(DropboxDouble::call(asked) == "upload_session/append_v2");
        if appends == 2 {
            appends += 1;
            state.token = "token-of-tomorrow".to_owned();
        }
        Fault::No
    });
    let all = bytes(13 * MIB + 5);
    put(&storage, &cx, "shop/data", &all).unwrap();
    assert_eq!(service.state().tokens, 2);
    assert!(service.state().bytes("/Top/shop/data") == all);
}

#[test]
fn an_upload_goes_on_where_the_service_says_that_it_stands() {
    // Of the second part the service has kept a piece, or all of it, when the line breaks.
    for kept in [1, MIB, 4 * MIB] {
        let service = Service::start();
        let (storage, cx) = service.storage();
        let mut appends = 0;
        service.fail(move |asked, state| {
            appends += u32::from(DropboxDouble::call(asked) == "upload_session/append_v2");
            if appends != 2 {
                return Fault::No;
            }
            appends += 1;
            state.sessions.values_mut().for_each(|session| session.extend_from_slice(&asked.body[..kept]));
            Fault::Instead(Said::lost())
        });
        let all = bytes(9 * MIB + 5);
        let mut upload = begun(&storage, &cx, "data", &all).unwrap();
        assert_eq!(storage.stat(&cx, "data").unwrap(), None, "seen before it is published");
        upload.flush().unwrap();
        upload.publish().unwrap();
        assert!(service.state().bytes("/Top/data") == all, "{kept}");
    }
}

#[test]
fn a_session_that_lost_bytes_is_told_and_shows_nothing() {
    let service = Service::start();
    let (storage, cx) = service.storage();
    let upload = begun(&storage, &cx, "data", &bytes(5 * MIB)).unwrap();
    service.state().sessions.values_mut().for_each(|session| session.truncate(MIB));
    let error = upload.publish().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Failed, "{error:?}");
    assert!(service.state().paths().is_empty());
}

#[test]
fn a_session_that_the_service_forgot_says_what_to_do() {
    let service = Service::start();
    let (storage, cx) = service.storage();
    let upload = begun(&storage, &cx, "data", &bytes(5 * MIB)).unwrap();
    service.state().sessions.clear();
    let error = upload.publish().unwrap_err();
    assert!(error.hint.as_ref().unwrap().contains("after a week"), "{error:?}");
}

#[test]
fn an_object_whose_answer_was_lost_is_there_once_and_told_as_ours() {
    for (length, publishes) in [(7, "upload"), (5 * MIB, "upload_session/finish")] {
        let service = Service::start();
        let (storage, cx) = service.storage();
        service.fail(times(1, publishes, || Fault::Unheard));
        put(&storage, &cx, "data", &bytes(length)).unwrap();
        assert_eq!(service.state().paths(), ["/Top/data"]);
        assert_eq!(service.calls().iter().filter(|call| *call == publishes).count(), 2, "not tried again");
    }
}

/// Its bytes are those that we sent: only the time that it was told tells it from ours.
#[test]
fn an_object_of_a_rival_is_not_taken_for_ours_where_an_answer_was_lost() {
    for (length, publishes) in [(7, "upload"), (5 * MIB, "upload_session/finish")] {
        let service = Service::start();
        let (storage, cx) = service.storage();
        let mut is_first = true;
        service.fail(move |asked, state| {
            if DropboxDouble::call(asked) != publishes || !std::mem::take(&mut is_first) {
                return Fault::No;
            }
            state.put("/Top/data", &bytes(length));
            Fault::Instead(Said::lost())
        });
        let error = put(&storage, &cx, "data", &bytes(length)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::AlreadyExists, "{error:?}");
    }
}

#[test]
fn bytes_that_arrive_as_others_are_sent_again_and_never_shown() {
    let service = Service::start();
    let (storage, cx) = service.storage();
    let mismatch = || Fault::Instead(DropboxDouble::refusal(409, json!({ ".tag": "content_hash_mismatch" })));
    service.fail(times(1, "upload_session/append_v2", mismatch));
    put(&storage, &cx, "data", &bytes(5 * MIB)).unwrap();
    assert!(service.state().bytes("/Top/data") == bytes(5 * MIB));
}

#[test]
fn an_object_that_the_service_keeps_as_other_bytes_is_damage() {
    let service = Service::start();
    let (storage, cx) = service.storage();
    let upload = begun(&storage, &cx, "data", &bytes(5 * MIB)).unwrap();
    service.state().sessions.values_mut().for_each(|session| session[77] ^= 1);
    assert_eq!(upload.publish().unwrap_err().kind, ErrorKind::Damaged);
}

#[test]
fn a_busy_service_is_asked_again_after_the_time_that_it_names() {
    for fault in [
        || Fault::Instead(DropboxDouble::busy(429, 1)),
        || Fault::Instead(DropboxDouble::busy(503, 1)),
        || Fault::Instead(DropboxDouble::refusal(409, json!({ ".tag": "too_many_write_operations" }))),
    ] {
        let service = Service::start();
        let (storage, cx) = service.storage();
        service.fail(times(1, "upload", fault));
        put(&storage, &cx, "data", b"little").unwrap();
        assert_eq!(service.state().paths(), ["/Top/data"]);
    }
    let service = Service::start();
    let (storage, cx) = service.storage();
    service.fail(|_, _| Fault::Instead(DropboxDouble::busy(429, 300)));
    let error = storage.stat(&cx, "data").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert_eq!(error.details["retry_after_seconds"], 300, "the host isn't told how long to wait");
}

#[test]
fn a_download_that_breaks_goes_on_where_it_broke() {
    let service = Service::start();
    let (storage, cx) = service.storage();
    let all = bytes(9 * MIB + 77);
    service.state().put("/Top/data", &all);
    service.fail(|asked, _| if DropboxDouble::call(asked) == "download" { Fault::Cut } else { Fault::No });
    assert!(get(&storage, &cx, "data") == all);
    assert!(service.calls().iter().filter(|call| *call == "download").count() > 5, "nothing broke");
}

#[test]
fn an_object_that_is_replaced_while_it_is_read_is_read_to_its_end() {
    let service = Service::start();
    let (storage, cx) = service.storage();
    let all = bytes(9 * MIB);
    service.state().put("/Top/data", &all);
    let mut reader = storage.open(&cx, "data", None).unwrap();
    service.state().put("/Top/data", b"another");
    let mut read = Vec::new();
    reader.read_to_end(&mut read).unwrap();
    assert!(read == all, "two versions were mixed");
    assert_eq!(get(&storage, &cx, "data"), b"another");
}

#[test]
fn a_full_account_is_told_as_full_with_what_to_do() {
    let service = Service::start();
    let (storage, cx) = service.storage();
    service.state().space = 100;
    for length in [1000, 5 * MIB] {
        let error = put(&storage, &cx, "data", &bytes(length)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Full, "{error:?}");
        assert!(error.hint.as_ref().unwrap().contains("prune"), "{error:?}");
    }
    assert!(service.state().paths().is_empty());
}

#[test]
fn missing_rights_are_told_at_once_with_what_to_do() {
    let scope = json!({ ".tag": "missing_scope", "required_scope": "files.content.write" });
    let no_write = json!({ ".tag": "path", "reason": { ".tag": "no_write_permission" } });
    for (status, error, hint) in [
        (401, scope, "`files.content.write`"),
        (403, json!({ ".tag": "paper_access_denied" }), "lacks a right"),
        (409, no_write, "lacks a right"),
        (401, json!({ ".tag": "invalid_access_token" }), "refresh_token"),
    ] {
        let service = Service::start();
        let (storage, cx) = service.storage();
        let told = error.clone();
        service.fail(move |asked, _| match DropboxDouble::call(asked) {
            "upload" => Fault::Instead(DropboxDouble::refusal(status, told.clone())),
            _ => Fault::No,
        });
        let error = put(&storage, &cx, "data", b"little").unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied, "{error:?}");
        assert!(error.hint.as_ref().unwrap().contains(hint), "{error:?}");
        // With a token that isn't good once more, with another one.
        let tries = service.calls().iter().filter(|call| *call == "upload").count();
        assert!(tries <= 2 && (tries == 1 || hint == "refresh_token"), "{tries} attempts");
    }
}

#[test]
fn a_refresh_token_that_was_revoked_is_told_at_once_and_not_repeated() {
    let service = Service::start();
    let cx = TestHost::new().secret("refresh", "hunter2-revoked").context();
    let storage = Dropbox::new(serde_json::from_value(service.options("")).unwrap(), &cx).unwrap();
    let error = storage.stat(&cx, "data").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{error:?}");
    assert!(error.hint.as_ref().unwrap().contains("revoked"), "{error:?}");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    assert_eq!(service.calls().len(), 1);
}

#[test]
fn a_token_without_a_refresh_token_is_asked_for_again_and_an_expired_one_is_told() {
    let service = Service::start();
    service.state().token = "second".to_owned();
    let host = TestHost::new().secret("token", "token-of-yesterday");
    let options = json!({ "endpoint": service.endpoint(), "access_token": { "$secret": "token" } });
    let cx = host.context();
    let storage = Dropbox::new(serde_json::from_value(options).unwrap(), &cx).unwrap();
    let error = storage.stat(&cx, "data").unwrap_err();
    assert_eq!((error.kind, service.calls().len()), (ErrorKind::Denied, 1), "{error:?}");
    assert!(error.hint.as_ref().unwrap().contains("four hours"), "{error:?}");
    let _renewed = host.secret("token", "second");
    assert_eq!(storage.stat(&cx, "data").unwrap(), None);
}

/// One after the other, as sessions want them, and no more in memory than two.
#[test]
fn parts_follow_each_other_whatever_the_concurrency() {
    let service = Service::start();
    let (storage, cx) = service.storage();
    let under_way = Arc::new(Mutex::new(Vec::new()));
    let known = under_way.clone();
    service.fail(move |asked, _| {
        if DropboxDouble::call(asked) == "upload_session/append_v2" {
            known.lock().unwrap().push(asked.header("dropbox-api-arg").to_owned());
        }
        Fault::No
    });
    put(&storage, &cx, "data", &bytes(17 * MIB)).unwrap();
    let offsets = under_way.lock().unwrap().clone();
    assert_eq!(offsets.len(), 5, "{offsets:?}");
    for (at, argument) in offsets.iter().enumerate() {
        assert!(
            argument.contains(&format!("\"offset\":{},", at * 4 * MIB))
                || argument.contains(&format!("\"offset\":{}}}", at * 4 * MIB)),
            "{argument}"
        );
        assert!(argument.contains("content_hash"), "{argument}");
    }
}
