//! The words of one statement.
//!
//! What stands in an executable comment (`/*!50003 … */`) counts as code, as it does for the server; other comments and
//! white space are passed over. It is enough to tell a statement's kind and names, and no parser.

use std::ops::Range;

use crate::scan::Modes;

/// A word of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// A bare word or number.
    Word(&'a [u8]),
    /// A name in quotes, without them.
    Name(Vec<u8>),
    /// A string, with its quotes.
    Text(&'a [u8]),
    /// `@name` or `@@name`.
    Variable(&'a [u8]),
    /// Any other byte.
    Sign(u8),
}

impl Token<'_> {
    /// Whether it is the bare word `word`.
    pub(crate) fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(bytes) if bytes.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// The name that it is, in backticks or bare.
    pub(crate) fn name(&self) -> Option<Vec<u8>> {
        match self {
            Self::Name(name) => Some(name.clone()),
            Self::Word(word) => Some(word.to_vec()),
            _ => None,
        }
    }

    /// The name that stands in backticks or quotes.
    pub(crate) fn quoted_name(&self) -> Option<Vec<u8>> {
        match self {
            Self::Name(name) => Some(name.clone()),
            Self::Text(text) => Some(unquoted(text)),
            _ => None,
        }
    }
}

/// The words of `bytes` in order, each with its place.
pub(crate) struct Tokens<'a> {
    bytes: &'a [u8],
    at: usize,
    modes: Modes,
}

impl<'a> Tokens<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, modes: Modes::default() }
    }

    /// For a session with these modes.
    pub(crate) fn modes(mut self, modes: Modes) -> Self {
        self.modes = modes;
        self
    }

    /// Whether what this quote begins is a name.
    fn quotes_name(&self, quote: u8) -> bool {
        quote == b'`' || quote == b'"' && self.modes.ansi_quotes
    }

    /// How far it has come.
    pub(crate) fn place(&self) -> usize {
        self.at
    }

    /// Passes over what is no word.
    fn skip(&mut self) {
        loop {
            let rest = &self.bytes[self.at..];
            self.at += match rest {
                [byte, ..] if byte.is_ascii_whitespace() => 1,
                [b'/', b'*', b'M', b'!', code @ ..] => 4 + digits(code),
                [b'/', b'*', b'!', code @ ..] => 3 + digits(code),
                [b'*', b'/', ..] => 2,
                [b'/', b'*', ..] => memchr::memmem::find(rest, b"*/").map_or(rest.len(), |end| end + 2),
                [b'#', ..] => line(rest),
                [b'-', b'-', next, ..] if next.is_ascii_whitespace() => line(rest),
                _ => return,
            };
        }
    }

    /// The length of the quoted thing at the beginning of `rest`.
    fn quoted(&self, rest: &[u8]) -> usize {
        let quote = rest[0];
        let mut at = 1;
        while at < rest.len() {
            match rest[at] {
                b'\\' if !self.modes.no_backslash && !self.quotes_name(quote) => at += 2,
                byte if byte == quote && rest.get(at + 1) == Some(&quote) => at += 2,
                byte if byte == quote => return at + 1,
                _ => at += 1,
            }
        }
        rest.len()
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = (Range<usize>, Token<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.skip();
        let bytes: &'a [u8] = self.bytes;
        let rest = &bytes[self.at..];
        let first = *rest.first()?;
        let (length, token) = match first {
            quote if self.quotes_name(quote) => {
                let length = self.quoted(rest);
                (length, Token::Name(unquoted(&rest[..length])))
            }
            b'\'' | b'"' => {
                let length = self.quoted(rest);
                (length, Token::Text(&rest[..length]))
            }
            b'@' => {
                let length = rest
                    .iter()
                    .position(|byte| !(is_word(*byte) || b"@.".contains(byte)))
                    .unwrap_or(rest.len());
                if length > 1 { (length, Token::Variable(&rest[..length])) } else { (1, Token::Sign(b'@')) }
            }
            byte if is_word(byte) => {
                let length = rest.iter().position(|byte| !is_word(*byte)).unwrap_or(rest.len());
                (length, Token::Word(&rest[..length]))
            }
            byte => (1, Token::Sign(byte)),
        };
        let place = self.at..self.at + length;
        self.at += length;
        Some((place, token))
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

fn digits(code: &[u8]) -> usize {
    code.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

fn line(rest: &[u8]) -> usize {
    memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1)
}

/// A name without its quotes.
fn unquoted(quoted: &[u8]) -> Vec<u8> {
    let quote = quoted.first().copied().unwrap_or_default();
    let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    let mut name = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter().peekable();
    while let Some(byte) = bytes.next() {
        if *byte == quote && bytes.peek() == Some(&&quote) {
            bytes.next();
        }
        name.push(*byte);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executable_comments_are_code_and_others_are_not() {
        let text =
            b"/*!50003 CREATE*/ /*!50017 DEFINER=`r``t`@`h`*/ /* x */ -- y\n TRIGGER 'a''b\\'c' @@sql_mode;";
        let tokens: Vec<Token<'_>> = Tokens::new(text).map(|(_, token)| token).collect();
        assert_eq!(
            tokens,
            [
                Token::Word(b"CREATE"),
                Token::Word(b"DEFINER"),
                Token::Sign(b'='),
                Token::Name(b"r`t".to_vec()),
                Token::Sign(b'@'),
                Token::Name(b"h".to_vec()),
                Token::Word(b"TRIGGER"),
                Token::Text(b"'a''b\\'c'"),
                Token::Variable(b"@@sql_mode"),
                Token::Sign(b';'),
            ]
        );
    }
}
