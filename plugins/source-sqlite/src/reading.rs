//! A read transaction on somebody's live database, which leaves the database's files as they were.
//!
//! Three things would change them. Closing the last connection to a WAL database runs a checkpoint: switched off. Opening
//! one that nobody has open makes `-wal` and `-shm`: when they are ours and still empty, SQLite itself is let remove them
//! at the end, under its own lock; where that would be impossible for lack of rights, they aren't made at all. A hot journal, left by a writer that died, must be rolled back before anything can be
//! read: that is done, and told. What is read and where it goes is not this module's business.

use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, ffi};
use windlass_plugin_api::{Context, Error, ErrorKind, Result};

use crate::claim::Claim;
use crate::connect::open_still;
use crate::errors::{Sql, extended, ours, words};
use crate::facts::first_page;
use crate::holders;
use crate::place::{Place, Stamp, uri};

const DOING: &str = "can't read the database";

/// How a database keeps its transactions apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Journal {
    /// A write-ahead log: readers and writers don't block each other.
    Wal,
    /// A rollback journal: readers and writers exclude each other.
    Rollback,
    /// None needed: no one can write to it, or it was proved that no one did.
    Still,
}

/// A held read transaction.
pub struct Reading {
    // The order matters: the connections are closed in it, and before the claim ends.
    conn: Connection,
    tidy: Option<Connection>,
    _claim: Claim,
    place: Place,
    stamp: Stamp,
    made_wal: bool,
    /// How the database keeps its transactions apart.
    pub journal: Journal,
    /// What the user should know, a sentence each.
    pub warnings: Vec<String>,
}

impl Reading {
    /// Begins to read. `roll_back` allows to bring a database that its writer left in the middle back into order.
    pub fn begin(cx: &Context, place: &Place, patience: Duration, roll_back: bool) -> Result<Self> {
        let made_wal = place.companion_bytes("-wal") == 0;
        if made_wal && !place.companions().contains(&"-journal") && !is_writable(place) && is_wal(cx, place)?
        {
            // SQLite would make companions that belong to us, and then neither we could remove nor their owner use them.
            return Self::still(cx, place, None);
        }
        match Self::attempt(cx, place, patience, OpenFlags::SQLITE_OPEN_READ_ONLY) {
            Ok(mut reading) => {
                reading.made_wal = made_wal;
                Ok(reading)
            }
            Err(Attempt::Ours(error)) => Err(error),
            Err(Attempt::Sqlite(error)) => match extended(&error) {
                ffi::SQLITE_READONLY_ROLLBACK if roll_back => {
                    let mut reading = Self::attempt(cx, place, patience, OpenFlags::SQLITE_OPEN_READ_WRITE)
                        .map_err(|error| error.told(place))?;
                    reading.warnings.push(ROLLED_BACK.to_owned());
                    Ok(reading)
                }
                ffi::SQLITE_CANTOPEN
                | ffi::SQLITE_READONLY_CANTINIT
                | ffi::SQLITE_READONLY_RECOVERY
                | ffi::SQLITE_READONLY_DIRECTORY => Self::still(cx, place, Some(&error)),
                _ => Err(Attempt::Sqlite(error).told(place)),
            },
        }
    }

    fn attempt(cx: &Context, place: &Place, patience: Duration, flags: OpenFlags) -> Result<Self, Attempt> {
        let claim = Claim::new(place)?;
        let conn = crate::connect::open(cx, &place.path, flags, patience)?;
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        conn.execute_batch("BEGIN")?;
        // BEGIN takes no lock; the first read does.
        conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        let wal: String = conn.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
        let journal = if wal == "wal" { Journal::Wal } else { Journal::Rollback };
        let stamp = Stamp::of(place)?;
        let place = place.clone();
        Ok(Self {
            conn,
            tidy: None,
            _claim: claim,
            place,
            stamp,
            made_wal: false,
            journal,
            warnings: Vec::new(),
        })
    }

