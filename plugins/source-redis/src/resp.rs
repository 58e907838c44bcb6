//! RESP2: how commands are written and replies are read.
//!
//! Only what this source needs: no RESP3, no push messages. Bounded by what the peer really sends, never by what it
//! announces.

use std::io::{Read, Write};

use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::connection::Connection;

/// The longest bulk reply that we ask for is small; no server sends one above this.
const LONGEST_BULK: u64 = 512 << 20;

/// Arrays in arrays: what we ask for has three levels.
const DEEPEST: u32 = 8;

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `+OK`.
    Simple(String),
    /// `-ERR …`, without the sign.
    Error(String),
    /// `:1`.
    Integer(i64),
    /// A byte string, or nil.
    Bulk(Option<Vec<u8>>),
    /// An array, or nil.
    Array(Option<Vec<Reply>>),
}

impl Reply {
    /// Its text, if it is one.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Simple(text) => Some(text.clone()),
            Self::Bulk(Some(bytes)) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        }
    }
}

/// Writes a command whose arguments are `args`.
pub fn write_command(out: &mut impl Write, args: &[&[u8]]) -> std::io::Result<()> {
    write!(out, "*{}\r\n", args.len())?;
    for arg in args {
        write!(out, "${}\r\n", arg.len())?;
        out.write_all(arg)?;
        out.write_all(b"\r\n")?;
    }
    Ok(())
}

/// Reads one reply. An error reply is an `Ok(Reply::Error)`: some are expected.
pub fn read_reply(from: &mut Connection) -> Result<Reply> {
    read_nested(from, 0)
}

fn read_nested(from: &mut Connection, depth: u32) -> Result<Reply> {
    let line = from.line()?;
    let (kind, rest) = line.split_at_checked(1).unwrap_or(("", ""));
    match kind {
        "+" => Ok(Reply::Simple(rest.to_owned())),
        "-" => Ok(Reply::Error(rest.to_owned())),
        ":" => rest.parse().map(Reply::Integer).map_err(|_| garbled(&line)),
        "$" => match length(rest, &line)? {
            None => Ok(Reply::Bulk(None)),
            Some(length) if length > LONGEST_BULK => Err(garbled(&line)),
            Some(length) => {
                let mut bytes = Vec::new();
                from.take(length + 2).read_to_end(&mut bytes)?;
                if !bytes.ends_with(b"\r\n") || bytes.len() as u64 != length + 2 {
                    return Err(crate::errors::closed("within a reply"));
                }
                bytes.truncate(bytes.len() - 2);
                Ok(Reply::Bulk(Some(bytes)))
            }
        },
        "*" if depth < DEEPEST => match length(rest, &line)? {
            None => Ok(Reply::Array(None)),
            Some(count) => {
                let replies = (0..count).map(|_| read_nested(from, depth + 1));
                Ok(Reply::Array(Some(replies.collect::<Result<_>>()?)))
            }
        },
        _ => Err(garbled(&line)),
    }
}

fn length(text: &str, line: &str) -> Result<Option<u64>> {
    match text.parse::<i64>() {
        Ok(-1) => Ok(None),
        Ok(length) => u64::try_from(length).map(Some).map_err(|_| garbled(line)),
        Err(_) => Err(garbled(line)),
    }
}

fn garbled(line: &str) -> Error {
    let shown: String = line.chars().take(60).collect();
    Error::new(ErrorKind::Unsupported, format!("the server's answer is no RESP2: `{}`", shown.escape_debug()))
        .hint("Is it a Redis or Valkey server, and does it speak TLS on that port?")
}
