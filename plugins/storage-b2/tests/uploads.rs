//! Uploads in parts and in one piece: what is seen of them when, whose they are when several come, and what is kept with them.

mod common;

use common::{MIB, Room, begun, bytes, get, put};
use serde_json::json;
use windlass_plugin_api::{ErrorKind, ListOptions, Storage};

#[test]
fn a_large_object_is_whole_and_seen_only_when_it_is_published() {
    let room = Room::new();
    let (storage, cx) = room.storage(json!({}));
    for length in [5 * MIB + 1, 10 * MIB, 17 * MIB + 77] {
        let key = format!("data-{length}");
        let mut upload = begun(&storage, &cx, &key, true, &bytes(length)).unwrap();
        upload.finish().unwrap();
        assert_eq!((storage.stat(&cx, &key).unwrap(), room.unfinished()), (None, 1));
        assert!(upload.publish().unwrap().version.is_some());
        assert!(get(&storage, &cx, &key).unwrap() == bytes(length), "{length}");
        assert!(room.object(&key).unwrap() == bytes(length), "{length} by another door");
        assert_eq!(room.actions(&key), ["upload"]);
    }
}

/// Without the right to delete: a failed run needs none.
#[test]
fn a_dropped_large_upload_leaves_nothing_and_needs_no_right_to_delete() {
    let room = Room::new();
    room.double.state().capabilities.retain(|own| own != "deleteFiles");
    let (storage, cx) = room.storage(json!({}));
    for finish in [false, true] {
        let mut upload = begun(&storage, &cx, "shop/data", true, &bytes(12 * MIB)).unwrap();
        if finish {
            upload.finish().unwrap();
        }
        assert_eq!(room.unfinished(), 1);
        drop(upload);
        assert_eq!((room.unfinished(), room.actions("shop/data")), (0, vec![]));
    }
}

#[test]
fn a_half_upload_of_a_dead_run_is_listed_and_removed() {
    let room = Room::new();
    let (storage, cx) = room.storage(json!({}));
    room.double.state().page = 1;
    for key in ["shop/one", "shop/two", "other/three"] {
        std::mem::forget(begun(&storage, &cx, key, true, &bytes(6 * MIB)).unwrap());
    }
    let (other, cx) = room.storage(json!({}));
    let left = other.leftovers(&cx, "shop/").unwrap();
    assert_eq!(left.iter().map(|left| left.key.as_str()).collect::<Vec<_>>(), ["shop/one", "shop/two"]);
    assert!(left.iter().all(|left| left.started.is_some()));
    assert_eq!(other.list(&cx, &ListOptions::default()).unwrap().entries, []);
    other.discard(&cx, &left).unwrap();
    // What is gone already counts as done.
    other.discard(&cx, &left).unwrap();
    let left = other.leftovers(&cx, "").unwrap();
    assert_eq!(left.iter().map(|left| left.key.as_str()).collect::<Vec<_>>(), ["other/three"]);
}

