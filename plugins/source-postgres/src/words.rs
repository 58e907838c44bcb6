//! Quotes names and values for SQL and for libpq's connection strings. The only place that does.

use windlass_tool::shell;

/// `name` as an SQL identifier.
pub(crate) fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `text` as an SQL string, whatever `standard_conforming_strings` says.
pub(crate) fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        format!(" E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

/// `key='value'` of a connection string.
pub(crate) fn parameter(key: &str, value: &str) -> String {
    format!("{key}='{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// `--dbname=name` for a shell. The programs read a `=` in a name, or the beginning of a URL, as a connection string.
pub(crate) fn database_argument(name: &str) -> String {
    let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    if is_plain {
        format!("--dbname={name}")
    } else {
        shell::word(&format!("--dbname={}", parameter("dbname", name)))
    }
}

/// `schema.name` for people.
pub(crate) fn dotted(schema: &str, name: &str) -> String {
    format!("{schema}.{name}")
}

/// `names` in backticks, the first ten of them.
pub(crate) fn list<S: AsRef<str>>(names: &[S]) -> String {
    let shown: Vec<String> = names.iter().take(10).map(|name| format!("`{}`", name.as_ref())).collect();
    match names.len().saturating_sub(10) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_stay_inside() {
        assert_eq!(ident(r#"we"ird"#), r#""we""ird""#);
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"a\'b"), r" E'a\\''b'");
        assert_eq!(parameter("dbname", r"a'b\c d"), r"dbname='a\'b\\c d'");
        assert_eq!(database_argument("shop"), "--dbname=shop");
        assert_eq!(database_argument("a=b"), r"'--dbname=dbname='\''a=b'\'''");
        assert_eq!(list(&["a", "b"]), "`a`, `b`");
    }
}
