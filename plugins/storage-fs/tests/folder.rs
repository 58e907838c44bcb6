//! What only a folder must stand: links, rights, a root that vanishes, folders that come and go.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::json;
use windlass_plugin_api::{
    Context, CreateOptions, Error, ErrorKind, ListOptions, Plugin, Result, Storage, Stored, Upload,
};
use windlass_storage_fs::Fs;

fn cx() -> Context {
    Context::default()
}

fn storage(root: &Path) -> Fs {
    Fs::new(serde_json::from_value(json!({ "root": root })).unwrap(), &cx()).unwrap()
}

fn creating_storage(root: &Path) -> Fs {
    Fs::new(serde_json::from_value(json!({ "root": root, "create_root": true })).unwrap(), &cx()).unwrap()
}

fn finished(storage: &Fs, key: &str) -> Result<Box<dyn Upload>> {
    let mut upload =
        storage.create(&cx(), key, &CreateOptions { run: "run".into(), ..CreateOptions::default() })?;
    upload.write_all(b"bytes").map_err(Error::from)?;
    upload.finish()?;
    Ok(upload)
}

fn put(storage: &Fs, key: &str) -> Result<Stored> {
    finished(storage, key)?.publish()
}

fn get(storage: &Fs, key: &str) -> Result<String> {
    let mut text = String::new();
    storage.open(&cx(), key, None)?.read_to_string(&mut text)?;
    Ok(text)
}

fn keys(storage: &Fs, what: ListOptions) -> Vec<String> {
    let (mut keys, mut what) = (Vec::new(), what);
    loop {
        let page = storage.list(&cx(), &what).unwrap();
        keys.extend(page.entries.into_iter().map(|entry| entry.key));
        if !page.more {
            return keys;
        }
        what.after = keys.last().cloned();
    }
}

/// Everything below `folder`, by path.
fn tree(folder: &Path) -> Vec<String> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        paths.push(entry.path().strip_prefix(folder).unwrap().display().to_string());
        if entry.file_type().unwrap().is_dir() {
            let below = tree(&entry.path());
            paths.extend(below.into_iter().map(|path| format!("{}/{path}", entry.file_name().display())));
        }
    }
    paths.sort();
    paths
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn an_object_is_a_file_that_the_command_by_hand_writes_out() {
    let root = tempfile::Builder::new().prefix("it's a root ").tempdir().unwrap();
    let storage = storage(root.path());
    put(&storage, "web1/shop/data.zst").unwrap();
    assert_eq!(fs::read(root.path().join("web1/shop/data.zst")).unwrap(), b"bytes");
    let command = storage.by_hand("web1/shop/data.zst").unwrap();
    let output = Command::new("sh").args(["-c", &command]).current_dir("/").output().unwrap();
    assert_eq!(output.stdout, b"bytes", "{command}");
}

#[test]
fn nothing_but_objects_is_in_the_root_when_nothing_is_under_way() {
    let root = tempfile::tempdir().unwrap();
    let storage = storage(root.path());
    let half = finished(&storage, "a/b").unwrap();
    let under_way = tree(root.path());
    assert_eq!(under_way.len(), 2, "the folder of the key is made too early: {under_way:?}");
    drop(half);
    assert_eq!(tree(root.path()), Vec::<String>::new());
    put(&storage, "a/b/c").unwrap();
    assert_eq!(tree(root.path()), ["a", "a/b", "a/b/c"]);
    storage.delete(&cx(), &["a/b/c".to_owned()]).unwrap()[0].clone().unwrap();
    assert_eq!(tree(root.path()), Vec::<String>::new(), "empty folders stay");
    assert!(root.path().is_dir());
}

#[test]
fn a_publish_that_fails_takes_its_new_folders_back() {
    let root = tempfile::tempdir().unwrap();
    let storage = storage(root.path());
    put(&storage, "a/file").unwrap();
    for key in ["a/file/b/c", "a"] {
        let error = put(&storage, key).unwrap_err();
        assert_eq!(error.kind, ErrorKind::AlreadyExists, "{key}: {error}");
    }
    // The folder exists, and so the name is taken: found out after `new` and `new/er` were made.
    fs::create_dir_all(root.path().join("new/er/name/below")).unwrap();
    assert!(put(&storage, "new/er/name").is_err());
    assert_eq!(tree(root.path()), ["a", "a/file", "new", "new/er", "new/er/name", "new/er/name/below"]);
    assert_eq!(get(&storage, "a/file").unwrap(), "bytes");
}

