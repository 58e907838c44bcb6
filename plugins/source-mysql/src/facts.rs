//! What is in a database and what we may do there, as the server tells. Reads only.

use std::collections::BTreeSet;

use windlass_plugin_api::Result;

use crate::about::About;
use crate::names::text;

use crate::server::{Rows, Server};

/// What a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Table,
    View,
    Sequence,
}

/// A table, view or sequence.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Rows of the past are kept in it.
    pub(crate) versioned: bool,
    /// Empty for views.
    pub(crate) engine: String,
    pub(crate) bytes: u64,
}

/// A database.
#[derive(Clone, Debug, Default)]
pub(crate) struct Database {
    pub(crate) name: String,
    /// Character set and collation; none if there is no such database.
    pub(crate) charset: Option<(String, String)>,
    pub(crate) tables: Vec<Table>,
    /// `PROCEDURE` or `FUNCTION` (or `PACKAGE`, `PACKAGE BODY`), and the name.
    pub(crate) routines: Vec<(String, String)>,
    pub(crate) events: Vec<String>,
    pub(crate) triggers: Vec<String>,
    /// The accounts that its code runs as.
    pub(crate) definers: BTreeSet<String>,
}

/// How many databases are asked for at once: their names stand in an argument, which has a limit.
const AT_ONCE: usize = 20;

impl Database {
    /// Looks at the database `name`.
    pub(crate) fn look(server: &Server<'_>, name: &str) -> Result<Self> {
        Ok(Self::look_all(server, &[name])?.pop().unwrap_or_default())
    }

    /// Looks at these databases, in this order.
    pub(crate) fn look_all(server: &Server<'_>, names: &[&str]) -> Result<Vec<Self>> {
        let named = |name: &&str| Self { name: (*name).to_owned(), ..Self::default() };
        let mut databases: Vec<Self> = names.iter().map(named).collect();
        for part in databases.chunks_mut(AT_ONCE) {
            look_at(server, part)?;
        }
        Ok(databases)
    }

    pub(crate) fn exists(&self) -> bool {
        self.charset.is_some()
    }

    /// Nothing that a restore could overwrite.
    pub(crate) fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.routines.is_empty() && self.events.is_empty()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.tables.iter().map(|table| table.bytes).sum()
    }

    /// What holds rows, and so can be renamed into another database.
    pub(crate) fn movable(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().filter(|table| table.kind != Kind::View).map(|table| table.name.as_str())
    }

    pub(crate) fn views(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().filter(|table| table.kind == Kind::View).map(|table| table.name.as_str())
    }
}

fn look_at(server: &Server<'_>, databases: &mut [Database]) -> Result<()> {
    let names: Vec<String> = databases.iter().map(|database| database.name.clone()).collect();
    let question = |columns: &str, table: &str, schema: &str| {
        let which = among(schema, &names);
        format!("SELECT {schema}, {columns} FROM information_schema.{table} WHERE {which} ORDER BY 1, 2")
    };
    let definers = |table: &str, schema: &str| {
        format!("SELECT {schema}, definer FROM information_schema.{table} WHERE {}", among(schema, &names))
    };
    let [schemata, tables, routines, events, triggers, definers] = server.ask([
        question("default_character_set_name, default_collation_name", "SCHEMATA", "schema_name"),
        question(
            "table_name, table_type, COALESCE(engine, ''), COALESCE(data_length, 0)",
            "TABLES",
            "table_schema",
        ),
        question("routine_name, routine_type", "ROUTINES", "routine_schema"),
        question("event_name", "EVENTS", "event_schema"),
        question("trigger_name", "TRIGGERS", "trigger_schema"),
        [
            definers("VIEWS", "table_schema"),
            definers("ROUTINES", "routine_schema"),
            definers("TRIGGERS", "trigger_schema"),
            definers("EVENTS", "event_schema"),
        ]
        .join(" UNION "),
    ])?;
    // The dictionary compares without case.
    let mut each = |rows: Rows, take: fn(&mut Database, &[String])| {
        for row in rows {
            if let Some(database) = databases.iter_mut().find(|database| database.name == cell(&row, 0)) {
                take(database, &row[1..]);
            }
        }
    };
    each(schemata, |database, row| database.charset = Some((cell(row, 0), cell(row, 1))));
    each(tables, |database, row| database.tables.push(table(row)));
    each(routines, |database, row| database.routines.push((cell(row, 1), cell(row, 0))));
    each(events, |database, row| database.events.push(cell(row, 0)));
    each(triggers, |database, row| database.triggers.push(cell(row, 0)));
    each(definers, |database, row| {
        database.definers.insert(cell(row, 0));
    });
    Ok(())
}

