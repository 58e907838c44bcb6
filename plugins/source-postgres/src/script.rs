//! SQL text on its way into `psql`: restricted, proved to have an end, and fit for the server.
//!
//! `psql` runs `\!` and `\copy … program` out of what it reads, and only its `\restrict` forbids that: a scanner of ours would
//! have to agree with its lexer in every encoding and setting that the text itself can change. So the text is led in by a
//! `\restrict` whose key nobody knows, and a `psql` that doesn't know `\restrict` is never fed.

use std::io::{self, Read};

use windlass_plugin_api::{Error, ErrorKind, Reader, Result};

use crate::programs::Found;

/// The comment with which `pg_dump` ends its text.
pub(crate) const DUMP_END: &[u8] = b"-- PostgreSQL database dump complete";

/// The comment with which `pg_dumpall` ends its text.
pub(crate) const GLOBALS_END: &[u8] = b"-- PostgreSQL database cluster dump complete";

/// The end stands in the last bytes, as many as this.
pub(crate) const TAIL: usize = 1024;

/// The comments and settings at the beginning stand in the first bytes.
const HEAD: usize = 4096;

/// Text for `psql`.
pub(crate) struct Script {
    input: Reader,
    /// What may be given out, from `at` on.
    ready: Vec<u8>,
    at: usize,
    /// What came and may be the end.
    held: Vec<u8>,
    /// The key of the dump's own `\restrict`.
    foreign_key: Option<Vec<u8>>,
    ended: bool,
}

impl Script {
    /// `input`, which `pg_dump` wrote, for a server of the version `server_major`; `first` is SQL of ours that goes before it.
    pub(crate) fn new(
        psql: &Found,
        mut input: Reader,
        server_major: u64,
        first: Option<&str>,
    ) -> Result<Self> {
        if !psql.restricts() {
            let message = format!(
                "`{}` {} can't be kept from running commands that a dump holds",
                psql.place, psql.version
            );
            return Err(Error::new(ErrorKind::Unsupported, message).hint(
                "It takes psql 13.22, 14.19, 15.14, 16.10, 17.6, 18 or later: update `postgresql-client`.",
            ));
        }
        let mut held = Vec::new();
        input.by_ref().take(HEAD as u64).read_to_end(&mut held)?;
        let mut script = Self {
            input,
            ready: format!("\\restrict {}\n{}", key()?, first.unwrap_or_default()).into_bytes(),
            at: 0,
            held: Vec::new(),
            foreign_key: None,
            ended: false,
        };
        script.held = script.fitting(&held, server_major);
        Ok(script)
    }

    /// The beginning without the dump's own `\restrict`, which would meet ours, and without settings that the server
    /// doesn't know.
    fn fitting(&mut self, head: &[u8], server_major: u64) -> Vec<u8> {
        let mut fitting = Vec::with_capacity(head.len());
        let mut lines = head.split_inclusive(|byte| *byte == b'\n');
        for line in lines.by_ref() {
            let begins =
                [&b"--"[..], b"SET ", b"SELECT pg_catalog.set_config(", b"CREATE SCHEMA ", b"ALTER SCHEMA "];
            let is_preamble = line == b"\n" || begins.iter().any(|begin| line.starts_with(begin));
            if let Some(key) = line.strip_prefix(b"\\restrict ").filter(|_| self.foreign_key.is_none()) {
                self.foreign_key = Some(key.trim_ascii().to_vec());
            } else if server_major < 17 && line == b"SET transaction_timeout = 0;\n" {
                // pg_dump 17 and later write it for whatever server.
            } else if line == b"CREATE SCHEMA public;\n" {
                // Every database has it; a dump of chosen schemas makes it all the same.
                fitting.extend_from_slice(b"CREATE SCHEMA IF NOT EXISTS public;\n");
            } else {
                fitting.extend_from_slice(line);
                if !is_preamble {
                    break;
                }
            }
        }
        lines.for_each(|line| fitting.extend_from_slice(line));
        fitting
    }

    /// Makes more of it ready; the last [`TAIL`] bytes stay behind until they are proved.
    fn fetch(&mut self) -> io::Result<()> {
        let start = self.held.len();
        self.held.resize(start + (256 << 10), 0);
        let count = self.input.read(&mut self.held[start..]);
        self.held.truncate(start + count.as_ref().map_or(0, |count| *count));
        self.ready.clear();
        self.at = 0;
        if count? == 0 {
            self.ended = true;
            self.ready = self.proved_end()?;
            return Ok(());
        }
        let free = self.held.len().saturating_sub(TAIL);
        self.ready.extend(self.held.drain(..free));
        Ok(())
    }

    /// The last bytes, without the dump's own `\unrestrict`.
    fn proved_end(&mut self) -> io::Result<Vec<u8>> {
        let held = std::mem::take(&mut self.held);
        if ![DUMP_END, GLOBALS_END].iter().any(|end| holds(&held, end)) {
            return Err(no_end().into_io());
        }
        let Some(key) = &self.foreign_key else { return Ok(held) };
        let line = [b"\\unrestrict ", key.as_slice(), b"\n"].concat();
        let lines = held.split_inclusive(|byte| *byte == b'\n');
        Ok(lines.filter(|candidate| **candidate != line).flatten().copied().collect())
    }
}

impl Read for Script {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.ready.len() {
            if self.ended {
                return Ok(0);
            }
            match self.fetch() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => other?,
            }
        }
        let count = buffer.len().min(self.ready.len() - self.at);
        buffer[..count].copy_from_slice(&self.ready[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

/// Whether `end` begins a line of `text`.
pub(crate) fn holds(text: &[u8], end: &[u8]) -> bool {
    text.split(|byte| *byte == b'\n').any(|line| line == end)
}

/// The error of a dump that stops in the middle.
pub(crate) fn no_end() -> Error {
    Error::damaged("the dump stops before its end: its last comment is missing")
}

/// What a dump can't know.
fn key() -> Result<String> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes).map_err(|error| Error::failed("no random numbers").because(&error))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