/// The service knows no condition: two that look at the same moment both see nothing.
#[test]
fn of_two_uploads_that_both_saw_nothing_the_first_one_stays() {
    for length in [100, 6 * MIB] {
        let room = Room::new();
        let (storage, cx) = room.storage(json!({}));
        let mut upload = begun(&storage, &cx, "lock", true, &bytes(length)).unwrap();
        upload.finish().unwrap();
        // What the look before it finds is nothing; what is there by then is the other one's.
        let nothing = windlass_test_servers::Said::status(200).body(r#"{"files":[],"nextFileName":null}"#);
        room.double.troubles.at("b2_list_file_names", 0, windlass_test_servers::Trouble::Say(nothing));
        room.double.state().put("web/below/lock", b"the other one");
        assert_eq!(upload.publish().unwrap_err().kind, ErrorKind::AlreadyExists, "{length}");
        assert!(room.double.troubles.are_over());
        assert_eq!(room.object("lock").unwrap(), b"the other one");
        assert_eq!((room.actions("lock"), room.unfinished()), (vec!["upload"], 0));
    }
}

/// Nothing is lost, and nobody is told that the second one is there.
#[test]
fn the_second_of_two_uploads_fails_even_where_it_can_not_take_itself_away() {
    let room = Room::new();
    room.double.state().capabilities.retain(|own| own != "deleteFiles");
    let (storage, cx) = room.storage(json!({}));
    let nothing = windlass_test_servers::Said::status(200).body(r#"{"files":[],"nextFileName":null}"#);
    room.double.troubles.at("b2_list_file_names", 0, windlass_test_servers::Trouble::Say(nothing));
    room.double.state().put("web/below/lock", b"the other one");
    assert_eq!(put(&storage, &cx, "lock", b"mine").unwrap_err().kind, ErrorKind::AlreadyExists);
    assert_eq!(room.actions("lock"), ["upload", "upload"]);
}

#[test]
fn a_key_that_may_only_write_stores_small_and_large_objects() {
    let room = Room::new();
    let mut state = room.double.state();
    state.capabilities = vec!["writeFiles".to_owned()];
    state.only_bucket = Some(windlass_test_servers::B2Double::BUCKET.to_owned());
    drop(state);
    let (storage, cx) = room.storage(json!({}));
    put(&storage, &cx, "small", b"little").unwrap();
    put(&storage, &cx, "large", &bytes(6 * MIB)).unwrap();
    assert_eq!(room.object("small").unwrap(), b"little");
    assert!(room.object("large").unwrap() == bytes(6 * MIB));
    let error = storage.list(&cx, &ListOptions::default()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    assert!(
        error.message.contains("`listFiles`") || error.causes.iter().any(|c| c.contains("`listFiles`")),
        "{error:?}"
    );
    let files = room.double.state().files();
    let report = storage.check(&cx).unwrap();
    let says = |what: &str| report.notes.iter().any(|note| note.contains(what));
    assert!(says("can't delete") && says("can't list"), "{report:?}");
    assert_eq!(room.double.state().files(), files, "a check leaves something");
    assert_eq!(room.unfinished(), 0);
}

#[test]
fn a_check_locks_nothing_and_leaves_nothing_without_the_right_to_delete() {
    for (options, lacks) in [
        (json!({ "retention": { "mode": "compliance", "days": 3 } }), ""),
        (json!({ "retention": { "mode": "compliance", "days": 3 } }), "deleteFiles"),
        (json!({}), "deleteFiles"),
    ] {
        let room = Room::new();
        room.double.state().capabilities.retain(|own| own != lacks);
        let (storage, cx) = room.storage(options);
        let report = storage.check(&cx).unwrap();
        assert_eq!(room.double.state().files(), 0, "{lacks}: {report:?}");
        assert_eq!(room.unfinished(), 0);
        let says = |what: &str| report.notes.iter().any(|note| note.contains(what));
        assert!(says("1 MiB up in") == lacks.is_empty() && says("can't delete") != lacks.is_empty());
    }
    // Hidden, it is one of the versions that nobody sees.
    let room = Room::new();
    let (storage, cx) = room.storage(json!({ "delete": "hide" }));
    assert!(storage.check(&cx).unwrap().keeps_deleted);
    let stored = room.double.state().stored_bytes();
    assert!(stored <= 128, "{stored} bytes stay");
}

#[test]
fn deleting_means_all_versions_or_hiding_as_the_option_says() {
    let room = Room::new();
    for _ in 0..2 {
        room.double.state().put("web/below/a", b"version");
        room.double.state().put("web/below/ab", b"another name");
    }
    let (hiding, cx) = room.storage(json!({ "delete": "hide" }));
    let named = ["a".to_owned(), "nothing".to_owned()];
    for _ in 0..2 {
        assert_eq!(hiding.delete(&cx, &named).unwrap(), [Ok(()), Ok(())]);
        assert_eq!((room.object("a"), room.actions("a")), (None, vec!["hide", "upload", "upload"]));
    }
    assert_eq!(room.actions("nothing"), Vec::<&str>::new());
    assert_eq!(hiding.stat(&cx, "a").unwrap(), None);
    // A name that is hidden is free.
    put(&hiding, &cx, "a", b"again").unwrap();
    assert_eq!(get(&hiding, &cx, "a").unwrap(), b"again");

    let (deleting, cx) = room.storage(json!({}));
    room.double.state().page = 1;
    assert_eq!(deleting.delete(&cx, &named).unwrap(), [Ok(()), Ok(())]);
    assert_eq!(room.actions("a"), Vec::<&str>::new());
    assert_eq!(room.actions("ab"), ["upload", "upload"]);
}

#[test]
fn a_retention_locks_small_and_large_objects_and_deleting_says_so() {
    let room = Room::new();
    let (storage, cx) = room.storage(json!({ "retention": { "mode": "compliance", "days": 3 } }));
    for (key, content) in [("small", b"little".to_vec()), ("large", bytes(6 * MIB))] {
        put(&storage, &cx, key, &content).unwrap();
        let (until, mode) = room.double.state().lock(&format!("web/below/{key}")).unwrap();
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
        let day = 24 * 3600 * 1000;
        assert!(mode == "compliance" && until > now + 2 * day && until <= now + 3 * day, "{mode} {until}");
        let fate = storage.delete(&cx, &[key.to_owned()]).unwrap().remove(0).unwrap_err();
        assert_eq!(fate.kind, ErrorKind::Denied);
        assert!(fate.hint.as_ref().unwrap().contains("object lock"), "{fate:?}");
        assert!(room.object(key).is_some());
    }
}

#[test]
fn listings_of_many_pages_are_whole_and_show_no_folders_of_the_console() {
    let room = Room::new();
    let (storage, cx) = room.storage(json!({}));
    for number in 0..25 {
        room.double.state().put(&format!("web/below/shop/{number:02}/data"), b"x");
    }
    room.double.state().put("web/below/shop/.bzEmpty", b"");
    room.double.state().put("web/elsewhere", b"x");
    room.double.state().page = 4;
    let all = |delimiter: Option<&str>| {
        let mut what = ListOptions {
            prefix: "shop/".into(),
            delimiter: delimiter.map(Into::into),
            ..Default::default()
        };
        let mut keys = Vec::new();
        loop {
            let page = storage.list(&cx, &what).unwrap();
            keys.extend(page.entries.into_iter().map(|entry| entry.key));
            if !page.more {
                return keys;
            }
            what.after = keys.last().cloned();
        }
    };
    assert_eq!(all(None), (0..25).map(|number| format!("shop/{number:02}/data")).collect::<Vec<_>>());
    assert_eq!(all(Some("/")), (0..25).map(|number| format!("shop/{number:02}/")).collect::<Vec<_>>());
}

#[test]
fn what_the_service_forbids_is_refused_before_a_byte_is_sent() {
    let room = Room::new();
    let (storage, cx) = room.storage(json!({}));
    let long = vec!["x".repeat(200); 6].join("/");
    assert_eq!(storage.create(&cx, &long, &Default::default()).err().unwrap().kind, ErrorKind::Config);
    for key in ["back\\slash".to_owned(), "x".repeat(251)] {
        assert_eq!(storage.create(&cx, &key, &Default::default()).err().unwrap().kind, ErrorKind::Config);
    }
    assert_eq!(room.double.asked().len(), 0);
}
