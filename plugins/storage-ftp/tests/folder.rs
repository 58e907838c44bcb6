//! What the folder on the server must stand: rights, a root that vanishes, folders that come and go, a full disk, links.

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::json;
use windlass_plugin_api::{ErrorKind, ListOptions, Storage};
use windlass_test_servers::{Pyftpd, Vsftpd};

use common::{begun, cx, finished, get, keys, made, options, put, signed_in, storage, tree, with};

#[test]
fn an_object_is_a_file_and_nothing_else_stays() {
    let server = Vsftpd::start();
    let (storage, data) = (storage(&server), server.data());
    let half = finished(&storage, "a/b", b"bytes").unwrap();
    let under_way = tree(&data);
    assert_eq!(under_way.len(), 2, "the folder of the key is made too early: {under_way:?}");
    drop(half);
    assert_eq!(tree(&data), Vec::<String>::new());
    put(&storage, "a/b/c").unwrap();
    assert_eq!(tree(&data), ["a", "a/b", "a/b/c"]);
    assert_eq!(fs::read(data.join("a/b/c")).unwrap(), b"bytes");
    storage.delete(&cx(), &["a/b/c".to_owned()]).unwrap()[0].clone().unwrap();
    assert_eq!(tree(&data), Vec::<String>::new(), "empty folders stay");
    assert!(data.is_dir());
}

