//! Places that are difficult: another user's database, a folder without rights, a full disk.

mod common;

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::sync::{Arc, Mutex};

use common::{Other, backup, database, fingerprint, leftovers, restore, source, state};
use rusqlite::Connection;
use serde_json::json;
use windlass_plugin_api::{ErrorKind, Finished, Outputs, RestoreMode, Result, Sink, Source, StreamInfo};
use windlass_testkit::TestHost;

#[test]
fn root_leaves_the_database_of_another_user_to_its_owner() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    chown(folder.path(), Some(12345), Some(12345)).unwrap();
    let path = database(folder.path(), "PRAGMA journal_mode = WAL", 100);
    chown(&path, Some(12345), Some(12345)).unwrap();
    let before = state(&path);
    // While the backup runs, companions exist; they must be the owner's.
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (look, place) = (seen.clone(), path.clone());
    let out = Watched::new(move || {
        for suffix in ["-wal", "-shm"] {
            let name = format!("{}{suffix}", place.display());
            look.lock().unwrap().push(fs::metadata(name).map(|found| found.uid()).unwrap_or(12345));
        }
    });
    let host = TestHost::new();
    source(&json!({ "path": path }), &host.context()).backup(&host.context(), &out).unwrap();
    assert_eq!(*seen.lock().unwrap(), [12345, 12345]);
    assert_eq!(state(&path), before);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// A storage that does something at its first byte.
struct Watched(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Watched {
    fn new(look: impl FnOnce() + Send + 'static) -> Self {
        Self(Mutex::new(Some(Box::new(look))))
    }
}

impl Outputs for Watched {
    fn create(&self, _: &str, _: StreamInfo) -> Result<Box<dyn Sink>> {
        Ok(Box::new(WatchedSink(self.0.lock().unwrap().take())))
    }
}

struct WatchedSink(Option<Box<dyn FnOnce() + Send>>);

impl Write for WatchedSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(look) = self.0.take() {
            look();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for WatchedSink {
    fn finish(&mut self) -> Result<Finished> {
        Ok(Finished::default())
    }
}

/// A command that this test program runs as a user without rights, if the tests run as root and can.
fn as_nobody(name: &str) -> Option<std::process::Command> {
    let program = std::env::current_exe().unwrap();
    let mut command = std::process::Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
    command.args([name, "--exact", "--ignored", "--nocapture"]);
    let can = rustix::process::geteuid().is_root()
        && std::process::Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&program)
            .arg("--list")
            .stdout(std::process::Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
    can.then_some(command)
}

#[test]
fn a_wal_database_in_a_folder_without_rights_is_read_where_that_is_safe() {
    // Where every user can reach it: the tests' scratch folder may be closed to others.
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = database(folder.path(), "PRAGMA journal_mode = WAL", 100);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let Some(mut reader) = as_nobody("reading_without_rights") else { return };
    let before = state(&path);
    let out = folder.path().join("out");
    fs::write(&out, "").unwrap();
    fs::set_permissions(&out, fs::Permissions::from_mode(0o666)).unwrap();
    reader.env("WINDLASS_TEST_DB", &path).env("WINDLASS_TEST_STREAM", &out);
    assert!(reader.output().unwrap().status.success());
    assert!(fs::read(&out).unwrap() == before.5);
    assert_eq!(state(&path), before);
    assert_eq!(leftovers(folder.path()).len() + fs::read_dir(folder.path()).unwrap().count(), 2);
    // With something in the -wal and nobody who has it open, it can't be read without making a file.
    let mut other = Other::open(&path);
    other.ask("INSERT INTO log VALUES ('x')");
    other.kill();
    fs::remove_file(folder.path().join("shop.db-shm")).unwrap();
    let output = reader.output().unwrap();
    assert!(!output.status.success());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("Denied") && told.contains("-shm"), "{told}");
}

/// Not a test: backs up `WINDLASS_TEST_DB` into `WINDLASS_TEST_STREAM` as another user.
#[test]
#[ignore = "the child of another test"]
fn reading_without_rights() {
    let Some(path) = std::env::var_os("WINDLASS_TEST_DB") else { return };
    let (bytes, _) = backup(&json!({ "path": Path::new(&path) })).unwrap();
    fs::write(std::env::var_os("WINDLASS_TEST_STREAM").unwrap(), bytes).unwrap();
}

#[test]
fn a_full_disk_is_told_and_the_half_copy_goes() {
    // A file system of a few pages, if this process may mount one.
    let folder = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=3m none \"$0\" && shift 0 && exec \"$@\"";
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).arg(folder.path()).arg(std::env::current_exe().unwrap());
    command.args(["backing_up_on_a_full_disk", "--exact", "--ignored", "--nocapture"]);
    let output = command.env("WINDLASS_TEST_DB", folder.path().join("shop.db")).output();
    let Ok(output) = output else { return };
    let told =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if told.contains("running 1 test") {
        assert!(output.status.success(), "{told}");
    }
}

/// Not a test: the database takes two thirds of the file system.
#[test]
#[ignore = "the child of another test"]
fn backing_up_on_a_full_disk() {
    let Some(path) = std::env::var_os("WINDLASS_TEST_DB") else { return };
    let path = Path::new(&path);
    let folder = path.parent().unwrap();
    let conn = Connection::open(path).unwrap();
    conn.execute_batch("CREATE TABLE t(a); INSERT INTO t VALUES (randomblob(2000000))").unwrap();
    drop(conn);
    // A dump always goes through the copy; pages would only if the storage were slow.
    let error = backup(&json!({ "path": path, "mode": "sql" })).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Full, "{error}");
    assert!(error.hint.unwrap().contains("hold"));
    assert!(leftovers(folder).is_empty());
    let (bytes, _) = backup(&json!({ "path": path, "when_locked": "hold" })).unwrap();
    let before = fingerprint(path);
    let error = restore(&json!({ "path": path }), &bytes, RestoreMode::Replace).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Full, "{error}");
    assert!(leftovers(folder).is_empty());
    assert_eq!(fingerprint(path), before);
}
