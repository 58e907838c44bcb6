//! Which relation an entry of a `post-data` archive belongs to.
//!
//! Such an archive holds no tables, and `pg_dump` writes no need of what isn't in the archive. The statement names the
//! relation, always with its schema and in few forms; what has another form belongs to none.

use std::collections::BTreeMap;

use crate::toc::Entry;
use crate::words::ident;

/// Relations by their names as `pg_dump` may write them.
#[derive(Default)]
pub(crate) struct Links(BTreeMap<String, i64>);

impl Links {
    /// Adds the relation `name` of `schema`. Each part is quoted or not: that depends on the server's key words.
    pub(crate) fn add(&mut self, schema: &str, name: &str, id: i64) {
        for schema in [schema.to_owned(), ident(schema)] {
            self.0.insert(format!("{schema}.{name}"), id);
            self.0.insert(format!("{schema}.{}", ident(name)), id);
        }
    }

    /// The relations that `entry` belongs to or refers to.
    pub(crate) fn of(&self, entry: &Entry) -> Vec<i64> {
        let sql = entry.definition.as_str();
        let own = match entry.kind.as_str() {
            "CONSTRAINT" | "FK CONSTRAINT" | "CHECK CONSTRAINT" | "ROW SECURITY" => {
                sql.strip_prefix("ALTER TABLE ")
            }
            "INDEX" | "TRIGGER" | "POLICY" => behind(sql, " ON "),
            "RULE" => behind(sql, " TO "),
            "STATISTICS" => sql.rsplit_once(" FROM ").map(|(_, rest)| rest),
            _ => None,
        };
        let other = behind(sql, " REFERENCES ").filter(|_| entry.kind == "FK CONSTRAINT");
        let found =
            [own, other].into_iter().flatten().filter_map(|text| self.0.get(qualified(text)?).copied());
        found.collect()
    }
}

/// What stands behind the first `word` that isn't in a quoted name.
fn behind<'a>(sql: &'a str, word: &str) -> Option<&'a str> {
    let mut at = 0;
    loop {
        let found = at + sql[at..].find(word)?;
        if sql[..found].matches('"').count().is_multiple_of(2) {
            return Some(&sql[found + word.len()..]);
        }
        at = found + 1;
    }
}

/// The `schema.name` at the beginning of `text`.
fn qualified(text: &str) -> Option<&str> {
    let text = text.strip_prefix("ONLY ").unwrap_or(text);
    let mut is_quoted = false;
    let is_end = |(_, c): &(usize, char)| {
        is_quoted ^= *c == '"';
        !(is_quoted || c.is_alphanumeric() || "_$.\"".contains(*c))
    };
    let end = text.char_indices().find(is_end).map_or(text.len(), |(at, _)| at);
    (end > 0).then(|| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_name_their_relations() {
        let mut links = Links::default();
        links.add("public", "orders", 1);
        links.add("s ON x", "we\"ird TO.t", 2);
        links.add("public", "order", 3);
        for (kind, sql, expected) in [
            ("CONSTRAINT", "ALTER TABLE ONLY public.orders\n    ADD CONSTRAINT p PRIMARY KEY (id);", vec![1]),
            (
                "INDEX",
                "CREATE UNIQUE INDEX \"a ON public.orders\" ON ONLY \"s ON x\".\"we\"\"ird TO.t\" USING btree (a);",
                vec![2],
            ),
            (
                "FK CONSTRAINT",
                "ALTER TABLE ONLY \"s ON x\".\"we\"\"ird TO.t\"\n    ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES public.orders(id);",
                vec![2, 1],
            ),
            (
                "TRIGGER",
                "CREATE TRIGGER t BEFORE UPDATE OF a ON public.\"order\" FOR EACH ROW EXECUTE FUNCTION public.f();",
                vec![3],
            ),
            ("RULE", "CREATE RULE r AS\n    ON DELETE TO public.orders DO INSTEAD NOTHING;", vec![1]),
            ("ROW SECURITY", "ALTER TABLE public.orders ENABLE ROW LEVEL SECURITY;", vec![1]),
            ("STATISTICS", "CREATE STATISTICS public.s ON a, b FROM public.orders;", vec![1]),
            ("EVENT TRIGGER", "CREATE EVENT TRIGGER e ON public.orders", vec![]),
        ] {
            let mut entry = Entry::default();
            (entry.kind, entry.definition) = (kind.to_owned(), sql.to_owned());
            assert_eq!(links.of(&entry), expected, "{sql}");
        }
    }
}
