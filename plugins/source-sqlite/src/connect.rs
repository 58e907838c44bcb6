//! Opening connections: what is the same for all of them, and the two kinds of files that only we use.
//!
//! Reading somebody's live database is `reading`; this module doesn't begin transactions.

use std::path::Path;
use std::time::{Duration, Instant};
use std::{cmp, thread};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use windlass_plugin_api::{Context, Result};

use crate::errors::Sql;
use crate::place::uri;

/// How many steps of SQLite's machine between two looks at whether the run was cancelled.
const STEPS: i32 = 20_000;

/// Opens `path` with `flags`; never creates a file. Its statements end soon after the run is cancelled.
pub fn open(cx: &Context, path: &Path, flags: OpenFlags, patience: Duration) -> rusqlite::Result<Connection> {
    let mut conn = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    // The schema comes with the file, and a file may come from anybody: its views and triggers get no dangerous function.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, false)?;
    let watched = cx.clone();
    conn.progress_handler(STEPS, Some(move || watched.cancelled()))?;
    let (cx, mut since) = (cx.clone(), Instant::now());
    conn.busy_handler(Some(move |tries: i32| {
        if tries == 0 {
            since = Instant::now();
        }
        let go_on = since.elapsed() < patience && !cx.cancelled();
        if go_on {
            thread::sleep(Duration::from_millis(cmp::min(50, 1 + u64::from(tries.unsigned_abs()))));
        }
        go_on
    }))?;
    Ok(conn)
}

/// Opens a file that nobody else can be writing to: without locks, without companions, read-only.
pub fn open_still(cx: &Context, path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let conn = open(cx, &uri(path, "immutable=1"), flags, Duration::ZERO).sql("can't open our copy")?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true).sql("can't open our copy")?;
    Ok(conn)
}

/// Opens a sibling that we alone write to. Without SQLite's locks: on some network file systems they would collide with
/// the lock by which the sibling is known to be alive.
pub fn open_own(cx: &Context, path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_URI;
    open(cx, &uri(path, "nolock=1"), flags, Duration::ZERO).sql("can't open our copy")
}
