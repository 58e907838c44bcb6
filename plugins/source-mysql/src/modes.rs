//! What a dump sets of its session, as far as it changes where strings end.

use std::collections::HashMap;

use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::scan::{Modes, odd};
use crate::tokens::{Token, Tokens};

/// Character sets in which a byte inside a character can be a quote or a backslash.
const TREACHEROUS: [&str; 8] = ["big5", "cp932", "gb18030", "gbk", "sjis", "ucs2", "utf16", "utf32"];

/// The session of a dump.
#[derive(Default)]
pub(crate) struct Session {
    pub(crate) modes: Modes,
    /// The user variables that modes were kept in.
    kept: HashMap<Vec<u8>, Modes>,
}

impl Session {
    /// Follows a `SET` statement.
    pub(crate) fn set(&mut self, text: &[u8]) -> Result<()> {
        let tokens: Vec<Token<'_>> = Tokens::new(text).map(|(_, token)| token).collect();
        for (index, token) in tokens.iter().enumerate() {
            let value = match tokens.get(index + 1) {
                Some(Token::Sign(b'=')) => tokens.get(index + 2),
                Some(Token::Sign(b':')) => tokens.get(index + 3),
                next if token.is("NAMES") || token.is("CHARSET") => next,
                _ => continue,
            };
            let Some(value) = value else { continue };
            let name = plain(token);
            match name.as_slice() {
                b"SQL_MODE" => self.modes = self.mode(value)?,
                b"NAMES" | b"CHARSET" | b"CHARACTER_SET_CLIENT" => charset(value)?,
                _ if plain(value) == b"SQL_MODE" => {
                    self.kept.insert(name, self.modes);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn mode(&self, value: &Token<'_>) -> Result<Modes> {
        match value {
            Token::Text(text) => {
                let text = text.to_ascii_uppercase();
                let has = |mode: &str| text.windows(mode.len()).any(|part| part == mode.as_bytes());
                let combined = ["ANSI", "ORACLE", "MSSQL", "DB2", "POSTGRESQL", "MAXDB"];
                Ok(Modes {
                    no_backslash: has("NO_BACKSLASH_ESCAPES"),
                    ansi_quotes: combined.into_iter().any(has),
                })
            }
            // A variable that was never set gives back what the client began with.
            Token::Variable(_) => Ok(self.kept.get(&plain(value)).copied().unwrap_or_default()),
            _ => Err(odd("an SQL mode that isn't written out")),
        }
    }
}

/// A variable's name, without the scope of a system variable, in capitals.
fn plain(token: &Token<'_>) -> Vec<u8> {
    let (Token::Word(bytes) | Token::Variable(bytes)) = token else { return Vec::new() };
    let name = bytes.to_ascii_uppercase();
    for scope in [&b"@@SESSION."[..], b"@@LOCAL.", b"@@"] {
        if let Some(rest) = name.strip_prefix(scope) {
            return rest.to_vec();
        }
    }
    name
}

fn charset(value: &Token<'_>) -> Result<()> {
    let (Token::Word(name) | Token::Text(name)) = value else { return Ok(()) };
    let name = String::from_utf8_lossy(name).trim_matches(['\'', '"']).to_ascii_lowercase();
    if TREACHEROUS.contains(&name.as_str()) {
        let message = format!("the stream holds code in the character set `{name}`, which can't be checked");
        return Err(Error::new(ErrorKind::Unsupported, message)
            .hint("Decode it with `restore --output FILE`, and load it by hand."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_kept_and_taken_back() {
        let mut session = Session::default();
        session.set(b"/*!50003 SET @saved_sql_mode = @@sql_mode */ ;").unwrap();
        session.set(b"SET sql_mode = 'NO_BACKSLASH_ESCAPES,ANSI_QUOTES' ;").unwrap();
        assert_eq!(session.modes, Modes { no_backslash: true, ansi_quotes: true });
        session.set(b"SET sql_mode = @saved_sql_mode ;").unwrap();
        assert_eq!(session.modes, Modes::default());
        assert!(session.set(b"SET sql_mode = concat('NO_BACK', 'SLASH_ESCAPES');").is_err());
        assert!(session.set(b"SET NAMES gbk;").is_err());
        assert!(session.set(b"SET character_set_client = 'sjis';").is_err());
        session.set(b"SET NAMES utf8mb4;").unwrap();
    }
}
