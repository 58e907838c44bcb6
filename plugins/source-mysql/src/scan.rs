//! Finds where the statements of a dump begin and end, as the client does.
//!
//! It works on whatever part of the stream is there, and needs only the end of a part again with the next one. What a
//! statement means is `statement`'s; what becomes of it `screen`'s.

use windlass_plugin_api::{Error, Result};

/// How many bytes of a part are kept back, unless the stream ends there: enough for every opener and a delimiter line.
pub(crate) const LOOKAHEAD: usize = 1024;

/// What the sandbox line of newer dumps begins with: a client command in a comment.
const SANDBOX: &[u8] = br"/*M!999999\-";

/// The longest delimiter that is understood.
const LONGEST_DELIMITER: usize = 16;

/// Those SQL modes that change where a string ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Modes {
    /// A backslash in a string stands for itself.
    pub(crate) no_backslash: bool,
    /// What stands in double quotes is a name.
    pub(crate) ansi_quotes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    Code,
    Quoted(u8),
    LineComment,
    BlockComment,
}

/// What was found between statements.
pub(crate) enum Gap {
    /// So many bytes hold no statement.
    Nothing(usize),
    /// A statement begins behind so many bytes.
    Statement(usize),
}

/// What was found inside a statement.
pub(crate) enum Step {
    /// So many bytes belong to it, and it goes on.
    More(usize),
    /// So many bytes belong to it, its delimiter included, and it ends there.
    End(usize),
}

/// The place in a dump.
pub(crate) struct Scanner {
    within: Within,
    pub(crate) delimiter: Vec<u8>,
    pub(crate) modes: Modes,
    /// The beginning of the comment that was seen last between statements.
    pub(crate) last_comment: Vec<u8>,
    /// A dump program's head was seen.
    pub(crate) is_dump: bool,
    /// The database that the head names.
    pub(crate) database: Option<String>,
}

impl Scanner {
    pub(crate) fn new() -> Self {
        Self {
            within: Within::Code,
            delimiter: b";".to_vec(),
            modes: Modes::default(),
            last_comment: Vec::new(),
            is_dump: false,
            database: None,
        }
    }

    /// Looks for the next statement in `bytes`; `ended` says that nothing comes behind them.
    pub(crate) fn gap(&mut self, bytes: &[u8], ended: bool) -> Result<Gap> {
        let limit = if ended { bytes.len() } else { bytes.len().saturating_sub(LOOKAHEAD) };
        let mut at = 0;
        while at < limit {
            let rest = &bytes[at..];
            match self.within {
                Within::LineComment | Within::BlockComment => at += self.comment(rest),
                _ if rest[0].is_ascii_whitespace() => at += 1,
                _ if opens_comment(rest) || rest.starts_with(SANDBOX) => {
                    self.learn(rest);
                    at += self.open_comment(rest);
                }
                _ if is_delimiter_line(rest) => at += self.delimiter_line(rest)?,
                _ if rest.starts_with(&self.delimiter) => at += self.delimiter.len(),
                _ => {
                    self.last_comment.clear();
                    return Ok(Gap::Statement(at));
                }
            }
        }
        Ok(Gap::Nothing(at))
    }

    /// What a comment between statements tells: that this is a dump, and of which database.
    fn learn(&mut self, rest: &[u8]) {
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = &rest[..end.min(LOOKAHEAD)];
        self.is_dump |=
            [&b"-- MariaDB dump"[..], b"-- MySQL dump", SANDBOX].iter().any(|start| line.starts_with(start));
        const NAMED: &[u8] = b"    Database: ";
        if self.database.is_none()
            && line.starts_with(b"-- Host: ")
            && let Some(at) = memchr::memmem::find(line, NAMED)
        {
            self.database = String::from_utf8(line[at + NAMED.len()..].to_vec()).ok();
        }
        self.last_comment = line.to_vec();
    }

    /// Looks for the end of the current statement in `bytes`.
    pub(crate) fn step(&mut self, bytes: &[u8], ended: bool) -> Result<Step> {
        let limit = if ended { bytes.len() } else { bytes.len().saturating_sub(LOOKAHEAD) };
        let mut at = 0;
        while at < limit {
            let rest = &bytes[at..];
            match self.within {
                Within::LineComment | Within::BlockComment => at += self.comment(rest),
                Within::Quoted(quote) => at += self.quoted(quote, rest, limit - at),
                Within::Code => {
                    at += plain(&bytes[at..limit]);
                    if at == limit {
                        break;
                    }
                    let rest = &bytes[at..];
                    if rest.starts_with(&self.delimiter) {
                        return Ok(Step::End(at + self.delimiter.len()));
                    }
                    at += self.code(rest)?;
                }
            }
        }
        Ok(Step::More(at))
    }

