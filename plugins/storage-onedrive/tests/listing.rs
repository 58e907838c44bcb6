//! Listings of a service that knows no case and tells pages in no order: in byte order, complete, folded, and as `stat` says.

mod common;

use std::io::Write;

use common::Service;
use windlass_plugin_api::{Context, CreateOptions, ListOptions, Storage};
use windlass_storage_onedrive::OneDrive;
use windlass_test_servers::{Fault, OneDriveDouble};

/// In byte order, which is neither that of folders nor that of any language. No two differ only by case.
const KEYS: [&str; 12] =
    ["B", "a-b/1", "a.b", "a/1", "a/10", "a/2", "a/C/1", "a/b/2", "a/c-/d/e", "aa/1", "bb", "bb-1"];

fn filled(service: &Service) -> (OneDrive, Context) {
    let (storage, cx) = service.storage();
    for key in KEYS.iter().rev() {
        let mut upload = storage.create(&cx, key, &CreateOptions::default()).unwrap();
        upload.write_all(key.as_bytes()).unwrap();
        upload.finish().unwrap();
        upload.publish().unwrap();
    }
    // Of somebody else, beside our folder.
    service.state().put("/Topple/a/1", b"not ours");
    (storage, cx)
}

fn walk(storage: &OneDrive, cx: &Context, what: &ListOptions) -> Vec<String> {
    let (mut keys, mut what) = (Vec::new(), what.clone());
    loop {
        let page = storage.list(cx, &what).unwrap();
        assert!(what.limit.is_none_or(|limit| page.entries.len() <= limit));
        keys.extend(page.entries.into_iter().map(|entry| entry.key));
        if !page.more {
            return keys;
        }
        what.after = keys.last().cloned();
    }
}

fn wanted(what: &ListOptions) -> Vec<String> {
    let mut entries: Vec<String> = Vec::new();
    for key in KEYS.iter().filter(|key| key.starts_with(&what.prefix)) {
        let rest = &key[what.prefix.len()..];
        let end = what.delimiter.as_ref().and_then(|delimiter| rest.find(delimiter)).map(|at| at + 1);
        entries.push(format!("{}{}", what.prefix, &rest[..end.unwrap_or(rest.len())]));
    }
    entries.retain(|entry| what.after.as_ref().is_none_or(|after| entry > after));
    entries.sort();
    entries.dedup();
    entries
}

#[test]
fn a_listing_is_in_byte_order_and_complete_over_all_pages_of_the_service() {
    let service = Service::start();
    let (storage, cx) = filled(&service);
    let prefixes = ["", "", "a/", "a/", "a/C", "a/C/", "a/c/", "B", "A/", "a//"];
    for prefix in prefixes {
        for (delimiter, after) in [
            (None, None),
            (None, Some("a/1")),
            (Some("/"), None),
            (Some("/"), Some("a/b/1")),
            (Some("-"), None),
        ] {
            let what = ListOptions {
                prefix: prefix.to_owned(),
                delimiter: delimiter.map(str::to_owned),
                after: after.map(str::to_owned),
                ..ListOptions::default()
            };
            assert_eq!(walk(&storage, &cx, &what), wanted(&what), "{what:?}");
        }
    }
    let is_next = |asked: &windlass_test_servers::Asked| asked.path.contains("$skiptoken=");
    assert!(service.asked().iter().any(is_next), "one page was enough");
}

#[test]
fn pages_add_up_to_the_whole_and_say_what_stat_says() {
    let service = Service::start();
    let (storage, cx) = filled(&service);
    for limit in [2, 5] {
        for (prefix, delimiter) in [("", None), ("", Some("/")), ("a/", None), ("a/", Some("/"))] {
            let what = ListOptions {
                prefix: prefix.to_owned(),
                delimiter: delimiter.map(str::to_owned),
                limit: Some(limit),
                ..ListOptions::default()
            };
            assert_eq!(walk(&storage, &cx, &what), wanted(&what), "{what:?}");
        }
    }
    let what = ListOptions { prefix: "a/".into(), delimiter: Some("/".into()), ..ListOptions::default() };
    for entry in storage.list(&cx, &what).unwrap().entries {
        if entry.key.ends_with('/') {
            assert_eq!((entry.size_bytes, entry.modified), (0, None), "{entry:?}");
        } else {
            assert_eq!(storage.stat(&cx, &entry.key).unwrap().unwrap(), entry);
            assert_eq!(entry.modified, Some(1_767_323_045), "{entry:?}");
        }
    }
}

#[test]
fn a_next_page_that_lies_elsewhere_is_not_asked_with_our_token() {
    let service = Service::start();
    let (storage, cx) = filled(&service);
    service.fail(|asked, _| match OneDriveDouble::call(asked) {
        "children" => {
            let page = serde_json::json!({ "value": [], "@odata.nextLink": "http://127.0.0.1:1/steal" });
            Fault::Instead(windlass_test_servers::Said::status(200).body(page.to_string()))
        }
        _ => Fault::No,
    });
    let error = storage.list(&cx, &ListOptions::default()).unwrap_err();
    assert_eq!(error.kind, windlass_plugin_api::ErrorKind::Failed, "{error:?}");
}
