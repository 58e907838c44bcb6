//! What goes wrong between us and the service: lines that break, tokens that expire, a service that is busy, full or refuses.

mod common;

use std::io::{Read, Write};

use common::Service;
use serde_json::json;
use windlass_plugin_api::{Context, CreateOptions, ErrorKind, Plugin, Result, Storage};
use windlass_storage_onedrive::OneDrive;
use windlass_test_servers::{Asked, Fault, OneDriveDouble, OneDriveState, Said};
use windlass_testkit::TestHost;

const MIB: usize = 1024 * 1024;

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 % 251) as u8).collect()
}

fn put(storage: &OneDrive, cx: &Context, key: &str, content: &[u8]) -> Result<()> {
    let how = CreateOptions { if_absent: true, ..CreateOptions::default() };
    let mut upload = storage.create(cx, key, &how)?;
    upload.write_all(content)?;
    upload.finish()?;
    upload.publish().map(drop)
}

fn get(storage: &OneDrive, cx: &Context, key: &str) -> Vec<u8> {
    let mut read = Vec::new();
    storage.open(cx, key, None).unwrap().read_to_end(&mut read).unwrap();
    read
}

/// The call of that name fails in that way, so often.
fn times(
    count: u32,
    name: &'static str,
    fault: impl Fn() -> Fault + Send + 'static,
) -> impl FnMut(&Asked, &mut OneDriveState) -> Fault {
    let mut left = count;
    move |asked, _| {
        if OneDriveDouble::call(asked) != name || left == 0 {
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
    let mut stores = 0;
    service.fail(move |asked, state| {
        stores += u32::from(OneDriveDouble::call(asked) == "store");
        if stores == 3 {
            stores += 1;
            state.access.clear();
        }
        Fault::No
    });
    let all = bytes(8 * MIB + 5);
    put(&storage, &cx, "shop/data", &all).unwrap();
    assert_eq!(service.state().tokens, 2);
    assert!(get(&storage, &cx, "shop/data") == all);
}

#[test]
fn every_request_of_an_upload_may_fail_once() {
    for name in ["look", "make", "store", "rename"] {
        for fault in [
            || Fault::Unheard,
            || Fault::Instead(Said::lost()),
            || Fault::Instead(OneDriveDouble::refusal(503, "serviceNotAvailable")),
        ] {
            let service = Service::start();
            let (storage, cx) = service.storage();
            service.fail(times(1, name, fault));
            let all = bytes(2 * MIB + 5);
            put(&storage, &cx, "shop/data", &all).unwrap_or_else(|error| panic!("{name}: {error:?}"));
            assert!(get(&storage, &cx, "shop/data") == all, "{name}");
            assert_eq!(storage.leftovers(&cx, "").unwrap(), [], "{name}");
        }
    }
}

#[test]
fn a_busy_service_is_waited_for_and_the_host_is_told_how_long() {
    let busy = |status| OneDriveDouble::refusal(status, "activityLimitReached").header("retry-after", "1");
    for status in [429, 503, 509, 423] {
        let service = Service::start();
        let (storage, cx) = service.storage();
        service.fail(times(1, "store", move || Fault::Instead(busy(status))));
        put(&storage, &cx, "data", b"little").unwrap();
        assert_eq!(service.state().paths(), ["/Top/data"], "{status}");
    }
    let service = Service::start();
    let (storage, cx) = service.storage();
    service.fail(|_, _| {
        Fault::Instead(OneDriveDouble::refusal(429, "tooManyRequests").header("retry-after", "300"))
    });
    let error = storage.stat(&cx, "data").unwrap_err();
    // The first of all requests is that for a token.
    assert_eq!((error.kind, &error.details["retry_after_seconds"]), (ErrorKind::Unavailable, &json!(300)));
}

#[test]
fn a_part_that_arrives_as_other_bytes_is_sent_again_and_a_small_object_is_damage() {
    let spoilt =
        || json!({ "id": "x", "name": "data", "size": 3, "file": { "hashes": { "quickXorHash": "AAAA" } } });
    let said = move || Fault::Instead(Said::status(201).body(spoilt().to_string()));
    let service = Service::start();
    let (storage, cx) = service.storage();
    service.fail(times(1, "store", said));
    put(&storage, &cx, "large", &bytes(2 * MIB)).unwrap();
    assert!(get(&storage, &cx, "large") == bytes(2 * MIB));
    service.fail(times(1, "store", said));
    assert_eq!(put(&storage, &cx, "data", b"abc").unwrap_err().kind, ErrorKind::Damaged);
}

#[test]
fn a_drive_that_gives_no_checksums_is_proved_by_lengths() {
    let service = Service::start();
    let (storage, cx) = service.storage();
    service.state().has_hashes = false;
    for (key, length) in [("small", 10), ("large", 2 * MIB + 5)] {
        put(&storage, &cx, key, &bytes(length)).unwrap();
        assert!(get(&storage, &cx, key) == bytes(length));
    }
}

#[test]
fn a_download_that_breaks_goes_on_where_it_broke() {
    let service = Service::start();
    let (storage, cx) = service.storage();
    let all = bytes(9 * MIB + 77);
    service.state().put("/Top/file", &all);
    put(&storage, &cx, "parts", &all).unwrap();
    service.fail(|asked, _| if OneDriveDouble::call(asked) == "download" { Fault::Cut } else { Fault::No });
    for key in ["file", "parts"] {
        let before = service.calls().len();
        assert!(get(&storage, &cx, key) == all, "{key}");
        let asked = service.calls()[before..].iter().filter(|call| **call == "download").count();
        assert!(asked > 10, "{asked} requests: nothing broke");
    }
}

#[test]
fn a_download_is_asked_without_a_token_and_anew_where_its_address_is_no_longer_good() {
    let service = Service::start();
    let (storage, cx) = service.storage();
    service.state().put("/Top/data", &bytes(2 * MIB));
    service.fail(times(1, "download", || Fault::Instead(Said::status(401))));
    assert!(get(&storage, &cx, "data") == bytes(2 * MIB));
    let downloads: Vec<_> =
        service.asked().into_iter().filter(|asked| OneDriveDouble::call(asked) == "download").collect();
    assert!(downloads.len() > 2 && downloads.iter().all(|asked| asked.header("authorization").is_empty()));
}

#[test]
fn an_object_that_is_replaced_while_it_is_read_is_told_and_not_mixed() {
    for length in [9 * MIB, 10] {
        let service = Service::start();
        let (storage, cx) = service.storage();
        put(&storage, &cx, "data", &bytes(9 * MIB)).unwrap();
        let mut reader = storage.open(&cx, "data", None).unwrap();
        storage.delete(&cx, &["data".to_owned()]).unwrap().remove(0).unwrap();
        put(&storage, &cx, "data", &vec![1; length]).unwrap();
        let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("replaced"), "{error}");
    }
    let service = Service::start();
    let (storage, cx) = service.storage();
    service.state().put("/Top/data", &bytes(9 * MIB));
    let mut reader = storage.open(&cx, "data", None).unwrap();
    service.state().put("/Top/data", &vec![1; 9 * MIB]);
    let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("replaced"), "{error}");
}

