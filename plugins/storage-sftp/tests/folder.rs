//! What the folder on the server must stand: links, rights, a root that vanishes, folders that come and go, a full disk.

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::json;
use windlass_plugin_api::{ErrorKind, ListOptions, Storage};
use windlass_test_servers::Sshd;

use common::{begun, cx, finished, get, keys, made, options, put, storage, tree, with};

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn an_object_is_a_file_of_its_user_alone_and_nothing_else_stays() {
    let server = Sshd::start();
    let (storage, data) = (storage(&server), server.data());
    let half = finished(&storage, "a/b", b"bytes").unwrap();
    let under_way = tree(&data);
    assert_eq!(under_way.len(), 2, "the folder of the key is made too early: {under_way:?}");
    assert_eq!((mode(&data.join(&under_way[0])), mode(&data.join(&under_way[1]))), (0o700, 0o600));
    drop(half);
    assert_eq!(tree(&data), Vec::<String>::new());
    put(&storage, "a/b/c").unwrap();
    assert_eq!(tree(&data), ["a", "a/b", "a/b/c"]);
    assert_eq!((mode(&data.join("a/b")), mode(&data.join("a/b/c"))), (0o700, 0o600));
    assert_eq!(fs::read(data.join("a/b/c")).unwrap(), b"bytes");
    storage.delete(&cx(), &["a/b/c".to_owned()]).unwrap()[0].clone().unwrap();
    assert_eq!(tree(&data), Vec::<String>::new(), "empty folders stay");
    assert!(data.is_dir());
}

