//! Decides over each statement of a dump: whether it passes, as what, and what of it is kept to be made again.
//!
//! A stream of one database names none, so a statement that does is refused. One of several names each before its
//! statements: those that the snapshot knows are accepted, and led to where they are restored; they aren't made here, for
//! the restore has made them.

use std::collections::BTreeSet;

use windlass_plugin_api::{Error, Result};

use crate::late::{Late, Piece};
use crate::modes::Session;
use crate::names::identifier;
use crate::rewrite::Rewrite;
use crate::scan::{Modes, odd};
use crate::statement::{self, Code, Kind, Statement};

/// The longest statement that isn't data, in bytes.
const LONGEST: usize = 16 << 20;

/// What all code in a dump may come to, in bytes: it is held in memory.
const MOST_CODE: usize = 256 << 20;

/// A database of a stream, and what becomes of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    /// What it was called, where that is known.
    pub(crate) from: Option<String>,
    /// The database that its statements are run in.
    pub(crate) to: String,
    /// Only these tables and views; empty: everything.
    pub(crate) only: BTreeSet<Vec<u8>>,
}

/// What is done with a stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// What is taken out of it; of a stream of one database exactly one.
    pub(crate) parts: Vec<Part>,
    /// All databases that a stream of several may name; none if it may name none.
    pub(crate) known: Option<BTreeSet<String>>,
    /// Whoever restores becomes the definer.
    pub(crate) drop_definer: bool,
    /// Events are made without being started.
    pub(crate) asleep: bool,
    /// Nothing of it is passed on: it is read for its code.
    pub(crate) code_only: bool,
}

/// What becomes of a statement.
pub(crate) enum Verdict {
    /// More of it must be there to tell.
    Unknown(Vec<u8>),
    /// This goes to the client, and whatever more of the statement comes.
    Pass(Vec<u8>),
    /// Nothing of it goes to the client.
    Drop,
}

/// Where in a stream we are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In front of the first database's name.
    Before,
    /// In this part.
    In(usize),
    /// In a database that isn't wanted.
    Unwanted,
}

/// The decisions over one stream.
pub(crate) struct Judge {
    wanted: Wanted,
    pub(crate) session: Session,
    place: Place,
    late: Vec<Late>,
    late_bytes: usize,
    seen: BTreeSet<(usize, Vec<u8>)>,
    /// How many statements there were.
    pub(crate) statements: u64,
}

impl Judge {
    pub(crate) fn new(wanted: Wanted) -> Self {
        let place = if wanted.known.is_some() { Place::Before } else { Place::In(0) };
        let late = wanted.parts.iter().map(|_| Late::default()).collect();
        let (seen, session) = (BTreeSet::new(), Session::default());
        Self { wanted, session, place, late, late_bytes: 0, seen, statements: 0 }
    }

    /// The code that was in it, of each part.
    pub(crate) fn late(self) -> Vec<Late> {
        self.late
    }

    /// The wanted tables and views that weren't in it.
    pub(crate) fn missing(&self) -> Vec<String> {
        let of = |(index, part): (usize, &Part)| -> Vec<String> {
            let missing = part.only.iter().filter(|name| !self.seen.contains(&(index, (*name).clone())));
            missing.map(|name| String::from_utf8_lossy(name).into_owned()).collect()
        };
        self.wanted.parts.iter().enumerate().flat_map(of).collect()
    }

    /// What the head of a dump says of where it came from, where nothing better is known.
    pub(crate) fn learn(&mut self, database: Option<&String>) {
        if let (None, [part]) = (&self.wanted.known, self.wanted.parts.as_mut_slice())
            && part.from.is_none()
        {
            part.from = database.cloned();
        }
    }

    fn rewrite(&self) -> Rewrite {
        let from = match self.place {
            Place::In(index) => self.wanted.parts[index].from.clone(),
            _ => None,
        };
        Rewrite { from, drop_definer: self.wanted.drop_definer }
    }

