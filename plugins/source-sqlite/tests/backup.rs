//! Backups of pages: the bytes, the source that stays as it was, locks, and what dead runs left.

mod common;

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use common::{Fixture, Other, add, backup, fill, fingerprint, leftovers, restore, source, state};
use rusqlite::Connection;
use serde_json::{Value, json};
use windlass_plugin_api::{
    Contents, ErrorKind, Finished, Outputs, RestoreMode, Result, Sink, Source, StreamInfo,
};
use windlass_testkit::{SourceFixture, TestHost};

/// A database in `folder`, in WAL mode or not, filled by `rows` rows, closed.
fn database(folder: &Path, settings: &str, rows: u32) -> std::path::PathBuf {
    let path = folder.join("shop.db");
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch(settings).unwrap();
    fill(&conn, rows);
    path
}

#[test]
fn pages_are_the_file_byte_by_byte_at_any_page_size() {
    for size in [512, 1024, 4096, 65536] {
        for mode in ["copy", "hold"] {
            let folder = tempfile::tempdir().unwrap();
            let path = database(folder.path(), &format!("PRAGMA page_size = {size}"), 500);
            let (bytes, contents) = backup(&json!({ "path": path, "when_locked": mode })).unwrap();
            assert!(bytes == fs::read(&path).unwrap(), "page size {size}, {mode}");
            assert_eq!(contents.details["page_size"], json!(size));
            let target = folder.path().join("target.db");
            restore(&json!({ "path": target }), &bytes, RestoreMode::Fail).unwrap();
            assert!(bytes == fs::read(&target).unwrap());
            assert_eq!(fs::metadata(&target).unwrap().mode() & 0o777, 0o600);
        }
    }
}

#[test]
fn every_kind_of_auto_vacuum_comes_back() {
    for kind in ["NONE", "FULL", "INCREMENTAL"] {
        let folder = tempfile::tempdir().unwrap();
        let path = database(folder.path(), &format!("PRAGMA auto_vacuum = {kind}"), 2000);
        Connection::open(&path).unwrap().execute_batch("DELETE FROM goods WHERE id % 3 > 0").unwrap();
        let (bytes, _) = backup(&json!({ "path": path })).unwrap();
        let target = folder.path().join("target.db");
        restore(&json!({ "path": target }), &bytes, RestoreMode::Fail).unwrap();
        assert_eq!(fingerprint(&target), fingerprint(&path), "{kind}");
    }
}

#[test]
fn an_empty_database_and_an_empty_file_come_back() {
    for sql in ["", "PRAGMA user_version = 3", "PRAGMA journal_mode = WAL", "CREATE TABLE t(a); DROP TABLE t"]
    {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty.db");
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        fs::OpenOptions::new().create(true).append(true).open(&path).unwrap();
        let (bytes, _) = backup(&json!({ "path": path })).unwrap();
        assert_eq!(bytes, fs::read(&path).unwrap(), "{sql}");
        let target = folder.path().join("target.db");
        restore(&json!({ "path": target }), &bytes, RestoreMode::Fail).unwrap();
        assert_eq!(fs::read(&target).unwrap(), bytes);
        restore(&json!({ "path": target }), &bytes, RestoreMode::Fail)
            .expect("an empty database is no obstacle");
    }
}

#[test]
fn names_that_mean_something_elsewhere_are_only_names() {
    for name in [
        "a b.db",
        "it's.db",
        "q?mode=memory",
        "100%41.db",
        "file:x.db",
        "-wal",
        "#",
        "ünï.db",
        &"n".repeat(240),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fill(&Connection::open(&path).unwrap(), 20);
        for mode in ["pages", "sql"] {
            let (bytes, contents) = backup(&json!({ "path": path, "mode": mode })).unwrap();
            let target = folder.path().join(format!("{mode}{}", &name[..name.len().min(230)]));
            let format = contents.details["stream_format"].as_str().unwrap();
            common::restore_as(format, &json!({ "path": target }), &bytes, RestoreMode::Fail).unwrap();
            assert_eq!(fingerprint(&target), fingerprint(&path), "{name}");
            assert_eq!(leftovers(folder.path()), Vec::<String>::new());
        }
    }
}