#[test]
fn the_command_by_hand_writes_the_object_out() {
    let (vsftpd, pyftpd) = (Vsftpd::start(), Pyftpd::start_plain());
    let root = vsftpd.data().join("it's a root");
    fs::create_dir(&root).unwrap();
    let below = json!({ "path": "below", "create_root": true, "tls": "off", "ca_file": null });
    for (storage, password) in [
        (made(with(options(&vsftpd), json!({ "path": root }))), "any"),
        (made(with(signed_in(&pyftpd), below)), Pyftpd::PASSWORD),
    ] {
        put(&storage, "web1/shop/data.zst").unwrap();
        let command = storage.by_hand("web1/shop/data.zst").unwrap();
        assert!(!command.contains(password), "{command}");
        // As the user would type it when asked.
        let user = if password == "any" { "anonymous" } else { Pyftpd::USER };
        let command = command.replace(&format!("--user {user}"), &format!("--user {user}:{password}"));
        let output = Command::new("sh").args(["-c", &command]).output().unwrap();
        assert_eq!(output.stdout, b"bytes", "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_publish_that_fails_takes_its_new_folders_back() {
    let server = Vsftpd::start();
    let (storage, data) = (storage(&server), server.data());
    put(&storage, "a/file").unwrap();
    for key in ["a/file/b/c", "a"] {
        let error = put(&storage, key).unwrap_err();
        assert_eq!(error.kind, ErrorKind::AlreadyExists, "{key}: {error}");
    }
    fs::create_dir_all(data.join("new/er/name/below")).unwrap();
    assert_eq!(put(&storage, "new/er/name").unwrap_err().kind, ErrorKind::AlreadyExists);
    assert_eq!(tree(&data), ["a", "a/file", "new", "new/er", "new/er/name", "new/er/name/below"]);
    assert_eq!(get(&storage, "a/file").unwrap(), "bytes");
}

#[test]
fn a_link_that_a_listing_shows_is_no_object_and_deleting_one_leaves_what_it_leads_to() {
    let server = Vsftpd::start();
    let (storage, data, outside) = (storage(&server), server.data(), tempfile::tempdir().unwrap());
    fs::write(outside.path().join("secret"), "secret").unwrap();
    symlink(outside.path(), data.join("link")).unwrap();
    symlink(outside.path().join("secret"), data.join("file")).unwrap();
    assert_eq!(keys(&storage, ListOptions::default()), Vec::<String>::new());
    storage.delete(&cx(), &["file".to_owned()]).unwrap()[0].clone().unwrap();
    assert_eq!(fs::read_to_string(outside.path().join("secret")).unwrap(), "secret");
    assert_eq!(tree(&data), ["link"]);
}

#[test]
fn a_missing_root_is_told_with_what_to_do_is_not_made_and_not_waited_for() {
    let (vsftpd, pyftpd) = (Vsftpd::start(), Pyftpd::start());
    for (options, data) in [(options(&vsftpd), vsftpd.data()), (signed_in(&pyftpd), "/".into())] {
        let root = data.join("nas");
        let storage = made(with(options, json!({ "path": root })));
        let errors = [
            put(&storage, "a").unwrap_err(),
            get(&storage, "a").err().unwrap(),
            storage.list(&cx(), &ListOptions::default()).unwrap_err(),
            storage.delete(&cx(), &["a".to_owned()]).unwrap()[0].clone().unwrap_err(),
            storage.check(&cx()).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(
                (error.kind, &error.details["retry"]),
                (ErrorKind::Unavailable, &json!(false)),
                "{error}"
            );
            assert!(error.to_string().contains(root.to_str().unwrap()), "{error}");
            assert!(error.hint.unwrap().contains("create_root"));
        }
        assert!(!root.exists());
    }
    assert_eq!(tree(&pyftpd.data()), Vec::<String>::new());
}

#[test]
fn a_root_that_may_be_made_is_made_by_the_first_upload_alone() {
    let server = Vsftpd::start();
    let creating = |path: &Path| made(with(options(&server), json!({ "path": path, "create_root": true })));
    let root = server.data().join("backups");
    let storage = creating(&root);
    assert_eq!(keys(&storage, ListOptions::default()), Vec::<String>::new());
    assert_eq!(storage.stat(&cx(), "a").unwrap(), None);
    assert!(storage.check(&cx()).unwrap().notes.iter().any(|note| note.contains("isn't there yet")));
    assert!(!root.exists(), "looking made it");
    put(&storage, "a").unwrap();
    assert_eq!(get(&storage, "a").unwrap(), "bytes");
    let deeper = server.data().join("absent/backups");
    assert_eq!(put(&creating(&deeper), "a").unwrap_err().kind, ErrorKind::Unavailable);
    assert!(!server.data().join("absent").exists());
    // One that was there isn't made again.
    let half = finished(&storage, "b", b"bytes").unwrap();
    fs::remove_dir_all(&root).unwrap();
    let error = half.publish().unwrap_err();
    assert!(error.kind == ErrorKind::Unavailable && error.to_string().contains("has vanished"), "{error}");
    assert!(!root.exists());
}

#[test]
fn folders_that_are_removed_and_made_at_once_lose_no_object() {
    for pyftpd in [false, true] {
        let servers = (Vsftpd::start(), Pyftpd::start());
        let storage = made(if pyftpd { signed_in(&servers.1) } else { options(&servers.0) });
        let data = if pyftpd { servers.1.data() } else { servers.0.data() };
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let storage = &storage;
                scope.spawn(move || {
                    for round in 0..15 {
                        let key = format!("a/b/{worker}");
                        put(storage, &key).unwrap_or_else(|error| panic!("round {round}: {error}"));
                        assert_eq!(get(storage, &key).unwrap(), "bytes");
                        storage.delete(&cx(), &[key]).unwrap()[0].clone().unwrap();
                    }
                });
            }
        });
        assert_eq!(tree(&data), Vec::<String>::new());
    }
}

#[test]
fn a_folder_larger_than_what_is_held_of_it_is_listed_whole() {
    let server = Vsftpd::start();
    let wanted: Vec<String> = (0..33_000).map(|number| format!("many/{number:05}")).collect();
    fs::create_dir(server.data().join("many")).unwrap();
    for key in wanted.iter().rev() {
        fs::write(server.data().join(key), "").unwrap();
    }
    let storage = storage(&server);
    let whole = ListOptions { limit: Some(100_000), ..ListOptions::default() };
    assert!(keys(&storage, whole) == wanted);
    let last = ListOptions { after: Some(wanted[32_998].clone()), ..ListOptions::default() };
    assert_eq!(keys(&storage, last), wanted[32_999..]);
}