#[test]
fn a_part_that_is_missing_is_damage() {
    let service = Service::start();
    let (storage, cx) = service.storage();
    put(&storage, &cx, "data", &bytes(3 * MIB)).unwrap();
    let (other, cx) = service.storage();
    service.state().take("/Top/data.parts/00002");
    assert_eq!(other.open(&cx, "data", None).err().unwrap().kind, ErrorKind::Damaged);
}

#[test]
fn a_full_drive_is_told_as_full_with_what_to_do() {
    let service = Service::start();
    let (storage, cx) = service.storage();
    service.state().space = MIB + MIB / 2;
    for length in [2 * MIB, 10 * MIB] {
        let error = put(&storage, &cx, "data", &bytes(length)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Full, "{error:?}");
        assert!(error.hint.as_ref().unwrap().contains("prune"), "{error:?}");
    }
    assert!(service.state().paths().is_empty(), "what was stored stays");
}

#[test]
fn missing_rights_are_told_at_once_with_what_to_do() {
    for (status, code, hint, most) in
        [(403, "accessDenied", "lacks a right", 1), (401, "InvalidAuthenticationToken", "refresh_token", 2)]
    {
        let service = Service::start();
        let (storage, cx) = service.storage();
        service.fail(move |asked, _| match OneDriveDouble::call(asked) {
            "store" => Fault::Instead(OneDriveDouble::refusal(status, code)),
            _ => Fault::No,
        });
        let error = put(&storage, &cx, "data", b"little").unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied, "{error:?}");
        assert!(error.hint.as_ref().unwrap().contains(hint), "{error:?}");
        // With a token that isn't good once more, with another one.
        assert_eq!(service.calls().iter().filter(|call| **call == "store").count(), most);
    }
}

#[test]
fn a_refresh_token_that_was_revoked_is_told_at_once_and_not_repeated() {
    let service = Service::start();
    let cx = TestHost::new().secret("refresh", "hunter2-revoked").context();
    let storage = OneDrive::new(serde_json::from_value(service.options("")).unwrap(), &cx).unwrap();
    let error = storage.stat(&cx, "data").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{error:?}");
    assert!(error.hint.as_ref().unwrap().contains("revoked"), "{error:?}");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    assert_eq!(service.calls(), ["token"]);
}

#[test]
fn a_token_without_a_refresh_token_is_asked_for_again_when_it_has_expired() {
    let service = Service::start();
    service.state().access.insert("second".to_owned());
    let host = TestHost::new().secret("token", "of yesterday");
    let cx = host.context();
    let options = json!({ "endpoint": service.endpoint(), "access_token": { "$secret": "token" } });
    let storage = OneDrive::new(serde_json::from_value(options).unwrap(), &cx).unwrap();
    assert_eq!(storage.stat(&cx, "data").unwrap_err().kind, ErrorKind::Denied);
    assert_eq!(service.calls().len(), 1, "asked again with the same token");
    let _renewed = host.secret("token", "second");
    assert_eq!(storage.stat(&cx, "data").unwrap(), None);
}
