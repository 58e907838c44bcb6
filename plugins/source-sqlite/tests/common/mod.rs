//! What the tests share: databases, another process that holds one open, and how a backup and a restore are called.
#![allow(dead_code)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rusqlite::Connection;
use serde_json::{Value, json};
use windlass_plugin_api::{
    Contents, Context, Plugin, RestoreMode, RestoreOptions, Restored, Result, Source, StreamInfo,
};
use windlass_source_sqlite::{Options, PAGES, Sqlite};
use windlass_testkit::streams::{MemoryInputs, MemoryOutputs};
use windlass_testkit::{SourceFixture, TestHost};

/// A database with something of most kinds, in a folder of its own.
pub struct Fixture {
    pub folder: tempfile::TempDir,
}

impl SourceFixture for Fixture {
    fn new() -> Self {
        let fixture = Self { folder: tempfile::tempdir().unwrap() };
        fill(&Connection::open(fixture.source()).unwrap(), 50);
        fixture
    }

    fn options(&self) -> Value {
        json!({ "path": self.source() })
    }

    fn target_options(&self) -> Value {
        json!({ "path": self.target() })
    }

    fn fingerprint(&self) -> String {
        fingerprint(&self.source())
    }

    fn target_fingerprint(&self) -> String {
        fingerprint(&self.target())
    }
}

impl Fixture {
    pub fn source(&self) -> PathBuf {
        self.folder.path().join("source.db")
    }

    pub fn target(&self) -> PathBuf {
        self.folder.path().join("target.db")
    }

    /// Names in the folder that begin as ours do.
    pub fn leftovers(&self) -> Vec<String> {
        leftovers(self.folder.path())
    }
}

/// Hidden files of ours in `folder`.
pub fn leftovers(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(".windlass")).collect()
}

/// A database in `folder`, in WAL mode or not, filled by `rows` rows, closed.
pub fn database(folder: &Path, settings: &str, rows: u32) -> PathBuf {
    let path = folder.join("shop.db");
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch(settings).unwrap();
    fill(&conn, rows);
    path
}

/// Makes tables, an index, a view and a trigger, and `rows` rows of about 300 bytes.
pub fn fill(conn: &Connection, rows: u32) {
    conn.execute_batch(
        "CREATE TABLE goods(id INTEGER PRIMARY KEY, name TEXT NOT NULL, price REAL, picture BLOB);
         CREATE INDEX goods_by_name ON goods(name);
         CREATE TABLE log(what TEXT);
         CREATE VIEW cheap AS SELECT name FROM goods WHERE price < 10;
         CREATE TRIGGER told AFTER INSERT ON goods BEGIN INSERT INTO log VALUES ('new; ' || new.name); END;",
    )
    .unwrap();
    add(conn, rows);
}

/// Adds `rows` rows in one transaction.
pub fn add(conn: &Connection, rows: u32) {
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
               INSERT INTO goods(name, price, picture) SELECT 'thing ' || i, i / 7.0, randomblob(300) FROM n";
    conn.execute(sql, [rows]).unwrap();
}

/// All that is in a database, in a form that can be compared. Opens it by the library that the tests link.
pub fn fingerprint(path: &Path) -> String {
    let conn = Connection::open(path).unwrap();
    fingerprint_of(&conn)
}

/// As [`fingerprint`], of an open connection.
pub fn fingerprint_of(conn: &Connection) -> String {
    let texts = |sql: &str| -> Vec<String> {
        conn.prepare(sql).unwrap().query_map([], |row| row.get(0)).unwrap().map(|row| row.unwrap()).collect()
    };
    let mut lines = texts("PRAGMA integrity_check");
    lines.extend(texts("SELECT type || name || coalesce(sql, '') FROM sqlite_schema ORDER BY type, name"));
    lines.extend(texts("SELECT CAST(user_version AS TEXT) FROM pragma_user_version"));
    for table in texts("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name") {
        let sql = "SELECT printf('quote(\"%w\")', name) FROM pragma_table_info(?1)";
        let columns = conn
            .prepare(sql)
            .unwrap()
            .query_map([&table], |row| row.get(0))
            .unwrap()
            .collect::<Result<Vec<String>, _>>()
            .unwrap();
        let row = columns.join(" || '|' || ");
        lines.push(format!("-- {table}"));
        lines.extend(texts(&format!("SELECT {row} FROM \"{}\" ORDER BY 1", table.replace('"', "\"\""))));
    }
    lines.join("\n")
}

/// The source, with the options of `json`.
pub fn source(options: &Value, cx: &Context) -> Sqlite {
    let options: Options = serde_json::from_value(options.clone()).unwrap();
    Sqlite::new(options, cx).unwrap()
}

