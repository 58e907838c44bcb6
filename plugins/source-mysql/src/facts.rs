//! What is in a database and what we may do there, as the server tells. Reads only.

use windlass_plugin_api::Result;

use crate::names::text;
use crate::server::Server;

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
}

impl Database {
    /// Looks at the database `name`.
    pub(crate) fn look(server: &Server<'_>, name: &str) -> Result<Self> {
        let is = |column: &str| named(column, name);
        let charset = server.rows(&format!(
            "SELECT default_character_set_name, default_collation_name FROM information_schema.SCHEMATA WHERE {}",
            is("schema_name")
        ))?;
        let Some(charset) = charset.into_iter().next() else {
            return Ok(Self { name: name.to_owned(), ..Self::default() });
        };
        let tables = server.rows(&format!(
            "SELECT table_name, table_type, COALESCE(engine, ''), COALESCE(data_length, 0) \
             FROM information_schema.TABLES WHERE {} ORDER BY table_name",
            is("table_schema")
        ))?;
        let routines = server.rows(&format!(
            "SELECT routine_type, routine_name FROM information_schema.ROUTINES WHERE {}",
            is("routine_schema")
        ))?;
        let names = |column: &str, table: &str, schema: &str| {
            server.column(&format!("SELECT {column} FROM information_schema.{table} WHERE {}", is(schema)))
        };
        Ok(Self {
            name: name.to_owned(),
            charset: Some((cell(&charset, 0), cell(&charset, 1))),
            tables: tables.iter().map(|row| table(row)).collect(),
            routines: routines.iter().map(|row| (cell(row, 0), cell(row, 1))).collect(),
            events: names("event_name", "EVENTS", "event_schema")?,
            triggers: names("trigger_name", "TRIGGERS", "trigger_schema")?,
        })
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

pub(crate) fn cell(row: &[String], index: usize) -> String {
    row.get(index).cloned().unwrap_or_default()
}

/// The databases of the server that aren't its own.
pub(crate) fn databases(server: &Server<'_>) -> Result<Vec<String>> {
    const OWN: [&str; 4] = ["information_schema", "performance_schema", "mysql", "sys"];
    let all = server.column("SHOW DATABASES")?;
    Ok(all.into_iter().filter(|name| !OWN.contains(&name.to_ascii_lowercase().as_str())).collect())
}

/// The server's version, as it says it.
pub(crate) fn version(server: &Server<'_>) -> Result<String> {
    Ok(server.column("SELECT VERSION()")?.into_iter().next().unwrap_or_default())
}

/// The engines whose tables a transaction reads as they were at its beginning.
pub(crate) fn transactional(server: &Server<'_>) -> Result<Vec<String>> {
    server.column("SELECT engine FROM information_schema.ENGINES WHERE transactions = 'YES'")
}

/// What one packet may hold, in bytes.
pub(crate) fn max_allowed_packet(server: &Server<'_>) -> Result<u64> {
    let value = server.column("SELECT @@global.max_allowed_packet")?;
    Ok(value.first().and_then(|value| value.parse().ok()).unwrap_or(u64::MAX))
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

/// The rights that we have on a database, as far as accounts and roles tell; in capitals.
pub(crate) fn rights(server: &Server<'_>, database: &str) -> Result<Vec<String>> {
    let who = server.rows("SELECT CURRENT_USER(), COALESCE(CURRENT_ROLE(), '')")?;
    let who = who.into_iter().next().unwrap_or_default();
    let user = cell(&who, 0);
    let (name, host) = user.rsplit_once('@').unwrap_or((&user, "%"));
    let grantees =
        [format!("'{name}'@'{host}'"), format!("'{}'@''", cell(&who, 1))].map(|name| text(&name)).join(", ");
    server.column(&format!(
        "SELECT privilege_type FROM information_schema.USER_PRIVILEGES WHERE grantee IN ({grantees}) UNION \
         SELECT privilege_type FROM information_schema.SCHEMA_PRIVILEGES \
         WHERE grantee IN ({grantees}) AND {} LIKE table_schema",
        text(database)
    ))
}

/// The accounts that views, triggers, routines and events of a database run as.
pub(crate) fn definers(server: &Server<'_>, database: &str) -> Result<Vec<String>> {
    let of = |table: &str, column: &str| {
        format!("SELECT definer FROM information_schema.{table} WHERE {}", named(column, database))
    };
    let all = [
        of("VIEWS", "table_schema"),
        of("ROUTINES", "routine_schema"),
        of("TRIGGERS", "trigger_schema"),
        of("EVENTS", "event_schema"),
    ];
    server.column(&all.join(" UNION "))
}

/// Whether we may make code of other definers than ourselves; also if there are none in this database.
pub(crate) fn may_define(server: &Server<'_>, database: &str) -> Result<bool> {
    let definers = definers(server, database)?;
    let ourselves = server.column("SELECT CURRENT_USER()")?;
    if definers.iter().all(|definer| ourselves.contains(definer)) {
        return Ok(true);
    }
    let rights = rights(server, database)?;
    let enough = ["SUPER", "SET USER", "SET_USER_ID", "SET_ANY_DEFINER"];
    Ok(rights.iter().any(|right| enough.contains(&right.as_str())))
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
