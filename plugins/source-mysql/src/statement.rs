//! What a statement of a dump does, as far as its first words tell; everything that no dump program writes is refused.
//!
//! This keeps a stream inside the database that it is restored to. It is no sandbox: a trigger's body is code by nature,
//! and what the restoring user may do bounds what a stream can do.

use std::ops::Range;

use windlass_plugin_api::Result;

use crate::scan::{Modes, odd};
use crate::tokens::{Token, Tokens};

/// What a statement does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Statement {
    /// Sets something of the session.
    Setting,
    /// Makes, fills, locks or drops the table or sequence of this name.
    Table(Vec<u8>),
    /// Unlocks tables and the like.
    Neutral,
    /// Sets the defaults of the database whose name stands there.
    Defaults(Range<usize>),
    /// Makes or drops what isn't a table.
    Code(Code),
    /// Makes or drops the database of this name.
    Database(Vec<u8>),
    /// Goes into the database of this name.
    Use(Vec<u8>),
}

/// What is made of code and not of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Code {
    pub(crate) kind: Kind,
    /// Its name; of a trigger that of its table, where that is told.
    pub(crate) belongs_to: Vec<u8>,
}

/// The kinds of code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    View,
    Trigger,
    Routine,
    Event,
}

/// What can be told of a statement by its beginning, in a session with these modes.
pub(crate) fn read(text: &[u8], modes: Modes) -> Result<Statement> {
    let mut tokens = Tokens::new(text).modes(modes);
    let Some((_, Token::Word(verb))) = tokens.next() else { return Err(refused(text)) };
    match verb.to_ascii_uppercase().as_slice() {
        b"INSERT" | b"REPLACE" => table(&mut tokens, &["INTO", "IGNORE", "LOW_PRIORITY", "DELAYED"], text),
        b"SET" => setting(tokens, text),
        b"CREATE" => create(tokens, text),
        b"DROP" => drop(tokens, text),
        b"ALTER" => alter(tokens, text),
        b"LOCK" => match tokens.next() {
            Some((_, word)) if word.is("TABLES") => table(&mut tokens, &[], text),
            _ => Err(refused(text)),
        },
        b"USE" => name(&mut tokens, &[], text).map(Statement::Use),
        b"UNLOCK" | b"COMMIT" => Ok(Statement::Neutral),
        b"START" if tokens.next().is_some_and(|(_, word)| word.is("TRANSACTION")) => Ok(Statement::Neutral),
        // A sequence's value.
        b"DO" | b"SELECT" if tokens.next().is_some_and(|(_, word)| word.is("SETVAL")) => {
            tokens.next();
            table(&mut tokens, &[], text)
        }
        _ => Err(refused(text)),
    }
}

/// The table whose name follows, behind words that may stand before it.
fn table(tokens: &mut Tokens<'_>, before: &[&str], text: &[u8]) -> Result<Statement> {
    name(tokens, before, text).map(Statement::Table)
}

fn name(tokens: &mut Tokens<'_>, before: &[&str], text: &[u8]) -> Result<Vec<u8>> {
    for (_, token) in tokens.by_ref() {
        if ["IF", "NOT", "EXISTS"].iter().chain(before).any(|word| token.is(word)) {
            continue;
        }
        let Some(name) = token.name() else { break };
        let mut behind = Tokens::new(&text[tokens.place()..]);
        if behind.next().is_some_and(|(_, token)| token == Token::Sign(b'.')) {
            return Err(odd(&format!("`{}` names a database", shown(text))));
        }
        return Ok(name);
    }
    Err(refused(text))
}

fn setting(tokens: Tokens<'_>, text: &[u8]) -> Result<Statement> {
    for (_, token) in tokens {
        let global = match &token {
            Token::Word(word) => ["GLOBAL", "PERSIST", "PERSIST_ONLY", "PASSWORD", "ROLE"]
                .iter()
                .any(|bad| word.eq_ignore_ascii_case(bad.as_bytes())),
            Token::Variable(name) => {
                let name = name.to_ascii_uppercase();
                name.starts_with(b"@@GLOBAL.") || name.starts_with(b"@@PERSIST")
            }
            _ => false,
        };
        if global {
            return Err(odd(&format!("`{}` would change the server", shown(text))));
        }
    }
    Ok(Statement::Setting)
}

