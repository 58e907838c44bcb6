//! Gives keys to a running server, many on their way at once.
//!
//! What is on its way is bounded by [`MOST_BYTES`] and one value; a server answers a restored key in a few bytes. With a
//! ledger, all that is on its way is one transaction, which the ledger's marks belong to.

use windlass_plugin_api::{Context, Error, ErrorKind, Progress, Result};

use crate::connection::Connection;
use crate::errors;
use crate::ledger::{Ledger, MARK};
use crate::rdb::{Header, Key, Summary, payload, shown};
use crate::resp::Reply;

/// Commands that are sent before their replies are read.
const MOST_COMMANDS: usize = 512;

/// Bytes that are sent before replies are read.
const MOST_BYTES: usize = 1 << 20;

/// Keys on their way to a server.
pub struct Loader<'a> {
    cx: &'a Context,
    connection: &'a mut Connection,
    version: u16,
    /// A key that is there already is written over, not an error.
    pub replaces: bool,
    /// What lies where, if others must be able to know.
    pub ledger: Option<Ledger>,
    selected: Option<u32>,
    waiting: Vec<Waiting>,
    bytes: usize,
    /// Keys that the server took.
    taken: u64,
}

/// What a reply is waited for.
enum Waiting {
    Select(u32),
    Restore(Vec<u8>),
    Mark,
}

impl Waiting {
    /// What a reply that is an error means.
    fn refused(&self, text: &str) -> Error {
        match self {
            Self::Select(number) => no_database(*number, text),
            Self::Restore(name) => not_taken(name, text),
            Self::Mark => errors::from_reply("SET", text),
        }
    }
}

impl<'a> Loader<'a> {
    /// Values of an RDB that begins with `header` go to `connection`.
    pub fn new(cx: &'a Context, connection: &'a mut Connection, header: Header) -> Self {
        Self {
            cx,
            connection,
            version: header.version,
            replaces: false,
            ledger: None,
            selected: None,
            waiting: Vec::new(),
            bytes: 0,
            taken: 0,
        }
    }

    /// Marks the database `place`, which was empty, as one that this restore prepares.
    pub fn claim(&mut self, place: u32) -> Result<()> {
        self.settle()?;
        let Some(ledger) = &mut self.ledger else { return Ok(()) };
        let text = ledger.text(place);
        self.selected = None;
        self.connection.call(&[b"SELECT", place.to_string().as_bytes()])?;
        match self.connection.call(&[b"SET", MARK.as_bytes(), text.as_bytes(), b"NX"])? {
            Reply::Simple(_) => Ok(()),
            _ => Err(Error::new(
                ErrorKind::Refused,
                format!("another restore has begun in the database {place}"),
            )
            .hint("Wait until it has ended.")),
        }
    }

    /// Sends `key` to the database `to`.
    pub fn key(&mut self, key: Key, to: u32) -> Result<()> {
        if self.ledger.is_some() && self.waiting.is_empty() {
            self.connection.send(&[b"MULTI"])?;
        }
        if self.selected != Some(to) {
            self.connection.send(&[b"SELECT", to.to_string().as_bytes()])?;
            self.waiting.push(Waiting::Select(to));
            self.selected = Some(to);
        }
        // A time before 1970 is as gone as any other past one, and no number that the command takes.
        let expires = key.expires.map(|at| at.max(1));
        let ttl = expires.unwrap_or(0).to_string();
        let idle = key.idle.map(|seconds| seconds.to_string());
        let frequency = key.frequency.map(|count| count.to_string());
        let name = key.name.clone();
        let value = key.into_payload(self.version);
        let mut args: Vec<&[u8]> = vec![b"RESTORE", &name, ttl.as_bytes(), &value];
        if self.replaces {
            args.push(b"REPLACE");
        }
        if expires.is_some() {
            args.push(b"ABSTTL");
        }
        match (&idle, &frequency) {
            (Some(idle), _) => args.extend([b"IDLETIME".as_slice(), idle.as_bytes()]),
            (None, Some(frequency)) => args.extend([b"FREQ".as_slice(), frequency.as_bytes()]),
            (None, None) => {}
        }
        self.bytes += value.len() + name.len();
        self.connection.send(&args)?;
        self.waiting.push(Waiting::Restore(name));
        if let Some(ledger) = &mut self.ledger {
            ledger.count(to, expires.is_some());
        }
        if self.waiting.len() >= MOST_COMMANDS || self.bytes >= MOST_BYTES {
            self.settle()?;
        }
        Ok(())
    }

