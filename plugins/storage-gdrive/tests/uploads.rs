//! Uploads: what is seen of them when, that they go on where the service is, and what becomes of several files of one name.

mod common;

use common::{MIB, Room, begun, bytes, get, put};
use serde_json::json;
use windlass_plugin_api::{ErrorKind, ListOptions, Plugin, Storage};
use windlass_storage_gdrive::Gdrive;
use windlass_test_servers::{DriveDouble, Said, Trouble};

/// Lengths beside those at which a part, or the step in which sessions take bytes, ends.
#[test]
fn a_large_object_is_whole_and_seen_only_when_it_is_published() {
    let room = Room::new();
    // It is stored in one request only up to 5 MB.
    let (storage, cx) = room.storage(json!({ "part_size": 2 }));
    for length in [5 * MIB + 1, 6 * MIB, 6 * MIB + 256 * 1024, 7 * MIB + 77] {
        let key = format!("shop/data-{length}");
        let mut upload = begun(&storage, &cx, &key, true, &bytes(length)).unwrap();
        upload.finish().unwrap();
        assert_eq!(storage.stat(&cx, &key).unwrap(), None, "seen before it is published");
        assert_eq!(room.double.state().open_sessions(), 1);
        assert!(upload.publish().unwrap().version.is_some());
        assert!(get(&storage, &cx, &key).unwrap() == bytes(length), "{length}");
        assert!(room.object(&key).unwrap() == bytes(length), "{length} by another door");
    }
}

#[test]
fn a_dropped_upload_ends_its_session() {
    let room = Room::new();
    let (storage, cx) = room.storage(json!({}));
    for finish in [false, true] {
        let mut upload = begun(&storage, &cx, "data", true, &bytes(6 * MIB)).unwrap();
        if finish {
            upload.finish().unwrap();
        }
        assert_eq!(room.double.state().open_sessions(), 1);
        drop(upload);
        assert_eq!(room.double.state().open_sessions(), 0);
        assert_eq!(room.object("data"), None);
    }
}

#[test]
fn an_upload_that_is_cut_goes_on_where_the_service_is() {
    let room = Room::new();
    let (storage, cx) = room.storage(json!({}));
    // In the middle of a part, behind it, and the last bytes of all.
    room.double.troubles.at("session", 1, Trouble::Cut);
    room.double.troubles.at("session", 4, Trouble::Lose);
    let mut upload = begun(&storage, &cx, "data", true, &bytes(8 * MIB + 77)).unwrap();
    upload.finish().unwrap();
    room.double.troubles.at("session", 0, Trouble::Lose);
    upload.publish().unwrap();
    assert!(room.double.troubles.are_over());
    assert!(room.object("data").unwrap() == bytes(8 * MIB + 77));
    let asked_how_far = |asked: &windlass_test_servers::Asked| asked.header("content-range") == "bytes */*";
    assert_eq!(room.double.asked().iter().filter(|asked| asked_how_far(asked)).count(), 2);
}

#[test]
fn what_a_session_did_not_keep_is_sent_again() {
    let room = Room::new();
    room.double.state().keeps = Some(256 * 1024);
    let (storage, cx) = room.storage(json!({}));
    put(&storage, &cx, "data", &bytes(6 * MIB + 5)).unwrap();
    assert!(room.object("data").unwrap() == bytes(6 * MIB + 5));
}

#[test]
fn a_session_that_the_service_gave_up_is_told_with_what_to_do() {
    for gone in [404, 410] {
        let room = Room::new();
        let (storage, cx) = room.storage(json!({}));
        let mut upload = begun(&storage, &cx, "data", true, &bytes(6 * MIB)).unwrap();
        upload.finish().unwrap();
        match gone {
            404 => room.double.state().end_sessions(),
            _ => room.double.troubles.at("session", 0, Trouble::Say(DriveDouble::refusal(410, ""))),
        }
        let asked = room.double.count("session");
        let error = upload.publish().unwrap_err();
        assert_eq!(error.kind, ErrorKind::Failed, "{error:?}");
        assert!(error.hint.as_ref().unwrap().contains("again"), "{error:?}");
        assert_eq!((room.double.count("session"), room.object("data")), (asked + 1, None));
    }
}

/// Neither of two uploads sees the other: nothing of them is lost, and it is told.
#[test]
fn what_the_service_lists_too_late_is_told_when_it_is_read() {
    let room = Room::new();
    let (storage, cx) = room.storage(json!({}));
    put(&storage, &cx, "another", b"x").unwrap();
    room.double.state().lag = 8;
    put(&storage, &cx, "data", b"one").unwrap();
    put(&storage, &cx, "data", b"two").unwrap();
    assert_eq!(room.double.state().objects("data").len(), 2);
    for _ in 0..8 {
        storage.stat(&cx, "another").unwrap();
    }
    assert_eq!(get(&storage, &cx, "data").unwrap_err().kind, ErrorKind::Damaged);
}

