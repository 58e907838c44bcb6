//! Restores over databases: in use by another process, of another shape, not a database at all; and safety copies.

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use common::{Fixture, Other, add, backup, fill, fingerprint, how, inputs, leftovers, restore, source};
use rusqlite::Connection;
use serde_json::json;
use windlass_plugin_api::{ErrorKind, RestoreMode, Source};
use windlass_source_sqlite::PAGES;
use windlass_testkit::{SourceFixture, TestHost};

const REPLACE: RestoreMode = RestoreMode::Replace;

fn made(path: &Path, settings: &str, rows: u32) -> PathBuf {
    let conn = Connection::open(path).unwrap();
    conn.execute_batch(settings).unwrap();
    fill(&conn, rows);
    path.to_owned()
}

/// All but the journal mode, which a live target keeps.
fn content(path: &Path) -> String {
    fingerprint(path)
}

#[test]
fn a_live_connection_of_another_process_reads_the_new_rows_and_writes() {
    for target_mode in ["WAL", "DELETE"] {
        for source_mode in ["WAL", "DELETE"] {
            for vacuum in ["NONE", "FULL", "INCREMENTAL"] {
                for (old_rows, new_rows) in [(50, 3000), (3000, 50), (500, 500)] {
                    let case =
                        format!("{source_mode} over {target_mode}, {vacuum}, {new_rows} over {old_rows}");
                    let folder = tempfile::tempdir().unwrap();
                    let origin = made(
                        &folder.path().join("new.db"),
                        &format!("PRAGMA journal_mode = {source_mode}"),
                        new_rows,
                    );
                    // Free pages in the image: a target in auto-vacuum mode must not touch them.
                    Connection::open(&origin)
                        .unwrap()
                        .execute_batch("CREATE TABLE fresh(a); DELETE FROM goods WHERE id % 2")
                        .unwrap();
                    let settings =
                        format!("PRAGMA auto_vacuum = {vacuum}; PRAGMA journal_mode = {target_mode}");
                    let target = made(&folder.path().join("live.db"), &settings, old_rows);
                    let mut other = Other::open(&target);
                    assert_eq!(other.ask("SELECT count(*) FROM goods"), old_rows.to_string());
                    let inode = fs::metadata(&target).unwrap().ino();
                    let (bytes, _) = backup(&json!({ "path": origin })).unwrap();
                    restore(&json!({ "path": target }), &bytes, REPLACE).expect(&case);
                    assert_eq!(other.ask("SELECT count(*) FROM goods"), (new_rows / 2).to_string(), "{case}");
                    assert_eq!(
                        other.ask("SELECT count(*) FROM fresh"),
                        "0",
                        "{case}: a table that is new to it"
                    );
                    assert_eq!(other.ask("INSERT INTO fresh VALUES (1)"), "done", "{case}");
                    assert_eq!(other.ask("PRAGMA journal_mode"), target_mode.to_lowercase(), "{case}");
                    assert_eq!(other.ask("PRAGMA integrity_check"), "ok", "{case}");
                    drop(other);
                    assert_eq!(fs::metadata(&target).unwrap().ino(), inode, "{case}: never renamed over");
                    let conn = Connection::open(&target).unwrap();
                    conn.execute_batch("DELETE FROM fresh").unwrap();
                    drop(conn);
                    assert_eq!(content(&target), content(&origin), "{case}");
                    assert!(leftovers(folder.path()).is_empty());
                }
            }
        }
    }
}

#[test]
fn a_reader_in_wal_mode_keeps_its_snapshot_until_it_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let origin = made(&folder.path().join("new.db"), "", 700);
    let target = made(&folder.path().join("live.db"), "PRAGMA journal_mode = WAL", 40);
    let mut other = Other::open(&target);
    other.ask("BEGIN");
    assert_eq!(other.ask("SELECT count(*) FROM goods"), "40");
    let (bytes, _) = backup(&json!({ "path": origin })).unwrap();
    restore(&json!({ "path": target }), &bytes, REPLACE).unwrap();
    assert_eq!(other.ask("SELECT count(*) FROM goods"), "40");
    other.ask("COMMIT");
    assert_eq!(other.ask("SELECT count(*) FROM goods"), "700");
}

