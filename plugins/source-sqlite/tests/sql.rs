//! Mode `sql`: what a dump holds, that SQLite's own shell loads it, and what a planted one can't do.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::{fs, io::Write};

use common::{backup, fingerprint, fingerprint_of, restore_as};
use rusqlite::Connection;
use serde_json::json;
use windlass_plugin_api::{Context, ErrorKind, Plugin, RestoreMode, Source};
use windlass_source_sqlite::{SQL, Sqlite};

const EVERYTHING: &str = r#"
PRAGMA user_version = 7; PRAGMA application_id = 1234567;
CREATE TABLE plain(a, "b ""q""" TEXT, [c;d] REAL, e BLOB);
INSERT INTO plain VALUES (1, 'it''s', 0.1, X'00ff'), (NULL, 'line' || char(13) || char(10) || 'two', 9e999, X''),
  (-9223372036854775808, 'nul' || char(0) || 'nul', -9e999, NULL), (1e300 * 1e300 - 1e300 * 1e300, '', 1.0/3, 'text in a blob column'),
  (1.0, '-- ; /*', 5e-324, zeroblob(10)), ('x', 'ä€😀', -0.0, 12);
DELETE FROM plain WHERE rowid = 2;
CREATE TABLE counted(id INTEGER PRIMARY KEY AUTOINCREMENT, x);
INSERT INTO counted(x) VALUES (1), (2), (3); DELETE FROM counted WHERE id = 3;
CREATE TABLE keyed(k TEXT PRIMARY KEY, v, UNIQUE(v)) WITHOUT ROWID;
INSERT INTO keyed VALUES ('z', 1), ('a', 2);
CREATE TABLE made(a INT, b INT GENERATED ALWAYS AS (a * 2) VIRTUAL, c TEXT AS (a || 'c') STORED, d DEFAULT 'x;y');
INSERT INTO made(a) VALUES (1), (2);
CREATE TABLE strict_one(a ANY, b INT) STRICT; INSERT INTO strict_one VALUES ('1', 1), (1, 2);
CREATE TABLE descending(id INTEGER PRIMARY KEY DESC, x); INSERT INTO descending VALUES (5, 'five'), (4, 'four');
CREATE TABLE rowid(rowid TEXT, oid INT); INSERT INTO rowid VALUES ('r', 1);
CREATE TABLE commented(a -- a; comment
); INSERT INTO commented VALUES (1);
CREATE TABLE "odd 'name'; --"(a); INSERT INTO "odd 'name'; --" VALUES (1);
CREATE TABLE child(p REFERENCES counted(id)); INSERT INTO child VALUES (99);
CREATE INDEX one ON plain(a) WHERE a > 0; CREATE UNIQUE INDEX two ON keyed(v, k);
CREATE VIEW seen AS SELECT a AS "semi;colon" FROM plain; -- behind
CREATE TRIGGER many AFTER INSERT ON plain WHEN new.a = 'never; END;' BEGIN
  INSERT INTO counted(x) VALUES ('from; trigger');
  UPDATE counted SET x = CASE WHEN x = 1 THEN 2 ELSE 3 END;
END;
CREATE TRIGGER instead INSTEAD OF INSERT ON seen BEGIN SELECT 1; END;
CREATE VIRTUAL TABLE words USING fts5(title, body); INSERT INTO words VALUES ('one', 'the quick fox'), ('two', 'a slow fox');
CREATE VIRTUAL TABLE bare USING fts5(body, content=''); INSERT INTO bare(rowid, body) VALUES (3, 'hidden fox'), (9, 'cat');
CREATE VIRTUAL TABLE outside USING fts5(name, content='docs', content_rowid='rowid');
CREATE TABLE docs(name); INSERT INTO docs(rowid, name) VALUES (10, 'alpha beta'), (20, 'gamma');
INSERT INTO outside(outside) VALUES ('rebuild');
CREATE VIRTUAL TABLE old USING fts4(x); INSERT INTO old VALUES ('old fox'), ('new cat');
CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1, +label); INSERT INTO boxes VALUES (1, 0.5, 1.5, 'b'), (2, 3, 4, 'c');
ANALYZE;
"#;

fn everything(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("everything.db");
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    conn.execute_batch(EVERYTHING).unwrap();
    path
}

fn dump(path: &Path) -> Vec<u8> {
    backup(&json!({ "path": path, "mode": "sql" })).unwrap().0
}

