//! SQL text into a fresh database in a sibling: statement by statement, all in one transaction, behind a fence.
//!
//! Nothing but SQLite's library reads the text: a line such as `.shell` is a syntax error. Memory holds one statement.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::hooks::{AuthContext, Authorization};
use rusqlite::limits::Limit;
use windlass_plugin_api::{Context, Error, ErrorKind, Result};

use crate::authorizer::authorizer;
use crate::connect;
use crate::errors::{Sql, extended, ours, words};
use crate::sibling::Sibling;
use crate::split::Splitter;

/// SQLite's own limit on a statement, in bytes.
const LONGEST: usize = 1_000_000_000;

const PIECE: usize = 256 << 10;

const DOING: &str = "can't prepare a database";

/// Reads SQL to its end-of-file and leaves the finished database in `sibling`.
pub fn into_sibling(cx: &Context, input: &mut dyn Read, sibling: &Sibling) -> Result<()> {
    let mut conn = connect::open_own(cx, &sibling.path)?;
    let _alone = sort_beside(cx, &conn, sibling)?;
    let outcome = behind_fence(cx, &mut conn, input);
    let lifted = conn.authorizer(None::<fn(AuthContext<'_>) -> Authorization>);
    if lifted.and_then(|()| conn.pragma_update(None, "temp_store_directory", "")).is_err() {
        tracing::warn!("SQLite goes on to sort beside `{}`", sibling.path.display());
    }
    outcome
}

/// Makes SQLite sort large indexes in the sibling's folder, where the room is, and not in a folder for everybody. The
/// setting is one for the whole process, so one load at a time; the files have no names and vanish with the process.
fn sort_beside(cx: &Context, conn: &Connection, sibling: &Sibling) -> Result<MutexGuard<'static, ()>> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let alone = loop {
        match ONE_AT_A_TIME.try_lock() {
            Ok(alone) => break alone,
            Err(TryLockError::Poisoned(poisoned)) => break poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(20)),
        }
        cx.go_on()?;
    };
    if let Some(folder) = sibling.path.parent().and_then(|folder| folder.to_str()) {
        conn.pragma_update(None, "temp_store_directory", folder).sql(DOING)?;
    }
    Ok(alone)
}

fn behind_fence(cx: &Context, conn: &mut Connection, input: &mut dyn Read) -> Result<()> {
    // A failure throws the sibling away, so it needs no journal of its own.
    conn.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -16384")
        .sql(DOING)?;
    conn.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0).sql(DOING)?;
    let begun = Arc::new(AtomicBool::new(false));
    conn.authorizer(Some(authorizer(begun.clone()))).sql(DOING)?;
    Loader { conn, begun, ended: false, bytes: 0 }.read(cx, input)
}

struct Loader<'a> {
    conn: &'a Connection,
    begun: Arc<AtomicBool>,
    ended: bool,
    bytes: u64,
}

impl Loader<'_> {
    fn read(&mut self, cx: &Context, input: &mut dyn Read) -> Result<()> {
        let (mut splitter, mut statement, mut piece) = (Splitter::new(), Vec::new(), vec![0; PIECE]);
        loop {
            cx.go_on()?;
            let count = match input.read(&mut piece) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            let mut rest = &piece[..count];
            while let Some((end, blank)) = splitter.push(rest) {
                statement.extend_from_slice(&rest[..end]);
                if !blank {
                    self.run(&statement)?;
                }
                self.bytes += statement.len() as u64;
                statement.clear();
                rest = &rest[end..];
            }
            statement.extend_from_slice(rest);
            if statement.len() > LONGEST {
                return Err(Error::damaged(format!("a statement at byte {} has no end", self.bytes)));
            }
        }
        if self.ended && splitter.is_blank() {
            return Ok(());
        }
        Err(Error::damaged("the SQL ends without its COMMIT")
            .hint("The dump was cut off, or its maker failed."))
    }

    fn run(&mut self, statement: &[u8]) -> Result<()> {
        if self.ended {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("the SQL goes on after its COMMIT at byte {}", self.bytes),
            ));
        }
        let text = std::str::from_utf8(statement)
            .map_err(|_| Error::damaged(format!("the statement at byte {} isn't UTF-8", self.bytes)))?;
        self.conn.execute_batch(text).map_err(|error| self.told(&error))?;
        let inside = !self.conn.is_autocommit();
        let was_inside = self.begun.swap(inside, Ordering::Relaxed);
        self.ended = was_inside && !inside;
        Ok(())
    }

    fn told(&self, error: &rusqlite::Error) -> Error {
        let doing = format!("the SQL fails at byte {}", self.bytes);
        match extended(error) & 0xff {
            rusqlite::ffi::SQLITE_AUTH => Error::new(ErrorKind::Unsupported, words(error))
                .during(doing)
                .hint("A dump may make and fill tables; settings, files, other databases and extensions are denied."),
            rusqlite::ffi::SQLITE_ERROR => Error::damaged(words(error)).during(doing),
            _ => ours(error).during(doing),
        }
    }
}
