//! The database as SQL text that makes it anew, out of one read transaction.
//!
//! Order: settings, tables, their rows, virtual tables, what those are made of, counters, indexes, views, triggers,
//! statistics; all in one transaction, and COMMIT is the last word. Indexes and triggers come behind the rows: it is faster,
//! and no trigger fires. It plants nothing into the schema by `writable_schema`: a virtual table is created, and then its
//! shadow tables are filled, so that even an index without content comes back exactly. Left out: the samples of ANALYZE
//! (`sqlite_stat4`), for a SQLite that is built without them has no such table.

use std::collections::HashSet;
use std::io::Write;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use windlass_plugin_api::{Context, Error, ErrorKind, Result};

use crate::errors::{Sql, extended, ours};
use crate::literal::{self, Encoding, name};

const DOING: &str = "can't dump the database";

/// The stream is written in pieces of about this many bytes.
const PIECE: usize = 256 << 10;

/// An INSERT holds at most so many rows or bytes.
const ROWS: usize = 200;
const INSERT: usize = 32 << 10;

/// Writes the dump of what the transaction of `conn` sees.
pub fn write(cx: &Context, conn: &Connection, sink: &mut dyn Write) -> Result<()> {
    let encoding: String = conn.query_row("PRAGMA encoding", [], |row| row.get(0)).sql(DOING)?;
    let schema = Schema::read(conn)?;
    let mut dump =
        Dump { cx, conn, sink, piece: Vec::with_capacity(PIECE * 2), encoding: Encoding::named(&encoding) };
    dump.settings(&encoding)?;
    for entry in schema.of("table").filter(|entry| schema.is_plain(entry)) {
        dump.statement(&entry.sql)?;
    }
    for entry in schema.of("table").filter(|entry| schema.is_plain(entry)) {
        dump.rows(&entry.name)?;
    }
    for entry in schema.of("table").filter(|entry| entry.is_virtual) {
        dump.virtual_table(entry)?;
    }
    for entry in schema.of("table").filter(|entry| schema.shadows.contains(&entry.name)) {
        dump.line(&format!("DELETE FROM {};", name(&entry.name)))?;
        dump.rows(&entry.name)?;
    }
    if schema.counts() {
        dump.line("DELETE FROM sqlite_sequence;")?;
        dump.rows("sqlite_sequence")?;
    }
    for kind in ["index", "view", "trigger"] {
        for entry in schema.of(kind).filter(|entry| !entry.sql.is_empty()) {
            dump.statement(&entry.sql)?;
        }
    }
    if schema.of("table").any(|entry| entry.name == "sqlite_stat1") {
        dump.line("ANALYZE sqlite_schema;")?;
        dump.line("DELETE FROM sqlite_stat1;")?;
        dump.rows("sqlite_stat1")?;
    }
    dump.line("COMMIT;")?;
    dump.flush()
}

/// One row of the schema.
struct Entry {
    kind: String,
    name: String,
    sql: String,
    is_virtual: bool,
}

struct Schema {
    entries: Vec<Entry>,
    shadows: HashSet<String>,
}

impl Schema {
    fn read(conn: &Connection) -> Result<Self> {
        let read = || -> rusqlite::Result<Self> {
            let entry = |row: &Row<'_>| {
                let sql: Option<String> = row.get(2)?;
                let is_table = row.get_ref(0)?.as_str() == Ok("table");
                let is_virtual = is_table && row.get::<_, Option<i64>>(3)?.unwrap_or(0) == 0;
                Ok(Entry { kind: row.get(0)?, name: row.get(1)?, sql: sql.unwrap_or_default(), is_virtual })
            };
            let entries = conn
                .prepare("SELECT type, name, sql, rootpage FROM sqlite_schema ORDER BY rowid")?
                .query_map([], entry)?
                .collect::<rusqlite::Result<_>>()?;
            let shadows = conn
                .prepare("SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'shadow'")?
                .query_map([], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            Ok(Self { entries, shadows })
        };
        read().sql(DOING)
    }

    fn of(&self, kind: &str) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.kind == kind)
    }

    /// An ordinary table of the user's.
    fn is_plain(&self, entry: &Entry) -> bool {
        !entry.is_virtual && !entry.name.starts_with("sqlite_") && !self.shadows.contains(&entry.name)
    }

    /// SQLite makes `sqlite_sequence` together with the first table that counts.
    fn counts(&self) -> bool {
        self.of("table").any(|entry| entry.name == "sqlite_sequence")
            && self.of("table").any(|entry| entry.sql.to_ascii_uppercase().contains("AUTOINCREMENT"))
    }
}

struct Dump<'a> {
    cx: &'a Context,
    conn: &'a Connection,
    sink: &'a mut dyn Write,
    piece: Vec<u8>,
    encoding: Encoding,
}

