//! What our account may do, as far as accounts and roles tell, compared with any number of databases.

use crate::facts::cell;
use crate::server::Rows;

/// The rights of the account that we are.
pub(crate) struct Rights {
    everywhere: Vec<String>,
    /// The pattern of a database's name, and the right.
    databases: Vec<(String, String)>,
}

impl Rights {
    /// Out of rows of a database's pattern, which is empty for all, and a right.
    pub(crate) fn new(rows: &Rows) -> Self {
        let (everywhere, databases): (Vec<_>, Vec<_>) = rows
            .iter()
            .map(|row| (cell(row, 0), cell(row, 1)))
            .partition(|(database, _)| database.is_empty());
        Self { everywhere: everywhere.into_iter().map(|(_, right)| right).collect(), databases }
    }

    /// Whether we have `right`, in capitals, on the database.
    pub(crate) fn has(&self, database: &str, right: &str) -> bool {
        self.everywhere.iter().any(|held| held == right)
            || self.databases.iter().any(|(pattern, held)| held == right && fits(pattern, database))
    }
}

/// Whether a name fits a pattern of a grant: `%`, `_`, and a backslash before what is meant as it stands.
fn fits(pattern: &str, name: &str) -> bool {
    let mut rest = pattern.chars();
    match rest.next() {
        None => name.is_empty(),
        Some('%') => {
            let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            ends.into_iter().any(|at| fits(rest.as_str(), &name[at..]))
        }
        Some(sign) => {
            let sign = if sign == '\\' { rest.next().unwrap_or(sign) } else { sign };
            let any = sign == '_' && !pattern.starts_with('\\');
            let mut name = name.chars();
            name.next().is_some_and(|first| (any || first == sign) && fits(rest.as_str(), name.as_str()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_grants_pattern_fits_what_the_server_lets_it_fit() {
        for (pattern, name, wanted) in [
            ("shop", "shop", true),
            ("shop", "shop2", false),
            (r"shop\_new\_%", "shop_new_1", true),
            (r"shop\_new\_%", "shopxnew_1", false),
            ("shop_new", "shopxnew", true),
            ("%", "", true),
            (r"a\%%b", "a%xyb", true),
            (r"a\%%b", "axyb", false),
        ] {
            assert_eq!(fits(pattern, name), wanted, "{pattern} {name}");
        }
    }
}
