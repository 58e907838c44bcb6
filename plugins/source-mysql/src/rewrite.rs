//! Turns code that names the database it came from, or a definer that may be gone, into code for where it goes.

use crate::statement::{Kind, replaced, without_definer};
use crate::tokens::{Token, Tokens};

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
    pub(crate) fn code(&self, text: &[u8], kind: Kind) -> Vec<u8> {
        let text = if self.drop_definer { without_definer(text) } else { text.to_vec() };
        match &self.from {
            Some(from) if kind == Kind::View => local(&text, from.as_bytes()),
            _ => text,
        }
    }
}

/// A view's text without the name of its own database.
///
/// The server writes that name before functions, and before columns when the view's definer is gone: `db`.`table`.`column`
/// and `db`.`function`(. Two names alone can also be a table and its column, and stay.
fn local(text: &[u8], database: &[u8]) -> Vec<u8> {
    let tokens: Vec<_> = Tokens::new(text).collect();
    let is_dot = |index: usize| matches!(tokens.get(index), Some((_, Token::Sign(b'.'))));
    let sign = |index: usize, byte: u8| matches!(tokens.get(index), Some((_, Token::Sign(b))) if *b == byte);
    let mut text = text.to_vec();
    for index in (0..tokens.len()).rev() {
        let (place, token) = &tokens[index];
        let begins = !(index > 0 && is_dot(index - 1));
        let qualifies = is_dot(index + 1) && (is_dot(index + 3) || sign(index + 3, b'('));
        if begins && qualifies && *token == Token::Name(database.to_vec()) {
            let end = tokens[index + 1].0.end;
            text = replaced(&text, place.start..end, b"");
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
}