#[test]
fn a_target_that_is_locked_stays_and_its_holder_is_named() {
    for mode in ["WAL", "DELETE"] {
        let folder = tempfile::tempdir().unwrap();
        let origin = made(&folder.path().join("new.db"), "", 70);
        let target = made(&folder.path().join("live.db"), &format!("PRAGMA journal_mode = {mode}"), 40);
        let mut other = Other::open(&target);
        other.ask("BEGIN IMMEDIATE");
        other.ask("DELETE FROM log");
        let (bytes, _) = backup(&json!({ "path": origin })).unwrap();
        let error = restore(&json!({ "path": target, "busy_timeout": 0.1 }), &bytes, REPLACE).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable, "{mode}: {error}");
        assert!(error.hint.unwrap().contains(&format!("pid {}", other.pid())));
        assert_eq!(other.ask("COMMIT"), "done");
        assert_eq!(other.ask("SELECT count(*) FROM goods"), "40");
        assert!(leftovers(folder.path()).is_empty());
    }
}

#[test]
fn another_page_size_is_written_only_when_nobody_has_the_target_open() {
    for mode in ["WAL", "DELETE"] {
        for (old_size, new_size) in [(4096, 512), (512, 8192), (1024, 65536)] {
            let case = format!("{mode} {new_size} over {old_size}");
            let folder = tempfile::tempdir().unwrap();
            let origin = made(&folder.path().join("new.db"), &format!("PRAGMA page_size = {new_size}"), 900);
            let settings = format!("PRAGMA page_size = {old_size}; PRAGMA journal_mode = {mode}");
            let target = made(&folder.path().join("live.db"), &settings, 400);
            let old = content(&target);
            let (bytes, _) = backup(&json!({ "path": origin })).unwrap();
            let options = json!({ "path": target, "busy_timeout": 0.1, "safety_copy": true });
            let mut other = Other::open(&target);
            other.ask("SELECT count(*) FROM goods");
            let error = restore(&options, &bytes, REPLACE).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Refused, "{case}: {error}");
            assert!(
                error.hint.as_ref().unwrap().contains(&format!("pid {}", other.pid())),
                "{case}: {error:?}"
            );
            assert_eq!(other.ask("SELECT count(*) FROM goods"), "400");
            drop(other);
            assert_eq!(content(&target), old, "{case}");
            let inode = fs::metadata(&target).unwrap().ino();
            restore(&options, &bytes, REPLACE).expect(&case);
            assert_eq!(content(&target), content(&origin), "{case}");
            assert_eq!(fs::metadata(&target).unwrap().ino(), inode);
            assert_eq!(content(&folder.path().join("live.db.before-20260101T000000Z-test")), old, "{case}");
            assert!(leftovers(folder.path()).is_empty(), "{case}");
        }
    }
}

#[test]
fn a_refused_target_keeps_its_journal_mode() {
    let folder = tempfile::tempdir().unwrap();
    let origin = made(&folder.path().join("new.db"), "PRAGMA page_size = 512", 30);
    let target = made(&folder.path().join("live.db"), "PRAGMA journal_mode = WAL", 10);
    let (bytes, _) = backup(&json!({ "path": origin })).unwrap();
    // It holds no lock, so SQLite alone would not see it.
    let mut holder = holder(&target);
    assert_eq!(restore(&json!({ "path": target }), &bytes, REPLACE).unwrap_err().kind, ErrorKind::Refused);
    holder.kill().unwrap();
    holder.wait().unwrap();
    let mode: String =
        Connection::open(&target).unwrap().query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
}

#[test]
fn another_encoding_is_another_shape() {
    let folder = tempfile::tempdir().unwrap();
    let origin = made(&folder.path().join("new.db"), "PRAGMA encoding = 'UTF-16'", 30);
    let target = made(&folder.path().join("live.db"), "", 10);
    let (bytes, _) = backup(&json!({ "path": origin })).unwrap();
    let mut other = Other::open(&target);
    other.ask("SELECT count(*) FROM goods");
    assert_eq!(restore(&json!({ "path": target }), &bytes, REPLACE).unwrap_err().kind, ErrorKind::Refused);
    drop(other);
    restore(&json!({ "path": target }), &bytes, REPLACE).unwrap();
    assert_eq!(content(&target), content(&origin));
}