#[test]
fn what_is_only_in_the_wal_is_in_the_backup_and_stays_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = database(folder.path(), "PRAGMA journal_mode = WAL", 100);
    let mut other = Other::open(&path);
    other.ask("PRAGMA wal_autocheckpoint = 0");
    assert_eq!(other.ask("INSERT INTO log VALUES ('only in the wal')"), "done");
    let wal = folder.path().join("shop.db-wal");
    let before = (state(&path), state(&wal));
    let (bytes, _) = backup(&json!({ "path": path })).unwrap();
    assert_eq!((state(&path), state(&wal)), before);
    let target = folder.path().join("target.db");
    restore(&json!({ "path": target }), &bytes, RestoreMode::Fail).unwrap();
    let told: i64 = Connection::open(&target)
        .unwrap()
        .query_row("SELECT count(*) FROM log WHERE what = 'only in the wal'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(told, 1);
    // Its holder dies: nobody has it open, and still nothing may be moved out of the -wal.
    other.kill();
    let before = (state(&path), state(&wal));
    let (again, _) = backup(&json!({ "path": path })).unwrap();
    assert!(again == bytes);
    assert_eq!((state(&path), state(&wal)), before);
}

#[test]
fn a_closed_wal_database_gets_no_companions() {
    let folder = tempfile::tempdir().unwrap();
    let path = database(folder.path(), "PRAGMA journal_mode = WAL", 100);
    let before = state(&path);
    let (bytes, _) = backup(&json!({ "path": path })).unwrap();
    assert!(bytes == before.5);
    assert_eq!(state(&path), before);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

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

/// A storage that takes no byte behind the first piece until it is told to, and keeps what it got.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<GateState>, Condvar)>);

#[derive(Default)]
struct GateState {
    arrived: bool,
    open: bool,
    bytes: Vec<u8>,
}

impl Gate {
    fn wait_arrived(&self) {
        let state = self.0.0.lock().unwrap();
        let (_state, late) =
            self.0.1.wait_timeout_while(state, Duration::from_secs(60), |state| !state.arrived).unwrap();
        assert!(!late.timed_out());
    }

    fn open(&self) {
        self.0.0.lock().unwrap().open = true;
        self.0.1.notify_all();
    }
}

impl Outputs for Gate {
    fn create(&self, _: &str, _: StreamInfo) -> Result<Box<dyn Sink>> {
        Ok(Box::new(self.clone()))
    }
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.0.lock().unwrap();
        state.arrived = true;
        self.0.1.notify_all();
        let (mut state, late) =
            self.0.1.wait_timeout_while(state, Duration::from_secs(60), |state| !state.open).unwrap();
        assert!(!late.timed_out(), "nobody opened the gate");
        state.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Gate {
    fn finish(&mut self) -> Result<Finished> {
        Ok(Finished::default())
    }
}

/// Backs up behind a gate, calls `meanwhile` while the upload stands still, and returns the snapshot's bytes.
fn during_upload(options: &Value, meanwhile: impl FnOnce()) -> (Vec<u8>, Contents) {
    let (gate, host) = (Gate::default(), TestHost::new());
    let contents = thread::scope(|scope| {
        let run = scope.spawn(|| source(options, &host.context()).backup(&host.context(), &gate).unwrap());
        gate.wait_arrived();
        meanwhile();
        gate.open();
        run.join().unwrap()
    });
    let bytes = std::mem::take(&mut gate.0.0.lock().unwrap().bytes);
    (bytes, contents)
}

#[test]
fn writers_go_on_during_an_upload_and_the_snapshot_is_of_its_beginning() {
    for (settings, mode) in [
        ("PRAGMA journal_mode = WAL", "pages"),
        ("PRAGMA journal_mode = WAL", "sql"),
        ("PRAGMA journal_mode = DELETE", "pages"),
        ("PRAGMA journal_mode = DELETE", "sql"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = database(folder.path(), settings, 10_000);
        let mut other = Other::open(&path);
        let before = fingerprint(&path);
        let (bytes, contents) =
            during_upload(&json!({ "path": path, "mode": mode, "busy_timeout": 5 }), || {
                assert_eq!(other.ask("UPDATE goods SET name = 'later'"), "done");
                assert_eq!(other.ask("DELETE FROM log"), "done");
                other.ask("PRAGMA wal_checkpoint(PASSIVE)");
            });
        let target = folder.path().join("target.db");
        let format = contents.details["stream_format"].as_str().unwrap();
        common::restore_as(format, &json!({ "path": target }), &bytes, RestoreMode::Fail).unwrap();
        assert_eq!(fingerprint(&target), before, "{settings} {mode}");
        assert_eq!(other.ask("SELECT count(*) FROM goods WHERE name = 'later'"), "10000");
        assert!(leftovers(folder.path()).is_empty());
    }
}

#[test]
fn holding_the_lock_makes_writers_wait_until_the_upload_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let path = database(folder.path(), "PRAGMA journal_mode = DELETE", 10_000);
    let mut other = Other::open(&path);
    assert_eq!(other.ask("PRAGMA busy_timeout = 50"), "50");
    let before = fs::read(&path).unwrap();
    let (bytes, _) = during_upload(&json!({ "path": path, "when_locked": "hold" }), || {
        assert_eq!(other.ask("DELETE FROM log"), "error: database is locked");
        // No copy is made beside the database.
        assert!(leftovers(folder.path()).is_empty());
    });
    assert!(bytes == before);
    assert_eq!(other.ask("DELETE FROM log"), "done");
}

#[test]
fn a_stream_of_commits_never_tears_a_backup() {
    for settings in ["PRAGMA journal_mode = WAL", "PRAGMA journal_mode = DELETE"] {
        let folder = tempfile::tempdir().unwrap();
        let path = database(folder.path(), settings, 3000);
        let conn = Connection::open(&path).unwrap();
        conn.execute_batch("CREATE TABLE pair(a, b); INSERT INTO pair VALUES (0, 0)").unwrap();
        drop(conn);
        // Both ends of the file change in one transaction; a torn copy would hold two different numbers.
        let mut other = Other::open(&path);
        for round in 0..15 {
            let work = "INSERT INTO goods(name, picture) SELECT 'w', randomblob(3000) FROM goods LIMIT 50";
            for sql in
                ["BEGIN IMMEDIATE", "UPDATE pair SET a = a + 1", work, "UPDATE pair SET b = b + 1", "COMMIT"]
            {
                other.tell(sql);
            }
            let (bytes, _) = backup(&json!({ "path": path })).unwrap();
            let target = folder.path().join(format!("target{round}.db"));
            restore(&json!({ "path": target }), &bytes, RestoreMode::Fail).unwrap();
            let conn = Connection::open(&target).unwrap();
            let (a, b): (i64, i64) =
                conn.query_row("SELECT a, b FROM pair", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            assert_eq!(a, b);
            let check: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
            assert_eq!(check, "ok");
            for _ in 0..5 {
                assert_eq!(other.read(), "done");
            }
        }
    }
}

#[test]
fn a_missing_database_is_told_and_never_made() {
    let folder = tempfile::tempdir().unwrap();
    let error = backup(&json!({ "path": folder.path().join("none.db") })).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_file_that_is_no_database_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text.db");
    fs::write(&path, "just some text, long enough to be looked at".repeat(100)).unwrap();
    assert_eq!(backup(&json!({ "path": path })).unwrap_err().kind, ErrorKind::Damaged);
    assert_eq!(backup(&json!({ "path": folder.path() })).unwrap_err().kind, ErrorKind::Config);
}

#[test]
fn a_locked_database_is_told_with_who_holds_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = database(folder.path(), "", 10);
    let mut other = Other::open(&path);
    other.ask("BEGIN EXCLUSIVE");
    let error = backup(&json!({ "path": path, "busy_timeout": 0.05 })).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.hint.unwrap().contains(&format!("pid {}", other.pid())));
}

#[test]
fn a_dead_writers_journal_is_rolled_back_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = database(folder.path(), "", 2000);
    let before = fingerprint(&path);
    let mut other = Other::open(&path);
    // A cache this small is spilt into the file long before the commit.
    for sql in ["PRAGMA cache_size = 1", "BEGIN", "UPDATE goods SET name = 'half', picture = randomblob(300)"]
    {
        other.ask(sql);
    }
    other.kill();
    assert!(fs::metadata(folder.path().join("shop.db-journal")).unwrap().len() > 0);
    let torn = state(&path);
    let host = TestHost::new();
    let probe = source(&json!({ "path": path }), &host.context()).probe(&host.context()).unwrap();
    assert!(probe.warnings[0].contains("roll"), "{probe:?}");
    assert_eq!(state(&path), torn, "a probe changes nothing");
    let (bytes, contents) = backup(&json!({ "path": path })).unwrap();
    assert!(contents.warnings[0].contains("rolled back"), "{contents:?}");
    let target = folder.path().join("target.db");
    restore(&json!({ "path": target }), &bytes, RestoreMode::Fail).unwrap();
    assert_eq!(fingerprint(&target), before);
}

