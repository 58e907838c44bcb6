//! Splits a stream of SQL into statements, as SQLite's own `sqlite3_complete` would: by the same automaton.
//!
//! It understands strings, quoted names, comments, and that a trigger's body has semicolons of its own. It judges nothing:
//! what it takes for one statement goes to SQLite whole, and SQLite looks at every part of it again.

/// What a byte or word means to the automaton.
#[derive(Clone, Copy)]
enum Token {
    Semicolon,
    Space,
    Other,
    Explain,
    Create,
    Temp,
    Trigger,
    End,
}

/// The automaton of `sqlite3_complete` (complete.c): a row for each state, a column for each token. State 1 is between
/// statements, 5 and 6 are inside a trigger's body, 7 is behind its END.
const NEXT: [[u8; 8]; 8] = [
    [1, 0, 2, 3, 4, 2, 2, 2],
    [1, 1, 2, 3, 4, 2, 2, 2],
    [1, 2, 2, 2, 2, 2, 2, 2],
    [1, 3, 3, 2, 4, 2, 2, 2],
    [1, 4, 2, 2, 2, 4, 5, 2],
    [6, 5, 5, 5, 5, 5, 5, 5],
    [6, 6, 5, 5, 5, 5, 5, 7],
    [1, 7, 5, 5, 5, 5, 5, 5],
];

/// Where in the text we are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Plain,
    Word,
    Quoted(u8),
    Dash,
    Slash,
    LineComment,
    BlockComment,
    BlockCommentStar,
}

/// Finds the ends of statements in a stream that comes in pieces of any size.
pub struct Splitter {
    state: u8,
    inside: Inside,
    word: Vec<u8>,
    blank: bool,
}

/// No keyword that matters is longer.
const WORD: usize = 9;

impl Splitter {
    /// At the beginning of a stream.
    pub fn new() -> Self {
        Self { state: 1, inside: Inside::Plain, word: Vec::with_capacity(WORD + 1), blank: true }
    }

    /// Only blanks and comments have come since the last statement's end.
    pub fn is_blank(&self) -> bool {
        self.blank
            && !matches!(self.inside, Inside::Quoted(_) | Inside::BlockComment | Inside::BlockCommentStar)
    }

    /// Takes bytes up to the end of a statement, and returns how many; `None` if it took all and there was no end.
    /// The rest must be given again. Whether the statement was blank is told by the second value.
    pub fn push(&mut self, bytes: &[u8]) -> Option<(usize, bool)> {
        let mut at = 0;
        while at < bytes.len() {
            if let Inside::Quoted(end) = self.inside {
                match bytes[at..].iter().position(|&byte| byte == end) {
                    Some(distance) => at += distance + 1,
                    None => return None,
                }
                self.inside = Inside::Plain;
                self.token(Token::Other);
                continue;
            }
            let byte = bytes[at];
            at += 1;
            if self.byte(byte) {
                let blank = std::mem::replace(&mut self.blank, true);
                return Some((at, blank));
            }
        }
        None
    }

    /// True if `byte` ends a statement.
    fn byte(&mut self, byte: u8) -> bool {
        match self.inside {
            Inside::Word if is_word(byte) => {
                if self.word.len() < WORD {
                    self.word.push(byte.to_ascii_lowercase());
                }
                false
            }
            Inside::Word => {
                self.inside = Inside::Plain;
                let token = keyword(&self.word);
                self.token(token);
                self.plain(byte)
            }
            Inside::Dash | Inside::Slash => {
                let comment = (self.inside == Inside::Dash && byte == b'-').then_some(Inside::LineComment);
                let comment = comment
                    .or((self.inside == Inside::Slash && byte == b'*').then_some(Inside::BlockComment));
                self.inside = comment.unwrap_or(Inside::Plain);
                if comment.is_none() {
                    self.token(Token::Other);
                    return self.plain(byte);
                }
                false
            }
            Inside::LineComment => {
                if byte == b'\n' {
                    self.inside = Inside::Plain;
                }
                false
            }
            Inside::BlockComment | Inside::BlockCommentStar => {
                self.inside = match (self.inside, byte) {
                    (Inside::BlockCommentStar, b'/') => Inside::Plain,
                    (_, b'*') => Inside::BlockCommentStar,
                    _ => Inside::BlockComment,
                };
                false
            }
            Inside::Plain | Inside::Quoted(_) => self.plain(byte),
        }
    }

    fn plain(&mut self, byte: u8) -> bool {
        match byte {
            b';' => {
                self.token(Token::Semicolon);
                return self.state == 1;
            }
            b' ' | b'\t' | b'\r' | b'\n' | 0x0c => self.token(Token::Space),
            b'\'' | b'"' | b'`' => self.inside = Inside::Quoted(byte),
            b'[' => self.inside = Inside::Quoted(b']'),
            b'-' => self.inside = Inside::Dash,
            b'/' => self.inside = Inside::Slash,
            _ if is_word(byte) => {
                self.inside = Inside::Word;
                self.word.clear();
                self.word.push(byte.to_ascii_lowercase());
                self.blank = false;
            }
            _ => self.token(Token::Other),
        }
        false
    }

    fn token(&mut self, token: Token) {
        self.blank &= matches!(token, Token::Space | Token::Semicolon);
        self.state = NEXT[self.state as usize][token as usize];
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

fn keyword(word: &[u8]) -> Token {
    match word {
        b"create" => Token::Create,
        b"temp" | b"temporary" => Token::Temp,
        b"trigger" => Token::Trigger,
        b"end" => Token::End,
        b"explain" => Token::Explain,
        _ => Token::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(sql: &str, piece: usize) -> (Vec<String>, bool) {
        let (mut splitter, mut found, mut statement) = (Splitter::new(), Vec::new(), Vec::new());
        for part in sql.as_bytes().chunks(piece) {
            let mut rest = part;
            while let Some((end, blank)) = splitter.push(rest) {
                statement.extend_from_slice(&rest[..end]);
                if !blank {
                    found.push(String::from_utf8(statement.clone()).unwrap().trim().to_owned());
                }
                statement.clear();
                rest = &rest[end..];
            }
            statement.extend_from_slice(rest);
        }
        (found, splitter.is_blank())
    }

    #[test]
    fn semicolons_in_strings_names_comments_and_triggers_end_nothing() {
        let statements = [
            "SELECT ';', \"a;b\", `c;`, [d;], 'it''s; so' -- no; end\n, 1 /* nor; * here **/;",
            "CREATE TEMP TRIGGER t AFTER INSERT ON x BEGIN SELECT 1; SELECT CASE 1 WHEN 1 THEN 2 END; END;",
            "SELECT 1-1/2;",
            "create table trigger_(end);",
        ];
        let sql = statements.join("\n") + " ; ;\n-- the end";
        for piece in [1, 2, 3, 7, sql.len()] {
            assert_eq!(
                split(&sql, piece),
                (statements.map(str::to_owned).to_vec(), true),
                "pieces of {piece}"
            );
        }
    }

    #[test]
    fn an_open_statement_string_or_comment_is_not_blank() {
        for sql in ["SELECT 1", "'", "/* no end", "CREATE TRIGGER t BEGIN SELECT 1; "] {
            assert!(!split(sql, 1).1, "{sql}");
        }
    }
}
