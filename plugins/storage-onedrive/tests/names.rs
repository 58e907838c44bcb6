//! Names: those that differ by case, those that the service doesn't take, those that are too long; and what is deleted by its name.

mod common;

use std::io::{Read, Write};

use common::{Service, host};
use serde_json::json;
use windlass_plugin_api::{Context, CreateOptions, Error, ErrorKind, ListOptions, Plugin, Result, Storage};
use windlass_storage_onedrive::OneDrive;
use windlass_test_servers::{Fault, OneDriveDouble};

const MIB: usize = 1024 * 1024;

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
        if OneDriveDouble::call(asked) == "delete" {
            state.put("/Top/a", b"new");
        }
        Fault::No
    });
    let fate = storage.delete(&cx, &["a".to_owned()]).unwrap().remove(0);
    assert_eq!(fate.unwrap_err().kind, ErrorKind::Failed);
    assert_eq!(get(&storage, &cx, "a"), b"new");
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
        if OneDriveDouble::call(asked) == "store" {
            state.put("/Top/SHOP/other", b"bytes");
        }
        Fault::No
    });
    let error = put(&storage, &cx, "shop/data", b"little").unwrap_err();
    assert_eq!(error.kind, ErrorKind::AlreadyExists, "{error:?}");
    assert!(error.hint.as_ref().unwrap().contains("one name"), "{error:?}");
}

#[test]
fn keys_that_are_too_long_for_the_service_are_refused_before_the_first_byte() {
    let service = Service::start();
    let (storage, cx) = service.storage();
    for key in ["k".repeat(240), "d/".repeat(160) + "d", "?".repeat(100)] {
        let error = storage.create(&cx, &key, &CreateOptions::default()).err().expect(&key);
        assert_eq!(error.kind, ErrorKind::Config, "{key}: {error:?}");
    }
    let how = CreateOptions { size_hint: Some(3 << 40), ..CreateOptions::default() };
    let error = storage.create(&cx, "data", &how).err().unwrap();
    assert_eq!(error.kind, ErrorKind::Unsupported, "{error:?}");
    assert!(service.calls().is_empty(), "the service was asked");
}

#[test]
fn names_that_the_service_does_not_take_are_kept_under_others_and_come_back() {
    let service = Service::start();
    let (storage, cx) = service.storage();
    let keys = [
        "CON/nul.txt/com1",
        "a./b ",
        "desktop.ini",
        "ü/日本語/🙂 x",
        "100%/%2e",
        "a:b|c?*",
        "~$x/_vti_",
        "x.parts/y.parts",
        ".windlass-upload-a-b",
        "tab\tline\n",
        "#&+'=",
    ];
    for (key, length) in keys.iter().flat_map(|key| [(key, 5), (key, 2 * MIB)]) {
        let content = vec![length as u8 ^ 7; length];
        put(&storage, &cx, key, &content).unwrap_or_else(|error| panic!("{key}: {error:?}"));
        assert!(get(&storage, &cx, key) == content, "{key}");
        let what = ListOptions { prefix: (*key).to_owned(), ..ListOptions::default() };
        let entries = storage.list(&cx, &what).unwrap().entries;
        assert_eq!((entries.len(), entries[0].key.as_str(), entries[0].size_bytes), (1, *key, length as u64));
        storage.delete(&cx, &[(*key).to_owned()]).unwrap().remove(0).unwrap();
        assert_eq!(service.state().paths(), Vec::<String>::new(), "{key}");
    }
}

#[test]
fn files_of_other_people_are_not_listed_as_what_they_are_not() {
    let service = Service::start();
    let (storage, cx) = service.storage();
    for path in ["/Top/shop/100%", "/Top/shop/letter.docx", "/Top/shop/spare.parts", "/Top/shop/%41"] {
        service.state().put(path, b"not ours");
    }
    let page = storage.list(&cx, &ListOptions::default()).unwrap();
    let keys: Vec<&str> = page.entries.iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!(keys, ["shop/letter.docx"]);
}

#[test]
fn options_that_do_not_fit_each_other_are_told() {
    let cx = host().context();
    let secret = json!({ "$secret": "refresh" });
    for (options, named) in [
        (json!({}), "nothing says who we are"),
        (json!({ "refresh_token": secret }), "nothing says who we are"),
        (json!({ "access_token": secret, "refresh_token": secret, "client_id": "x" }), "more than one"),
        (json!({ "access_token": secret, "tenant": "../x" }), "`tenant`"),
        (json!({ "access_token": secret, "app_folder": true, "drive_id": "x" }), "two places"),
        (json!({ "access_token": secret, "prefix": "a/../b" }), "`..`"),
        (json!({ "access_token": secret, "endpoint": "graph.example" }), "`endpoint`"),
    ] {
        let error = OneDrive::new(serde_json::from_value(options.clone()).unwrap(), &cx).err().unwrap();
        assert_eq!(error.kind, ErrorKind::Config, "{options}");
        assert!(error.message.contains(named), "{options}: {error:?}");
    }
}