#[test]
fn what_dead_runs_left_is_removed_and_what_lives_is_not() {
    let fixture = Fixture::new();
    let folder = fixture.folder.path();
    let dead = folder.join(".windlass-20260101T000000Z-dead-source.db");
    let alive = folder.join(".windlass-20260101T000000Z-live-source.db");
    let foreign = folder.join(".windlass-20260101T000000Z-dead-another.db");
    for path in [&dead, &alive, &foreign] {
        fs::write(path, "x").unwrap();
    }
    fs::write(folder.join(".windlass-20260101T000000Z-dead-source.db-journal"), "x").unwrap();
    let held = OpenOptions::new().read(true).custom_flags(0).open(&alive).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    backup(&fixture.options()).unwrap();
    let mut left = fixture.leftovers();
    left.sort();
    assert_eq!(
        left,
        [".windlass-20260101T000000Z-dead-another.db", ".windlass-20260101T000000Z-live-source.db"]
    );
}

#[test]
fn a_failing_storage_leaves_no_copy_behind() {
    let fixture = Fixture::new();
    let out = windlass_testkit::streams::MemoryOutputs::new().fault_at(
        3,
        windlass_testkit::streams::Fault::Error(windlass_plugin_api::Error::new(ErrorKind::Full, "full")),
    );
    let host = TestHost::new();
    let error = source(&fixture.options(), &host.context()).backup(&host.context(), &out).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Full);
    assert!(fixture.leftovers().is_empty());
}

