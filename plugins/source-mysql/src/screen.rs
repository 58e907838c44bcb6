//! What a dump goes through on its way to the client.
//!
//! Every statement is looked at: what leads out of the database is refused, what wasn't asked for is left out, and what
//! names the database that it came from is turned to the one that it goes to. Views, triggers, routines and events are
//! kept besides, for they can't be moved from one database to another and are made again where the tables end up.
//! Comments between statements, and the line that puts newer clients into their sandbox, don't pass: the client is
//! started in it, where it has one.

use std::collections::BTreeSet;
use std::io::{self, Read};

use windlass_plugin_api::{Error, Result};

use crate::late::{Late, Piece};
use crate::modes::Session;
use crate::rewrite::Rewrite;
use crate::scan::{Gap, LOOKAHEAD, Scanner, Step, odd};
use crate::statement::{self, Kind, Statement};

/// How much of the stream is read at once, in bytes.
const PART: usize = 256 << 10;

/// How much of a statement is kept before it must be known that it is only data, in bytes.
const HEAD: usize = 64 << 10;

/// The longest statement that isn't data, in bytes.
const LONGEST: usize = 16 << 20;

/// What all code in a dump may come to, in bytes: it is held in memory.
const MOST_CODE: usize = 256 << 20;

/// What is done with a stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// Only these tables and views; empty: everything.
    pub(crate) only: BTreeSet<Vec<u8>>,
    /// How statements are rewritten.
    pub(crate) rewrite: Rewrite,
    /// The database that the statements are run in.
    pub(crate) database: String,
    /// Events are made without being started.
    pub(crate) asleep: bool,
    /// Nothing of it is passed on: it is read for its code.
    pub(crate) code_only: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Between,
    Collecting,
    Passing,
    Dropping,
}

/// A dump, screened.
pub(crate) struct Screen<R> {
    input: R,
    wanted: Wanted,
    scanner: Scanner,
    session: Session,
    state: State,
    /// What was read and isn't looked at yet, from `at` on.
    part: Vec<u8>,
    at: usize,
    ended: bool,
    statement: Vec<u8>,
    out: Vec<u8>,
    given: usize,
    late: Late,
    seen: BTreeSet<Vec<u8>>,
    statements: u64,
}

impl<R: Read> Screen<R> {
    pub(crate) fn new(input: R, wanted: Wanted) -> Self {
        Self {
            input,
            wanted,
            scanner: Scanner::new(),
            session: Session::default(),
            state: State::Between,
            part: Vec::new(),
            at: 0,
            ended: false,
            statement: Vec::new(),
            out: Vec::new(),
            given: 0,
            late: Late::default(),
            seen: BTreeSet::new(),
            statements: 0,
        }
    }

    /// The code that was in it, once it was read to its end.
    pub(crate) fn late(self) -> Late {
        self.late
    }

    /// The wanted names that weren't in it.
    pub(crate) fn missing(&self) -> Vec<String> {
        let missing = self.wanted.only.difference(&self.seen);
        missing.map(|name| String::from_utf8_lossy(name).into_owned()).collect()
    }