#[test]
fn names_with_spaces_and_beyond_ascii_are_listed_and_what_is_no_object_is_not() {
    let (vsftpd, pyftpd) = (Vsftpd::start(), Pyftpd::start());
    for (storage, data) in [(storage(&vsftpd), vsftpd.data()), (made(signed_in(&pyftpd)), pyftpd.data())] {
        for key in ["a b/c  d", "grün/ö", "x/.hidden"] {
            put(&storage, key).unwrap();
            assert_eq!(get(&storage, key).unwrap(), "bytes");
        }
        fs::create_dir_all(data.join("lost+found/deep")).unwrap();
        assert!(Command::new("mkfifo").arg(data.join("pipe")).status().unwrap().success());
        let all = keys(&storage, ListOptions::default());
        assert!(
            all.iter().all(|key| ["a b/c  d", "grün/ö", "x/.hidden", "pipe"].contains(&key.as_str())),
            "{all:?}"
        );
        assert!(all.len() >= 3, "{all:?}");
        for key in ["a\r\nDELE x", "a\0", " a"] {
            assert_eq!(put(&storage, key).unwrap_err().kind, ErrorKind::Config, "{key:?}");
        }
    }
}

#[test]
fn only_half_uploads_can_be_discarded() {
    let server = Vsftpd::start();
    let storage = storage(&server);
    put(&storage, "a").unwrap();
    std::mem::forget(finished(&storage, "b", b"bytes").unwrap());
    let mut left = storage.leftovers(&cx(), "").unwrap();
    assert_eq!((left.len(), left[0].size_bytes), (1, Some(5)));
    for handle in ["../a", "a", ".windlass-/../../a~", ""] {
        left[0].handle = handle.to_owned();
        assert!(storage.discard(&cx(), &left).is_err(), "`{handle}`");
    }
    assert_eq!(get(&storage, "a").unwrap(), "bytes");
}

#[test]
fn a_server_without_room_is_told_as_full_and_keeps_nothing() {
    // Only root can make a small disk.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let mount = "mount -t tmpfs -o size=3m tmpfs {dir}/root/data && exec \"$@\"";
    let server = Vsftpd::start_in(&["unshare", "-m", "sh", "-c", mount, "sh"], &[]);
    let storage = storage(&server);
    let error = finished(&storage, "a/b", &[7; 8 * 1024 * 1024]).err().expect("8 MiB fit into 3");
    assert_eq!(error.kind, ErrorKind::Full, "{error}");
    assert!(error.to_string().contains("a+b") && error.hint.is_some(), "{error:?}");
    assert_eq!(storage.leftovers(&cx(), "").unwrap(), []);
    put(&storage, "a/b").unwrap();
}

#[test]
fn a_server_that_forbids_to_write_or_to_remove_is_told_as_such() {
    let server = Vsftpd::start_with(&["write_enable=NO"]);
    let error = put(&storage(&server), "a").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    assert!(error.hint.is_some());
    // No right to remove: a backup needs none, and what a failed one leaves is told.
    let server = Vsftpd::start_with(&["cmds_denied=DELE,RMD"]);
    let storage = storage(&server);
    put(&storage, "a/b").unwrap();
    assert_eq!(get(&storage, "a/b").unwrap(), "bytes");
    assert_eq!(put(&storage, "a/b").unwrap_err().kind, ErrorKind::AlreadyExists);
    drop(begun(&storage, "a/c").unwrap());
    let deleted = storage.delete(&cx(), &["a/b".to_owned()]).unwrap().remove(0);
    assert_eq!(deleted.unwrap_err().kind, ErrorKind::Denied);
    assert_eq!(keys(&storage, ListOptions::default()), ["a/b"]);
    assert_eq!(storage.leftovers(&cx(), "a/c").unwrap().len(), 1);
    // A file that the server can't read.
    if !rustix::process::geteuid().is_root() {
        fs::set_permissions(server.data().join("a/b"), fs::Permissions::from_mode(0o000)).unwrap();
        assert_eq!(get(&storage, "a/b").unwrap_err().kind, ErrorKind::Denied);
    }
}
