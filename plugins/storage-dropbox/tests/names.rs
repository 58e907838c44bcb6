//! Names: those that differ by case, those that the service doesn't take, those of other scripts; and what is deleted by its name.

mod common;

use std::io::{Read, Write};

use common::{Service, host};
use serde_json::json;
use windlass_plugin_api::{Context, CreateOptions, Error, ErrorKind, ListOptions, Plugin, Result, Storage};
use windlass_storage_dropbox::Dropbox;
use windlass_test_servers::{DropboxDouble, Fault};

const MIB: usize = 1024 * 1024;

fn put(storage: &Dropbox, cx: &Context, key: &str, content: &[u8]) -> Result<()> {
    let how = CreateOptions { if_absent: true, ..CreateOptions::default() };
    let mut upload = storage.create(cx, key, &how)?;
    upload.write_all(content)?;
    upload.finish()?;
    upload.publish().map(drop)
}

fn get(storage: &Dropbox, cx: &Context, key: &str) -> Vec<u8> {
    let mut read = Vec::new();
    storage.open(cx, key, None).unwrap().read_to_end(&mut read).unwrap();
    read
}

#[test]
fn deleting_takes_only_files_of_just_that_name_and_the_folder_that_they_leave_empty() {
    let service = Service::start();
    let (storage, cx) = service.storage();
    for path in ["/Top/shop/one/a", "/Top/shop/one/b", "/Top/shop/one/c", "/Top/shop/two/a", "/Top/shop/Mine"]
    {
        service.state().put(path, b"bytes");
    }
    let keys = ["shop/one", "shop/mine", "Shop/two/a", "shop/two/absent"].map(str::to_owned);
    assert!(storage.delete(&cx, &keys).unwrap().iter().all(Result::is_ok));
    assert_eq!(service.state().paths().len(), 5, "something that wasn't named is gone");
    let keys = ["shop/one/a", "shop/one/B", "shop/one/b", "shop/one/c", "shop/two/a"].map(str::to_owned);
    assert!(storage.delete(&cx, &keys).unwrap().iter().all(Result::is_ok));
    assert_eq!(service.state().paths(), ["/Top/shop/Mine"]);
    assert!(
        service.calls().contains(&"delete_batch/check".to_owned()),
        "the service's job wasn't waited for"
    );
    let what = ListOptions { prefix: "shop/".into(), delimiter: Some("/".into()), ..ListOptions::default() };
    let page = storage.list(&cx, &what).unwrap();
    let keys: Vec<&str> = page.entries.iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!(keys, ["shop/Mine"], "an empty folder is listed");
}

#[test]
fn what_was_replaced_after_it_was_looked_at_is_not_deleted() {
    let service = Service::start();
    let (storage, cx) = service.storage();
    service.state().put("/Top/a", b"old");
    service.fail(|asked, state| {
        if DropboxDouble::call(asked) == "delete_v2" {
            state.put("/Top/a", b"new");
        }
        Fault::No
    });
    let fate = storage.delete(&cx, &["a".to_owned()]).unwrap().remove(0);
    assert_eq!(fate.unwrap_err().kind, ErrorKind::Failed);
    assert_eq!(service.state().bytes("/Top/a"), b"new");
}

#[test]
fn two_keys_that_differ_only_by_case_never_take_each_others_place() {
    let service = Service::start();
    let (storage, cx) = service.storage();
    put(&storage, &cx, "Shop/one/data", b"first").unwrap();
    for (key, length) in [
        ("shop/one/data", 7),
        ("Shop/one/DATA", 7),
        ("shop/two/data", 7),
        ("Shop/ONE/other", 7),
        ("shop/one/data", 5 * MIB),
        ("Shop/one/Data", 5 * MIB),
    ] {
        for if_absent in [true, false] {
            let how = CreateOptions { if_absent, ..CreateOptions::default() };
            let stored = storage.create(&cx, key, &how).and_then(|mut upload| {
                upload.write_all(&vec![7; length]).map_err(Error::from)?;
                upload.finish()?;
                upload.publish()
            });
            let error = stored.expect_err(key);
            assert_eq!(error.kind, ErrorKind::AlreadyExists, "{key}: {error:?}");
        }
        assert_eq!(storage.stat(&cx, key).unwrap(), None, "{key} is found under another's name");
        let opened = storage.open(&cx, key, None).map(drop);
        assert_eq!(opened.unwrap_err().kind, ErrorKind::NotFound, "{key}");
    }
    assert_eq!(service.state().paths(), ["/Top/Shop/one/data"]);
    assert_eq!(get(&storage, &cx, "Shop/one/data"), b"first");
}

#[test]
fn a_folder_of_another_case_that_came_meanwhile_is_told() {
    let service = Service::start();
    let (storage, cx) = service.storage();
    service.fail(|asked, state| {
        if DropboxDouble::call(asked) == "upload" {
            state.put("/Top/SHOP/other", b"bytes");
        }
        Fault::No
    });
    let error = put(&storage, &cx, "shop/data", b"little").unwrap_err();
    assert_eq!(error.kind, ErrorKind::AlreadyExists, "{error:?}");
    assert!(error.hint.as_ref().unwrap().contains("one name"), "{error:?}");
}

#[test]
fn names_and_keys_that_the_service_does_not_take_are_refused_before_the_first_byte() {
    let service = Service::start();
    let (storage, cx) = service.storage();
    let long = format!("a/{}", "x".repeat(256));
    let deep = "d/".repeat(600) + "d";
    for key in ["shop/Desktop.INI", "a\\b", "a /b", long.as_str(), deep.as_str()] {
        let error = storage.create(&cx, key, &CreateOptions::default()).err().expect(key);
        assert_eq!(error.kind, ErrorKind::Config, "{key}: {error:?}");
    }
    let how = CreateOptions { size_hint: Some(400_000_000_000), ..CreateOptions::default() };
    let error = storage.create(&cx, "data", &how).err().unwrap();
    assert_eq!(error.kind, ErrorKind::Unsupported, "{error:?}");
    assert!(service.calls().is_empty(), "the service was asked");
}

#[test]
fn names_of_other_scripts_come_back() {
    let service = Service::start();
    let (storage, cx) = service.storage();
    for key in ["ü/日本語/🙂 x", "it's/{\"a\"}"] {
        put(&storage, &cx, key, key.as_bytes()).unwrap();
        assert_eq!(get(&storage, &cx, key), key.as_bytes());
        let what = ListOptions { prefix: key.to_owned(), ..ListOptions::default() };
        assert_eq!(storage.list(&cx, &what).unwrap().entries[0].key, key);
    }
}

#[test]
fn options_that_do_not_fit_each_other_are_told() {
    let cx = host().context();
    let secret = json!({ "$secret": "refresh" });
    for (options, named) in [
        (json!({}), "nothing says who we are"),
        (json!({ "refresh_token": secret }), "nothing says who we are"),
        (json!({ "access_token": secret, "refresh_token": secret, "client_id": "x" }), "more than one"),
        (json!({ "access_token": secret, "part_size": 15 }), "`part_size`"),
        (json!({ "access_token": secret, "prefix": "a/../b" }), "`..`"),
        (json!({ "access_token": secret, "endpoint": "dropbox.example" }), "`endpoint`"),
    ] {
        let error = Dropbox::new(serde_json::from_value(options.clone()).unwrap(), &cx).err().unwrap();
        assert_eq!(error.kind, ErrorKind::Config, "{options}");
        assert!(error.message.contains(named), "{options}: {error:?}");
    }
}
