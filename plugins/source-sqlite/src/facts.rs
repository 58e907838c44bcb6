//! What a snapshot tells of the database it holds: sizes, counters, names of tables. Nothing that costs a scan.

use rusqlite::{Connection, OptionalExtension};
use serde_json::{Map, Value, json};
use windlass_plugin_api::Result;

use crate::errors::Sql;
use crate::header::Header;
use crate::reading::Journal;

/// What a read transaction sees.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Bytes of a page.
    pub page_size: u64,
    /// Pages.
    pub page_count: u64,
    change_counter: u32,
    encoding: String,
    user_version: i64,
    application_id: i64,
    auto_vacuum: i64,
    /// Names of tables, virtual ones included, without SQLite's own.
    pub tables: Vec<String>,
    /// Names of virtual tables.
    pub virtual_tables: Vec<String>,
}

impl Facts {
    /// Reads them inside the transaction of `conn`.
    pub fn read(conn: &Connection) -> Result<Self> {
        let facts = || -> rusqlite::Result<Self> {
            let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0));
            let names = |filter: &str| {
                let sql = format!(
                    "SELECT name FROM sqlite_schema WHERE type = 'table' AND {filter} ORDER BY rowid"
                );
                conn.prepare(&sql)?
                    .query_map([], |row| row.get(0))?
                    .collect::<rusqlite::Result<Vec<String>>>()
            };
            let page_count = number("PRAGMA page_count")?.unsigned_abs();
            Ok(Self {
                page_size: number("PRAGMA page_size")?.unsigned_abs(),
                page_count,
                change_counter: first_page(conn, page_count)?.map_or(0, |header| header.change_counter),
                encoding: conn.query_row("PRAGMA encoding", [], |row| row.get(0))?,
                user_version: number("PRAGMA user_version")?,
                application_id: number("PRAGMA application_id")?,
                auto_vacuum: number("PRAGMA auto_vacuum")?,
                tables: names("name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")?,
                virtual_tables: names("rootpage = 0")?,
            })
        };
        facts().sql("can't read the database")
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.page_size * self.page_count
    }

    /// In words of the field.
    pub fn consistency_point(&self) -> String {
        format!(
            "change counter {}, {} pages of {} bytes",
            self.change_counter, self.page_count, self.page_size
        )
    }

    /// For contents.json.
    pub fn details(&self, journal: Journal, stream_format: &str) -> Map<String, Value> {
        let details = json!({
            "stream_format": stream_format,
            "page_size": self.page_size,
            "page_count": self.page_count,
            "journal_mode": if journal == Journal::Rollback { "rollback" } else { "wal" },
            "encoding": self.encoding,
            "auto_vacuum": self.auto_vacuum,
            "user_version": self.user_version,
            "application_id": self.application_id,
            "tables": self.tables,
            "virtual_tables": self.virtual_tables,
        });
        match details {
            Value::Object(details) => details,
            _ => Map::new(),
        }
    }
}

/// The header of the database as this transaction sees it; `None` of a database without pages.
pub fn first_page(conn: &Connection, page_count: u64) -> rusqlite::Result<Option<Header>> {
    if page_count == 0 {
        return Ok(None);
    }
    let header = conn.query_row("SELECT data FROM sqlite_dbpage WHERE pgno = 1", [], |row| {
        Ok(Header::parse(row.get_ref(0)?.as_blob().unwrap_or_default()))
    });
    Ok(header.optional()?.flatten())
}