/// Backs up into memory. Returns the stream's bytes and what was told.
pub fn backup(options: &Value) -> Result<(Vec<u8>, Contents)> {
    let (host, out) = (TestHost::new(), MemoryOutputs::new());
    let contents = source(options, &host.context()).backup(&host.context(), &out)?;
    let mut streams = out.seen();
    assert_eq!(streams.len(), 1);
    let (_, seen) = streams.remove(0);
    assert!(seen.finished);
    Ok((seen.bytes, contents))
}

/// How to restore in mode `mode`.
pub fn how(mode: RestoreMode) -> RestoreOptions {
    RestoreOptions { mode, snapshot: "20260101T000000Z-test".into(), ..RestoreOptions::default() }
}

/// Streams to restore from: one, of `format`.
pub fn inputs(format: &str, bytes: &[u8]) -> MemoryInputs {
    MemoryInputs::new().stream("data", StreamInfo::new(format), bytes.to_vec())
}

/// Restores pages in mode `mode`, as the host does: `target` first.
pub fn restore(options: &Value, bytes: &[u8], mode: RestoreMode) -> Result<Restored> {
    restore_as(PAGES, options, bytes, mode)
}

/// Restores a stream of `format`.
pub fn restore_as(format: &str, options: &Value, bytes: &[u8], mode: RestoreMode) -> Result<Restored> {
    let cx = TestHost::new().context();
    let mut source = source(options, &cx);
    source.target(&cx, &how(mode))?;
    source.restore(&cx, &inputs(format, bytes), &how(mode))
}

/// Owner, mode, size, time of change and bytes of a file: what must not change.
pub fn state(path: &Path) -> (u32, u32, u64, i64, i64, Vec<u8>) {
    let found = fs::metadata(path).unwrap();
    let bytes = fs::read(path).unwrap();
    (found.uid(), found.mode(), found.len(), found.mtime(), found.mtime_nsec(), bytes)
}

/// Another process with a connection of its own, which answers one statement after the other.
pub struct Other {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Other {
    /// Starts it; it opens `path`.
    pub fn open(path: &Path) -> Self {
        let mut child = rerun("common::answering").env("WINDLASS_TEST_DB", path).spawn().unwrap();
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let mut other = Self { child, input, output };
        assert_eq!(other.read(), "ready");
        other
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Runs one statement; the first column of the first row, `done` without rows, or `error: …`.
    pub fn ask(&mut self, sql: &str) -> String {
        self.tell(sql);
        self.read()
    }

    /// Sends a statement and doesn't wait.
    pub fn tell(&mut self, sql: &str) {
        writeln!(self.input.as_mut().unwrap(), "{}", sql.replace('\n', " ")).unwrap();
    }

    /// The next answer.
    pub fn read(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "the other process ended");
            // The test harness may put its own words before ours on one line.
            if let Some((_, answer)) = line.split_once("@@ ") {
                return answer.trim_end().to_owned();
            }
        }
    }

    /// Kills it, as `kill -9` does, and awaits its end.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.wait();
    }
}

/// This test program again, running the one ignored test `name` as a child.
pub fn rerun(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([name, "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "@@ {text}").unwrap();
    out.flush().unwrap();
}

/// Not a test: the other side of [`Other`].
#[test]
#[ignore = "the child of other tests"]
fn answering() {
    let Some(path) = std::env::var_os("WINDLASS_TEST_DB") else { return };
    let conn = Connection::open(path).unwrap();
    conn.busy_timeout(std::time::Duration::from_secs(60)).unwrap();
    say("ready");
    for line in std::io::stdin().lines() {
        let answer = conn.prepare(&line.unwrap()).and_then(|mut statement| {
            let mut rows = statement.query([])?;
            let first = match rows.next()? {
                Some(row) => {
                    let value: rusqlite::types::Value = row.get(0)?;
                    match value {
                        rusqlite::types::Value::Integer(number) => number.to_string(),
                        rusqlite::types::Value::Text(text) => text.replace('\n', " "),
                        other => format!("{other:?}"),
                    }
                }
                None => "done".to_owned(),
            };
            while rows.next()?.is_some() {}
            Ok(first)
        });
        say(&answer.unwrap_or_else(|error| format!("error: {error}")));
    }
}

/// Not a test: restores `WINDLASS_TEST_STREAM` over `WINDLASS_TEST_DB`, to be killed on the way.
#[test]
#[ignore = "the child of other tests"]
fn restoring() {
    let Some(path) = std::env::var_os("WINDLASS_TEST_DB") else { return };
    let bytes = fs::read(std::env::var_os("WINDLASS_TEST_STREAM").unwrap()).unwrap();
    let options = json!({
        "path": Path::new(&path),
        "safety_copy": std::env::var_os("WINDLASS_TEST_SAFETY").is_some(),
    });
    say("ready");
    restore(&options, &bytes, RestoreMode::Replace).unwrap();
    say("done");
}
