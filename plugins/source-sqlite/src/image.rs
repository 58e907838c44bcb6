//! The image: a database file in a sibling that a restore has prepared, and the proof that it is whole.
//!
//! It isn't applied here. Whoever could write to the storage may have made it, so it is opened without trust.

use std::os::unix::fs::FileExt;

use rusqlite::{Connection, ffi};
use serde_json::Value;
use windlass_plugin_api::{Contents, Context, Error, Result};

use crate::connect;
use crate::errors::{Sql, extended, ours};
use crate::header::{Header, LENGTH};
use crate::sibling::Sibling;

const WHOLE: &str = "Get the bytes with `restore --output FILE` and try SQLite's `.recover` on them.";

/// A database file that is ready to be put in place.
pub struct Image {
    /// The file.
    pub sibling: Sibling,
    /// Its header; `None` of an empty file, which is an empty database.
    pub header: Option<Header>,
    /// Its size in pages.
    pub page_count: u32,
}

impl Image {
    /// Looks at the file's frame: header and length, and what the backup said of it.
    pub fn new(sibling: Sibling, contents: Option<&Contents>) -> Result<Self> {
        let bytes = sibling.size_bytes()?;
        if bytes == 0 {
            check_contents(contents, 0, None)?;
            return Ok(Self { sibling, header: None, page_count: 0 });
        }
        let mut first = [0; LENGTH];
        let long_enough = bytes >= LENGTH as u64;
        if long_enough {
            sibling.file.read_exact_at(&mut first, 0)?;
        }
        let header = Header::parse(&first).filter(|_| long_enough).ok_or_else(|| {
            Error::damaged("the stream isn't a SQLite database")
                .hint("Was it encrypted, or made by another source?")
        })?;
        let size = u64::from(header.page_size);
        let pages = header.page_count.map_or(bytes / size, u64::from);
        if pages * size != bytes {
            let text = format!(
                "the stream has {bytes} bytes, and its {pages} pages of {size} bytes are {}",
                pages * size
            );
            return Err(Error::damaged(text).hint(WHOLE));
        }
        check_contents(contents, pages, Some(size))?;
        let page_count = u32::try_from(pages).map_err(|_| Error::damaged("too many pages"))?;
        Ok(Self { sibling, header: Some(header), page_count })
    }

    /// A connection that can only read it.
    pub fn connect(&self, cx: &Context) -> Result<Connection> {
        connect::open_still(cx, &self.sibling.path)
    }

    /// SQLite's own check of the structure. Returns what the user should know; damage is an error.
    pub fn check(&self, cx: &Context) -> Result<Vec<String>> {
        let conn = self.connect(cx)?;
        conn.execute_batch("PRAGMA cell_size_check = ON").sql("can't check the database")?;
        match findings(&conn, "PRAGMA quick_check(100)") {
            Ok(found) => judge(found),
            // A function or a collating sequence of the application that made it: check what can be checked without.
            Err(error) if extended(&error) == ffi::SQLITE_ERROR => by_table(&conn),
            Err(error) => Err(unsound(&ours(&error).one_line(), ours(&error))),
        }
    }
}

fn check_contents(contents: Option<&Contents>, pages: u64, size: Option<u64>) -> Result<()> {
    let said = |key: &str| contents?.details.get(key)?.as_u64();
    let is_pages = contents.is_some_and(|contents| {
        contents.details.get("stream_format").and_then(Value::as_str) == Some(crate::PAGES)
    });
    let differs = |key: &str, value: Option<u64>| match (said(key), value) {
        (Some(said), Some(value)) => said != value,
        _ => false,
    };
    if is_pages && (differs("page_count", Some(pages)) || differs("page_size", size)) {
        return Err(Error::damaged("the stream's size isn't what the backup recorded"));
    }
    Ok(())
}

fn findings(conn: &Connection, pragma: &str) -> rusqlite::Result<Vec<String>> {
    conn.prepare(pragma)?.query_map([], |row| row.get(0))?.filter(|row| row.as_deref() != Ok("ok")).collect()
}

/// A row that breaks a constraint was in the source too: the copy is exact. Anything else is damage.
fn judge(found: Vec<String>) -> Result<Vec<String>> {
    let harmless =
        ["NULL value in ", "CHECK constraint failed in ", "TEXT value in ", "NUMERIC value in ", "non-"];
    let is_harmless = |text: &String| harmless.iter().any(|start| text.starts_with(start));
    match found.iter().find(|text| !is_harmless(text)) {
        Some(first) => Err(unsound(first, Error::damaged("the database in the snapshot is damaged"))),
        None => Ok(found.into_iter().map(|text| format!("SQLite's quick check says: {text}.")).collect()),
    }
}

fn unsound(found: &str, error: Error) -> Error {
    error
        .detail("quick_check", found.replace('\n', "; "))
        .hint(format!("SQLite's quick check says `{}`. {WHOLE}", found.replace('\n', "; ")))
}

fn by_table(conn: &Connection) -> Result<Vec<String>> {
    let doing = "can't check the database";
    let tables: Vec<String> = conn
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0")
        .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect())
        .sql(doing)?;
    let mut notes = Vec::new();
    for table in tables {
        match findings(conn, &format!("PRAGMA quick_check('{}')", table.replace('\'', "''"))) {
            Ok(found) => notes.extend(judge(found)?),
            Err(error) if extended(&error) == ffi::SQLITE_ERROR => {
                notes.push(format!("The table `{table}` couldn't be checked: {error}."));
            }
            Err(error) => return Err(unsound(&ours(&error).one_line(), ours(&error))),
        }
    }
    Ok(notes)
}
