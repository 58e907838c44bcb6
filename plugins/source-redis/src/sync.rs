//! The replica's side of a full synchronisation: how it is asked for, and where the RDB begins and ends.
//!
//! We say that we want the RDB alone (`rdb-only`), so that the server keeps no later writes for us. As the connection is
//! closed with the RDB's last byte we never are a replica that is online, and needn't acknowledge anything: what is left
//! is `repl-timeout`, which a server applies to a replica that takes no bytes of a diskless transfer.

use windlass_plugin_api::{Context, Error, ErrorKind, Result};

use crate::connection::Connection;
use crate::errors;
use crate::options::Options;
use crate::resp::Reply;
use crate::server::Server;

/// Bytes of the mark that ends an RDB of unknown length.
const MARK_BYTES: usize = 40;

/// How the end of the RDB is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes come.
    Length(u64),
    /// The RDB is followed by these bytes.
    Mark([u8; MARK_BYTES]),
}

/// An RDB on its way.
pub struct Sync {
    connection: Connection,
    /// The server's replication id and offset at the moment that the RDB holds.
    pub consistency_point: Option<String>,
    /// How its end is known.
    pub framing: Framing,
    passed: u64,
    /// The last bytes that came, while the end is a mark: it could be the mark, or a part of it.
    held: Vec<u8>,
    ended: bool,
}

impl Sync {
    /// Asks for the RDB and waits until it begins.
    pub fn begin(cx: &Context, options: &Options, server: &Server) -> Result<Self> {
        let mut connection = Connection::open(cx, options)?;
        let has_diskless = server.product == "valkey" || server.is_at_least(2, 8);
        if options.diskless && has_diskless {
            connection.call(&[b"REPLCONF", b"capa", b"eof"])?;
        }
        // Unknown before Redis 6.2: then the server keeps later writes for us, within its output buffer limit.
        connection.ask(&[b"REPLCONF", b"rdb-only", b"1"])?;
        if server.product == "valkey" {
            // It writes older forms, and refuses what they can't hold, for whoever doesn't say that they are as new.
            connection.ask(&[b"REPLCONF", b"version", server.version.as_bytes()])?;
        }
        connection.send(&[b"PSYNC", b"?", b"-1"])?;
        connection.flush()?;
        let consistency_point = accepted(&mut connection)?;
        let framing = framing(&mut connection)?;
        Ok(Self { connection, consistency_point, framing, passed: 0, held: Vec::new(), ended: false })
    }

    /// The whole length, if it is known.
    pub fn length(&self) -> Option<u64> {
        match self.framing {
            Framing::Length(length) => Some(length),
            Framing::Mark(_) => None,
        }
    }

    /// Hands the next bytes of the RDB to `take`; false once its end was reached. An end of the connection before that
    /// is an error of kind `Unavailable`.
    pub fn pass(&mut self, take: impl FnOnce(&[u8]) -> Result<()>) -> Result<bool> {
        if self.ended {
            return Ok(false);
        }
        let length = self.length();
        let bytes = self.connection.bytes()?;
        if bytes.is_empty() && length != Some(self.passed) {
            return Err(errors::closed(&format!("after {} bytes of the RDB", self.passed)));
        }
        match &self.framing {
            Framing::Length(length) => {
                let most = usize::try_from(length - self.passed).unwrap_or(usize::MAX).min(bytes.len());
                take(&bytes[..most])?;
                self.passed += most as u64;
                self.connection.used(most);
                self.ended = self.passed == *length;
            }
            Framing::Mark(mark) => {
                // What was held is known to be shorter than a mark; what may be one is held again.
                self.held.extend_from_slice(bytes);
                let count = bytes.len();
                self.connection.used(count);
                self.ended = ends_with(&self.held, mark);
                let keep = if self.ended { mark_bytes(&self.held) } else { MARK_BYTES.min(self.held.len()) };
                let ready = self.held.len() - keep;
                take(&self.held[..ready])?;
                self.passed += ready as u64;
                self.held.drain(..ready);
            }
        }
        Ok(true)
    }
}

/// The server sends nothing behind the mark but, perhaps, signs of life.
fn ends_with(bytes: &[u8], mark: &[u8]) -> bool {
    trimmed(bytes).ends_with(mark)
}

fn mark_bytes(bytes: &[u8]) -> usize {
    MARK_BYTES + bytes.len() - trimmed(bytes).len()
}

fn trimmed(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., b'\n'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Waits for `+FULLRESYNC <id> <offset>`.
fn accepted(connection: &mut Connection) -> Result<Option<String>> {
    let line = next_line(connection)?;
    if let Some(text) = line.strip_prefix('-') {
        return Err(errors::from_reply("PSYNC", text));
    }
    let mut words = line.split(' ');
    match (words.next(), words.next(), words.next()) {
        (Some("+FULLRESYNC"), Some(id), Some(offset)) => {
            Ok(Some(format!("replication {id} offset {offset}")))
        }
        _ => Err(unexpected(&line)),
    }
}

/// Waits for `$<length>` or `$EOF:<mark>`. Until then a server sends lone newlines as signs of life.
fn framing(connection: &mut Connection) -> Result<Framing> {
    let line = next_line(connection)?;
    if let Some(text) = line.strip_prefix('-') {
        return Err(errors::from_reply("PSYNC", text));
    }
    let form = line.strip_prefix('$').ok_or_else(|| unexpected(&line))?;
    match form.strip_prefix("EOF:") {
        Some(mark) => mark.as_bytes().try_into().map(Framing::Mark).map_err(|_| unexpected(&line)),
        None => form.parse().map(Framing::Length).map_err(|_| unexpected(&line)),
    }
}

fn next_line(connection: &mut Connection) -> Result<String> {
    loop {
        let line = connection.line().map_err(|error| error.during("no RDB came"))?;
        if !line.is_empty() {
            return Ok(line);
        }
    }
}

fn unexpected(line: &str) -> Error {
    let shown: String = line.chars().take(60).collect();
    let text = format!("the server's answer to `PSYNC` isn't understood: `{}`", shown.escape_debug());
    Error::new(ErrorKind::Unsupported, text)
}

/// Why a server that still runs may have cut a transfer: what it allows, in words.
pub fn limits(connection: &mut Connection) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for name in ["repl-timeout", "client-output-buffer-limit"] {
        let reply = connection.ask(&[b"CONFIG", b"GET", name.as_bytes()])?;
        if let Reply::Array(Some(pair)) = reply
            && let Some(value) = pair.get(1).and_then(Reply::text)
        {
            found.push(format!("`{name}` is `{value}`"));
        }
    }
    Ok(found)
}