#[test]
fn the_copy_is_readable_by_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = database(folder.path(), "", 10_000);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let modes = AtomicUsize::new(0);
    during_upload(&json!({ "path": path }), || {
        for name in leftovers(folder.path()) {
            assert_eq!(fs::metadata(folder.path().join(name)).unwrap().mode() & 0o777, 0o600);
            modes.fetch_add(1, Ordering::Relaxed);
        }
    });
    assert_eq!(modes.into_inner(), 1);
}

#[test]
fn probe_tells_how_long_writers_wait() {
    let folder = tempfile::tempdir().unwrap();
    let host = TestHost::new();
    let path = database(folder.path(), "", 100);
    let probe = |options: Value| source(&options, &host.context()).probe(&host.context()).unwrap();
    let copy = probe(json!({ "path": path }));
    assert!(copy.notes[0].contains("when_locked = \"copy\"") && copy.notes[0].contains(" s,"), "{copy:?}");
    assert_eq!(copy.estimate_bytes, Some(fs::metadata(&path).unwrap().len()));
    let hold = probe(json!({ "path": path, "when_locked": "hold" }));
    assert!(hold.warnings[0].contains("every writer waits"), "{hold:?}");
    Connection::open(&path).unwrap().execute_batch("PRAGMA journal_mode = WAL").unwrap();
    assert!(probe(json!({ "path": path })).notes[0].contains("`-wal` file grows"));
}

#[test]
fn a_wal_that_grew_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = database(folder.path(), "PRAGMA journal_mode = WAL", 10_000);
    let mut other = Other::open(&path);
    let (_, contents) = during_upload(&json!({ "path": path }), || {
        other.ask("UPDATE goods SET picture = randomblob(300)");
    });
    assert!(contents.warnings[0].contains("-wal"), "{contents:?}");
}

