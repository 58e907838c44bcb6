//! What goes wrong on the way: tokens that end, services that are busy or full, answers that are lost, bytes that change, keys
//! that may not.

mod common;

use common::{MIB, Room, begun, bytes, get, put};
use std::io::Write;

use serde_json::json;
use windlass_plugin_api::{ErrorKind, ListOptions, Plugin, Storage};
use windlass_storage_b2::B2;
use windlass_test_servers::{B2Double, Trouble};
use windlass_testkit::TestHost;

#[test]
fn tokens_that_end_in_the_middle_of_an_upload_are_renewed() {
    let room = Room::new();
    let (storage, cx) = room.storage(json!({ "concurrency": 1 }));
    let mut upload = begun(&storage, &cx, "data", true, &bytes(11 * MIB)).unwrap();
    room.double.state().expire();
    upload.write_all(&bytes(11 * MIB)).unwrap();
    upload.finish().unwrap();
    room.double.state().expire();
    upload.publish().unwrap();
    assert!(room.object("data").unwrap() == [bytes(11 * MIB), bytes(11 * MIB)].concat());
    assert!(room.double.count("b2_authorize_account") >= 3);
    // Those of uploads alone, too.
    put(&storage, &cx, "one", b"1").unwrap();
    room.double.state().close_doors();
    put(&storage, &cx, "two", b"2").unwrap();
    assert_eq!(room.object("two").unwrap(), b"2");
}

#[test]
fn a_busy_service_is_asked_again_at_another_address() {
    let room = Room::new();
    let (storage, cx) = room.storage(json!({}));
    put(&storage, &cx, "one", b"1").unwrap();
    let busy = |status, code| Trouble::Say(B2Double::refusal(status, code).header("retry-after", "1"));
    room.double.troubles.at("b2_upload_file", 0, busy(503, "service_unavailable"));
    room.double.troubles.at("b2_upload_file", 1, busy(429, "too_many_requests"));
    put(&storage, &cx, "two", b"2").unwrap();
    assert!(room.double.troubles.are_over());
    let uploads: Vec<String> = room
        .double
        .asked()
        .into_iter()
        .filter(|a| a.path.contains("b2_upload_file"))
        .map(|a| a.path)
        .collect();
    assert_eq!(uploads.len(), 4);
    assert!(uploads[1] == uploads[0] && uploads[2] != uploads[1] && uploads[3] != uploads[2], "{uploads:?}");

    room.double.troubles.at("b2_upload_part", 0, busy(503, "service_unavailable"));
    room.double.troubles.at("b2_upload_part", 1, Trouble::Lose);
    put(&storage, &cx, "large", &bytes(16 * MIB)).unwrap();
    assert!(room.double.troubles.are_over() && room.object("large").unwrap() == bytes(16 * MIB));
}

#[test]
fn an_object_whose_answer_was_lost_is_published_once() {
    for (length, call) in [(100, "b2_upload_file"), (6 * MIB, "b2_finish_large_file")] {
        let room = Room::new();
        let (storage, cx) = room.storage(json!({}));
        room.double.troubles.at(call, 0, Trouble::Lose);
        let stored = put(&storage, &cx, "data", &bytes(length)).unwrap();
        assert_eq!(stored.size_bytes, length as u64);
        assert!(stored.version.is_some());
        assert_eq!(room.actions("data"), ["upload"]);
        assert!(room.object("data").unwrap() == bytes(length) && room.double.troubles.are_over());
    }
}

/// Nobody knows the name of what was begun: it is looked for.
#[test]
fn a_large_file_whose_beginning_was_lost_is_found_and_removed() {
    let room = Room::new();
    let (storage, cx) = room.storage(json!({}));
    room.double.troubles.at("b2_start_large_file", 0, Trouble::Lose);
    let upload = begun(&storage, &cx, "data", true, &bytes(11 * MIB)).unwrap();
    assert_eq!(room.unfinished(), 2);
    drop(upload);
    assert_eq!(room.unfinished(), 0);
}

#[test]
fn bytes_that_change_on_their_way_are_sent_again_and_others_that_are_kept_are_damage() {
    let room = Room::new();
    let (storage, cx) = room.storage(json!({}));
    for call in ["b2_upload_file", "b2_upload_part"] {
        room.double.troubles.at(call, 0, Trouble::Garble);
        let content = if call == "b2_upload_part" { bytes(6 * MIB) } else { bytes(100) };
        put(&storage, &cx, call, &content).unwrap();
        assert!(room.object(call).unwrap() == content && room.double.troubles.are_over());
        room.double.troubles.at(call, 0, Trouble::Rot);
        let error = put(&storage, &cx, "rotten", &content).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Damaged, "{error:?}");
    }
}

