//! The code of a dump: views, triggers, routines and events, with the settings that they were made under.
//!
//! Tables can be moved into another database in one step, code can't: it is made again there, out of this.

use std::ops::Range;

use crate::names::identifier;
use crate::scan::Modes;
use crate::statement::{Kind, asleep, replaced};

/// A statement that code needs.
#[derive(Clone)]
pub(crate) enum Piece {
    /// Sets something of the session.
    Setting(Vec<u8>),
    /// Sets the defaults of the database whose name stands there.
    Defaults(Vec<u8>, Range<usize>),
    /// Makes or drops code, in a session with these modes.
    Code(Vec<u8>, Kind, Modes),
}

impl Piece {
    /// The statement for a database; none if it can't be said there.
    pub(crate) fn text(&self, database: &str, events_asleep: bool) -> Option<Vec<u8>> {
        match self {
            Self::Setting(text) => Some(text.clone()),
            Self::Defaults(text, place) => {
                Some(replaced(text, place.clone(), identifier(database).as_bytes()))
            }
            Self::Code(text, Kind::Event, modes) if events_asleep && !drops(text) => asleep(text, *modes),
            Self::Code(text, ..) => Some(text.clone()),
        }
    }
}

/// Whether it drops something: the word stands at the beginning, perhaps behind a comment's opener.
fn drops(text: &[u8]) -> bool {
    crate::tokens::Tokens::new(text).next().is_some_and(|(_, token)| token.is("DROP"))
}

/// All code of a dump, in its order.
#[derive(Default)]
pub(crate) struct Late {
    pieces: Vec<(Vec<u8>, Piece)>,
    has_code: bool,
}

impl Late {
    /// Adds a piece, and gives its length.
    pub(crate) fn push(&mut self, delimiter: Vec<u8>, piece: Piece) -> usize {
        let (Piece::Setting(text) | Piece::Defaults(text, _) | Piece::Code(text, ..)) = &piece;
        let bytes = text.len();
        self.has_code |= matches!(piece, Piece::Code(..));
        self.pieces.push((delimiter, piece));
        bytes
    }

    /// Statements that make all of it in a database; empty if there is none.
    pub(crate) fn script(&self, database: &str, events_asleep: bool) -> Vec<u8> {
        let (mut out, mut current) = (Vec::new(), Vec::new());
        if !self.has_code {
            return out;
        }
        for (delimiter, piece) in &self.pieces {
            if let Some(text) = piece.text(database, events_asleep) {
                delimit(&mut current, &mut out, delimiter);
                out.extend_from_slice(&text);
                out.push(b'\n');
            }
        }
        out
    }
}

/// Tells the client of another delimiter than its `current` one, where it needs to know.
pub(crate) fn delimit(current: &mut Vec<u8>, out: &mut Vec<u8>, delimiter: &[u8]) {
    let known: &[u8] = if current.is_empty() { b";" } else { current };
    if known != delimiter {
        out.extend_from_slice(b"DELIMITER ");
        out.extend_from_slice(delimiter);
        out.push(b'\n');
        *current = delimiter.to_vec();
    }
}
