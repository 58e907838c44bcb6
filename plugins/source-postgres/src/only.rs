//! One table out of a whole archive: which entries make it up.
//!
//! `pg_restore --table` takes the table and its rows alone, without indexes, keys, defaults, triggers and grants. Here all
//! that hangs on it comes too, and in an empty database also the types and functions that it needs.

use std::collections::BTreeSet;

use windlass_plugin_api::{Error, ErrorKind, RawName, Result};

use crate::toc::{Entry, Toc};
use crate::words::{dotted, list};

/// Entries that hold for the whole archive.
pub(crate) const ALWAYS: [&str; 3] = ["ENCODING", "STDSTRINGS", "SEARCHPATH"];

/// What can be asked for by name.
pub(crate) const RELATIONS: [&str; 5] = ["TABLE", "VIEW", "MATERIALIZED VIEW", "SEQUENCE", "FOREIGN TABLE"];

/// What belongs to a relation that it needs.
const PARTS: [&str; 19] = [
    "TABLE DATA",
    "MATERIALIZED VIEW DATA",
    "SEQUENCE SET",
    "SEQUENCE OWNED BY",
    "DEFAULT",
    "CONSTRAINT",
    "CHECK CONSTRAINT",
    "FK CONSTRAINT",
    "INDEX",
    "INDEX ATTACH",
    "TABLE ATTACH",
    "TRIGGER",
    "RULE",
    "POLICY",
    "ROW SECURITY",
    "STATISTICS",
    "COMMENT",
    "ACL",
    "STATISTICS DATA",
];

/// What was chosen of an archive.
pub(crate) struct Chosen {
    /// The entries' numbers.
    pub ids: BTreeSet<i64>,
    /// What belongs to it and can't come: keys to tables that weren't chosen.
    pub left_out: Vec<String>,
}

/// The entries that make up the tables `names`; with `all_needs` also the types, functions and schemas that they need.
pub(crate) fn choose(toc: &Toc, names: &[RawName], all_needs: bool) -> Result<Chosen> {
    let mut ids = BTreeSet::new();
    for name in names {
        let name = name.to_string();
        let fits = |entry: &&Entry| {
            RELATIONS.contains(&entry.kind.as_str())
                && (entry.tag == name || dotted(&entry.schema, &entry.tag) == name)
        };
        let fitting: Vec<i64> = toc.entries.iter().filter(fits).map(|entry| entry.id).collect();
        if fitting.is_empty() {
            return Err(unknown(toc, &name));
        }
        ids.extend(fitting);
    }
    let relations: BTreeSet<i64> = toc
        .entries
        .iter()
        .filter(|entry| RELATIONS.contains(&entry.kind.as_str()))
        .map(|entry| entry.id)
        .collect();
    // A serial column's sequence stands behind the table that owns it.
    let owned = toc.entries.iter().filter(|entry| entry.kind == "SEQUENCE");
    let owned = owned.filter(|entry| entry.needs.iter().any(|need| ids.contains(need)));
    let owned: Vec<i64> = owned.map(|entry| entry.id).collect();
    ids.extend(owned);
    let mut left_out = Vec::new();
    // Parts of parts: a comment on an index. In the archive's order each stands behind what it needs, nearly always.
    loop {
        let before = ids.len();
        for entry in toc.entries.iter().filter(|entry| PARTS.contains(&entry.kind.as_str())) {
            let is_part = match entry.kind.as_str() {
                // It needs its own table and what it refers to, and belongs to its own.
                "FK CONSTRAINT" => is_key_of(toc, entry, &ids),
                _ => entry.needs.iter().any(|need| ids.contains(need)),
            };
            let needs_others = entry.needs.iter().any(|need| relations.contains(need) && !ids.contains(need));
            if is_part && !needs_others {
                ids.insert(entry.id);
            } else if is_part && before == ids.len() {
                left_out.push(format!(
                    "{} `{}`, which needs a table that wasn't chosen",
                    entry.kind.to_lowercase(),
                    entry.tag
                ));
            }
        }
        if ids.len() == before {
            break;
        }
        left_out.clear();
    }
    if all_needs {
        close(toc, &mut ids, &relations);
    }
    ids.extend(
        toc.entries.iter().filter(|entry| ALWAYS.contains(&entry.kind.as_str())).map(|entry| entry.id),
    );
    Ok(Chosen { ids, left_out })
}

/// Whether `entry` is a key of one of the tables in `ids`: that one's name stands before its own.
fn is_key_of(toc: &Toc, entry: &Entry, ids: &BTreeSet<i64>) -> bool {
    let is_own = |table: &&Entry| {
        let rest = entry.tag.strip_prefix(&table.tag).filter(|_| table.schema == entry.schema);
        table.kind == "TABLE"
            && entry.needs.contains(&table.id)
            && rest.is_some_and(|rest| rest.starts_with(' '))
    };
    toc.entries.iter().filter(is_own).any(|table| ids.contains(&table.id))
}

/// Adds what the chosen entries need, short of other tables.
fn close(toc: &Toc, ids: &mut BTreeSet<i64>, relations: &BTreeSet<i64>) {
    let schemas: BTreeSet<&String> =
        toc.entries.iter().filter(|entry| ids.contains(&entry.id)).map(|entry| &entry.schema).collect();
    let named = toc.entries.iter().filter(|entry| entry.kind == "SCHEMA" && schemas.contains(&entry.tag));
    let named: Vec<i64> = named.map(|entry| entry.id).collect();
    ids.extend(named);
    loop {
        let chosen = toc.entries.iter().filter(|entry| ids.contains(&entry.id));
        let needs: BTreeSet<i64> = chosen.flat_map(|entry| entry.needs.clone()).collect();
        let new: Vec<i64> = needs
            .into_iter()
            .filter(|need| !ids.contains(need) && !relations.contains(need))
            .filter(|need| toc.entries.iter().any(|entry| entry.id == *need))
            .collect();
        if new.is_empty() {
            return;
        }
        ids.extend(new);
    }
}

fn unknown(toc: &Toc, name: &str) -> Error {
    let there = toc.entries.iter().filter(|entry| RELATIONS.contains(&entry.kind.as_str()));
    let there: Vec<String> = there.map(|entry| dotted(&entry.schema, &entry.tag)).collect();
    Error::new(ErrorKind::NotFound, format!("the snapshot has no table `{name}`"))
        .hint(format!("It has {}.", list(&there)))
}
