//! Large objects, which are folders of parts: what is seen of them when, what is left of them, and how they take a place.

mod common;

use std::io::{Read, Write};

use common::Service;
use windlass_plugin_api::{
    ByteRange, Context, CreateOptions, ErrorKind, ListOptions, Result, Storage, Upload,
};
use windlass_storage_onedrive::OneDrive;
use windlass_test_servers::{Fault, OneDriveDouble, Said};

const MIB: usize = 1024 * 1024;

fn bytes(of: u8, length: usize) -> Vec<u8> {
    (0..length).map(|at| of.wrapping_add((at * 7 % 251) as u8)).collect()
}

fn begun(
    storage: &OneDrive,
    cx: &Context,
    key: &str,
    if_absent: bool,
    content: &[u8],
) -> Result<Box<dyn Upload>> {
    let how = CreateOptions { if_absent, ..CreateOptions::default() };
    let mut upload = storage.create(cx, key, &how)?;
    upload.write_all(content)?;
    upload.finish()?;
    Ok(upload)
}

fn put(storage: &OneDrive, cx: &Context, key: &str, if_absent: bool, content: &[u8]) -> Result<()> {
    begun(storage, cx, key, if_absent, content)?.publish().map(drop)
}

fn get(storage: &OneDrive, cx: &Context, key: &str) -> Vec<u8> {
    let mut read = Vec::new();
    storage.open(cx, key, None).unwrap().read_to_end(&mut read).unwrap();
    read
}

fn listed(storage: &OneDrive, cx: &Context) -> Vec<(String, u64)> {
    let page = storage.list(cx, &ListOptions::default()).unwrap();
    page.entries.into_iter().map(|entry| (entry.key, entry.size_bytes)).collect()
}

#[test]
fn a_large_object_is_a_folder_of_parts_and_seen_only_when_it_is_published() {
    let service = Service::start();
    let (storage, cx) = service.storage();
    let all = bytes(1, 3 * MIB + 77);
    let upload = begun(&storage, &cx, "shop/data.zst", true, &all).unwrap();
    assert_eq!(storage.stat(&cx, "shop/data.zst").unwrap(), None, "seen before it is published");
    assert_eq!(listed(&storage, &cx), []);
    upload.publish().unwrap();
    let parts: Vec<String> = (1..=4).map(|part| format!("/Top/shop/data.zst.parts/{part:05}")).collect();
    assert_eq!(service.state().paths(), parts);
    let together: Vec<u8> = parts.iter().flat_map(|path| service.state().bytes(path).clone()).collect();
    assert!(together == all, "the parts by another door");
    assert_eq!(listed(&storage, &cx), [("shop/data.zst".to_owned(), all.len() as u64)]);
    assert_eq!(storage.stat(&cx, "shop/data.zst").unwrap().unwrap().size_bytes, all.len() as u64);
    assert!(get(&storage, &cx, "shop/data.zst") == all);
    // Over the ends of parts, with another instance that has seen nothing yet.
    let (other, cx) = service.storage();
    for (offset, length) in
        [(0, 1), (MIB - 1, 2), (MIB, MIB), (5, 3 * MIB), (3 * MIB + 76, 100), (4 * MIB, 1)]
    {
        let range = ByteRange { offset: offset as u64, length: Some(length as u64) };
        let mut read = Vec::new();
        other.open(&cx, "shop/data.zst", Some(range)).unwrap().read_to_end(&mut read).unwrap();
        let wanted = &all[offset.min(all.len())..(offset + length).min(all.len())];
        assert!(read == wanted, "{offset} {length}");
    }
    // What deletes it takes its parts and the folder that it leaves empty.
    storage.delete(&cx, &["shop/data.zst".to_owned()]).unwrap().remove(0).unwrap();
    assert_eq!(service.state().folders(), ["/Top"]);
}

#[test]
fn a_dropped_upload_leaves_neither_parts_nor_folder() {
    let service = Service::start();
    let (storage, cx) = service.storage();
    let mut upload = storage.create(&cx, "shop/data", &CreateOptions::default()).unwrap();
    upload.write_all(&bytes(1, 3 * MIB)).unwrap();
    drop(upload);
    drop(begun(&storage, &cx, "shop/data", true, &bytes(1, 3 * MIB)).unwrap());
    assert_eq!(service.state().paths(), Vec::<String>::new());
    assert_eq!(service.state().folders(), ["/Top"]);
}

#[test]
fn what_a_dead_run_has_left_is_told_and_can_be_removed() {
    let service = Service::start();
    let (storage, cx) = service.storage();
    put(&storage, &cx, "shop/two/data", true, b"published").unwrap();
    // As after kill -9: no destructor runs.
    std::mem::forget(begun(&storage, &cx, "shop/one/CON", true, &bytes(1, 2 * MIB)).unwrap());
    assert_eq!(listed(&storage, &cx).len(), 1);
    let (storage, cx) = service.storage();
    let left = storage.leftovers(&cx, "shop/one/").unwrap();
    let [leftover] = left.as_slice() else { panic!("{left:?}") };
    assert_eq!((leftover.key.as_str(), leftover.size_bytes), ("shop/one/CON", Some(2 * MIB as u64)));
    assert_eq!(leftover.started, Some(1_767_323_045));
    for (prefix, count) in [("", 1), ("shop/one/CON", 1), ("shop/two/", 0), ("SHOP/one/", 0)] {
        assert_eq!(storage.leftovers(&cx, prefix).unwrap().len(), count, "`{prefix}`");
    }
    // A handle that names something else is none.
    for handle in ["Top/shop/two/data", "Top/shop/two", "Top/shop/two/.windlass-upload-w-%43ON"] {
        let mut forged = leftover.clone();
        forged.handle = handle.to_owned();
        assert!(storage.discard(&cx, &[forged]).is_err(), "{handle}");
    }
    storage.discard(&cx, &left).unwrap();
    assert_eq!(storage.leftovers(&cx, "").unwrap(), []);
    assert_eq!(service.state().paths(), ["/Top/shop/two/data"]);
}