    /// Reads the next part behind what is left of the last one.
    fn refill(&mut self) -> io::Result<()> {
        self.part.drain(..self.at);
        self.at = 0;
        let left = self.part.len();
        self.part.resize(left + PART, 0);
        let count = loop {
            match self.input.read(&mut self.part[left..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        let count = count.inspect_err(|_| self.part.truncate(left))?;
        self.part.truncate(left + count);
        self.ended = count == 0;
        Ok(())
    }

    /// Looks at what is there. Gives whether it came any further.
    fn advance(&mut self) -> Result<bool> {
        let part = &self.part[self.at..];
        if self.state == State::Between {
            let (passed, begins) = match self.scanner.gap(part, self.ended)? {
                Gap::Nothing(count) => (count, false),
                Gap::Statement(count) => (count, true),
            };
            self.at += passed;
            if begins {
                self.state = State::Collecting;
            }
            return Ok(begins || passed > 0);
        }
        let (count, ends) = match self.scanner.step(part, self.ended)? {
            Step::More(count) => (count, false),
            Step::End(count) => (count, true),
        };
        let bytes = &self.part[self.at..self.at + count];
        match self.state {
            State::Passing => self.out.extend_from_slice(bytes),
            State::Dropping => {}
            _ => self.statement.extend_from_slice(bytes),
        }
        self.at += count;
        if self.state == State::Collecting && (ends || self.statement.len() >= HEAD) {
            self.judge(ends)?;
        }
        if ends {
            if self.state == State::Passing {
                self.out.push(b'\n');
            }
            self.state = State::Between;
        }
        Ok(ends || count > 0)
    }

    /// Decides over the statement that was collected; `whole` says that all of it is there.
    fn judge(&mut self, whole: bool) -> Result<()> {
        let text = std::mem::take(&mut self.statement);
        let modes = self.session.modes;
        if self.wanted.rewrite.from.is_none() {
            self.wanted.rewrite.from.clone_from(&self.scanner.database);
        }
        let text = self.wanted.rewrite.trigger(text, modes);
        let kind = statement::read(&text, modes)?;
        if !whole && !matches!(kind, Statement::Table(_)) {
            if text.len() > LONGEST {
                return Err(odd("a statement that isn't data is longer than 16 MiB"));
            }
            self.statement = text;
            return Ok(());
        }
        self.statements += 1;
        let piece = match kind {
            Statement::Table(name) => return self.table(&name, &text),
            Statement::Neutral => return self.pass(&text),
            Statement::Setting => {
                self.session.set(&text)?;
                self.scanner.modes = self.session.modes;
                Piece::Setting(text)
            }
            Statement::Defaults(place) => Piece::Defaults(text, place),
            Statement::Code(code) => {
                let belongs = matches!(code.kind, Kind::View | Kind::Trigger);
                let wanted =
                    self.wanted.only.is_empty() || belongs && self.wanted.only.contains(&code.belongs_to);
                if !wanted {
                    return Ok(());
                }
                self.seen.insert(code.belongs_to);
                let text = self.wanted.rewrite.code(&text, code.kind, modes);
                Piece::Code(text, code.kind, modes)
            }
        };
        let text = piece.text(&self.wanted.database, self.wanted.asleep);
        let delimiter = self.scanner.delimiter.clone();
        self.late.push(delimiter, piece);
        if self.late.bytes() > MOST_CODE {
            return Err(odd("views, triggers, routines and events are larger than 256 MiB in all"));
        }
        match text {
            Some(text) => self.pass(&text),
            None => Ok(()),
        }
    }

    fn table(&mut self, name: &[u8], text: &[u8]) -> Result<()> {
        if !self.wanted.only.is_empty() && !self.wanted.only.contains(name) {
            self.state = State::Dropping;
            return Ok(());
        }
        self.seen.insert(name.to_vec());
        self.pass(text)
    }

    fn pass(&mut self, text: &[u8]) -> Result<()> {
        if self.wanted.code_only {
            self.state = State::Dropping;
            return Ok(());
        }
        self.late.delimit(&mut self.out, &self.scanner.delimiter);
        self.out.extend_from_slice(text);
        self.state = State::Passing;
        Ok(())
    }

    /// The end of the stream must be the end of a dump.
    fn end(&self) -> Result<()> {
        if self.state != State::Between {
            return Err(Error::damaged("the stream ends in the middle of a statement"));
        }
        if self.scanner.is_dump && !self.scanner.last_comment.starts_with(crate::trailer::TRAILER) {
            return Err(Error::damaged("the stream doesn't end with `-- Dump completed`")
                .hint("The dump was cut off: look for a whole one."));
        }
        if self.statements == 0 {
            return Err(Error::damaged("the stream holds no statement"));
        }
        Ok(())
    }
}

impl<R: Read> Read for Screen<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.out.len() {
            self.out.clear();
            self.given = 0;
            // Enough for a good pipe write, and the memory stays bounded.
            while self.out.len() < PART {
                if self.advance().map_err(Error::into_io)? {
                    continue;
                }
                if self.ended {
                    self.end().map_err(Error::into_io)?;
                    break;
                }
                self.refill()?;
            }
            if self.out.is_empty() && self.ended {
                return Ok(0);
            }
        }
        let count = buffer.len().min(self.out.len() - self.given);
        buffer[..count].copy_from_slice(&self.out[self.given..self.given + count]);
        self.given += count;
        Ok(count)
    }
}

const _: () = assert!(LOOKAHEAD < HEAD && HEAD <= PART);