#[test]
fn an_empty_snapshot_empties_a_database() {
    let folder = tempfile::tempdir().unwrap();
    let target = made(&folder.path().join("live.db"), "PRAGMA journal_mode = WAL", 10);
    restore(&json!({ "path": target }), b"", REPLACE).unwrap();
    let conn = Connection::open(&target).unwrap();
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
    assert_eq!(tables, 0);
}

#[test]
fn a_safety_copy_is_what_was_there_and_is_never_overwritten() {
    for mode in ["WAL", "DELETE"] {
        let folder = tempfile::tempdir().unwrap();
        let origin = made(&folder.path().join("new.db"), "", 70);
        let target = made(&folder.path().join("live.db"), &format!("PRAGMA journal_mode = {mode}"), 40);
        let mut other = Other::open(&target);
        other.ask("INSERT INTO log VALUES ('only in the wal')");
        let old = content(&target);
        let (bytes, _) = backup(&json!({ "path": origin })).unwrap();
        let options = json!({ "path": target, "safety_copy": true });
        let told = restore(&options, &bytes, REPLACE).unwrap();
        let copy = folder.path().join("live.db.before-20260101T000000Z-test");
        assert!(told.notes.iter().any(|note| note.contains(copy.to_str().unwrap())), "{told:?}");
        assert_eq!(fs::metadata(&copy).unwrap().mode() & 0o777, 0o600);
        restore(&options, &bytes, REPLACE).unwrap();
        let second = folder.path().join("live.db.before-20260101T000000Z-test-2");
        assert_eq!(content(&second), content(&target));
        assert_eq!(content(&copy), old);
    }
}

#[test]
fn a_snapshot_id_that_is_a_path_names_a_file_beside_the_target() {
    let fixture = Fixture::new();
    let (bytes, _) = backup(&fixture.options()).unwrap();
    let target = made(&fixture.target(), "", 5);
    let cx = TestHost::new().context();
    let mut how = how(REPLACE);
    how.snapshot = "../../x/../.y".into();
    let options = json!({ "path": target, "safety_copy": true });
    source(&options, &cx).restore(&cx, &inputs(PAGES, &bytes), &how).unwrap();
    assert!(fixture.folder.path().join("target.db.before-______x_____y").exists());
}

#[test]
fn the_safety_copy_and_the_old_owner_stay_when_the_target_is_no_database() {
    let fixture = Fixture::new();
    let (bytes, _) = backup(&fixture.options()).unwrap();
    let target = fixture.target();
    let garbage = "not a database, but long enough to be read".repeat(50);
    fs::write(&target, &garbage).unwrap();
    fs::write(fixture.folder.path().join("target.db-wal"), "stale").unwrap();
    fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).unwrap();
    let cx = TestHost::new().context();
    let seen = source(&fixture.target_options(), &cx).target(&cx, &how(REPLACE)).unwrap();
    assert!(!seen.empty && seen.effects[0].contains("isn't a sound database"), "{seen:?}");
    let error = restore(&fixture.target_options(), &bytes, RestoreMode::Fail).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    let options = json!({ "path": target, "safety_copy": true });
    // Somebody has it open.
    let mut holder = holder(&target);
    assert_eq!(restore(&options, &bytes, REPLACE).unwrap_err().kind, ErrorKind::Refused);
    assert_eq!(fs::read_to_string(&target).unwrap(), garbage);
    holder.kill().unwrap();
    holder.wait().unwrap();
    restore(&options, &bytes, REPLACE).unwrap();
    assert_eq!(fixture.target_fingerprint(), fixture.fingerprint());
    assert_eq!(fs::metadata(&target).unwrap().mode() & 0o777, 0o640);
    let before = fixture.folder.path().join("target.db.before-20260101T000000Z-test");
    assert_eq!(fs::read_to_string(&before).unwrap(), garbage);
    assert_eq!(fs::read(format!("{}-wal", before.display())).unwrap(), b"stale");
    assert!(!fixture.folder.path().join("target.db-wal").exists());
}

