//! Which tables and schemas: the options' names and globs against what the server has.
//!
//! Globs are resolved here, so that `pg_dump` gets exact names: its own patterns have other rules, and one that matches
//! nothing is silently nothing there.

use glob::Pattern;
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::facts::Relation;
use crate::options::Options;
use crate::words::{ident, list};

/// What of the database is wanted.
pub(crate) struct Selection {
    /// Arguments of `pg_dump`.
    pub arguments: Vec<String>,
    /// The relations whose rows will be in the dump.
    pub relations: Vec<Relation>,
    /// The tables whose definitions will be in it.
    pub tables: Vec<Relation>,
    /// Nothing was chosen by name: what is no relation is in it too.
    pub is_whole: bool,
}

/// What `options` choose among `relations` and `schemas`. A name or glob that fits nothing is an error.
pub(crate) fn select(options: &Options, relations: Vec<Relation>, schemas: &[String]) -> Result<Selection> {
    let mut arguments = Vec::new();
    let mut wanted_schemas = Vec::new();
    for pattern in &options.schemas {
        let glob = glob(pattern)?;
        let fitting: Vec<&String> = schemas.iter().filter(|schema| glob.matches(schema)).collect();
        if fitting.is_empty() {
            return Err(unknown("schemas", pattern, "schema", schemas));
        }
        wanted_schemas.extend(fitting);
    }
    arguments.extend(wanted_schemas.iter().map(|schema| format!("--schema={}", ident(schema))));
    let include = fitting("include", &options.include, &relations)?;
    let exclude = fitting("exclude", &options.exclude, &relations)?;
    let without_data = fitting("exclude_data", &options.exclude_data, &relations)?;
    for (option, chosen) in
        [("table", &include), ("exclude-table", &exclude), ("exclude-table-data", &without_data)]
    {
        let names = relations.iter().zip(chosen).filter(|(_, chosen)| **chosen);
        arguments.extend(names.map(|(relation, _)| format!("--{option}={}", quoted(relation))));
    }
    let defined: Vec<(usize, Relation)> = relations
        .into_iter()
        .enumerate()
        .filter(|(index, relation)| {
            (wanted_schemas.is_empty() || wanted_schemas.contains(&&relation.schema))
                && (options.include.is_empty() || include[*index])
                && !exclude[*index]
        })
        .collect();
    let is_table = |relation: &&Relation| ["r", "p"].contains(&relation.kind.as_str());
    Ok(Selection {
        tables: defined.iter().map(|(_, relation)| relation).filter(is_table).cloned().collect(),
        relations: defined
            .into_iter()
            .filter(|(index, _)| !without_data[*index])
            .map(|(_, relation)| relation)
            .collect(),
        arguments,
        is_whole: wanted_schemas.is_empty() && options.include.is_empty(),
    })
}

/// Which of `relations` fit one of `patterns`.
fn fitting(option: &str, patterns: &[String], relations: &[Relation]) -> Result<Vec<bool>> {
    let mut chosen = vec![false; relations.len()];
    for pattern in patterns {
        let glob = glob(pattern)?;
        let mut found = false;
        for (relation, chosen) in relations.iter().zip(&mut chosen) {
            if glob.matches(&relation.dotted()) || glob.matches(&relation.name) {
                (found, *chosen) = (true, true);
            }
        }
        if !found {
            let names: Vec<String> = relations.iter().map(Relation::dotted).collect();
            return Err(unknown(option, pattern, "table, view or sequence", &names));
        }
    }
    Ok(chosen)
}

fn glob(pattern: &str) -> Result<Pattern> {
    Pattern::new(pattern)
        .map_err(|error| Error::new(ErrorKind::Config, format!("`{pattern}` is no glob")).because(&error))
}

fn unknown(option: &str, pattern: &str, what: &str, there: &[String]) -> Error {
    Error::new(ErrorKind::NotFound, format!("`{option}` names `{pattern}`, and no {what} is called so"))
        .hint(format!("There are: {}.", list(there)))
}

/// As a pattern of `pg_dump` that fits this one alone.
pub(crate) fn quoted(relation: &Relation) -> String {
    format!("{}.{}", ident(&relation.schema), ident(&relation.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relation(schema: &str, name: &str) -> Relation {
        let (schema, name, kind) = (schema.to_owned(), name.to_owned(), "r".to_owned());
        Relation { schema, name, kind, bytes: 1, readable: true, filtered: false }
    }

    fn chosen(options: Options) -> Result<(String, String)> {
        let relations = vec![relation("public", "a"), relation("public", "log_1"), relation("s", "we\"ird")];
        let selection = select(&options, relations, &["public".to_owned(), "s".to_owned()])?;
        let names: Vec<String> = selection.relations.iter().map(Relation::dotted).collect();
        Ok((selection.arguments.join(" "), names.join(" ")))
    }

    #[test]
    fn globs_become_exact_names() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let all = chosen(Options::default()).unwrap();
        assert_eq!(all, (String::new(), "public.a public.log_1 s.we\"ird".to_owned()));
        let options =
            Options { exclude: names(&["log_*"]), exclude_data: names(&["s.*"]), ..Options::default() };
        let (arguments, left) = chosen(options).unwrap();
        assert_eq!(arguments, r#"--exclude-table="public"."log_1" --exclude-table-data="s"."we""ird""#);
        assert_eq!(left, "public.a");
        let options =
            Options { schemas: names(&["p*"]), include: names(&["public.a"]), ..Options::default() };
        assert_eq!(chosen(options).unwrap().0, r#"--schema="public" --table="public"."a""#);
    }

    #[test]
    fn a_name_that_fits_nothing_is_an_error() {
        for options in [
            Options { exclude: vec!["ordres".into()], ..Options::default() },
            Options { include: vec!["public.x*".into()], ..Options::default() },
            Options { exclude_data: vec!["t".into()], ..Options::default() },
            Options { schemas: vec!["nope".into()], ..Options::default() },
        ] {
            assert_eq!(chosen(options).unwrap_err().kind, ErrorKind::NotFound);
        }
    }
}