#[test]
fn a_symbolic_link_below_the_root_leads_nowhere() {
    let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(outside.path().join("secret"), "secret").unwrap();
    symlink(outside.path(), root.path().join("link")).unwrap();
    symlink(outside.path().join("secret"), root.path().join("file")).unwrap();
    let storage = storage(root.path());
    for key in ["link/secret", "file"] {
        let error = get(&storage, key).unwrap_err();
        assert!(
            error.kind == ErrorKind::Denied && error.to_string().contains("symbolic link"),
            "{key}: {error}"
        );
        assert!(storage.stat(&cx(), key).is_err(), "{key}");
    }
    assert!(put(&storage, "link/new").is_err());
    assert!(storage.delete(&cx(), &["link/secret".to_owned()]).unwrap()[0].is_err());
    assert!(storage.list(&cx(), &ListOptions { prefix: "link/".into(), ..ListOptions::default() }).is_err());
    assert_eq!(keys(&storage, ListOptions::default()), Vec::<String>::new());
    // In the place of a link comes the object; what it led to stays.
    put(&storage, "file").unwrap();
    assert_eq!(get(&storage, "file").unwrap(), "bytes");
    assert_eq!(tree(outside.path()), ["secret"]);
    assert_eq!(fs::read_to_string(outside.path().join("secret")).unwrap(), "secret");
}

#[test]
fn a_link_in_the_place_of_the_uploads_is_refused() {
    let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    symlink(outside.path(), root.path().join(".windlass-uploads")).unwrap();
    let storage = storage(root.path());
    assert!(put(&storage, "a").is_err());
    assert!(storage.leftovers(&cx(), "").is_err());
    assert_eq!(tree(outside.path()), Vec::<String>::new());
}

#[test]
fn the_root_itself_may_be_a_link() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("real")).unwrap();
    symlink("real", place.path().join("root")).unwrap();
    put(&storage(&place.path().join("root")), "a/b").unwrap();
    assert_eq!(fs::read(place.path().join("real/a/b")).unwrap(), b"bytes");
}

#[test]
fn a_missing_root_is_told_with_what_to_do_and_is_not_made() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("nas");
    let storage = storage(&root);
    let errors = [
        put(&storage, "a").unwrap_err(),
        get(&storage, "a").unwrap_err(),
        storage.list(&cx(), &ListOptions::default()).unwrap_err(),
        storage.check(&cx()).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains(root.to_str().unwrap()), "{error}");
        assert!(error.hint.unwrap().contains("mkdir -m 700"));
    }
    assert!(!root.exists());
}

#[test]
fn a_root_that_may_be_made_is_made_by_the_first_upload_alone() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("backups");
    let storage = creating_storage(&root);
    assert_eq!(keys(&storage, ListOptions::default()), Vec::<String>::new());
    assert_eq!(storage.stat(&cx(), "a").unwrap(), None);
    let report = storage.check(&cx()).unwrap();
    assert!(report.notes[0].contains("isn't there yet") && report.free_bytes.is_some());
    assert!(!root.exists(), "looking made it");
    put(&storage, "a").unwrap();
    assert_eq!((get(&storage, "a").unwrap().as_str(), mode(&root)), ("bytes", 0o700));
    // Its parent is never made: that is where a disk would be mounted.
    let deeper = place.path().join("absent/backups");
    assert_eq!(put(&creating_storage(&deeper), "a").unwrap_err().kind, ErrorKind::Unavailable);
    assert!(!place.path().join("absent").exists());
}

#[test]
fn a_root_that_vanishes_on_the_way_fails_and_is_not_made_again() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("nas");
    fs::create_dir(&root).unwrap();
    let storage = creating_storage(&root);
    let half = finished(&storage, "a/b").unwrap();
    fs::remove_dir_all(&root).unwrap();
    let error = half.publish().unwrap_err();
    assert!(error.kind == ErrorKind::Unavailable && error.to_string().contains("has vanished"), "{error}");
    assert!(put(&storage, "c").is_err());
    assert_eq!(tree(place.path()), Vec::<String>::new());
}

