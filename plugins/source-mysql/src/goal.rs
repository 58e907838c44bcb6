//! Which databases a restore writes, and what of the snapshot goes into each. Asks the server nothing.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use windlass_plugin_api::{Error, ErrorKind, RestoreMode, RestoreOptions, Result};

use crate::SEVERAL;
use crate::server::Server;

/// A database that a restore writes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Goal {
    /// What it was called in the backup, where that is known.
    pub(crate) from: Option<String>,
    pub(crate) to: String,
    /// Only these tables and views; empty: everything.
    pub(crate) only: BTreeSet<Vec<u8>>,
    /// Character set and collation that it had.
    pub(crate) charset: Option<(String, String)>,
}

/// All of them.
pub(crate) fn goals(server: &Server<'_>, how: &RestoreOptions) -> Result<Vec<Goal>> {
    let goals = match known(how)? {
        Some(databases) => several(server, how, databases)?,
        None => vec![one(server, how)?],
    };
    if how.mode == RestoreMode::Replace && goals.iter().any(|goal| !goal.only.is_empty()) {
        let message =
            "`--mode replace` makes the whole database equal to the snapshot, and `--only` names a part";
        return Err(Error::new(ErrorKind::Unsupported, message)
            .hint("Use `--mode merge`, which replaces only these tables."));
    }
    Ok(goals)
}

/// The databases of a snapshot of several; none if it is of one.
pub(crate) fn known(how: &RestoreOptions) -> Result<Option<&Map<String, Value>>> {
    if !how.stream_formats.values().any(|format| format == SEVERAL) && detail(how, "databases").is_none() {
        return Ok(None);
    }
    detail(how, "databases").and_then(Value::as_object).map(Some).ok_or_else(|| {
        let message = "the stream is of several databases, and nothing tells of which";
        Error::new(ErrorKind::Unsupported, message)
            .hint("Restore the snapshot that it belongs to, or load it by hand.")
    })
}

fn one(server: &Server<'_>, how: &RestoreOptions) -> Result<Goal> {
    let from = detail(how, "database").and_then(Value::as_str).map(str::to_owned);
    // A source of several databases names none.
    let to = match (server.database(), &from) {
        (Ok(name), _) => name.to_owned(),
        (Err(_), Some(name)) if !server.options.databases.is_empty() => name.clone(),
        (Err(error), _) => return Err(error),
    };
    if let Some(contents) = &how.contents {
        let tables = contents.details.get("tables").map(tables).unwrap_or_default();
        let unknown =
            how.only.iter().find(|name| !tables.iter().any(|known| known.as_bytes() == name.as_bytes()));
        if let Some(name) = unknown {
            return Err(no_such(&format!("table or view `{name}`")));
        }
    }
    let details = how.contents.as_ref().map(|contents| &contents.details);
    let only = how.only.iter().map(|name| name.as_bytes().to_vec()).collect();
    Ok(Goal { from, to, only, charset: details.and_then(charset) })
}

fn several(server: &Server<'_>, how: &RestoreOptions, databases: &Map<String, Value>) -> Result<Vec<Goal>> {
    let mut goals: Vec<Goal> = Vec::new();
    let all = databases.iter().map(|(name, about)| Goal {
        from: Some(name.clone()),
        to: name.clone(),
        only: BTreeSet::new(),
        charset: about.as_object().and_then(charset),
    });
    let all: Vec<Goal> = all.collect();
    if how.only.is_empty() {
        goals = all;
    } else {
        for name in &how.only {
            choose(&mut goals, &all, databases, name.as_bytes())
                .ok_or_else(|| no_such(&format!("database `{name}` and no table `{name}`")))?;
        }
    }
    match (server.database(), goals.as_mut_slice()) {
        (Err(_), _) => {}
        (Ok(name), [goal]) => goal.to = name.to_owned(),
        (Ok(name), goals) => {
            let message = format!("{} databases can't be restored to the one database `{name}`", goals.len());
            return Err(Error::new(ErrorKind::Unsupported, message).hint(
                "Choose one with `--only DATABASE`, or restore to a source that names no `database`.",
            ));
        }
    }
    Ok(goals)
}

/// Adds what `name` means: a whole database, or `database.table`.
fn choose(goals: &mut Vec<Goal>, all: &[Goal], databases: &Map<String, Value>, name: &[u8]) -> Option<()> {
    let mut add = |goal: &Goal, table: Option<&[u8]>| {
        let there = goals.iter().position(|chosen| chosen.from == goal.from);
        match (there.map(|index| &mut goals[index]), table) {
            (None, table) => {
                let only = table.map(<[u8]>::to_vec).into_iter().collect();
                goals.push(Goal { only, ..goal.clone() });
            }
            (Some(chosen), None) => chosen.only.clear(),
            // A whole database has this table.
            (Some(chosen), Some(_)) if chosen.only.is_empty() => {}
            (Some(chosen), Some(table)) => {
                chosen.only.insert(table.to_vec());
            }
        }
    };
    if let Some(goal) = all.iter().find(|goal| goal.to.as_bytes() == name) {
        add(goal, None);
        return Some(());
    }
    let fits = |goal: &&Goal| {
        let table = name.strip_prefix(goal.to.as_bytes()).and_then(|rest| rest.strip_prefix(b"."));
        let tables = databases.get(&goal.to).and_then(|about| about.get("tables")).map(tables);
        table.is_some_and(|table| tables.unwrap_or_default().iter().any(|known| known.as_bytes() == table))
    };
    let goal = all.iter().find(fits)?;
    add(goal, Some(&name[goal.to.len() + 1..]));
    Some(())
}

fn no_such(what: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("the snapshot has no {what}"))
        .hint("`windlass show` lists what is in it.")
}

fn tables(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn charset(about: &Map<String, Value>) -> Option<(String, String)> {
    let word = |name: &str| {
        let word = about.get(name)?.as_str()?;
        // It comes out of the snapshot and goes into a statement.
        let plain = !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        plain.then(|| word.to_owned())
    };
    word("character_set").zip(word("collation"))
}

/// What the backup said under this name.
pub(crate) fn detail<'a>(how: &'a RestoreOptions, name: &str) -> Option<&'a Value> {
    how.contents.as_ref()?.details.get(name)
}

/// A list of texts among it.
pub(crate) fn texts(how: &RestoreOptions, name: &str) -> Vec<String> {
    detail(how, name).map(tables).unwrap_or_default()
}
