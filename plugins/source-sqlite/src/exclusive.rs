//! Writes an image of another shape over a database, when it is proved that nobody else uses it.
//!
//! The proof is a lock that SQLite gives only to one alone, held to the end, and a look at who has the file open, since a
//! connection that rests holds no lock in rollback mode. The copying is SQLite's backup API: one transaction with a
//! rollback journal, which knows how to change the page size.

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use windlass_plugin_api::{Context, Error, ErrorKind, Result};

use crate::apply::Work;
use crate::claim::Claim;
use crate::errors::{Sql, ours};
use crate::image::Image;
use crate::sibling::Sibling;
use crate::{connect, holders};

const DOING: &str = "can't write to the database";

/// Pages between two looks at whether the run was cancelled.
const STEP: i32 = 1024;

/// Makes the database equal to `image`, its journal mode included. `why` says how the shapes differ.
pub fn write(work: &Work<'_>, image: &Image, why: &str) -> Result<Vec<String>> {
    let _claim = Claim::new(work.place)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let mut conn = connect::open(work.cx, &work.place.path, flags, work.options.patience()?).sql(DOING)?;
    let mode: String = conn.query_row("PRAGMA journal_mode", [], |row| row.get(0)).sql(DOING)?;
    take(&conn).map_err(|error| refused(work, &error, why))?;
    let outcome = write_alone(work, image, &mut conn, why);
    if outcome.is_err() && mode == "wal" {
        // The rows are as they were; so that the mode is too.
        let _ = conn.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()));
    }
    outcome
}

fn write_alone(work: &Work<'_>, image: &Image, conn: &mut Connection, why: &str) -> Result<Vec<String>> {
    work.nobody_holds(&format!("must be written alone, for {why}"))?;
    let mut notes = Vec::new();
    let tables: bool =
        conn.query_row("SELECT count(*) > 0 FROM sqlite_schema", [], |row| row.get(0)).sql(DOING)?;
    if work.options.safety_copy && tables {
        let sibling = work.safety_sibling()?;
        save(work.cx, conn, &sibling)?;
        notes.push(work.keep_safety(sibling)?);
    }
    let source = image.connect(work.cx)?;
    copy(work.cx, &source, conn)?;
    Ok(notes)
}

/// Takes the exclusive lock and keeps it over the ends of transactions. Leaving WAL mode works only alone.
fn take(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(
        "PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = FULL; PRAGMA cache_size = -16384",
    )?;
    let mode: String = conn.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0))?;
    if mode != "delete" {
        return Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY),
            None,
        ));
    }
    conn.execute_batch("BEGIN EXCLUSIVE; COMMIT")
}

fn refused(work: &Work<'_>, error: &rusqlite::Error, why: &str) -> Error {
    let error = ours(error);
    if error.kind != ErrorKind::Unavailable {
        return error.during(DOING);
    }
    let text = format!("`{}` is in use, and must be written alone, for {why}", work.place.path.display());
    let refused =
        Error::new(ErrorKind::Refused, text).hint("Stop whoever uses it, or restore to another path.");
    holders::of(work.place).blame(refused)
}

fn save(cx: &Context, from: &Connection, sibling: &Sibling) -> Result<()> {
    let mut to = connect::open_own(cx, &sibling.path)?;
    to.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF").sql(DOING)?;
    copy(cx, from, &mut to)
}

fn copy(cx: &Context, from: &Connection, to: &mut Connection) -> Result<()> {
    let backup = Backup::new(from, to).sql(DOING)?;
    loop {
        cx.go_on()?;
        match backup.step(STEP).sql(DOING)? {
            StepResult::Done => return Ok(()),
            StepResult::More => {}
            _ => return Err(Error::new(ErrorKind::Unavailable, "the database is locked").during(DOING)),
        }
    }
}