    /// Reads a WAL database in a place where SQLite can't make its companions. Without a `-wal` all is in the main file;
    /// whoever wrote meanwhile would have made one, or changed the main file by a checkpoint: see [`end`](Self::end).
    fn still(cx: &Context, place: &Place, why: Option<&rusqlite::Error>) -> Result<Self> {
        if place.companion_bytes("-wal") > 0 || place.companion_bytes("-journal") > 0 {
            let text = format!("can't read `{}` in a folder that isn't writable", place.path.display());
            let mut error = Error::new(ErrorKind::Denied, text).hint(
                "What is in its `-wal` can only be read together with a `-shm` file, which can't be made here.",
            );
            error.causes.extend(why.map(words));
            return Err(error);
        }
        settle(place)?;
        let claim = Claim::new(place)?;
        let stamp = Stamp::of(place)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let conn =
            crate::connect::open(cx, &uri(&place.path, "immutable=1"), flags, Duration::ZERO).sql(DOING)?;
        conn.execute_batch("BEGIN").sql(DOING)?;
        conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).sql(DOING)?;
        let (place, warnings) = (place.clone(), Vec::new());
        Ok(Self {
            conn,
            tidy: None,
            _claim: claim,
            place,
            stamp,
            made_wal: false,
            journal: Journal::Still,
            warnings,
        })
    }

    /// The connection, inside the transaction.
    pub fn conn(&self) -> &Connection {
        &self.conn
    }

    /// Fails if the main file changed although that was excluded: then what was read may be torn.
    pub fn unchanged(&self) -> Result<()> {
        let intact = match self.journal {
            Journal::Wal => true,
            Journal::Rollback => Stamp::of(&self.place)? == self.stamp,
            Journal::Still => {
                Stamp::of(&self.place)? == self.stamp && self.place.companion_bytes("-wal") == 0
            }
        };
        if intact {
            return Ok(());
        }
        let text = format!("`{}` was written to while it was read", self.place.path.display());
        Err(Error::new(ErrorKind::Unavailable, text)
            .hint("Some program doesn't heed SQLite's locks; try again."))
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let _ = self.conn.execute_batch("ROLLBACK");
        if self.journal == Journal::Wal && self.made_wal && self.place.companion_bytes("-wal") == 0 {
            // The last connection to close removes the companions, and only one that may write can be it. There is nothing
            // to checkpoint: the `-wal` is empty.
            self.tidy = Connection::open_with_flags(
                &self.place.path,
                OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
            )
            .ok()
            .filter(|conn| conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).is_ok());
        }
    }
}

/// True if we may write to the file and its folder.
fn is_writable(place: &Place) -> bool {
    let may = |path: &Path| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok();
    may(&place.path) && may(&place.folder)
}

/// Whether the file says that it is in WAL mode; read without locks, so only good for choosing how to read.
fn is_wal(cx: &Context, place: &Place) -> Result<bool> {
    let _claim = Claim::new(place)?;
    let conn = open_still(cx, &place.path)?;
    let header = first_page(&conn, 1).sql(DOING)?;
    Ok(header.is_some_and(|header| header.version.contains(&2)))
}

const ROLLED_BACK: &str = "A writer had died in the middle of a transaction; its journal was rolled back, as the next reader would have done.";

/// Waits until the file's time of change lies so far back that another change must show.
fn settle(place: &Place) -> Result<()> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    if Stamp::of(place)?.modified() >= now.cast_signed() - 1 {
        thread::sleep(Duration::from_secs(1));
    }
    Ok(())
}

/// Why an attempt failed: SQLite's reasons are still looked at.
enum Attempt {
    Sqlite(rusqlite::Error),
    Ours(Error),
}

impl Attempt {
    fn told(self, place: &Place) -> Error {
        match self {
            Self::Ours(error) => error,
            Self::Sqlite(error) => {
                let told = ours(&error).during(format!("can't read `{}`", place.path.display()));
                if told.kind == ErrorKind::Unavailable { holders::of(place).blame(told) } else { told }
            }
        }
    }
}

impl From<rusqlite::Error> for Attempt {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<Error> for Attempt {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}
