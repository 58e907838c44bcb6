//! Writes the image into a live database of the same shape, in one transaction of SQLite's.
//!
//! Pages are written through `sqlite_dbpage`, as SQLite's own sqlite3_rsync does it. The backup API can't do this: it takes
//! its lock itself, so between a safety copy and the first page somebody could write something that neither would hold.
//! Only pages that differ are written, which keeps the journal or `-wal` small when most rows are still the same.

use std::os::unix::fs::FileExt;

use rusqlite::{Connection, OpenFlags, OptionalExtension};
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::apply::Work;
use crate::claim::Claim;
use crate::errors::{Sql, ours};
use crate::header::{Header, SCHEMA_COOKIE, VERSION};
use crate::image::Image;
use crate::{connect, holders, pages};

const DOING: &str = "can't write to the database";

/// How it went.
pub enum Outcome {
    /// Committed; what the user should know.
    Done(Vec<String>),
    /// Nothing was written: the target's shape is another. In words: how they differ.
    OtherShape(String),
}

/// Makes the database equal to `image`, but for its journal mode.
pub fn write(work: &Work<'_>, image: &Image) -> Result<Outcome> {
    let Some(header) = image.header else {
        return Ok(Outcome::OtherShape("the snapshot is of an empty database".to_owned()));
    };
    // Before the connection, and so dropped after it.
    let _claim = Claim::new(work.place)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let conn = connect::open(work.cx, &work.place.path, flags, work.options.patience()?).sql(DOING)?;
    conn.execute_batch(&format!(
        "PRAGMA synchronous = FULL; PRAGMA cache_size = -16384; PRAGMA page_size = {}",
        header.page_size
    ))
    .sql(DOING)?;
    // In rollback mode this keeps readers out too; in WAL mode only writers.
    conn.execute_batch("BEGIN EXCLUSIVE").map_err(|error| refused(work, &error))?;
    let target = Target::look(&conn)?;
    if let Some(why) = target.differs(&header) {
        return Ok(Outcome::OtherShape(why));
    }
    let mut notes = Vec::new();
    if work.options.safety_copy && target.tables {
        let sibling = work.safety_sibling()?;
        let mut file = std::io::BufWriter::new(&sibling.file);
        pages::of_transaction(work.cx, &conn, &mut file)?;
        std::io::Write::flush(&mut file)?;
        drop(file);
        notes.push(work.keep_safety(sibling)?);
    }
    put(work, &conn, &target, image, &header)?;
    conn.execute_batch("COMMIT").sql(DOING)?;
    // So that the `-wal` doesn't stay as large as the database. Readers may be in the way; then it is done later.
    let _ = conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).optional();
    Ok(Outcome::Done(notes))
}

fn refused(work: &Work<'_>, error: &rusqlite::Error) -> Error {
    let error = ours(error).during(format!("can't lock `{}`", work.place.path.display()));
    if error.kind == ErrorKind::Unavailable { holders::of(work.place).blame(error) } else { error }
}

/// What must be known of the target inside the transaction.
struct Target {
    page_size: u32,
    page_count: u32,
    first: Vec<u8>,
    header: Option<Header>,
    tables: bool,
}

impl Target {
    fn look(conn: &Connection) -> Result<Self> {
        let look = || -> rusqlite::Result<Self> {
            let first = conn
                .query_row("SELECT data FROM sqlite_dbpage WHERE pgno = 1", [], |row| {
                    row.get::<_, Vec<u8>>(0)
                })
                .optional()?
                .unwrap_or_default();
            Ok(Self {
                page_size: conn.query_row("PRAGMA page_size", [], |row| row.get(0))?,
                page_count: conn.query_row("PRAGMA page_count", [], |row| row.get(0))?,
                header: Header::parse(&first),
                tables: conn.query_row("SELECT count(*) > 0 FROM sqlite_schema", [], |row| row.get(0))?,
                first,
            })
        };
        look().sql(DOING)
    }

    /// Connections that are open know these three, and don't expect them to change.
    fn differs(&self, image: &Header) -> Option<String> {
        let reserved = self.header.map_or(0, |header| header.reserved);
        let encoding = self.header.map_or(0, |header| header.encoding);
        if self.page_size != image.page_size {
            Some(format!("its page size is {} and the snapshot's {}", self.page_size, image.page_size))
        } else if reserved != image.reserved {
            Some("its pages keep another number of reserved bytes".to_owned())
        } else if encoding != 0 && image.encoding != 0 && encoding != image.encoding {
            Some("its text encoding is another".to_owned())
        } else {
            None
        }
    }

    /// The image's first page as it goes into this target: with a schema cookie that makes other connections read the
    /// schema again, and the journal mode that they work in.
    fn first_page(&self, mut page: Vec<u8>) -> Vec<u8> {
        if let Some(header) = self.header {
            let cookie = header.schema_cookie.wrapping_add(1);
            page[SCHEMA_COOKIE].copy_from_slice(&cookie.to_be_bytes());
            page[VERSION].copy_from_slice(&self.first[VERSION]);
        }
        page
    }
}

fn put(work: &Work<'_>, conn: &Connection, target: &Target, image: &Image, header: &Header) -> Result<()> {
    // At a commit in mode FULL, SQLite moves pages by what it knew of the file before we wrote into it.
    let auto: i64 = conn.query_row("PRAGMA auto_vacuum", [], |row| row.get(0)).sql(DOING)?;
    if auto == 1 {
        conn.execute_batch("PRAGMA auto_vacuum = INCREMENTAL").sql(DOING)?;
    }
    let mut old = conn.prepare("SELECT data FROM sqlite_dbpage WHERE pgno = ?1").sql(DOING)?;
    let mut new = conn.prepare("INSERT INTO sqlite_dbpage(pgno, data) VALUES (?1, ?2)").sql(DOING)?;
    let mut page = vec![0; header.page_size as usize];
    for number in 1..=image.page_count {
        if number == header.lock_page() {
            continue;
        }
        if number % 256 == 1 {
            work.cx.go_on()?;
        }
        image.sibling.file.read_exact_at(&mut page, u64::from(number - 1) * u64::from(header.page_size))?;
        if number == 1 {
            page = target.first_page(page);
        }
        // The first page always: it tells others that something changed.
        let same = number != 1
            && number <= target.page_count
            && old.query_row([number], |row| Ok(row.get_ref(0)?.as_blob()? == page)).sql(DOING)?;
        if !same {
            new.execute((number, &page)).sql(DOING)?;
        }
    }
    drop(old);
    if target.page_count > image.page_count {
        // NULL means: this page and all behind it go. It must be the last that is written.
        new.execute((image.page_count + 1, None::<Vec<u8>>)).sql(DOING)?;
    }
    Ok(())
}
