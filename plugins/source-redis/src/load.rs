//! Gives keys to a running server, many on their way at once.
//!
//! What is on its way is bounded by [`MOST_BYTES`] and one value; a server answers a restored key in a few bytes.

use windlass_plugin_api::{Context, Error, ErrorKind, Progress, Result};

use crate::connection::Connection;
use crate::errors;
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
}

impl<'a> Loader<'a> {
    /// Values of an RDB that begins with `header` go to `connection`.
    pub fn new(cx: &'a Context, connection: &'a mut Connection, header: Header) -> Self {
        Self {
            cx,
            connection,
            version: header.version,
            replaces: false,
            selected: None,
            waiting: Vec::new(),
            bytes: 0,
            taken: 0,
        }
    }

    /// Sends `key` to the database `to`.
    pub fn key(&mut self, key: Key, to: u32) -> Result<()> {
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
        if self.waiting.len() >= MOST_COMMANDS || self.bytes >= MOST_BYTES {
            self.settle()?;
        }
        Ok(())
    }

    /// Waits until all that was sent is done.
    pub fn settle(&mut self) -> Result<()> {
        self.cx.go_on()?;
        self.connection.flush()?;
        self.bytes = 0;
        for waiting in std::mem::take(&mut self.waiting) {
            match (waiting, self.connection.reply()?) {
                (Waiting::Select(number), Reply::Error(text)) => return Err(no_database(number, &text)),
                (Waiting::Restore(name), Reply::Error(text)) => return Err(not_taken(&name, &text)),
                (Waiting::Select(_), _) => {}
                (Waiting::Restore(_), _) => self.taken += 1,
            }
        }
        self.cx.progress(&Progress { done: self.taken, unit: "keys".into(), ..Progress::default() });
        Ok(())
    }
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
    errors::from_reply(&format!("SELECT {number}"), text)
        .hint("Has the server fewer databases than the snapshot? Then raise its `databases`.")
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
