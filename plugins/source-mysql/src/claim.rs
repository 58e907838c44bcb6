//! The databases that a restore fills before they are swapped in: marked, held while it runs, and found when it died.
//!
//! The mark is the database's comment. Who runs holds a lock of the server by the database's name, in a session that ends
//! with us whatever ends us; so a marked database whose lock is free is one that nobody fills or swaps any more. MySQL has
//! no comments on databases, and in a Galera cluster each server has locks of its own: there nothing is swept.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use windlass_plugin_api::{During, Error, ErrorKind, Result};

use crate::about::About;
use crate::names::{identifier, is_sibling, text};
use crate::server::Server;

/// The comment by which such a database is known.
pub(crate) const MARK: &str = "windlass: a restore in progress";

/// How often the session that holds the locks says something, so that the server doesn't end it.
const SIGN_OF_LIFE: Duration = Duration::from_secs(60);

/// A database that is to be made: its name, and what stands behind it.
pub(crate) struct Made {
    pub(crate) name: String,
    pub(crate) defaults: String,
}

/// Makes the databases, marked, and runs `work` while they are held. `server` must be one that no cancel reaches, for
/// the locks must outlast the clearing up.
pub(crate) fn held<T>(server: &Server<'_>, new: &[Made], work: impl FnOnce() -> Result<T>) -> Result<T> {
    // Some servers end a session that is silent for half a minute.
    let mut script = "SET SESSION wait_timeout = 86400;\n".to_owned();
    script.extend(new.iter().map(|made| format!("DO GET_LOCK({}, 0);\n", text(&made.name))));
    let create: String = new.iter().map(create).collect();
    let (end, ended) = channel();
    thread::scope(|scope| {
        let holder = scope.spawn(move || {
            let script = Holding { script: script.into_bytes(), given: 0, ended };
            server.loader(None, &[])?.load(server.cx, script).map(|_| ())
        });
        let begun = Instant::now();
        let claimed = loop {
            if holder.is_finished() {
                break false;
            }
            if is_held(server, new)? {
                break true;
            }
            if begun.elapsed() > Duration::from_secs(server.options.connect_timeout.into()) {
                return Err(Error::new(
                    ErrorKind::TimedOut,
                    "the session that holds the restore's locks doesn't answer",
                ));
            }
        };
        let result = match claimed {
            true => server
                .run(None, create.as_bytes())
                .during_with(|| format!("can't make the database `{}`", new[0].name))
                .and_then(|()| work()),
            false => Err(Error::failed("the session that holds the restore's locks ended")),
        };
        drop(end);
        let held = holder.join().unwrap_or_else(|_| Err(Error::failed("a thread panicked")));
        if claimed { result } else { held.and(result) }
    })
}

fn create(made: &Made) -> String {
    let name = identifier(&made.name);
    format!("CREATE DATABASE {name}{} /*M!100500 COMMENT '{MARK}' */;\n", made.defaults)
}

fn is_held(server: &Server<'_>, new: &[Made]) -> Result<bool> {
    const TIMES: usize = 50;
    let each: Vec<String> = new.iter().map(|made| format!("IS_USED_LOCK({})", text(&made.name))).collect();
    // Waited for on the server: most of the time of a question is the client's start.
    let last = each.last().map(String::as_str).unwrap_or("1");
    let wait = format!("DO IF({last} IS NULL, SLEEP(0.005), 0); ").repeat(TIMES);
    let rows = server.rows(&format!("{wait}SELECT {}", each.join(", ")))?;
    Ok(rows.first().is_some_and(|row| row.iter().all(|id| id != "NULL")))
}

/// What the session that holds the locks is fed with: it ends when the other end of the channel is gone.
struct Holding {
    script: Vec<u8>,
    given: usize,
    ended: Receiver<()>,
}

impl Read for Holding {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.script.len() {
            match self.ended.recv_timeout(SIGN_OF_LIFE) {
                Err(RecvTimeoutError::Timeout) => (self.script, self.given) = (b"DO 1;\n".to_vec(), 0),
                _ => return Ok(0),
            }
        }
        let count = buffer.len().min(self.script.len() - self.given);
        buffer[..count].copy_from_slice(&self.script[self.given..self.given + count]);
        self.given += count;
        Ok(count)
    }
}

/// The databases that restores to `database` left which died.
pub(crate) fn left(server: &Server<'_>, about: &About, database: &str) -> Result<Vec<String>> {
    let mut left = Vec::new();
    for name in about.marked.iter().filter(|name| is_sibling(name, database, "new")) {
        let free = server.column(&format!("SELECT IS_FREE_LOCK({})", text(name)))?;
        if free.first().is_some_and(|free| free == "1") {
            left.push(name.clone());
        }
    }
    Ok(left)
}

/// Drops what restores to `database` left which died.
pub(crate) fn sweep(server: &Server<'_>, about: &About, database: &str) -> Result<()> {
    for name in left(server, about, database)? {
        tracing::info!("dropping the database `{name}`, which a restore left that died");
        server
            .run(None, format!("DROP DATABASE IF EXISTS {};\n", identifier(&name)).as_bytes())
            .during_with(|| format!("can't drop `{name}`, which a restore left that died"))?;
    }
    Ok(())
}
