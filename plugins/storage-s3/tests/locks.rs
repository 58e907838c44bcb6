//! Object lock and versions, on a server that enforces them: what is stored stays, what is deleted is hidden, and a check
//! locks nothing.

mod common;

use common::admin::admin;
use common::{Room, finished, noise, read, storage};
use serde_json::{Value, json};
use windlass_plugin_api::{Context, ListOptions, Storage};
use windlass_storage_s3::S3;
use windlass_testkit::TestHost;

const LARGE: usize = 12 * 1024 * 1024;

/// A bucket that was made with these headers, and what opens it.
fn bucket(name: &str, headers: &[(&str, &str)], more: Value) -> (S3, TestHost, Context) {
    let (status, body) = admin("PUT", &format!("/{name}"), headers, "");
    assert_eq!(status, 200, "{body}");
    let room = Room::new();
    let host = room.host();
    let mut options = room.options();
    options["bucket"] = name.into();
    options["prefix"] = "p".into();
    options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let cx = host.context();
    (storage(options, &host), host, cx)
}

const LOCK: [(&str, &str); 1] = [("x-amz-bucket-object-lock-enabled", "true")];

/// How many versions there are below the prefix, and how many bytes they have in all.
fn versions(bucket: &str) -> (usize, u64) {
    let (status, told) = admin("GET", &format!("/{bucket}?versions=&prefix=p%2F"), &[], "");
    assert_eq!(status, 200, "{told}");
    let versions: Vec<&str> = told.split("<Version>").skip(1).collect();
    let size = |version: &&str| -> u64 {
        version.split("<Size>").nth(1).unwrap().split('<').next().unwrap().parse().unwrap()
    };
    (versions.len(), versions.iter().map(size).sum())
}

#[test]
fn locked_objects_stay_and_deleting_them_only_hides_them() {
    for (mode, name) in [("governance", "governed"), ("compliance", "complied")] {
        let (storage, host, cx) = bucket(name, &LOCK, json!({ "object_lock": { "mode": mode, "days": 2 } }));
        for (key, bytes) in [("small", noise(1000)), ("large", noise(LARGE))] {
            let stored = finished(&storage, &host, key, &bytes).unwrap().publish().unwrap();
            assert!(read(&storage, &host, key).unwrap() == bytes);
            let version = stored.version.expect("a bucket with object lock has versions");
            let (status, told) = admin("GET", &format!("/{name}/p/{key}?retention"), &[], "");
            assert!(status == 200 && told.contains(&mode.to_uppercase()), "{key}: {told}");
            let path = format!("/{name}/p/{key}?versionId={version}");
            let (status, told) = admin("DELETE", &path, &[], "");
            assert_eq!(status, 403, "{key} isn't locked: {told}");
            if mode == "compliance" {
                let bypass = [("x-amz-bypass-governance-retention", "true")];
                let (status, told) = admin("DELETE", &path, &bypass, "");
                assert_eq!(status, 403, "{key} can be deleted by who may bypass governance: {told}");
            }
            // What `prune` does: it goes well, and the version stays.
            storage.delete(&cx, &[key.to_owned()]).unwrap().remove(0).unwrap();
            assert_eq!(storage.stat(&cx, key).unwrap(), None);
            let (status, _) = admin("GET", &path, &[], "");
            assert_eq!(status, 200, "{key}: the version is gone");
        }
        assert_eq!(storage.list(&cx, &ListOptions::default()).unwrap().entries, []);
    }
}

#[test]
fn a_check_of_a_locking_storage_locks_nothing_and_leaves_a_few_bytes() {
    let lock = json!({ "object_lock": { "mode": "compliance", "days": 2 } });
    let (storage, _host, cx) = bucket("checked", &LOCK, lock);
    let report = storage.check(&cx).unwrap();
    assert!(report.keeps_deleted, "{report:?}");
    assert!(report.notes.iter().any(|note| note.contains("stays as a version")), "{report:?}");
    let (_, bytes) = versions("checked");
    assert!(bytes <= 128, "{bytes} bytes stay");
    let (_, told) = admin("GET", "/checked?versions=&prefix=p%2F", &[], "");
    for version in told.split("<Version>").skip(1) {
        let of = |tag: &str| version.split(&format!("<{tag}>")).nth(1).unwrap().split('<').next().unwrap();
        let path = format!("/checked/{}?versionId={}", of("Key"), of("VersionId"));
        let (status, told) = admin("DELETE", &path, &[], "");
        assert_eq!(status, 204, "the probe is locked: {told}");
    }
}

#[test]
fn a_versioned_bucket_shows_the_newest_and_nothing_of_what_was_deleted() {
    let (storage, host, cx) = bucket("versioned", &[], json!({}));
    let enabled = "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>Enabled</Status>\
                   </VersioningConfiguration>";
    let (status, told) = admin("PUT", "/versioned?versioning=", &[], enabled);
    assert_eq!(status, 200, "{told}");
    let put = |key: &str, content: &[u8]| {
        let how = windlass_plugin_api::CreateOptions::default();
        let mut upload = storage.create(&cx, key, &how).unwrap();
        std::io::Write::write_all(&mut upload, content).unwrap();
        upload.finish().unwrap();
        upload.publish().unwrap();
    };
    for content in [b"old", b"new"] {
        put("replaced", content);
        put("deleted", content);
    }
    storage.delete(&cx, &["deleted".to_owned()]).unwrap().remove(0).unwrap();
    let page = storage.list(&cx, &ListOptions::default()).unwrap();
    let keys: Vec<&str> = page.entries.iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!((keys, versions("versioned").0), (vec!["replaced"], 4));
    assert_eq!(read(&storage, &host, "replaced").unwrap(), b"new");
    assert_eq!(storage.stat(&cx, "deleted").unwrap(), None);
    assert!(read(&storage, &host, "deleted").is_err(), "an older version came back");
    // What was deleted is absent for who must replace nothing, too.
    finished(&storage, &host, "deleted", b"again").unwrap().publish().unwrap();
    assert_eq!(read(&storage, &host, "deleted").unwrap(), b"again");
}

#[test]
fn a_bucket_that_locks_by_default_takes_backups_and_locks_them() {
    let (storage, host, cx) = bucket("defaults", &LOCK, json!({}));
    let rule = "<ObjectLockConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                <ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>GOVERNANCE</Mode><Days>1</Days>\
                </DefaultRetention></Rule></ObjectLockConfiguration>";
    let (status, told) = admin("PUT", "/defaults?object-lock=", &[], rule);
    assert_eq!(status, 200, "{told}");
    for (key, length) in [("small", 1000), ("large", LARGE)] {
        let stored = finished(&storage, &host, key, &noise(length)).unwrap().publish().unwrap();
        let path = format!("/defaults/p/{key}?versionId={}", stored.version.unwrap());
        let (status, told) = admin("DELETE", &path, &[], "");
        assert_eq!(status, 403, "{key} isn't locked: {told}");
    }
    let (_, before) = versions("defaults");
    assert!(storage.check(&cx).unwrap().keeps_deleted);
    assert!(versions("defaults").1 - before <= 128);
}
