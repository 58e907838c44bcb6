//! Turns code that names the database it came from, or a definer that may be gone, into code for where it goes.
//!
//! Only names are turned that the server itself puts in front, or that say where an object is. What a body says of other
//! tables is its author's, and stays.

use crate::scan::Modes;
use crate::statement::{Kind, replaced, without_definer};
use crate::tokens::{Token, Tokens};

/// How far into a statement the name of a trigger and of its table are looked for, in words.
const HEAD: usize = 40;

/// How code is rewritten.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rewrite {
    /// The database that a stream came from, if it is known.
    pub(crate) from: Option<String>,
    /// Whoever restores becomes the definer.
    pub(crate) drop_definer: bool,
}

impl Rewrite {
    /// A statement that makes code.
    pub(crate) fn code(&self, text: &[u8], kind: Kind, modes: Modes) -> Vec<u8> {
        let text = if self.drop_definer { without_definer(text, modes) } else { text.to_vec() };
        match &self.from {
            Some(from) if kind == Kind::View => local(&text, from.as_bytes()),
            _ => text,
        }
    }

    /// A statement that makes a trigger, as its author wrote it, without the name of its own database before its name and
    /// its table's; any other as it is.
    pub(crate) fn trigger(&self, text: Vec<u8>, modes: Modes) -> Vec<u8> {
        let Some(from) = &self.from else { return text };
        let head: Vec<_> = Tokens::new(&text).modes(modes).take(HEAD).collect();
        let find = |word: &str, from: usize| (from..head.len()).find(|index| head[*index].1.is(word));
        let Some(trigger) = find("TRIGGER", 0).filter(|_| head[0].1.is("CREATE")) else { return text };
        let places = [Some(trigger), find("ON", trigger)].into_iter().flatten().filter_map(|word| {
            let mut name = word + 1;
            while head.get(name).is_some_and(|(_, token)| ["IF", "NOT", "EXISTS"].iter().any(|w| token.is(w)))
            {
                name += 1;
            }
            let (place, token) = head.get(name)?;
            let (dot, sign) = head.get(name + 1)?;
            let is_own = token.name().as_deref() == Some(from.as_bytes()) && *sign == Token::Sign(b'.');
            is_own.then_some(place.start..dot.end)
        });
        let places: Vec<_> = places.collect();
        places.into_iter().rev().fold(text, |text, place| replaced(&text, place, b""))
    }
}

/// A view's text without the name of its own database.
///
/// The server writes that name before functions, and before columns when the view's definer is gone: `db`.`table`.`column`
/// and `db`.`function`(. Two names alone can also be a table and its column, and stay.
fn local(text: &[u8], database: &[u8]) -> Vec<u8> {
    let tokens: Vec<_> = Tokens::new(text).collect();
    let is = |index: usize, sign: u8| matches!(tokens.get(index), Some((_, Token::Sign(s))) if *s == sign);
    let mut text = text.to_vec();
    for index in (0..tokens.len()).rev() {
        let (place, token) = &tokens[index];
        let begins = index == 0 || !is(index - 1, b'.');
        let qualifies = is(index + 1, b'.') && (is(index + 3, b'.') || is(index + 3, b'('));
        if begins && qualifies && *token == Token::Name(database.to_vec()) {
            text = replaced(&text, place.start..tokens[index + 1].0.end, b"");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_forgets_its_database_and_no_other() {
        let view = b"VIEW `v` AS select `shop`.`p`.`id` AS `id`,`shop`.`f`(`shop`.`x`),`log`.`p`.`id`,'`shop`.`p`.`id`' from `p`";
        let local = String::from_utf8(local(view, b"shop")).unwrap();
        assert_eq!(
            local,
            "VIEW `v` AS select `p`.`id` AS `id`,`f`(`shop`.`x`),`log`.`p`.`id`,'`shop`.`p`.`id`' from `p`"
        );
    }

    #[test]
    fn a_trigger_forgets_where_it_was_and_nothing_else() {
        let rewrite = Rewrite { from: Some("shop".to_owned()), drop_definer: false };
        let of = |text: &str| {
            String::from_utf8(rewrite.trigger(text.as_bytes().to_vec(), Modes::default())).unwrap()
        };
        let made = of(
            "/*!50003 CREATE*/ /*!50017 DEFINER='r'@'h'*/ /*!50003 trigger shop.t before insert on `shop` . o for each row set @x = (select 1 from shop.o) */;;",
        );
        let wanted = "/*!50003 CREATE*/ /*!50017 DEFINER='r'@'h'*/ /*!50003 trigger t before insert on  o for each row set @x = (select 1 from shop.o) */;;";
        assert_eq!(made, wanted);
        for other in [
            "create trigger log.t before insert on log.o for each row x",
            "insert into shop.t values ('TRIGGER shop.t')",
        ] {
            assert_eq!(of(other), other);
        }
    }
}
