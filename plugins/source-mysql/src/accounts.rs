//! One statement about one account: what it may be, and whom it is for. Nothing but making an account and giving it rights
//! passes, and only where the statement ends with its line.

use crate::scan::Modes;
use crate::tokens::{Token, Tokens};

/// An account, or a role, which has no host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) host: String,
}

impl Account {
    pub(crate) fn is_role(&self) -> bool {
        self.host.is_empty()
    }

    /// As SQL says it.
    pub(crate) fn sql(&self) -> String {
        let name = crate::names::identifier(&self.name);
        if self.is_role() { name } else { format!("{name}@{}", crate::names::identifier(&self.host)) }
    }
}

/// What a statement does for an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Deed {
    pub(crate) account: Account,
    /// It makes the account; otherwise it gives it something.
    pub(crate) makes: bool,
    pub(crate) statement: String,
}

impl Deed {
    /// For people, without what a hash may stand in.
    pub(crate) fn label(&self) -> String {
        let account = self.account.sql().replace('`', "");
        match self.makes {
            true => format!("the account `{account}` couldn't be made"),
            false => {
                let what = self.statement.split(" TO ").next().unwrap_or_default();
                format!("the account `{account}` couldn't be given `{}`", what.replace('`', ""))
            }
        }
    }
}

/// Reads a line; none if it isn't such a statement.
pub(crate) fn read(line: &str) -> Option<Deed> {
    let statement = line.strip_suffix(';')?;
    // In backticks or quotes everything may stand; a comment that is executed would count as words.
    let tokens: Vec<Token<'_>> =
        Tokens::new(statement.as_bytes()).modes(Modes::default()).map(|(_, token)| token).collect();
    let plain = |token: &Token<'_>| !matches!(token, Token::Sign(b';' | b'\\' | b'/' | 0));
    if !tokens.iter().all(plain) || statement.contains("/*") && comment_outside(&tokens, statement) {
        return None;
    }
    let word = |index: usize, word: &str| tokens.get(index).is_some_and(|token| token.is(word));
    let find = |word: &str| tokens.iter().rposition(|token| token.is(word));
    let (makes, at) = if word(0, "CREATE") && (word(1, "USER") || word(1, "ROLE")) {
        (true, 2)
    } else if word(0, "GRANT") {
        (false, find("TO")? + 1)
    } else if word(0, "SET") && word(1, "DEFAULT") && word(2, "ROLE") {
        (false, find("FOR")? + 1)
    } else {
        return None;
    };
    let account = account(&tokens, at)?;
    // A second one would be made or changed unasked.
    let many = tokens[at..].contains(&Token::Sign(b','));
    (!many).then(|| Deed { account, makes, statement: line.to_owned() })
}

/// The account at `at`: `name` or `name`@`host`.
fn account(tokens: &[Token<'_>], at: usize) -> Option<Account> {
    let text = |index: usize| String::from_utf8(tokens.get(index)?.quoted_name()?).ok();
    let name = text(at)?;
    match tokens.get(at + 1) {
        Some(Token::Sign(b'@')) => Some(Account { name, host: text(at + 2)? }),
        _ => Some(Account { name, host: String::new() }),
    }
}

/// Whether a comment stands outside of quotes: what is in none of the words.
fn comment_outside(tokens: &[Token<'_>], statement: &str) -> bool {
    let quoted = |token: &Token<'_>| match token {
        Token::Name(name) => count(name),
        Token::Text(text) => count(text),
        _ => 0,
    };
    tokens.iter().map(quoted).sum::<usize>() != count(statement.as_bytes())
}

fn count(text: &[u8]) -> usize {
    memchr::memmem::find_iter(text, b"/*").count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_makes_an_account_or_gives_it_rights_is_read() {
        let of = |line: &str| read(line).map(|deed| (deed.account.sql(), deed.makes));
        for (line, account, makes) in [
            ("CREATE USER `x`@`%` IDENTIFIED BY PASSWORD '*14E6';", "`x`@`%`", true),
            ("CREATE ROLE `r`;", "`r`", true),
            ("GRANT USAGE ON *.* TO `x`@`%` IDENTIFIED BY PASSWORD '*14E6';", "`x`@`%`", false),
            (
                "GRANT SELECT (`a`, `TO`), INSERT ON `TO /* x`.* TO `x;`@`%` WITH GRANT OPTION;",
                "`x;`@`%`",
                false,
            ),
            ("GRANT PROXY ON ''@'%' TO 'x'@'localhost' WITH GRANT OPTION;", "`x`@`localhost`", false),
            ("SET DEFAULT ROLE `r` FOR `x`@`%`;", "`x`@`%`", false),
        ] {
            assert_eq!(of(line), Some((account.to_owned(), makes)), "{line}");
        }
        for line in [
            "DROP USER `x`@`%`;",
            "CREATE USER `x`@`%`; DROP DATABASE shop;",
            "CREATE USER `x`@`%`, `y`@`%`;",
            "GRANT ALL ON *.* TO `x`@`%`, `root`@`%`;",
            "GRANT ALL ON *.* TO CURRENT_USER;",
            "CREATE USER `x`@`%` /*! , `y`@`%` */;",
            "SET GLOBAL general_log = 1;",
            "SET PASSWORD FOR `root`@`localhost` = 'x';",
            "CREATE USER `x`@`%`\\! id;",
            "\\! id;",
            "CREATE USER `x`@`%`",
        ] {
            assert_eq!(of(line), None, "{line}");
        }
    }
}
