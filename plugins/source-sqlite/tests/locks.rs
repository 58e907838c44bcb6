//! Writers and readers during a backup: who waits for whom, how long, and what the snapshot holds.

mod common;

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use common::{Other, backup, database, fingerprint, leftovers, restore, source};
use rusqlite::Connection;
use serde_json::{Value, json};
use windlass_plugin_api::{
    Contents, ErrorKind, Finished, Outputs, RestoreMode, Result, Sink, Source, StreamInfo,
};
use windlass_testkit::TestHost;

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
fn the_copy_is_readable_by_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = database(folder.path(), "", 10_000);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let modes = AtomicUsize::new(0);
    let mut other = Other::open(&path);
    during_upload(&json!({ "path": path }), || {
        // A writer gets on only when the copy is made.
        assert_eq!(other.ask("DELETE FROM log"), "done");
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
    assert!(
        copy.notes[0].contains("when_locked = \"copy\"") && copy.notes[0].contains(" s, less"),
        "{copy:?}"
    );
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