#[test]
fn the_command_by_hand_writes_the_object_out() {
    let server = Sshd::start();
    let root = server.data().join("it's a root");
    fs::create_dir(&root).unwrap();
    let storage = made(with(options(&server), json!({ "path": root })));
    put(&storage, "web1/shop/data.zst").unwrap();
    let command = storage.by_hand("web1/shop/data.zst").unwrap();
    // As the user's own ~/.ssh has it: the key, and the server's.
    let known = format!("-o UserKnownHostsFile={}", server.known_hosts().display());
    let own = format!("sftp -i {} {known} -o BatchMode=yes", server.key_file().display());
    let command = command.replace("sftp -q", &format!("{own} -q"));
    let output = Command::new("sh").args(["-c", &command]).output().unwrap();
    assert_eq!(output.stdout, b"bytes", "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_publish_that_fails_takes_its_new_folders_back() {
    let server = Sshd::start();
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
fn a_symbolic_link_below_the_root_leads_nowhere() {
    let server = Sshd::start();
    let (storage, data, outside) = (storage(&server), server.data(), tempfile::tempdir().unwrap());
    fs::write(outside.path().join("secret"), "secret").unwrap();
    symlink(outside.path(), data.join("link")).unwrap();
    symlink(outside.path().join("secret"), data.join("file")).unwrap();
    for key in ["link/secret", "file"] {
        let error = get(&storage, key).unwrap_err();
        let is_told = error.kind == ErrorKind::Denied && error.to_string().contains("symbolic link");
        assert!(is_told, "{key}: {error}");
        assert!(storage.stat(&cx(), key).is_err(), "{key}");
    }
    assert!(put(&storage, "link/new").is_err());
    assert!(put(&storage, "link/deep/new").is_err());
    assert!(storage.delete(&cx(), &["link/secret".to_owned()]).unwrap()[0].is_err());
    assert!(storage.list(&cx(), &ListOptions { prefix: "link/".into(), ..ListOptions::default() }).is_err());
    assert_eq!(keys(&storage, ListOptions::default()), Vec::<String>::new());
    assert_eq!(tree(outside.path()), ["secret"]);
    assert_eq!(fs::read_to_string(outside.path().join("secret")).unwrap(), "secret");
    // What is deleted is the link, not what it leads to.
    storage.delete(&cx(), &["file".to_owned()]).unwrap()[0].clone().unwrap();
    assert_eq!((tree(outside.path()), tree(&data)), (vec!["secret".to_owned()], vec!["link".to_owned()]));
}

#[test]
fn a_link_in_the_place_of_the_uploads_is_refused() {
    let server = Sshd::start();
    let (storage, outside) = (storage(&server), tempfile::tempdir().unwrap());
    symlink(outside.path(), server.data().join(".windlass-uploads")).unwrap();
    assert!(put(&storage, "a").is_err());
    assert!(storage.leftovers(&cx(), "").is_err());
    assert_eq!(tree(outside.path()), Vec::<String>::new());
}

#[test]
fn a_missing_root_is_told_with_what_to_do_is_not_made_and_not_waited_for() {
    let server = Sshd::start();
    let root = server.data().join("nas");
    let storage = made(with(options(&server), json!({ "path": root })));
    let errors = [
        put(&storage, "a").unwrap_err(),
        get(&storage, "a").unwrap_err(),
        storage.list(&cx(), &ListOptions::default()).unwrap_err(),
        storage.delete(&cx(), &["a".to_owned()]).unwrap()[0].clone().unwrap_err(),
        storage.check(&cx()).unwrap_err(),
    ];
    for error in errors {
        assert_eq!((error.kind, &error.details["retry"]), (ErrorKind::Unavailable, &json!(false)), "{error}");
        assert!(error.to_string().contains(root.to_str().unwrap()), "{error}");
        assert!(error.hint.unwrap().contains("mkdir -m 700"));
    }
    assert!(!root.exists());
}

#[test]
fn a_root_that_may_be_made_is_made_by_the_first_upload_alone() {
    let server = Sshd::start();
    let creating = |path: &Path| made(with(options(&server), json!({ "path": path, "create_root": true })));
    let root = server.data().join("backups");
    let storage = creating(&root);
    assert_eq!(keys(&storage, ListOptions::default()), Vec::<String>::new());
    assert_eq!(storage.stat(&cx(), "a").unwrap(), None);
    assert!(storage.check(&cx()).unwrap().notes.iter().any(|note| note.contains("isn't there yet")));
    assert!(!root.exists(), "looking made it");
    put(&storage, "a").unwrap();
    assert_eq!((get(&storage, "a").unwrap().as_str(), mode(&root)), ("bytes", 0o700));
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
fn a_path_may_begin_in_the_users_folder() {
    let server = Sshd::start_with(&["ForceCommand internal-sftp -d {dir}/data"]);
    let storage = made(with(options(&server), json!({ "path": "backups", "create_root": true })));
    put(&storage, "a/b").unwrap();
    assert_eq!(fs::read(server.data().join("backups/a/b")).unwrap(), b"bytes");
    let url = format!("sftp://{}@127.0.0.1:{}/~/backups", server.user(), server.port());
    let of_url = json!({ "url": url, "path": null, "host": null, "port": null, "user": null });
    assert_eq!(get(&made(with(options(&server), of_url)), "a/b").unwrap(), "bytes");
}

#[test]
fn folders_that_are_removed_and_made_at_once_lose_no_object() {
    let server = Sshd::start();
    let storage = storage(&server);
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let storage = &storage;
            scope.spawn(move || {
                for round in 0..25 {
                    let key = format!("a/b/{worker}");
                    put(storage, &key).unwrap_or_else(|error| panic!("round {round}: {error}"));
                    assert_eq!(get(storage, &key).unwrap(), "bytes");
                    storage.delete(&cx(), &[key]).unwrap()[0].clone().unwrap();
                }
            });
        }
    });
    assert_eq!(tree(&server.data()), Vec::<String>::new());
}