    /// Decides over what is there of a statement; `whole` says that this is all.
    pub(crate) fn judge(&mut self, text: Vec<u8>, whole: bool, delimiter: &[u8]) -> Result<Verdict> {
        let modes = self.session.modes;
        let text = if is_insert(&text) { text } else { self.rewrite().trigger(text, modes) };
        let kind = statement::read(&text, modes)?;
        if !whole && !matches!(kind, Statement::Table(_)) {
            if text.len() > LONGEST {
                return Err(odd("a statement that isn't data is longer than 16 MiB"));
            }
            return Ok(Verdict::Unknown(text));
        }
        self.statements += 1;
        match kind {
            Statement::Use(name) => self.enter(&name),
            Statement::Database(name) => self.is_known(&name).map(|()| Verdict::Drop),
            Statement::Neutral => Ok(self.pass(text)),
            Statement::Setting => {
                self.session.set(&text)?;
                self.keep(delimiter, Piece::Setting(text))
            }
            _ if self.place == Place::Before => Err(odd("a statement in front of any database's name")),
            _ if self.place == Place::Unwanted => Ok(Verdict::Drop),
            Statement::Table(name) => Ok(self.table(name, text)),
            Statement::Defaults(place) => self.keep(delimiter, Piece::Defaults(text, place)),
            Statement::Code(code) => self.code(code, &text, delimiter, modes),
        }
    }

    fn is_known(&self, name: &[u8]) -> Result<()> {
        let known = self.wanted.known.as_ref();
        if known.is_some_and(|known| known.iter().any(|known| known.as_bytes() == name)) {
            return Ok(());
        }
        Err(odd(&format!("it names the database `{}`", String::from_utf8_lossy(name))))
    }

    fn enter(&mut self, name: &[u8]) -> Result<Verdict> {
        self.is_known(name)?;
        let is_it = |part: &Part| part.from.as_ref().is_some_and(|from| from.as_bytes() == name);
        let Some(index) = self.wanted.parts.iter().position(is_it) else {
            self.place = Place::Unwanted;
            return Ok(Verdict::Drop);
        };
        self.place = Place::In(index);
        let text = format!("USE {};", identifier(&self.wanted.parts[index].to));
        Ok(self.pass(text.into_bytes()))
    }

    fn table(&mut self, name: Vec<u8>, text: Vec<u8>) -> Verdict {
        let Place::In(index) = self.place else { return Verdict::Drop };
        let only = &self.wanted.parts[index].only;
        if !only.is_empty() {
            if !only.contains(&name) {
                return Verdict::Drop;
            }
            self.seen.insert((index, name));
        }
        self.pass(text)
    }

    fn code(&mut self, code: Code, text: &[u8], delimiter: &[u8], modes: Modes) -> Result<Verdict> {
        let Place::In(index) = self.place else { return Ok(Verdict::Drop) };
        let only = &self.wanted.parts[index].only;
        let belongs = matches!(code.kind, Kind::View | Kind::Trigger) && only.contains(&code.belongs_to);
        if !only.is_empty() && !belongs {
            return Ok(Verdict::Drop);
        }
        let text = self.rewrite().code(text, code.kind, modes);
        self.seen.insert((index, code.belongs_to));
        self.keep(delimiter, Piece::Code(text, code.kind, modes))
    }

    /// Keeps what code needs, and passes it on.
    fn keep(&mut self, delimiter: &[u8], piece: Piece) -> Result<Verdict> {
        let (index, to) = match self.place {
            Place::In(index) => (index, self.wanted.parts[index].to.as_str()),
            _ => (0, ""),
        };
        let text = piece.text(to, self.wanted.asleep);
        // The head of a dump sets the session for all that follows.
        let parts = match self.place {
            Place::Before => 0..self.late.len(),
            Place::In(_) => index..index + 1,
            Place::Unwanted => 0..0,
        };
        for late in &mut self.late[parts] {
            self.late_bytes += late.push(delimiter.to_vec(), piece.clone());
        }
        if self.late_bytes > MOST_CODE {
            return Err(odd("views, triggers, routines and events are larger than 256 MiB in all"));
        }
        Ok(text.map_or(Verdict::Drop, |text| self.pass(text)))
    }

    fn pass(&self, text: Vec<u8>) -> Verdict {
        if self.wanted.code_only { Verdict::Drop } else { Verdict::Pass(text) }
    }

    /// The end of a stream: something must have been in it.
    pub(crate) fn end(&self) -> Result<()> {
        if self.statements == 0 {
            return Err(Error::damaged("the stream holds no statement"));
        }
        Ok(())
    }
}

/// Most of a dump are rows, in which there is no trigger to look for.
fn is_insert(text: &[u8]) -> bool {
    text.starts_with(b"INSERT INTO ")
}