impl Dump<'_> {
    fn settings(&mut self, encoding: &str) -> Result<()> {
        let number = |pragma: &str| {
            self.conn.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i64>(0)).sql(DOING)
        };
        let before = format!(
            "PRAGMA foreign_keys=OFF;\nPRAGMA encoding='{encoding}';\nPRAGMA page_size={};\nPRAGMA auto_vacuum={};\n\
             BEGIN TRANSACTION;\nPRAGMA application_id={};\nPRAGMA user_version={};",
            number("page_size")?,
            number("auto_vacuum")?,
            number("application_id")?,
            number("user_version")?
        );
        self.line(&before)
    }

    fn line(&mut self, text: &str) -> Result<()> {
        self.piece.extend_from_slice(text.as_bytes());
        self.piece.push(b'\n');
        if self.piece.len() >= PIECE { self.flush() } else { Ok(()) }
    }

    /// A statement as the schema has it, without its semicolon. One that ends in a comment would swallow it.
    fn statement(&mut self, sql: &str) -> Result<()> {
        let comments = sql.lines().next_back().is_some_and(|line| line.contains("--"));
        self.line(&format!("{sql}{};", if comments { "\n" } else { "" }))
    }

    fn flush(&mut self) -> Result<()> {
        self.cx.go_on()?;
        self.sink.write_all(&self.piece)?;
        self.piece.clear();
        Ok(())
    }

    fn virtual_table(&mut self, entry: &Entry) -> Result<()> {
        // Only a module that is built in can be created again.
        if let Err(error) = self.conn.prepare(&format!("SELECT * FROM main.{} LIMIT 0", name(&entry.name))) {
            let text = format!("the virtual table `{}` can't be dumped", entry.name);
            return Err(match extended(&error) {
                rusqlite::ffi::SQLITE_ERROR => Error::new(ErrorKind::Unsupported, text)
                    .because(&error)
                    .hint("Use `mode = \"pages\"`, which needs to know nothing of it."),
                _ => ours(&error).during(text),
            });
        }
        self.statement(&entry.sql)
    }

    fn rows(&mut self, table: &str) -> Result<()> {
        let columns = self.columns(table)?;
        let list = columns.join(",");
        let start = format!("INSERT INTO {}({list}) VALUES\n", name(table));
        let sql = format!("SELECT {list} FROM main.{}", name(table));
        let mut statement = self.conn.prepare(&sql).sql(DOING)?;
        let mut rows = statement.query([]).sql(DOING)?;
        let (mut count, mut began) = (0, 0);
        while let Some(row) = rows.next().sql(DOING)? {
            if count == ROWS || (count > 0 && self.piece.len() - began > INSERT) {
                self.line(";")?;
                count = 0;
            }
            let lead = if count == 0 { start.as_bytes() } else { b",\n" };
            if count == 0 {
                began = self.piece.len();
            }
            self.piece.extend_from_slice(lead);
            self.row(row, columns.len())?;
            count += 1;
        }
        if count > 0 { self.line(";") } else { Ok(()) }
    }

    fn row(&mut self, row: &Row<'_>, columns: usize) -> Result<()> {
        for index in 0..columns {
            self.piece.push(if index == 0 { b'(' } else { b',' });
            let value: ValueRef<'_> = row.get_ref(index).sql(DOING)?;
            literal::value(&mut self.piece, value, self.encoding);
        }
        self.piece.push(b')');
        Ok(())
    }

    /// The columns that an INSERT may name, quoted: not the generated ones, and first the rowid where it has no name of
    /// its own, since other tables and full-text indexes may refer to it.
    fn columns(&self, table: &str) -> Result<Vec<String>> {
        let mut columns = Vec::new();
        let read = || -> rusqlite::Result<Vec<(String, String, bool, bool)>> {
            let sql = "SELECT name, type, pk > 0, hidden > 0 FROM pragma_table_xinfo(?1, 'main')";
            let tuple = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
            self.conn.prepare(sql)?.query_map([table], tuple)?.collect()
        };
        let found = read().sql(DOING)?;
        if let Some(rowid) = self.rowid(table, &found)? {
            columns.push(rowid.to_owned());
        }
        columns.extend(found.iter().filter(|(_, _, _, hidden)| !hidden).map(|(column, ..)| name(column)));
        Ok(columns)
    }

    fn rowid(&self, table: &str, columns: &[(String, String, bool, bool)]) -> Result<Option<&'static str>> {
        let free = ["rowid", "_rowid_", "oid"]
            .into_iter()
            .find(|alias| !columns.iter().any(|(column, ..)| column.eq_ignore_ascii_case(alias)));
        let Some(free) = free else { return Ok(None) };
        // SQLite's own tables, and tables WITHOUT ROWID.
        if table.starts_with("sqlite_")
            || self.conn.prepare(&format!("SELECT {free} FROM main.{}", name(table))).is_err()
        {
            return Ok(None);
        }
        let mut keys = columns.iter().filter(|(_, _, key, _)| *key);
        let single = keys.next().filter(|_| keys.next().is_none());
        let is_integer = single.is_some_and(|(_, kind, ..)| kind.eq_ignore_ascii_case("integer"));
        // `INTEGER PRIMARY KEY DESC` is an ordinary column with an index of its own.
        let sql = "SELECT count(*) FROM pragma_index_list(?1, 'main') WHERE origin = 'pk'";
        let own_index: i64 = self.conn.query_row(sql, [table], |row| row.get(0)).sql(DOING)?;
        Ok(if is_integer && own_index == 0 { None } else { Some(free) })
    }
}