#[test]
fn a_download_that_breaks_goes_on_and_one_that_is_replaced_is_not_mixed() {
    let room = Room::new();
    let (storage, cx) = room.storage(json!({}));
    put(&storage, &cx, "data", &bytes(20 * MIB)).unwrap();
    for after in 0..3 {
        room.double.troubles.at("b2_download_file_by_id", after, Trouble::Cut);
    }
    room.double.troubles.at("file", 0, Trouble::Cut);
    assert!(get(&storage, &cx, "data").unwrap() == bytes(20 * MIB));
    assert!(room.double.troubles.are_over());

    let mut reader = storage.open(&cx, "data", None).unwrap();
    room.double.state().put("web/below/data", b"another one");
    let mut read = Vec::new();
    std::io::Read::read_to_end(&mut reader, &mut read).unwrap();
    assert!(read == bytes(20 * MIB), "a mixture was read");
    room.double.state().expire();
    assert_eq!(get(&storage, &cx, "data").unwrap(), b"another one");
}

#[test]
fn no_room_is_told_with_what_to_do_and_not_repeated() {
    let room = Room::new();
    room.double.state().cap_bytes = 8 * MIB;
    let (storage, cx) = room.storage(json!({}));
    let error = put(&storage, &cx, "data", &bytes(20 * MIB)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Full, "{error:?}");
    assert!(error.hint.unwrap().contains("storage cap"));
    assert_eq!(room.unfinished(), 0);
}

#[test]
fn a_wrong_key_is_told_at_once_with_what_to_do_and_not_repeated() {
    let room = Room::new();
    let cx = TestHost::new().secret("key", "K001-hunter2-wrong").context();
    let storage = B2::new(serde_json::from_value(room.options()).unwrap(), &cx).unwrap();
    let error = storage.stat(&cx, "data").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{error:?}");
    assert!(error.hint.as_ref().unwrap().contains("application_key"), "{error:?}");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    assert_eq!(room.double.asked().len(), 1, "asked again with the same key");
}

#[test]
fn a_key_that_lacks_something_is_told_by_what_it_lacks() {
    let asked = |change: fn(&mut windlass_test_servers::B2State), options: serde_json::Value| {
        let room = Room::new();
        change(&mut room.double.state());
        let (storage, cx) = room.storage(options);
        storage
            .list(&cx, &ListOptions::default())
            .map(drop)
            .map_err(|error| (error.kind, format!("{error:?}")))
    };
    let lacks = |right: &'static str| {
        let room = Room::new();
        room.double.state().capabilities.retain(|own| own != right);
        let (storage, cx) = room.storage(json!({}));
        let error = match right {
            "readFiles" => get(&storage, &cx, "data").unwrap_err(),
            "writeFiles" => put(&storage, &cx, "data", b"x").unwrap_err(),
            "deleteFiles" => {
                room.double.state().put("web/below/data", b"x");
                storage.delete(&cx, &["data".to_owned()]).unwrap().remove(0).unwrap_err()
            }
            _ => storage.list(&cx, &ListOptions::default()).unwrap_err(),
        };
        assert_eq!(error.kind, ErrorKind::Denied, "{error:?}");
        assert!(format!("{error:?}").contains(&format!("`{right}`")), "{error:?}");
        assert!(error.hint.is_some());
    };
    ["readFiles", "writeFiles", "deleteFiles", "listFiles", "listBuckets"].into_iter().for_each(lacks);

    let of_another = asked(|state| state.only_bucket = Some("another-bucket".into()), json!({}));
    assert!(of_another.unwrap_err().1.contains("`another-bucket`"));
    let of_its_own = asked(
        |state| {
            state.only_bucket = Some(B2Double::BUCKET.into());
            state.only_prefix = Some("web/".into());
            state.capabilities.retain(|own| own != "listBuckets");
        },
        json!({}),
    );
    assert_eq!(of_its_own, Ok(()));
    let elsewhere = asked(|state| state.only_prefix = Some("web/".into()), json!({ "prefix": "db" }));
    assert!(elsewhere.unwrap_err().1.contains("`web/`"));
    let (kind, told) = asked(|_| {}, json!({ "bucket": "acme-nowhere" })).unwrap_err();
    assert!(kind == ErrorKind::Config && told.contains("Create the bucket"), "{told}");
}

#[test]
fn options_that_contradict_each_other_are_told() {
    let room = Room::new();
    let mut options = room.options();
    options.as_object_mut().unwrap().remove("key_id");
    let cx = room.host().context();
    let error = B2::new(serde_json::from_value(options).unwrap(), &cx).err().unwrap();
    assert!(error.kind == ErrorKind::Config && error.message.contains("`key_id`"), "{error:?}");
}