#[test]
fn an_object_whose_answer_was_lost_is_published_once() {
    for (length, call) in [(100, "multipart"), (6 * MIB, "session")] {
        let room = Room::new();
        let (storage, cx) = room.storage(json!({}));
        let mut upload = begun(&storage, &cx, "data", true, &bytes(length)).unwrap();
        upload.finish().unwrap();
        room.double.troubles.at(call, 0, Trouble::Lose);
        assert_eq!(upload.publish().unwrap().size_bytes, length as u64);
        assert!(room.object("data").unwrap() == bytes(length) && room.double.troubles.are_over());
    }
}

/// The service knows no condition: two that look at the same moment both see nothing.
#[test]
fn of_two_uploads_that_both_saw_nothing_the_first_one_stays() {
    for length in [100, 6 * MIB] {
        let room = Room::new();
        let (storage, cx) = room.storage(json!({}));
        put(&storage, &cx, "another", b"x").unwrap();
        let mut upload = begun(&storage, &cx, "lock", true, &bytes(length)).unwrap();
        upload.finish().unwrap();
        room.double.troubles.at("list", 0, Trouble::Say(Said::status(200).body(r#"{"files":[]}"#)));
        room.double.state().put("web", "lock", b"the other one");
        assert_eq!(upload.publish().unwrap_err().kind, ErrorKind::AlreadyExists, "{length}");
        assert!(room.double.troubles.are_over());
        assert_eq!(room.object("lock").unwrap(), b"the other one");
        assert_eq!(room.double.state().open_sessions(), 0);
    }
}

#[test]
fn two_files_of_one_name_are_told_and_not_chosen_from() {
    let room = Room::new();
    let (storage, cx) = room.storage(json!({}));
    put(&storage, &cx, "data", b"one").unwrap();
    room.double.state().put("web", "data", b"two");
    for error in [storage.stat(&cx, "data").unwrap_err(), get(&storage, &cx, "data").unwrap_err()] {
        assert_eq!(error.kind, ErrorKind::Damaged, "{error:?}");
        assert!(format!("{error:?}").contains("2 files are called `data`"), "{error:?}");
        assert!(error.hint.as_ref().unwrap().contains("delete the others"), "{error:?}");
    }
    assert_eq!(put(&storage, &cx, "data", b"three").unwrap_err().kind, ErrorKind::AlreadyExists);
    assert_eq!(storage.list(&cx, &ListOptions::default()).unwrap().entries.len(), 1);
    // Who deletes the key means all of them.
    storage.delete(&cx, &["data".to_owned()]).unwrap().remove(0).unwrap();
    assert_eq!(room.double.state().objects("data").len(), 0);

    // One that replaces leaves one.
    for content in [b"one", b"two"] {
        room.double.state().put("web", "data", content);
    }
    let mut upload = begun(&storage, &cx, "data", false, b"three").unwrap();
    upload.finish().unwrap();
    upload.publish().unwrap();
    assert_eq!(room.object("data").unwrap(), b"three");
}

#[test]
fn names_that_differ_by_case_alone_are_two_objects() {
    let room = Room::new();
    let (storage, cx) = room.storage(json!({}));
    put(&storage, &cx, "Shop/Data", b"large").unwrap();
    put(&storage, &cx, "shop/data", b"small").unwrap();
    assert_eq!(get(&storage, &cx, "Shop/Data").unwrap(), b"large");
    assert_eq!(get(&storage, &cx, "shop/data").unwrap(), b"small");
    storage.delete(&cx, &["shop/data".to_owned()]).unwrap().remove(0).unwrap();
    assert_eq!(get(&storage, &cx, "Shop/Data").unwrap(), b"large");
}

#[test]
fn names_with_signs_of_the_query_language_are_found_again() {
    let room = Room::new();
    let (storage, cx) = room.storage(json!({ "folder": r"It's a \ folder" }));
    for key in ["it's", r"back\slash", "' or name != '"] {
        put(&storage, &cx, key, key.as_bytes()).unwrap();
        assert_eq!(get(&storage, &cx, key).unwrap(), key.as_bytes());
        assert_eq!(room.object(key).unwrap(), key.as_bytes());
    }
}

#[test]
fn listings_of_many_pages_are_whole() {
    let room = Room::new();
    let (storage, cx) = room.storage(json!({}));
    put(&storage, &cx, "shop/00/data", b"x").unwrap();
    for number in 1..25 {
        room.double.state().put("web", &format!("shop/{number:02}/data"), b"x");
    }
    room.double.state().put("Backups", "elsewhere", b"x");
    room.double.state().page = Some(4);
    let all = |delimiter: Option<&str>| {
        let what = ListOptions {
            prefix: "shop/".into(),
            delimiter: delimiter.map(Into::into),
            ..Default::default()
        };
        let page = storage.list(&cx, &what).unwrap();
        page.entries.into_iter().map(|entry| entry.key).collect::<Vec<_>>()
    };
    assert_eq!(all(None), (0..25).map(|number| format!("shop/{number:02}/data")).collect::<Vec<_>>());
    assert_eq!(all(Some("/")), (0..25).map(|number| format!("shop/{number:02}/")).collect::<Vec<_>>());
}

#[test]
fn the_folder_is_made_once_and_two_of_its_name_are_told() {
    let room = Room::new();
    let (storage, cx) = room.storage(json!({}));
    assert_eq!(storage.list(&cx, &ListOptions::default()).unwrap().entries, []);
    assert_eq!(storage.stat(&cx, "data").unwrap(), None);
    assert_eq!(room.double.count("create"), 0, "made by who only reads");
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (storage, cx) = (&storage, &cx);
            scope.spawn(move || put(storage, cx, &format!("data-{number}"), b"x").unwrap());
        }
    });
    assert_eq!(room.double.count("create"), 2);
    room.double.state().put_folder("root", "Backups");
    let (another, cx) = room.storage(json!({}));
    let error = put(&another, &cx, "data", b"x").unwrap_err();
    assert!(
        error.kind == ErrorKind::Damaged && format!("{error:?}").contains("2 files are called `Backups`"),
        "{error:?}"
    );
}