#[test]
fn a_root_that_is_replaced_on_the_way_gets_nothing() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("nas");
    fs::create_dir(&root).unwrap();
    let storage = storage(&root);
    let half = finished(&storage, "a").unwrap();
    // As if a disk was unmounted, or another one mounted.
    fs::rename(&root, place.path().join("away")).unwrap();
    fs::create_dir(&root).unwrap();
    let error = half.publish().unwrap_err();
    assert!(error.kind == ErrorKind::Unavailable && error.to_string().contains("replaced"), "{error}");
    assert_eq!(tree(place.path()), ["away", "nas"], "an object or a half upload is left");
}

#[test]
fn folders_that_are_removed_and_made_at_once_lose_no_object() {
    let root = tempfile::tempdir().unwrap();
    let storage = storage(root.path());
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let storage = &storage;
            scope.spawn(move || {
                for round in 0..100 {
                    let key = format!("a/b/{worker}");
                    put(storage, &key).unwrap_or_else(|error| panic!("round {round}: {error}"));
                    assert_eq!(get(storage, &key).unwrap(), "bytes");
                    storage.delete(&cx(), &[key]).unwrap()[0].clone().unwrap();
                }
            });
        }
    });
    assert_eq!(tree(root.path()), Vec::<String>::new());
}

#[test]
fn a_folder_larger_than_what_is_held_of_it_is_listed_whole() {
    let root = tempfile::tempdir().unwrap();
    let wanted: Vec<String> = (0..9000).map(|number| format!("many/{number:05}")).collect();
    fs::create_dir(root.path().join("many")).unwrap();
    for key in wanted.iter().rev() {
        fs::write(root.path().join(key), "").unwrap();
    }
    let storage = storage(root.path());
    assert!(keys(&storage, ListOptions::default()) == wanted);
    assert!(keys(&storage, ListOptions { limit: Some(8500), ..ListOptions::default() }) == wanted);
    let one = ListOptions { after: Some(wanted[8998].clone()), ..ListOptions::default() };
    assert_eq!(keys(&storage, one), wanted[8999..]);
}

#[test]
fn what_is_no_object_is_not_listed_nor_opened() {
    let root = tempfile::tempdir().unwrap();
    let storage = storage(root.path());
    put(&storage, "a/b").unwrap();
    fs::create_dir_all(root.path().join("lost+found/deep")).unwrap();
    fs::create_dir_all(root.path().join("empty/empty")).unwrap();
    let not_utf8 = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff");
    fs::write(root.path().join(not_utf8), "").unwrap();
    let pipe = root.path().join("pipe");
    let (kind, rights) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, rights, 0).unwrap();
    let folded = ListOptions { delimiter: Some("/".into()), ..ListOptions::default() };
    assert_eq!(keys(&storage, ListOptions::default()), ["a/b"]);
    assert_eq!(keys(&storage, folded), ["a/"], "an empty folder is no prefix of anything");
    // Opening a pipe would wait for ever.
    assert_eq!(get(&storage, "pipe").unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(get(&storage, "empty").unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(storage.stat(&cx(), "empty").unwrap(), None);
}

#[test]
fn a_check_tells_room_and_rights_and_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let storage = storage(root.path());
    let report = storage.check(&cx()).unwrap();
    assert!(report.free_bytes.unwrap() > 0);
    assert_eq!(report.warnings, Vec::<String>::new());
    let says = |what: &str| report.notes.iter().any(|note| note.contains(what));
    assert!(says("1 MiB up in") && says("down in") && says("the clocks agree"), "{report:?}");
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(storage.check(&cx()).unwrap().warnings[0].contains("chmod 700"));
    assert_eq!(tree(root.path()), Vec::<String>::new());
}

#[test]
fn only_half_uploads_can_be_discarded() {
    let root = tempfile::tempdir().unwrap();
    let storage = storage(root.path());
    put(&storage, "a").unwrap();
    std::mem::forget(finished(&storage, "b").unwrap());
    let mut left = storage.leftovers(&cx(), "").unwrap();
    assert_eq!((left.len(), left[0].size_bytes), (1, Some(5)));
    assert!(left[0].started.is_some());
    for handle in ["../a", "a", ".windlass-/../../a~", ""] {
        left[0].handle = handle.to_owned();
        assert!(storage.discard(&cx(), &left).is_err(), "`{handle}`");
    }
    assert_eq!(get(&storage, "a").unwrap(), "bytes");
}
