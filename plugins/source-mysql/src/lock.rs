//! Keeps a locked table from holding a dump for ever.
//!
//! The dump programs have no option for it, and their sessions wait for as long as the server's `lock_wait_timeout` says: a
//! day. So while the dump runs, the server is asked now and then whether a statement of a dump by our account waits for a
//! lock in these databases; one that waits too long is ended, and the dump with it.

use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::facts::cell;
use crate::server::Server;

/// Runs `dump` under that watch.
pub(crate) fn watched<T>(
    server: &Server<'_>,
    databases: &[&str],
    dump: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let ended = (Mutex::new(false), Condvar::new());
    let locked = Mutex::new(None);
    let result = thread::scope(|scope| {
        scope.spawn(|| {
            while !wait(&ended, interval(server)) {
                // A question that fails now may go well the next time.
                if let Ok(Some(statement)) = end_waiting(server, databases) {
                    *locked.lock().unwrap_or_else(PoisonError::into_inner) = Some(statement);
                }
            }
        });
        let result = dump();
        *ended.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        ended.1.notify_all();
        result
    });
    match (result, locked.into_inner().unwrap_or_else(PoisonError::into_inner)) {
        (Err(error), Some(statement)) if error.kind != ErrorKind::Cancelled => {
            let limit = server.options.lock_timeout;
            Err(Error::new(ErrorKind::TimedOut, format!("a table was locked for more than {limit} s"))
                .because(&Error::failed(format!("`{statement}` waited for it")))
                .hint("`SHOW PROCESSLIST` tells who holds it; `lock_timeout` says how long to wait."))
        }
        (result, _) => result,
    }
}

fn interval(server: &Server<'_>) -> Duration {
    Duration::from_secs(u64::from(server.options.lock_timeout / 4).clamp(1, 15))
}

/// Waits, and gives whether the dump has ended.
fn wait((ended, changed): &(Mutex<bool>, Condvar), time: Duration) -> bool {
    let ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
    let (ended, _) =
        changed.wait_timeout_while(ended, time, |ended| !*ended).unwrap_or_else(PoisonError::into_inner);
    *ended
}

/// Ends the session of a dump that waits too long, and gives its statement.
fn end_waiting(server: &Server<'_>, databases: &[&str]) -> Result<Option<String>> {
    let rows = server.rows(&format!(
        "SELECT id, COALESCE(db, ''), info FROM information_schema.PROCESSLIST WHERE time >= {} \
         AND user = SUBSTRING_INDEX(USER(), '@', 1) AND state LIKE 'Waiting for%lock' \
         AND (info LIKE 'SHOW %' OR info LIKE 'SELECT /*%SQL_NO_CACHE%' OR info LIKE 'LOCK TABLES %')",
        server.options.lock_timeout
    ))?;
    let ours = |row: &&Vec<String>| databases.contains(&cell(row, 1).as_str());
    let Some(row) = rows.iter().find(ours) else { return Ok(None) };
    server.rows(&format!("KILL {}", cell(row, 0)))?;
    Ok(Some(cell(row, 2).chars().take(80).collect()))
}