/// All but the samples of ANALYZE, which a dump leaves out: SQLite may be built without the table for them.
fn without(path: &Path) -> String {
    let conn = Connection::open(path).unwrap();
    conn.execute_batch("DROP TABLE IF EXISTS sqlite_stat4").unwrap();
    fingerprint_of(&conn)
}

/// What virtual tables answer, which their shadow tables alone don't prove.
fn answers(path: &Path) -> Vec<String> {
    let conn = Connection::open(path).unwrap();
    for table in ["words", "bare", "outside"] {
        conn.execute(&format!("INSERT INTO {table}({table}) VALUES ('integrity-check')"), []).unwrap();
    }
    let sql = "SELECT 'w' || rowid FROM words('fox') UNION ALL SELECT 'b' || rowid FROM bare('fox')
               UNION ALL SELECT 'o' || rowid || name FROM outside('beta')
               UNION ALL SELECT 'f' || docid FROM old WHERE x MATCH 'fox' UNION ALL SELECT label FROM boxes WHERE x0 > 2";
    let mut statement = conn.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(|row| row.unwrap()).collect()
}

#[test]
fn a_dump_restores_everything_that_a_schema_can_hold() {
    let folder = tempfile::tempdir().unwrap();
    let path = everything(folder.path());
    let target = folder.path().join("target.db");
    restore_as(SQL, &json!({ "path": target }), &dump(&path), RestoreMode::Fail).unwrap();
    assert_eq!(answers(&target), ["w1", "w2", "b3", "o10alpha beta", "f1", "c"]);
    assert_eq!(without(&target), without(&path));
    let rowids = "SELECT group_concat(rowid) FROM plain";
    let of = |path: &Path| {
        Connection::open(path).unwrap().query_row(rowids, [], |row| row.get::<_, String>(0)).unwrap()
    };
    assert_eq!(of(&target), of(&path));
    let id: i64 = Connection::open(&target)
        .unwrap()
        .query_row("INSERT INTO counted(x) VALUES (0) RETURNING id", [], |row| row.get(0))
        .unwrap();
    assert_eq!(id, 4, "the counter of deleted rows is kept");
    assert!(common::leftovers(folder.path()).is_empty());
}

#[test]
fn the_stock_shell_loads_a_dump_by_the_command_that_is_told() {
    if Command::new("sqlite3").arg("--version").output().is_err() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = everything(folder.path());
    let (bytes, contents) = backup(&json!({ "path": path, "mode": "sql" })).unwrap();
    let source = Sqlite::new(
        serde_json::from_value(json!({ "path": "shell.db", "mode": "sql" })).unwrap(),
        &Context::default(),
    );
    let command = source.unwrap().by_hand("data", &contents).unwrap();
    let mut child = Command::new("sh")
        .args(["-c", &command])
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let made = folder.path().join("shell.db");
    assert_eq!(answers(&made), answers(&path));
    assert_eq!(without(&made), without(&path));
}

#[test]
fn text_in_other_encodings_comes_back() {
    for encoding in ["UTF-16le", "UTF-16be"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wide.db");
        let conn = Connection::open(&path).unwrap();
        conn.execute_batch(&format!(
            "PRAGMA encoding = '{encoding}'; CREATE TABLE t(a); INSERT INTO t VALUES ('ä€😀'), ('n' || char(0) || 'n'), ('x' || char(10))"
        ))
        .unwrap();
        drop(conn);
        let target = folder.path().join("target.db");
        restore_as(SQL, &json!({ "path": target }), &dump(&path), RestoreMode::Fail).unwrap();
        assert_eq!(fingerprint(&target), fingerprint(&path));
        let conn = Connection::open(&target).unwrap();
        assert_eq!(conn.query_row("PRAGMA encoding", [], |row| row.get::<_, String>(0)).unwrap(), encoding);
    }
}

#[test]
fn settings_of_the_file_survive_a_dump() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.db");
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch("PRAGMA page_size = 8192; PRAGMA auto_vacuum = 2; CREATE TABLE t(a)").unwrap();
    let target = folder.path().join("target.db");
    restore_as(SQL, &json!({ "path": target }), &dump(&path), RestoreMode::Fail).unwrap();
    let conn = Connection::open(&target).unwrap();
    let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!((number("PRAGMA page_size"), number("PRAGMA auto_vacuum")), (8192, 2));
}