    /// Waits until all that was sent is done.
    pub fn settle(&mut self) -> Result<()> {
        self.cx.go_on()?;
        self.bytes = 0;
        let in_transaction = !self.waiting.is_empty() && self.ledger.is_some();
        if in_transaction {
            self.mark()?;
            self.connection.send(&[b"EXEC"])?;
        }
        self.connection.flush()?;
        let waiting = std::mem::take(&mut self.waiting);
        let replies = match in_transaction {
            true => self.executed(&waiting)?,
            false => waiting.iter().map(|_| self.connection.reply()).collect::<Result<Vec<_>>>()?,
        };
        for (waiting, reply) in waiting.iter().zip(&replies) {
            match (waiting, reply) {
                (waiting, Reply::Error(text)) => return Err(waiting.refused(text)),
                (Waiting::Restore(_), _) => self.taken += 1,
                (Waiting::Mark, Reply::Bulk(None)) => return Err(removed()),
                _ => {}
            }
        }
        self.cx.progress(&Progress { done: self.taken, unit: "keys".into(), ..Progress::default() });
        Ok(())
    }

    /// Brings the marks up to date, where they still are.
    fn mark(&mut self) -> Result<()> {
        let Some(ledger) = &mut self.ledger else { return Ok(()) };
        for place in ledger.changed() {
            let text = ledger.text(place);
            self.connection.send(&[b"SELECT", place.to_string().as_bytes()])?;
            self.connection.send(&[b"SET", MARK.as_bytes(), text.as_bytes(), b"XX"])?;
            self.waiting.extend([Waiting::Select(place), Waiting::Mark]);
        }
        self.selected = None;
        Ok(())
    }

    /// The replies of a transaction. A command that isn't even queued says why, and nothing of it was done.
    fn executed(&mut self, waiting: &[Waiting]) -> Result<Vec<Reply>> {
        let mut refused = None;
        if let Reply::Error(text) = self.connection.reply()? {
            refused = Some(errors::from_reply("MULTI", &text));
        }
        for waiting in waiting {
            if let Reply::Error(text) = self.connection.reply()? {
                refused.get_or_insert_with(|| waiting.refused(&text));
            }
        }
        match (refused, self.connection.reply()?) {
            (None, Reply::Array(Some(replies))) => Ok(replies),
            (Some(error), _) => Err(error),
            (None, _) => Err(Error::failed("the server didn't apply a transaction")),
        }
    }
}

/// Somebody emptied a database that is being prepared.
pub fn removed() -> Error {
    Error::new(ErrorKind::Refused, "somebody removed what was prepared")
        .hint("Stop those who do that, and restore again.")
}

/// An error if the server doesn't have a database that is needed.
pub fn databases(connection: &mut Connection, needed: &Summary) -> Result<()> {
    for (number, _) in &needed.keys {
        if let Reply::Error(text) = connection.ask(&[b"SELECT", number.to_string().as_bytes()])? {
            return Err(no_database(*number, &text));
        }
    }
    Ok(())
}

fn no_database(number: u32, text: &str) -> Error {
    let error = errors::from_reply(&format!("SELECT {number}"), text);
    if text.contains("cluster") {
        return error.hint("The server is a node of a cluster, which has fewer databases than the snapshot.");
    }
    error.hint("Has the server fewer databases than the snapshot? Then raise its `databases`.")
}

fn not_taken(name: &[u8], text: &str) -> Error {
    let error = errors::from_reply("RESTORE", text);
    let error = match text.contains("Bad data format") || text.contains("payload version") {
        true => Error { kind: ErrorKind::Unsupported, ..error }.hint(
            "The server doesn't know this form of value: restore to one of the version that was backed up.",
        ),
        false => error,
    };
    error.during(format!("can't restore the key `{}`", shown(name)))
}

/// Sends the libraries `records` in one step, which is done whole or not at all. `how`: `FLUSH`, `APPEND` or `REPLACE`.
pub fn functions(connection: &mut Connection, header: Header, records: &[u8], how: &str) -> Result<()> {
    let dump = payload(records.to_vec(), header.version);
    connection.call(&[b"FUNCTION", b"RESTORE", &dump, how.as_bytes()])?;
    Ok(())
}