#[test]
fn an_object_of_one_form_takes_the_place_of_the_other() {
    let service = Service::start();
    let (storage, cx) = service.storage();
    for (of, length) in [(1, 10), (2, 3 * MIB), (3, 2 * MIB + 5), (4, 20), (5, 30)] {
        put(&storage, &cx, "data", false, &bytes(of, length)).unwrap();
        assert!(get(&storage, &cx, "data") == bytes(of, length), "{of}");
        assert_eq!(listed(&storage, &cx), [("data".to_owned(), length as u64)]);
    }
    assert_eq!(service.state().paths(), ["/Top/data"]);
}

#[test]
fn an_object_that_must_be_absent_replaces_none_of_either_form() {
    for (first, second) in [(10, 2 * MIB), (2 * MIB, 10), (2 * MIB, 3 * MIB), (10, 20)] {
        let service = Service::start();
        let (storage, cx) = service.storage();
        let late = begun(&storage, &cx, "data", true, &bytes(2, second)).unwrap();
        put(&storage, &cx, "data", true, &bytes(1, first)).unwrap();
        assert_eq!(late.publish().unwrap_err().kind, ErrorKind::AlreadyExists, "{first} {second}");
        let error = put(&storage, &cx, "data", true, &bytes(2, second)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::AlreadyExists, "{first} {second}");
        assert!(get(&storage, &cx, "data") == bytes(1, first));
        assert_eq!(storage.leftovers(&cx, "").unwrap(), [], "a refused upload is left over");
    }
}

#[test]
fn a_publish_whose_answer_was_lost_has_happened_once() {
    for (length, publishes) in [(10, "store"), (3 * MIB, "rename")] {
        for if_absent in [true, false] {
            let service = Service::start();
            let (storage, cx) = service.storage();
            put(&storage, &cx, "data", false, b"old").unwrap();
            let key = if if_absent { "new" } else { "data" };
            let upload = begun(&storage, &cx, key, if_absent, &bytes(1, length)).unwrap();
            let mut is_first = true;
            service.fail(move |asked, _| {
                match OneDriveDouble::call(asked) == publishes && std::mem::take(&mut is_first) {
                    true => Fault::Unheard,
                    false => Fault::No,
                }
            });
            upload.publish().unwrap();
            assert!(get(&storage, &cx, key) == bytes(1, length), "{length} {if_absent}");
            assert_eq!(storage.leftovers(&cx, "").unwrap(), []);
        }
    }
}

/// The service was out of reach before anything of ours was there.
#[test]
fn an_object_of_a_rival_is_not_taken_for_ours_after_a_failure() {
    for (ours, rivals) in [(10, 20), (10, 2 * MIB), (2 * MIB, 10), (2 * MIB, 3 * MIB)] {
        let service = Service::start();
        let (storage, cx) = service.storage();
        let (rival, rival_cx) = service.storage();
        let upload = begun(&storage, &cx, "data", true, &bytes(1, ours)).unwrap();
        put(&rival, &rival_cx, "data", true, &bytes(2, rivals)).unwrap();
        let mut looks = 0;
        service.fail(move |_, _| {
            looks += 1;
            // A look is tried twice at once.
            if looks <= 2 { Fault::Instead(Said::lost()) } else { Fault::No }
        });
        let error = upload.publish().unwrap_err();
        assert_eq!(error.kind, ErrorKind::AlreadyExists, "{ours} {rivals}: {error:?}");
        service.fail(|_, _| Fault::No);
        assert!(get(&storage, &cx, "data") == bytes(2, rivals));
    }
}

#[test]
fn a_half_upload_that_somebody_removed_is_told_and_publishes_nothing() {
    let service = Service::start();
    let (storage, cx) = service.storage();
    let upload = begun(&storage, &cx, "data", true, &bytes(1, 2 * MIB)).unwrap();
    let left = storage.leftovers(&cx, "").unwrap();
    storage.discard(&cx, &left).unwrap();
    assert_eq!(upload.publish().unwrap_err().kind, ErrorKind::Failed);
    assert_eq!(listed(&storage, &cx), []);
}

#[test]
fn parts_go_up_side_by_side() {
    let service = Service::start();
    let mut options = service.options("Top");
    options["concurrency"] = 3.into();
    let (storage, cx) = service.storage_with(options);
    let all = bytes(1, 12 * MIB + 3);
    put(&storage, &cx, "data", true, &all).unwrap();
    assert!(get(&storage, &cx, "data") == all);
}

#[test]
fn the_application_s_folder_is_used_where_it_is_asked_for() {
    let service = Service::start();
    let mut options = service.options("Top");
    options["app_folder"] = true.into();
    let (storage, cx) = service.storage_with(options);
    put(&storage, &cx, "shop/data", true, &bytes(1, 2 * MIB)).unwrap();
    put(&storage, &cx, "shop/small", true, b"little").unwrap();
    assert!(service.state().paths().iter().all(|path| path.starts_with("/Apps/Windlass/Top/shop/")));
    assert_eq!(listed(&storage, &cx).len(), 2);
}
