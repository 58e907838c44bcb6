//! Role names in the SQL of grants, as `pg_dump` writes it: who is named, and the same under other names.
//!
//! `pg_dump` writes one statement a line, and the roles behind the last ` TO ` or ` FROM `, perhaps with `WITH GRANT OPTION`
//! or `GRANTED BY`. Anything else is left as it is.

use std::collections::BTreeMap;

use crate::words::ident;

/// Every role in `sql`, in order and perhaps several times.
pub(crate) fn roles(sql: &str) -> Vec<String> {
    let mut roles = Vec::new();
    each(sql, |role| {
        roles.push(role.to_owned());
        None
    });
    roles
}

/// `sql` with the roles called as `map` says.
pub(crate) fn renamed(sql: &str, map: &BTreeMap<String, String>) -> String {
    each(sql, |role| map.get(role).map(|new| ident(new)))
}

/// Calls `new` with each role, and puts in its place what comes back.
fn each(sql: &str, mut new: impl FnMut(&str) -> Option<String>) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in sql.split('\n') {
        let mut result = String::new();
        let mut rest = line;
        let is_grant = ["GRANT ", "REVOKE ", "ALTER DEFAULT ", "SET SESSION AUTHORIZATION "]
            .iter()
            .any(|word| line.starts_with(word));
        while let Some((start, keyword)) = is_grant.then(|| next_keyword(rest)).flatten() {
            let begin = start + keyword;
            let (raw, name) = identifier(&rest[begin..]);
            result.push_str(&rest[..begin]);
            match name.filter(|name| name != "PUBLIC").and_then(|name| new(&name)) {
                Some(text) => result.push_str(&text),
                None => result.push_str(raw),
            }
            rest = &rest[begin + raw.len()..];
        }
        result.push_str(rest);
        lines.push(result);
    }
    lines.join("\n")
}

/// Where the next keyword that a role follows stands outside quotes, and its length.
fn next_keyword(text: &str) -> Option<(usize, usize)> {
    let mut quoted = false;
    for (at, character) in text.char_indices() {
        if character == '"' {
            quoted = !quoted;
        }
        if quoted || character != ' ' && at > 0 {
            continue;
        }
        let words = [" TO ", " FROM ", " GRANTED BY ", " FOR ROLE ", "SET SESSION AUTHORIZATION "];
        if let Some(word) = words.iter().find(|word| text[at..].starts_with(**word)) {
            return Some((at, word.len()));
        }
    }
    None
}

/// The identifier at the beginning of `text` as it stands there, and its name.
fn identifier(text: &str) -> (&str, Option<String>) {
    if let Some(inner) = text.strip_prefix('"') {
        let mut end = 0;
        while let Some(quote) = inner[end..].find('"') {
            end += quote + 1;
            if !inner[end..].starts_with('"') {
                return (&text[..=end], Some(inner[..end - 1].replace("\"\"", "\"")));
            }
            end += 1;
        }
        return ("", None);
    }
    let end = text.find([' ', ';', ',']).unwrap_or(text.len());
    (&text[..end], (end > 0).then(|| text[..end].to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_in_grants_are_found_and_renamed() {
        let sql = "REVOKE ALL ON TABLE public.t FROM PUBLIC;\nGRANT SELECT ON TABLE public.\"a TO b\" TO \"we\"\"ird\" WITH GRANT OPTION;\n\
            SET SESSION AUTHORIZATION \"boss\";\nGRANT ALL ON SCHEMA s TO reader;\n\
            ALTER DEFAULT PRIVILEGES FOR ROLE boss IN SCHEMA s GRANT SELECT ON TABLES TO reader;\nSELECT 1 FROM reader;\n";
        assert_eq!(roles(sql), ["we\"ird", "boss", "reader", "boss", "reader"]);
        let map =
            [("reader".to_owned(), "rea\"der".to_owned()), ("boss".to_owned(), "chef".to_owned())].into();
        let new = renamed(sql, &map);
        assert!(
            new.contains("ON SCHEMA s TO \"rea\"\"der\";") && new.contains("FOR ROLE \"chef\" IN"),
            "{new}"
        );
        assert!(
            new.contains("SELECT 1 FROM reader;") && new.contains("\"a TO b\" TO \"we\"\"ird\" WITH"),
            "{new}"
        );
        assert!(new.contains("AUTHORIZATION \"chef\";"));
    }
}