/// Both look, both make it: the older one stays.
#[test]
fn a_folder_that_another_machine_makes_at_the_same_moment_is_one_folder() {
    let room = Room::new();
    let (storage, cx) = room.storage(json!({ "folder": "Backups" }));
    // Looks for the object and for the folder that find nothing; then the other one is there.
    for _ in 0..2 {
        room.double.troubles.at("list", 0, Trouble::Say(Said::status(200).body(r#"{"files":[]}"#)));
    }
    room.double.state().put_folder("root", "Backups");
    put(&storage, &cx, "data", b"x").unwrap();
    assert_eq!(room.double.count("delete"), 1);
    let (another, cx) = room.storage(json!({ "folder": "Backups" }));
    assert_eq!(get(&another, &cx, "data").unwrap(), b"x");
}

#[test]
fn a_shared_drive_and_a_folder_by_its_id_keep_objects_too() {
    let room = Room::new();
    room.double.state().shared = Some("0AShared".to_owned());
    let (storage, cx) = room.storage(json!({ "drive_id": "0AShared" }));
    put(&storage, &cx, "large", &bytes(6 * MIB)).unwrap();
    put(&storage, &cx, "small", b"little").unwrap();
    assert!(get(&storage, &cx, "large").unwrap() == bytes(6 * MIB));
    assert_eq!(get(&storage, &cx, "small").unwrap(), b"little");
    storage.check(&cx).unwrap();

    let id = room.double.state().put_folder("0AShared", "by-id");
    let by_id = |id: &str| room.storage(json!({ "folder": null, "folder_id": id, "drive_id": "0AShared" }));
    let (storage, cx) = by_id(&id);
    put(&storage, &cx, "small", b"other").unwrap();
    assert_eq!(get(&storage, &cx, "small").unwrap(), b"other");
    let (nowhere, cx) = by_id("1nothing");
    for error in [
        nowhere.stat(&cx, "small").unwrap_err(),
        nowhere.list(&cx, &ListOptions::default()).unwrap_err(),
        put(&nowhere, &cx, "small", b"x").unwrap_err(),
    ] {
        assert_eq!(error.kind, ErrorKind::Config, "{error:?}");
        assert!(error.hint.as_ref().unwrap().contains("folder_id"), "{error:?}");
    }
}

#[test]
fn options_that_say_nothing_or_too_much_are_told() {
    let room = Room::new();
    let cx = room.host().context();
    for (changes, named) in [
        (json!({ "folder": null }), "`folder`"),
        (json!({ "folder": "/" }), "`folder`"),
        (json!({ "folder_id": "1" }), "`folder_id`"),
        (json!({ "refresh_token": null }), "`refresh_token`"),
        (json!({ "access_token": { "$secret": "refresh" } }), "`access_token`"),
        (json!({ "endpoint": "https://user:hunter2@drive.example" }), "`endpoint`"),
    ] {
        let mut options = room.options();
        for (name, value) in changes.as_object().unwrap() {
            options[name] = value.clone();
        }
        let error = Gdrive::new(serde_json::from_value(options).unwrap(), &cx).err().unwrap();
        assert!(error.kind == ErrorKind::Config && error.message.contains(named), "{changes}: {error:?}");
        assert!(error.hint.is_some() && !format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    let (storage, cx) = room.storage(json!({}));
    assert_eq!(
        storage.create(&cx, &"x".repeat(1001), &Default::default()).err().unwrap().kind,
        ErrorKind::Config
    );
    assert_eq!(room.double.asked().len(), 0);
}