#[test]
fn a_planted_dump_runs_nothing_and_touches_nothing_outside() {
    let planted = [
        ".shell touch OUT",
        ".read OUT",
        ".open OUT",
        "ATTACH 'OUT' AS other;",
        "ATTACH ':memory:' AS other;",
        "VACUUM INTO 'OUT';",
        "SELECT load_extension('OUT');",
        "CREATE TABLE t(a DEFAULT (load_extension('OUT'))); INSERT INTO t DEFAULT VALUES;",
        "SELECT writefile('OUT', 'x');",
        "PRAGMA writable_schema = ON;",
        "PRAGMA journal_mode = DELETE;",
        "PRAGMA temp_store_directory = '/';",
        "SELECT * FROM pragma_writable_schema(1);",
        "CREATE VIRTUAL TABLE c USING csv(filename='OUT');",
        "CREATE VIRTUAL TABLE f USING fsdir;",
        "INSERT INTO sqlite_dbpage(pgno, data) VALUES (1, zeroblob(4096));",
        "SELECT data FROM sqlite_dbpage;",
        "INSERT INTO sqlite_schema VALUES ('table', 'x', 'x', 0, 'CREATE TABLE x(a)');",
        "CREATE TEMP TABLE t(a);",
        "SAVEPOINT s;",
        "COMMIT; ATTACH 'OUT' AS other;",
        "COMMIT; BEGIN;",
        "SELECT 1; /* */ ATTACH 'OUT' AS other;",
        "CREATE TRIGGER x AFTER INSERT ON sqlite_schema BEGIN SELECT 1; END; ATTACH 'OUT' AS other;",
    ];
    for text in planted {
        let folder = tempfile::tempdir().unwrap();
        let (target, out) = (folder.path().join("target.db"), folder.path().join("out"));
        let text = text.replace("OUT", out.to_str().unwrap());
        let sql = format!("BEGIN TRANSACTION;\nCREATE TABLE good(a);\n{text}\nCOMMIT;\n");
        let error =
            restore_as(SQL, &json!({ "path": target }), sql.as_bytes(), RestoreMode::Fail).unwrap_err();
        assert!(matches!(error.kind, ErrorKind::Unsupported | ErrorKind::Damaged), "{text}: {error:?}");
        let left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.is_empty(), "{text}: {left:?}");
    }
    // Before the transaction nothing but settings.
    for text in ["CREATE TABLE t(a);", "ATTACH 'x' AS y;", "SELECT 1;", "COMMIT;"] {
        let folder = tempfile::tempdir().unwrap();
        let sql = format!("{text} BEGIN; COMMIT;");
        restore_as(SQL, &json!({ "path": folder.path().join("t.db") }), sql.as_bytes(), RestoreMode::Fail)
            .unwrap_err();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_dump_that_was_cut_off_anywhere_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = everything(folder.path());
    let bytes = dump(&path);
    let target = folder.path().join("target.db");
    let cuts = (0..bytes.len() - 1).step_by(bytes.len() / 60).chain([bytes.len() - 2, bytes.len() - 9]);
    for cut in cuts {
        let result = restore_as(SQL, &json!({ "path": target }), &bytes[..cut], RestoreMode::Fail);
        assert_eq!(result.unwrap_err().kind, ErrorKind::Damaged, "cut at {cut} of {}", bytes.len());
        assert!(!target.exists());
    }
}

#[test]
fn a_virtual_table_of_an_unknown_module_is_told_and_pages_can_keep_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd.db");
    Connection::open(&path)
        .unwrap()
        .execute_batch(
            "CREATE TABLE t(a); PRAGMA writable_schema = ON;
             INSERT INTO sqlite_schema VALUES ('table', 'v', 'v', 0, 'CREATE VIRTUAL TABLE v USING spatial(a)');",
        )
        .unwrap();
    let error = backup(&json!({ "path": path, "mode": "sql" })).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
    assert!(error.hint.unwrap().contains("pages"));
    let (bytes, _) = backup(&json!({ "path": path })).unwrap();
    let target = folder.path().join("target.db");
    common::restore(&json!({ "path": target }), &bytes, RestoreMode::Fail).unwrap();
    assert_eq!(fs::read(&target).unwrap(), fs::read(&path).unwrap());
}

#[test]
fn a_dump_of_another_program_is_loaded_too() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("target.db");
    let sql = "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE t(a);\nINSERT INTO t VALUES('x');\nCOMMIT;\n-- done\n";
    restore_as(SQL, &json!({ "path": target }), sql.as_bytes(), RestoreMode::Fail).unwrap();
    let conn = Connection::open(&target).unwrap();
    assert_eq!(conn.query_row("SELECT a FROM t", [], |row| row.get::<_, String>(0)).unwrap(), "x");
}