#[test]
fn a_folder_larger_than_what_is_held_of_it_is_listed_whole() {
    let server = Sshd::start();
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
fn what_is_no_object_is_not_listed_nor_opened() {
    let server = Sshd::start();
    let (storage, data) = (storage(&server), server.data());
    put(&storage, "a/b").unwrap();
    fs::create_dir_all(data.join("lost+found/deep")).unwrap();
    fs::create_dir_all(data.join("empty/empty")).unwrap();
    let not_utf8 = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff");
    fs::write(data.join(not_utf8), "").unwrap();
    assert!(Command::new("mkfifo").arg(data.join("pipe")).status().unwrap().success());
    let folded = ListOptions { delimiter: Some("/".into()), ..ListOptions::default() };
    assert_eq!(keys(&storage, ListOptions::default()), ["a/b"]);
    assert_eq!(keys(&storage, folded), ["a/"], "an empty folder is no prefix of anything");
    for key in ["pipe", "empty"] {
        assert_eq!(get(&storage, key).unwrap_err().kind, ErrorKind::NotFound, "{key}");
        assert_eq!(storage.stat(&cx(), key).unwrap(), None, "{key}");
    }
}

#[test]
fn only_half_uploads_can_be_discarded() {
    let server = Sshd::start();
    let storage = storage(&server);
    put(&storage, "a").unwrap();
    std::mem::forget(finished(&storage, "b", b"bytes").unwrap());
    let mut left = storage.leftovers(&cx(), "").unwrap();
    assert_eq!((left.len(), left[0].size_bytes), (1, Some(5)));
    assert!(left[0].started.is_some());
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
    let mount = "mount -t tmpfs -o size=3m tmpfs {dir}/data && exec \"$@\"";
    let server = Sshd::start_in(&["unshare", "-m", "sh", "-c", mount, "sh"], &[]);
    let storage = storage(&server);
    let error = finished(&storage, "a/b", &[7; 8 * 1024 * 1024]).err().expect("8 MiB fit into 3");
    assert_eq!(error.kind, ErrorKind::Full, "{error}");
    assert!(error.to_string().contains("a/b") && error.hint.is_some(), "{error:?}");
    assert_eq!(storage.leftovers(&cx(), "").unwrap(), []);
    assert!(storage.check(&cx()).unwrap().free_bytes.unwrap() > 2 * 1024 * 1024, "it keeps something");
    put(&storage, "a/b").unwrap();
}

#[test]
fn a_server_that_forbids_to_write_or_to_remove_is_told_as_such() {
    let server = Sshd::start_with(&["ForceCommand internal-sftp -R"]);
    let error = put(&storage(&server), "a").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    assert!(error.hint.is_some());
    // No right to remove: a backup needs none, and what a failed one leaves is told.
    let server =
        Sshd::start_with(&["ForceCommand internal-sftp -P remove,rmdir,posix-rename,setstat,fsetstat"]);
    let storage = storage(&server);
    put(&storage, "a/b").unwrap();
    assert_eq!(get(&storage, "a/b").unwrap(), "bytes");
    assert_eq!(put(&storage, "a/b").unwrap_err().kind, ErrorKind::AlreadyExists);
    drop(begun(&storage, "a/c").unwrap());
    let deleted = storage.delete(&cx(), &["a/b".to_owned()]).unwrap().remove(0);
    assert_eq!(deleted.unwrap_err().kind, ErrorKind::Denied);
    assert_eq!(keys(&storage, ListOptions::default()), ["a/b"]);
    assert_eq!(storage.leftovers(&cx(), "a/c").unwrap().len(), 1);
}

/// The account of docs/storages/sftp.md that can't remove what it stored.
#[test]
fn a_check_by_who_may_not_remove_leaves_a_few_bytes_and_says_so() {
    let server =
        Sshd::start_with(&["ForceCommand internal-sftp -P remove,rmdir,posix-rename,setstat,fsetstat"]);
    let storage = storage(&server);
    let report = storage.check(&cx()).unwrap();
    assert!(report.keeps_deleted, "{report:?}");
    assert!(report.notes.iter().any(|note| note.contains("(64 bytes) stays")), "{report:?}");
    let page = storage.list(&cx(), &ListOptions::default()).unwrap();
    assert_eq!(page.entries.iter().map(|entry| entry.size_bytes).collect::<Vec<_>>(), [64]);
}