    /// One byte of code that may mean something.
    fn code(&mut self, rest: &[u8]) -> Result<usize> {
        match rest[0] {
            quote @ (b'\'' | b'"' | b'`') => self.within = Within::Quoted(quote),
            _ if opens_comment(rest) => return Ok(self.open_comment(rest)),
            // Outside a string a backslash begins a command of the client, and a zero byte ends what it reads.
            b'\\' | 0 => return Err(odd("a backslash or a zero byte outside of a string")),
            _ => {}
        }
        Ok(1)
    }

    fn quoted(&mut self, quote: u8, rest: &[u8], limit: usize) -> usize {
        let escapes = quote != b'`' && !self.modes.no_backslash && !(quote == b'"' && self.modes.ansi_quotes);
        let found = match escapes {
            true => memchr::memchr2(quote, b'\\', &rest[..limit]),
            false => memchr::memchr(quote, &rest[..limit]),
        };
        match found {
            None => limit,
            Some(at) if rest[at] == quote => {
                self.within = Within::Code;
                at + 1
            }
            Some(at) => rest.len().min(at + 2),
        }
    }

    fn open_comment(&mut self, rest: &[u8]) -> usize {
        if rest[0] == b'/' {
            self.within = Within::BlockComment;
            return 2;
        }
        self.within = Within::LineComment;
        1
    }

    fn comment(&mut self, rest: &[u8]) -> usize {
        let (end, length) = match self.within {
            Within::LineComment => (memchr::memchr(b'\n', rest), 1),
            _ => (memchr::memmem::find(rest, b"*/"), 2),
        };
        match end {
            Some(at) => {
                self.within = Within::Code;
                at + length
            }
            // The first half of the end may stand here already.
            None => (rest.len() + 1 - length).max(1),
        }
    }

    fn delimiter_line(&mut self, rest: &[u8]) -> Result<usize> {
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let word = rest[b"DELIMITER".len()..end].trim_ascii();
        // Dumps choose a run of semicolons; anything else could hide a statement.
        if word.is_empty() || word.len() > LONGEST_DELIMITER || word.iter().any(|byte| *byte != b';') {
            return Err(odd("a delimiter that isn't made of semicolons"));
        }
        self.delimiter = word.to_vec();
        Ok(end)
    }
}

/// Whether a comment that isn't executed begins here.
fn opens_comment(rest: &[u8]) -> bool {
    match rest {
        [b'#', ..] | [b'-', b'-'] => true,
        [b'-', b'-', next, ..] => next.is_ascii_whitespace() || next.is_ascii_control(),
        [b'/', b'*', b'!', ..] | [b'/', b'*', b'M', b'!', ..] => rest.starts_with(SANDBOX),
        [b'/', b'*', ..] => true,
        _ => false,
    }
}

fn is_delimiter_line(rest: &[u8]) -> bool {
    const WORD: &[u8] = b"DELIMITER";
    rest.len() > WORD.len()
        && rest[..WORD.len()].eq_ignore_ascii_case(WORD)
        && rest[WORD.len()].is_ascii_whitespace()
}

/// An error for what no dump program writes.
pub(crate) fn odd(what: &str) -> Error {
    Error::damaged(format!("the stream isn't what a dump program writes: {what}"))
        .hint("Decode it with `restore --output FILE`, and look at it before you load it by hand.")
}

/// How many bytes of code at the beginning mean nothing. A row of a blob is a megabyte of them, so what begins long is gone
/// through in pieces, which the compiler compares several bytes at a time.
fn plain(bytes: &[u8]) -> usize {
    const SHORT: usize = 16;
    const PIECE: usize = 64;
    let one_by_one =
        |bytes: &[u8]| bytes.iter().position(|byte| SPECIAL[*byte as usize]).unwrap_or(bytes.len());
    let begin = one_by_one(&bytes[..bytes.len().min(SHORT)]);
    if begin < SHORT {
        return begin;
    }
    let pieces = bytes[begin..].chunks_exact(PIECE);
    // Without a way out in the middle: that is what makes it quick.
    let special = |piece: &[u8]| piece.iter().fold(false, |found, byte| found | is_special(*byte));
    let skipped = begin + PIECE * pieces.take_while(|piece| !special(piece)).count();
    skipped + one_by_one(&bytes[skipped..])
}

const fn is_special(byte: u8) -> bool {
    matches!(byte, b'\'' | b'"' | b'`' | b'-' | b'#' | b'/' | b'\\' | b';' | 0)
}

/// The bytes of code that begin something; a delimiter always begins with a semicolon.
static SPECIAL: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = is_special(byte as u8);
        byte += 1;
    }
    table
};