fn table(row: &[String]) -> Table {
    let kind = match cell(row, 1).as_str() {
        "VIEW" | "SYSTEM VIEW" => Kind::View,
        "SEQUENCE" => Kind::Sequence,
        _ => Kind::Table,
    };
    Table {
        name: cell(row, 0),
        kind,
        versioned: cell(row, 1) == "SYSTEM VERSIONED",
        engine: cell(row, 2),
        bytes: cell(row, 3).parse().unwrap_or(0),
    }
}

/// A condition for exactly this name; names of the dictionary compare without case, databases often don't.
pub(crate) fn named(column: &str, name: &str) -> String {
    let name = text(name);
    format!("{column} = {name} AND BINARY {column} = BINARY {name}")
}

/// A condition for these names; it may fit others that differ by case.
pub(crate) fn among(column: &str, names: &[String]) -> String {
    match names {
        // Of one database the server looks at that one alone.
        [name] => named(column, name),
        names => {
            let names: Vec<String> = names.iter().map(|name| text(name)).collect();
            format!("{column} IN ({})", names.join(", "))
        }
    }
}

pub(crate) fn cell(row: &[String], index: usize) -> String {
    row.get(index).cloned().unwrap_or_default()
}

/// What a server has for itself.
pub(crate) const OWN: [&str; 4] = ["information_schema", "performance_schema", "mysql", "sys"];

/// The databases of the server that aren't its own.
pub(crate) fn databases(server: &Server<'_>) -> Result<Vec<String>> {
    let all = server.column("SHOW DATABASES")?;
    Ok(all.into_iter().filter(|name| !OWN.contains(&name.to_ascii_lowercase().as_str())).collect())
}

/// The sessions of others in a database: their number, and a line about each.
pub(crate) fn sessions(server: &Server<'_>, database: &str) -> Result<Vec<(String, String)>> {
    let rows = server.rows(&format!(
        "SELECT id, user, host, command, time FROM information_schema.PROCESSLIST \
         WHERE {} AND id <> CONNECTION_ID()",
        named("db", database)
    ))?;
    let line = |row: &[String]| {
        let [id, user, host, command, time] = [0, 1, 2, 3, 4].map(|index| cell(row, index));
        (id.clone(), format!("session {id}: `{user}` from `{host}`, {command} for {time} s"))
    };
    Ok(rows.iter().map(|row| line(row)).collect())
}

/// Whether we may make code of other definers than ourselves; also if there are none in this database.
pub(crate) fn may_define(about: &About, database: &Database) -> bool {
    let enough = ["SUPER", "SET USER", "SET_USER_ID", "SET_ANY_DEFINER"];
    enough.iter().any(|right| about.rights.has(&database.name, right))
        || database.definers.iter().all(|definer| *definer == about.user)
}

/// Those of `accounts` that the server doesn't have; none if we may not look.
pub(crate) fn gone(server: &Server<'_>, accounts: &[String]) -> Vec<String> {
    if accounts.is_empty() {
        return Vec::new();
    }
    match server.column("SELECT CONCAT(user, '@', host) FROM mysql.user") {
        Ok(known) => accounts.iter().filter(|account| !known.contains(account)).cloned().collect(),
        Err(_) => Vec::new(),
    }
}

/// Tables of other databases that refer to tables of this one, as `database.table`.
pub(crate) fn referring(server: &Server<'_>, database: &str) -> Result<Vec<String>> {
    server.column(&format!(
        "SELECT DISTINCT CONCAT(constraint_schema, '.', table_name) FROM information_schema.REFERENTIAL_CONSTRAINTS \
         WHERE {} AND constraint_schema <> {}",
        named("unique_constraint_schema", database),
        text(database)
    ))
}