fn create(mut tokens: Tokens<'_>, text: &[u8]) -> Result<Statement> {
    // In front of the kind stand at most `OR REPLACE`, an algorithm, a definer and a security.
    for _ in 0..24 {
        let Some((_, token)) = tokens.next() else { break };
        if token.is("TABLE") || token.is("SEQUENCE") {
            return table(&mut tokens, &[], text);
        }
        if let Some(kind) = kind_of(&token) {
            return code(kind, tokens, text);
        }
        if token.is("DATABASE") {
            return name(&mut tokens, &[], text).map(Statement::Database);
        }
        if ["SCHEMA", "USER", "ROLE", "SERVER"].iter().any(|word| token.is(word)) {
            break;
        }
    }
    Err(refused(text))
}

fn code(kind: Kind, mut tokens: Tokens<'_>, text: &[u8]) -> Result<Statement> {
    let mut belongs_to = name(&mut tokens, &["BODY"], text)?;
    if kind == Kind::Trigger
        && let Some((_, _)) = tokens.find(|(_, token)| token.is("ON"))
    {
        belongs_to = name(&mut tokens, &[], text)?;
    }
    // A function out of a shared library is code on the server's machine.
    if kind == Kind::Routine && tokens.take(8).any(|(_, token)| token.is("SONAME")) {
        return Err(refused(text));
    }
    Ok(Statement::Code(Code { kind, belongs_to }))
}

fn drop(mut tokens: Tokens<'_>, text: &[u8]) -> Result<Statement> {
    let Some((_, what)) = tokens.next() else { return Err(refused(text)) };
    if what.is("TABLE") || what.is("SEQUENCE") {
        return table(&mut tokens, &[], text);
    }
    if what.is("DATABASE") {
        return name(&mut tokens, &[], text).map(Statement::Database);
    }
    match kind_of(&what) {
        Some(kind) => Ok(Statement::Code(Code { kind, belongs_to: name(&mut tokens, &["BODY"], text)? })),
        None => Err(refused(text)),
    }
}

fn alter(mut tokens: Tokens<'_>, text: &[u8]) -> Result<Statement> {
    match tokens.next() {
        Some((_, word)) if word.is("TABLE") => table(&mut tokens, &[], text),
        Some((_, word)) if word.is("DATABASE") => match tokens.next() {
            Some((place, Token::Name(_))) => Ok(Statement::Defaults(place)),
            _ => Err(refused(text)),
        },
        _ => Err(refused(text)),
    }
}

fn kind_of(token: &Token<'_>) -> Option<Kind> {
    let kinds = [
        ("VIEW", Kind::View),
        ("TRIGGER", Kind::Trigger),
        ("PROCEDURE", Kind::Routine),
        ("FUNCTION", Kind::Routine),
        ("PACKAGE", Kind::Routine),
        ("EVENT", Kind::Event),
    ];
    kinds.into_iter().find(|(word, _)| token.is(word)).map(|(_, kind)| kind)
}

fn refused(text: &[u8]) -> windlass_plugin_api::Error {
    odd(&format!("`{}`", shown(text)))
}

/// The beginning of a statement, for a message.
fn shown(text: &[u8]) -> String {
    let start: Vec<u8> = text.iter().take(60).copied().collect();
    String::from_utf8_lossy(&start).split_whitespace().collect::<Vec<_>>().join(" ").replace('`', "'")
}

/// An event that is made asleep: its `ENABLE` is turned into `DISABLE`. None if there is none where it belongs.
pub(crate) fn asleep(text: &[u8], modes: Modes) -> Option<Vec<u8>> {
    let mut preserve = false;
    for (place, token) in Tokens::new(text).modes(modes) {
        if preserve {
            return match token {
                token if token.is("ENABLE") => Some(replaced(text, place, b"DISABLE")),
                token if token.is("DISABLE") => Some(text.to_vec()),
                _ => None,
            };
        }
        preserve = token.is("PRESERVE");
    }
    None
}

