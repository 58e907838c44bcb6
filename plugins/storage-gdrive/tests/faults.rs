//! What goes wrong on the way: tokens that end, services that are busy or full, bytes that change, downloads that break.

mod common;

use std::io::{Read, Write};

use common::{MIB, Room, begun, bytes, get, put};
use serde_json::json;
use windlass_plugin_api::{ErrorKind, Plugin, Storage};
use windlass_storage_gdrive::Gdrive;
use windlass_test_servers::{DriveDouble, Trouble};
use windlass_testkit::TestHost;

#[test]
fn a_token_that_ends_in_the_middle_of_an_upload_is_renewed() {
    let room = Room::new();
    let (storage, cx) = room.storage(json!({}));
    let mut upload = begun(&storage, &cx, "data", true, &bytes(5 * MIB)).unwrap();
    room.double.state().expire();
    upload.write_all(&bytes(3 * MIB)).unwrap();
    upload.finish().unwrap();
    room.double.state().expire();
    upload.publish().unwrap();
    assert!(room.object("data").unwrap() == [bytes(5 * MIB), bytes(3 * MIB)].concat());
    assert_eq!(room.double.count("token"), 3);
}

#[test]
fn a_busy_service_is_asked_again_and_one_that_forbids_is_not() {
    let room = Room::new();
    let (storage, cx) = room.storage(json!({}));
    let say = |status, reason| Trouble::Say(DriveDouble::refusal(status, reason).header("retry-after", "1"));
    room.double.troubles.at("multipart", 0, say(403, "userRateLimitExceeded"));
    room.double.troubles.at("multipart", 1, say(429, "rateLimitExceeded"));
    put(&storage, &cx, "one", b"1").unwrap();
    room.double.troubles.at("session", 1, say(503, "backendError"));
    put(&storage, &cx, "large", &bytes(6 * MIB)).unwrap();
    assert!(room.double.troubles.are_over() && room.object("large").unwrap() == bytes(6 * MIB));

    for (reason, hint) in [("insufficientFilePermissions", "role"), ("insufficientPermissions", "scope")] {
        let asked = room.double.count("multipart");
        room.double.troubles.at("multipart", 0, say(403, reason));
        let error = put(&storage, &cx, "two", b"2").unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied, "{error:?}");
        assert!(error.hint.as_ref().unwrap().contains(hint), "{error:?}");
        assert_eq!(room.double.count("multipart"), asked + 1);
    }
}

#[test]
fn no_room_is_told_with_what_to_do_and_not_repeated() {
    let room = Room::new();
    room.double.state().quota = Some(5 * MIB);
    let (storage, cx) = room.storage(json!({}));
    let error = put(&storage, &cx, "data", &bytes(8 * MIB)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Full, "{error:?}");
    assert!(error.hint.unwrap().contains("make room"));
    assert_eq!(room.double.state().open_sessions(), 0);
}

#[test]
fn other_bytes_than_were_sent_are_damage_and_do_not_stay() {
    for length in [100, 6 * MIB] {
        let room = Room::new();
        let (storage, cx) = room.storage(json!({}));
        let mut upload = begun(&storage, &cx, "data", true, &bytes(length)).unwrap();
        upload.finish().unwrap();
        room.double.troubles.at(if length == 100 { "multipart" } else { "session" }, 0, Trouble::Rot);
        assert_eq!(upload.publish().unwrap_err().kind, ErrorKind::Damaged);
        assert_eq!(room.double.state().objects("data").len(), 0, "{length}");
    }
}

#[test]
fn a_download_that_breaks_goes_on_and_one_that_is_replaced_is_told() {
    let room = Room::new();
    let (storage, cx) = room.storage(json!({}));
    put(&storage, &cx, "data", &bytes(20 * MIB)).unwrap();
    for after in 0..4 {
        room.double.troubles.at("media", after, Trouble::Cut);
    }
    assert!(get(&storage, &cx, "data").unwrap() == bytes(20 * MIB));
    assert!(room.double.troubles.are_over());

    let mut reader = storage.open(&cx, "data", None).unwrap();
    let mut upload = begun(&storage, &cx, "data", false, b"another one").unwrap();
    upload.finish().unwrap();
    upload.publish().unwrap();
    let mut read = Vec::new();
    let error = reader.read_to_end(&mut read).unwrap_err();
    assert!(error.to_string().contains("replaced"), "{error}");
    assert!(read == bytes(20 * MIB)[..read.len()], "a mixture was read");
    assert_eq!(get(&storage, &cx, "data").unwrap(), b"another one");
}

#[test]
fn a_user_whose_word_is_over_is_told_at_once_with_what_to_do() {
    let room = Room::new();
    let host =
        TestHost::new().secret("client", DriveDouble::CLIENT_SECRET).secret("refresh", "1//hunter2-revoked");
    let cx = host.context();
    let storage = Gdrive::new(serde_json::from_value(room.options()).unwrap(), &cx).unwrap();
    let error = storage.stat(&cx, "data").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{error:?}");
    assert!(error.hint.as_ref().unwrap().contains("make a new one"), "{error:?}");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    assert_eq!(room.double.asked().len(), 1);
}

#[test]
fn an_access_token_that_is_no_good_is_told_once_and_a_new_one_is_taken() {
    let room = Room::new();
    let host = TestHost::new().secret("token", "ya29.hunter2-old");
    let cx = host.context();
    let mut options = room.options();
    for name in ["client_id", "client_secret", "refresh_token"] {
        options.as_object_mut().unwrap().remove(name);
    }
    options["access_token"] = json!({ "$secret": "token" });
    let storage = Gdrive::new(serde_json::from_value(options).unwrap(), &cx).unwrap();
    let error = storage.stat(&cx, "data").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{error:?}");
    assert!(
        error.hint.as_ref().unwrap().contains("access_token") && !format!("{error:?}").contains("hunter2")
    );
    assert_eq!(room.double.asked().len(), 1, "asked again with the same token");
}
