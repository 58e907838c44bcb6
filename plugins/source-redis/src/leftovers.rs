//! What restores that were killed left in the databases that they prepared: found by their marks, judged, and removed by the
//! next restore.
//!
//! Removed is only what a dead run put there, and only where nothing else is. What still runs, or can't be told from
//! somebody else's, is left alone.

use std::time::{Duration, Instant};

use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::connection::Connection;
use crate::ledger::{Entry, MARK, connection_name};
use crate::server::Server;

/// A database with a mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// Its number.
    pub database: u32,
    /// The keys in it, the mark among them.
    pub keys: u64,
    /// Whose they are.
    pub state: State,
}

/// Whose the keys beside a mark are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// All of a restore that is dead.
    Dead,
    /// Of a restore that still runs.
    Live,
    /// Not all of a restore, or nobody can tell.
    Mixed,
}

/// Looks into each database that has keys.
pub fn find(connection: &mut Connection, server: &Server) -> Result<Vec<Leftover>> {
    // The node of a cluster has no database to prepare in.
    if server.is_cluster() {
        return Ok(Vec::new());
    }
    let mut marked = Vec::new();
    for database in server.keys.keys() {
        if entry(connection, *database)?.is_some() {
            marked.push(*database);
        }
    }
    if marked.is_empty() {
        return Ok(Vec::new());
    }
    // In this order: who is seen to be gone changes nothing any more.
    let clients = connection.ask(&[b"CLIENT", b"LIST"])?.text();
    let server = Server::ask(connection)?;
    let mut leftovers = Vec::new();
    for database in marked {
        let (Some(entry), Some(keys)) = (entry(connection, database)?, server.keys.get(&database)) else {
            continue;
        };
        let state = match &clients {
            None => State::Mixed,
            Some(clients) if is_among(clients, &entry.run) => State::Live,
            Some(_) if entry.is_all_of(*keys, server.expiring(database)) => State::Dead,
            Some(_) => State::Mixed,
        };
        leftovers.push(Leftover { database, keys: *keys, state });
    }
    connection.call(&[b"SELECT", b"0"])?;
    Ok(leftovers)
}

/// Waits, not for ever, until the server has seen the end of the connection that `run` wrote on: what it received before may
/// still be on its way into a database.
pub fn wait_for_end(connection: &mut Connection, run: &str, patience: Duration) -> Result<()> {
    let until = Instant::now() + patience;
    while connection.ask(&[b"CLIENT", b"LIST"])?.text().is_some_and(|clients| is_among(&clients, run)) {
        if Instant::now() > until {
            return Err(Error::new(ErrorKind::TimedOut, "the server doesn't see the end of a connection"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// The mark of `database`. A user without the right to look finds none.
pub fn entry(connection: &mut Connection, database: u32) -> Result<Option<Entry>> {
    connection.call(&[b"SELECT", database.to_string().as_bytes()])?;
    let text = connection.ask(&[b"GET", MARK.as_bytes()])?.text();
    Ok(text.and_then(|text| Entry::parse(&text)))
}

fn is_among(clients: &str, run: &str) -> bool {
    let name = format!("name={}", connection_name(run));
    clients.lines().any(|line| line.split(' ').any(|word| word == name))
}

/// Takes the databases that will be removed out of what `server` has; an error if a restore still runs.
pub fn set_aside(leftovers: &[Leftover], server: &mut Server) -> Result<()> {
    if let Some(live) = leftovers.iter().find(|leftover| leftover.state == State::Live) {
        let text =
            format!("another restore to this server is being prepared in its database {}", live.database);
        return Err(Error::new(ErrorKind::Refused, text).hint("Wait until it has ended."));
    }
    for leftover in leftovers.iter().filter(|leftover| leftover.state == State::Dead) {
        server.keys.remove(&leftover.database);
    }
    Ok(())
}

/// What is told before a restore.
pub fn effects(leftovers: &[Leftover]) -> Vec<String> {
    let effect = |Leftover { database, keys, state }: &Leftover| match state {
        State::Dead => {
            format!("removes {keys} keys that a restore which was killed left in database {database}")
        }
        _ => format!(
            "takes the {keys} keys in database {database} for yours: a restore that was killed left some there, but perhaps not all"
        ),
    };
    leftovers.iter().map(effect).collect()
}

/// Removes what dead runs left; what was removed, in sentences.
pub fn sweep(connection: &mut Connection, leftovers: &[Leftover]) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    for leftover in leftovers.iter().filter(|leftover| leftover.state == State::Dead) {
        connection.call(&[b"SELECT", leftover.database.to_string().as_bytes()])?;
        connection.call(&[b"FLUSHDB", b"ASYNC"])?;
        notes.push(format!(
            "Removed {} keys that a restore which was killed had left in database {}.",
            leftover.keys, leftover.database
        ));
    }
    Ok(notes)
}