#[test]
fn a_file_larger_than_a_gibibyte_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.db");
    let conn = Connection::open(&path).unwrap();
    // The page with the byte at 1 GiB is never used; rows lie on both sides of it.
    conn.execute_batch(
        "PRAGMA page_size = 65536; PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF; CREATE TABLE t(a)",
    )
    .unwrap();
    for _ in 0..11 {
        conn.execute("INSERT INTO t VALUES (zeroblob(100000000))", []).unwrap();
    }
    add_marker(&conn);
    let pages: u32 = conn.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    drop(conn);
    let size = u64::from(pages) * 65536;
    assert!(size > 1 << 30);
    let host = TestHost::new();
    let (kept, target) = (folder.path().join("kept"), folder.path().join("target.db"));
    for when_locked in ["hold", "copy"] {
        let out = ToFile(kept.clone());
        let options = json!({ "path": path, "when_locked": when_locked });
        source(&options, &host.context()).backup(&host.context(), &out).unwrap();
        assert_eq!(fs::metadata(&kept).unwrap().len(), size, "{when_locked}");
        assert!(same(&kept, &path), "{when_locked}");
    }
    // The same over a database that exists: in place, the lock-byte page left out.
    let conn = Connection::open(&target).unwrap();
    conn.execute_batch("PRAGMA page_size = 65536; CREATE TABLE old(a)").unwrap();
    drop(conn);
    let how = common::how(RestoreMode::Replace);
    source(&json!({ "path": target }), &host.context())
        .restore(&host.context(), &FromFile(kept), &how)
        .unwrap();
    let conn = Connection::open(&target).unwrap();
    let marker: String =
        conn.query_row("SELECT a FROM t ORDER BY rowid DESC LIMIT 1", [], |row| row.get(0)).unwrap();
    assert_eq!(marker, "behind the lock");
    let check: String = conn.query_row("PRAGMA quick_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
}

fn add_marker(conn: &Connection) {
    conn.execute("INSERT INTO t VALUES ('behind the lock')", []).unwrap();
}

fn same(one: &Path, other: &Path) -> bool {
    use std::io::Read;
    let (mut one, mut other) = (fs::File::open(one).unwrap(), fs::File::open(other).unwrap());
    let (mut a, mut b) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let count = one.read(&mut a).unwrap();
        if count == 0 {
            return other.read(&mut b).unwrap() == 0;
        }
        if other.read_exact(&mut b[..count]).is_err() || a[..count] != b[..count] {
            return false;
        }
    }
}

struct ToFile(std::path::PathBuf);

impl Outputs for ToFile {
    fn create(&self, _: &str, _: StreamInfo) -> Result<Box<dyn Sink>> {
        Ok(Box::new(FileSink(fs::File::create(&self.0)?)))
    }
}

struct FileSink(fs::File);

impl Write for FileSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for FileSink {
    fn finish(&mut self) -> Result<Finished> {
        Ok(Finished::default())
    }
}

struct FromFile(std::path::PathBuf);

impl windlass_plugin_api::Inputs for FromFile {
    fn streams(&self) -> Vec<(String, StreamInfo)> {
        vec![("data".into(), StreamInfo::new(windlass_source_sqlite::PAGES))]
    }

    fn open(&self, _: &str) -> Result<windlass_plugin_api::Reader> {
        Ok(Box::new(fs::File::open(&self.0)?))
    }
}

#[test]
fn rows_added_behind_the_backup_are_not_in_it() {
    let fixture = Fixture::new();
    let (bytes, _) = backup(&fixture.options()).unwrap();
    let before = fixture.fingerprint();
    add(&Connection::open(fixture.source()).unwrap(), 5);
    restore(&fixture.target_options(), &bytes, RestoreMode::Fail).unwrap();
    assert_eq!(fixture.target_fingerprint(), before);
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
    let folder = tempfile::tempdir().unwrap();
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
    let error = backup(&json!({ "path": path })).unwrap_err();
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
