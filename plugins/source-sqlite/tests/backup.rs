//! Backups of pages: the bytes, the source that stays as it was, and what dead runs left.

mod common;

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use common::{Fixture, Other, add, backup, database, fill, fingerprint, leftovers, restore, source, state};
use rusqlite::Connection;
use serde_json::json;
use windlass_plugin_api::{ErrorKind, Finished, Outputs, RestoreMode, Result, Sink, Source, StreamInfo};
use windlass_testkit::{SourceFixture, TestHost};

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
    let held = OpenOptions::new().read(true).open(&alive).unwrap();
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