/// A process that has `path` open and is no SQLite: the shell keeps its standard input until it is killed.
fn holder(path: &Path) -> std::process::Child {
    use std::io::Read;
    let mut child = std::process::Command::new("sh")
        .args(["-c", "exec 5<\"$0\"; echo ready; read x", path.to_str().unwrap()])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0; 6]).unwrap();
    child
}

#[test]
fn companions_of_a_database_that_is_gone_are_set_aside_and_not_replayed() {
    let fixture = Fixture::new();
    let (bytes, _) = backup(&fixture.options()).unwrap();
    let target = made(&fixture.target(), "PRAGMA journal_mode = WAL", 10);
    let mut other = Other::open(&target);
    other.ask("PRAGMA wal_autocheckpoint = 0");
    other.ask("UPDATE goods SET name = 'stale'");
    fs::remove_file(&target).unwrap();
    let cx = TestHost::new().context();
    let seen = source(&fixture.target_options(), &cx).target(&cx, &how(REPLACE)).unwrap();
    assert!(!seen.empty && seen.effects[1].contains("-wal"), "{seen:?}");
    assert!(seen.sessions[0].contains(&other.pid().to_string()));
    assert_eq!(
        restore(&fixture.target_options(), &bytes, RestoreMode::Fail).unwrap_err().kind,
        ErrorKind::Refused
    );
    // Its holder still works on the deleted file with this -wal.
    assert_eq!(restore(&fixture.target_options(), &bytes, REPLACE).unwrap_err().kind, ErrorKind::Refused);
    assert!(!target.exists());
    other.kill();
    let told = restore(&fixture.target_options(), &bytes, REPLACE).unwrap();
    assert!(told.notes.iter().any(|note| note.contains("set aside")), "{told:?}");
    assert_eq!(fixture.target_fingerprint(), fixture.fingerprint());
    let aside = fixture.folder.path().join("target.db.before-20260101T000000Z-test-wal");
    assert!(fs::metadata(aside).unwrap().len() > 0);
}

#[test]
fn a_filled_target_is_refused_in_mode_fail_and_merge_is_unsupported() {
    let fixture = Fixture::new();
    let (bytes, _) = backup(&fixture.options()).unwrap();
    made(&fixture.target(), "", 3);
    let old = fixture.target_fingerprint();
    let refused = restore(&fixture.target_options(), &bytes, RestoreMode::Fail).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Refused);
    let merge = restore(&fixture.target_options(), &bytes, RestoreMode::Merge).unwrap_err();
    assert_eq!(merge.kind, ErrorKind::Unsupported);
    assert_eq!(fixture.target_fingerprint(), old);
}

#[test]
fn a_damaged_stream_leaves_the_target_as_it_was() {
    let fixture = Fixture::new();
    let (bytes, _) = backup(&fixture.options()).unwrap();
    made(&fixture.target(), "", 3);
    let old = fixture.target_fingerprint();
    let mut inside = bytes.clone();
    // The b-tree header of the second page.
    inside[4096..4104].fill(0x55);
    let garbage = [bytes.as_slice(), b"behind"].concat();
    let cut = bytes[..bytes.len() - 4096].to_vec();
    let half = bytes[..bytes.len() - 1].to_vec();
    for (what, damaged) in [
        ("flipped", inside),
        ("longer", garbage),
        ("cut", cut),
        ("shorter", half),
        ("text", b"x".repeat(9000)),
    ] {
        let error = restore(&fixture.target_options(), &damaged, REPLACE).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Damaged, "{what}: {error}");
        assert_eq!(fixture.target_fingerprint(), old, "{what}");
        assert!(fixture.leftovers().is_empty(), "{what}");
    }
}

