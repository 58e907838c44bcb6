//! What a dump goes through on its way to the client.
//!
//! Every statement is looked at: what leads out of the database is refused, what wasn't asked for is left out, and what
//! names the database that it came from is turned to the one that it goes to. Views, triggers, routines and events are
//! kept besides, for they can't be moved from one database to another and are made again where the tables end up.
//! Comments between statements, and the line that puts newer clients into their sandbox, don't pass: the client is
//! started in it, where it has one.

use std::io::{self, Read};

use windlass_plugin_api::{Error, Result};

use crate::judge::{Judge, Verdict, Wanted};
use crate::late::{Late, delimit};
use crate::scan::{Gap, LOOKAHEAD, Scanner, Step};

/// How much of the stream is read at once, in bytes.
const PART: usize = 256 << 10;

/// How much of a statement is kept before it must be known that it is only data, in bytes.
const HEAD: usize = 64 << 10;

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
    judge: Judge,
    scanner: Scanner,
    state: State,
    /// What was read and isn't looked at yet, from `at` on.
    part: Vec<u8>,
    at: usize,
    ended: bool,
    statement: Vec<u8>,
    out: Vec<u8>,
    given: usize,
    /// The delimiter that the client has now.
    delimiter: Vec<u8>,
}

impl<R: Read> Screen<R> {
    pub(crate) fn new(input: R, wanted: Wanted) -> Self {
        Self {
            input,
            judge: Judge::new(wanted),
            scanner: Scanner::new(),
            state: State::Between,
            part: Vec::new(),
            at: 0,
            ended: false,
            statement: Vec::new(),
            out: Vec::new(),
            given: 0,
            delimiter: Vec::new(),
        }
    }

    /// The code that was in each part, once it was read to its end.
    pub(crate) fn late(self) -> Vec<Late> {
        self.judge.late()
    }

    /// The wanted names that weren't in it.
    pub(crate) fn missing(&self) -> Vec<String> {
        self.judge.missing()
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
            self.decide(ends)?;
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
    fn decide(&mut self, whole: bool) -> Result<()> {
        let text = std::mem::take(&mut self.statement);
        self.judge.learn(self.scanner.database.as_ref());
        self.state = match self.judge.judge(text, whole, &self.scanner.delimiter)? {
            Verdict::Unknown(text) => {
                self.statement = text;
                State::Collecting
            }
            Verdict::Pass(text) => {
                delimit(&mut self.delimiter, &mut self.out, &self.scanner.delimiter);
                self.out.extend_from_slice(&text);
                State::Passing
            }
            Verdict::Drop => State::Dropping,
        };
        self.scanner.modes = self.judge.session.modes;
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
        self.judge.end()
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
