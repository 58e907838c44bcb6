//! What a process around the storage decides: its umask, its limits, its user. Each test runs itself again as such a process.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use windlass_plugin_api::{Context, CreateOptions, Error, ErrorKind, Plugin, Result, Storage, Stored};
use windlass_storage_fs::Fs;

/// Holds the root, in the process that does the work.
const ROOT: &str = "WINDLASS_TEST_ROOT";

fn inner() -> Option<PathBuf> {
    std::env::var_os(ROOT).map(PathBuf::from)
}

/// Runs the test `name` of this file again behind the shell commands `before`, as it is prepared by `prepare`.
fn again(name: &str, root: &Path, before: &str, prepare: impl FnOnce(&mut Command)) {
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("{before}; exec \"$0\" --exact {name}")])
        .arg(std::env::current_exe().unwrap());
    command.env(ROOT, root);
    prepare(&mut command);
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{before}: {told}");
}

fn put(root: &Path, key: &str, bytes: &[u8]) -> Result<Stored> {
    let storage = Fs::new(serde_json::from_value(json!({ "root": root })).unwrap(), &Context::default())?;
    let mut upload = storage.create(&Context::default(), key, &CreateOptions::default())?;
    upload.write_all(bytes).map_err(Error::from)?;
    upload.finish()?;
    upload.publish()
}

#[test]
fn files_are_0600_and_folders_0700_whatever_the_umask() {
    if let Some(root) = inner() {
        put(&root, "a/b", b"bytes").unwrap();
        return;
    }
    for umask in ["000", "002", "077", "777"] {
        let root = tempfile::tempdir().unwrap();
        again(
            "files_are_0600_and_folders_0700_whatever_the_umask",
            root.path(),
            &format!("umask {umask}"),
            |_| {},
        );
        let mode = |path: &str| fs::metadata(root.path().join(path)).unwrap().mode() & 0o7777;
        assert_eq!((mode("a"), mode("a/b")), (0o700, 0o600), "umask {umask}");
    }
}

#[test]
fn a_file_that_may_not_grow_is_told_as_full_and_leaves_nothing() {
    if let Some(root) = inner() {
        let error = put(&root, "a/b", &[7; 1024 * 1024]).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Full, "{error}");
        assert!(error.to_string().contains(root.join("a/b").to_str().unwrap()), "{error}");
        assert!(error.hint.is_some());
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let before = "trap '' XFSZ; ulimit -f 64";
    again("a_file_that_may_not_grow_is_told_as_full_and_leaves_nothing", root.path(), before, |_| {});
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
}

#[test]
fn a_root_without_the_right_to_write_is_told_as_denied() {
    if let Some(root) = inner() {
        let error = put(&root, "a/b", b"bytes").unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied, "{error}");
        assert!(error.to_string().contains(root.to_str().unwrap()) && error.hint.is_some(), "{error}");
        return;
    }
    // Where every user can reach it: the tests' scratch folder may be closed to others.
    let root = tempfile::tempdir_in("/tmp").unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o555)).unwrap();
    // To the superuser nothing is denied: then somebody else does it, if they can run this file at all.
    let is_superuser = rustix::process::geteuid().is_root();
    let everybody_runs_it = || {
        let this = std::env::current_exe().unwrap();
        this.ancestors().all(|path| fs::metadata(path).unwrap().mode() & 0o005 == 0o005)
    };
    if is_superuser && !everybody_runs_it() {
        return;
    }
    again("a_root_without_the_right_to_write_is_told_as_denied", root.path(), ":", |command| {
        if is_superuser {
            command.uid(65_534).gid(65_534);
        }
    });
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o700)).unwrap();
}