/// A statement without its definer, so that whoever runs it becomes that.
pub(crate) fn without_definer(text: &[u8], modes: Modes) -> Vec<u8> {
    let head: Vec<_> = Tokens::new(text).modes(modes).take(32).collect();
    let Some(at) = head.windows(2).position(|two| two[0].1.is("DEFINER") && two[1].1 == Token::Sign(b'='))
    else {
        return text.to_vec();
    };
    let end = match head.get(at + 3) {
        Some((_, Token::Sign(b'@'))) => head.get(at + 4),
        Some((place, Token::Variable(_))) if Some(place.start) == head.get(at + 2).map(|last| last.0.end) => {
            head.get(at + 3)
        }
        _ => head.get(at + 2),
    };
    match end {
        Some((last, _)) => replaced(text, head[at].0.start..last.end, b""),
        None => text.to_vec(),
    }
}

/// `text` with other bytes in place of some.
pub(crate) fn replaced(text: &[u8], place: Range<usize>, by: &[u8]) -> Vec<u8> {
    [&text[..place.start], by, &text[place.end..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dump_writes_is_told_apart() {
        let table = Statement::Table(b"a b".to_vec());
        for text in [
            "DROP TABLE IF EXISTS `a b`;",
            "CREATE TABLE `a b` (`x` int);",
            "LOCK TABLES `a b` WRITE;",
            "INSERT INTO `a b` VALUES (1);",
            "/*!40000 ALTER TABLE `a b` DISABLE KEYS */;",
            "DO SETVAL(`a b`, 1, 0);",
        ] {
            assert_eq!(read(text.as_bytes(), Modes::default()).unwrap(), table, "{text}");
        }
        for (text, kind, name) in [
            (
                "/*!50003 CREATE*/ /*!50017 DEFINER=`r`@`h`*/ /*!50003 TRIGGER `tr` BEFORE INSERT ON `t` FOR EACH ROW x */;;",
                Kind::Trigger,
                "t",
            ),
            (
                "/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`r`@`h` SQL SECURITY DEFINER */\n/*!50001 VIEW `v` AS select 1 */;",
                Kind::View,
                "v",
            ),
            ("/*!50003 DROP PROCEDURE IF EXISTS `p` */;", Kind::Routine, "p"),
            (
                "/*!50106 CREATE*/ /*!50117 DEFINER=`r`@`h`*/ /*!50106 EVENT `e` ON SCHEDULE EVERY 1 DAY DO x */ ;;",
                Kind::Event,
                "e",
            ),
        ] {
            let code = Code { kind, belongs_to: name.as_bytes().to_vec() };
            assert_eq!(read(text.as_bytes(), Modes::default()).unwrap(), Statement::Code(code), "{text}");
        }
    }

    #[test]
    fn what_leads_out_of_the_database_is_refused() {
        for text in [
            "CREATE SCHEMA other;",
            "INSERT INTO other.t VALUES (1);",
            "DROP TABLE IF EXISTS `other` . `t`;",
            "CREATE FUNCTION f RETURNS STRING SONAME 'evil.so';",
            "INSTALL PLUGIN x SONAME 'evil.so';",
            "SELECT 'x' INTO OUTFILE '/tmp/x';",
            "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE t;",
            "SET GLOBAL general_log_file = '/tmp/x';",
            "SET @@global.read_only = 1;",
            "GRANT ALL ON *.* TO x;",
            "system id;",
            "source /tmp/x;",
        ] {
            assert!(read(text.as_bytes(), Modes::default()).is_err(), "{text}");
        }
    }

    #[test]
    fn an_event_falls_asleep_and_a_definer_goes() {
        let event = b"/*!50106 EVENT `e ENABLE` ON SCHEDULE EVERY 1 DAY ON COMPLETION NOT PRESERVE ENABLE DO select 'ENABLE' */ ;;";
        let text = String::from_utf8(asleep(event, Modes::default()).unwrap()).unwrap();
        assert!(text.contains("NOT PRESERVE DISABLE DO select 'ENABLE'") && text.contains("`e ENABLE`"));
        let view = b"/*!50013 DEFINER=`g@`@`%` SQL SECURITY DEFINER */ /*!50001 VIEW `v` AS select 1 */;";
        let text = String::from_utf8(without_definer(view, Modes::default())).unwrap();
        assert_eq!(text, "/*!50013  SQL SECURITY DEFINER */ /*!50001 VIEW `v` AS select 1 */;");
        assert_eq!(
            without_definer(b"CREATE DEFINER=root@localhost PROCEDURE p() x", Modes::default()),
            b"CREATE  PROCEDURE p() x"
        );
    }
}