#[test]
fn rows_that_break_a_constraint_in_the_source_come_back_with_a_note() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("loose.db");
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch(
        "CREATE TABLE t(a); INSERT INTO t VALUES (NULL); PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET sql = 'CREATE TABLE t(a NOT NULL)'; PRAGMA writable_schema = OFF;
         CREATE TABLE u(a CHECK (a > 0)); PRAGMA ignore_check_constraints = ON; INSERT INTO u VALUES (-1)",
    )
    .unwrap();
    drop(conn);
    let (bytes, _) = backup(&json!({ "path": path })).unwrap();
    let target = folder.path().join("target.db");
    let told = restore(&json!({ "path": target }), &bytes, RestoreMode::Fail).unwrap();
    assert!(told.notes.iter().any(|note| note.contains("NULL value in t.a")), "{told:?}");
    assert!(fs::read(&target).unwrap() == bytes);
}

#[test]
fn a_function_that_only_the_application_knows_does_not_stop_a_restore() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.db");
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch(
        "CREATE TABLE plain(a); INSERT INTO plain VALUES (1); PRAGMA writable_schema = ON;
         INSERT INTO sqlite_schema SELECT 'table', 'own', 'own', rootpage, 'CREATE TABLE own(a CHECK (mine(a)))'
         FROM sqlite_schema WHERE name = 'plain';
         DELETE FROM sqlite_schema WHERE name = 'plain'; PRAGMA writable_schema = OFF",
    )
    .unwrap();
    drop(conn);
    let (bytes, _) = backup(&json!({ "path": path })).unwrap();
    let target = folder.path().join("target.db");
    restore(&json!({ "path": target }), &bytes, RestoreMode::Fail).unwrap();
    assert!(fs::read(&target).unwrap() == bytes);
}

#[test]
fn a_link_to_a_database_is_followed_and_a_link_to_nothing_is_refused() {
    let fixture = Fixture::new();
    let (bytes, _) = backup(&fixture.options()).unwrap();
    let (link, broken) = (fixture.folder.path().join("link.db"), fixture.folder.path().join("broken.db"));
    let target = made(&fixture.target(), "", 5);
    std::os::unix::fs::symlink(&target, &link).unwrap();
    std::os::unix::fs::symlink("nowhere/x.db", &broken).unwrap();
    restore(&json!({ "path": link }), &bytes, REPLACE).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fixture.target_fingerprint(), fixture.fingerprint());
    assert_eq!(restore(&json!({ "path": broken }), &bytes, REPLACE).unwrap_err().kind, ErrorKind::Config);
}

#[test]
fn target_tells_what_is_there_and_touches_nothing() {
    let fixture = Fixture::new();
    let cx = TestHost::new().context();
    let look = || source(&fixture.target_options(), &cx).target(&cx, &how(REPLACE)).unwrap();
    let seen = look();
    assert!(seen.empty && seen.atomic && seen.size_bytes.is_none());
    assert_eq!(fs::read_dir(fixture.folder.path()).unwrap().count(), 1);
    let target = made(&fixture.target(), "PRAGMA journal_mode = WAL", 5);
    let mut other = Other::open(&target);
    other.ask("SELECT count(*) FROM goods");
    let seen = look();
    assert_eq!(seen.place, target.canonicalize().unwrap().display().to_string());
    assert!(!seen.empty && seen.effects[0].contains("2 tables"), "{seen:?}");
    assert!(seen.sessions[0].starts_with(&format!("pid {}", other.pid())), "{seen:?}");
    assert!(seen.modified.unwrap() > 0 && seen.size_bytes.unwrap() > 4096);
}

#[test]
fn only_what_differs_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let target = made(&folder.path().join("live.db"), "PRAGMA journal_mode = WAL", 20_000);
    let (bytes, _) = backup(&json!({ "path": target })).unwrap();
    let mut other = Other::open(&target);
    other.ask("UPDATE goods SET name = 'wrong' WHERE id = 7000");
    other.ask("PRAGMA wal_checkpoint(TRUNCATE)");
    restore(&json!({ "path": target }), &bytes, REPLACE).unwrap();
    assert_eq!(other.ask("SELECT name FROM goods WHERE id = 7000"), "thing 7000");
    let wal = fs::metadata(folder.path().join("live.db-wal")).unwrap().len();
    assert!(wal < 100_000, "{wal} bytes for a few pages");
    add(&Connection::open(&target).unwrap(), 1);
}
