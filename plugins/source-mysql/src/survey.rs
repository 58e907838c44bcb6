//! What a backup says of the databases that it takes: warnings, what will be missing, and what a restore needs to know.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::about::About;
use crate::backup::list;
use crate::facts::{self, Database, Kind};
use crate::select::{Entry, Selection};
use crate::server::Server;
use crate::ties::ties;
use crate::users;
use crate::which::Which;

/// The databases, looked at.
pub(crate) struct Survey {
    pub(crate) which: Which,
    pub(crate) databases: Vec<Database>,
    pub(crate) about: About,
    definers: Vec<String>,
    may_read_users: bool,
}

impl Survey {
    pub(crate) fn take(server: &Server<'_>) -> Result<Self> {
        let (about, (which, databases)) = About::beside(server, || {
            let which = Which::of(server)?;
            let databases = existing(server, &which)?;
            Ok((which, databases))
        })?;
        let definers = databases.iter().flat_map(|database| database.definers.iter().cloned());
        Ok(Self {
            definers: definers.collect::<BTreeSet<_>>().into_iter().collect(),
            may_read_users: !server.options.users || users::may_read(&about),
            databases,
            which,
            about,
        })
    }

    pub(crate) fn may_read_users(&self) -> bool {
        self.may_read_users
    }

    /// Whether events can be asked for: the dump program fails where one database doesn't let us.
    pub(crate) fn may_read_events(&self) -> bool {
        self.databases.iter().all(|database| self.about.rights.has(&database.name, "EVENT"))
    }

    /// How a table is named to people.
    fn label(&self, entry: &Entry<'_>) -> String {
        if self.which.is_several() { entry.dotted() } else { entry.table.name.clone() }
    }

    /// What the user should know of what will be in the dump.
    pub(crate) fn warnings(&self, server: &Server<'_>, selection: &Selection<'_>) -> Vec<String> {
        let mut warnings = Vec::new();
        let engines = &self.about.transactional;
        let of = |wanted: &dyn Fn(&&Entry<'_>) -> bool| -> Vec<String> {
            let tables = selection.taken.iter().filter(|entry| entry.table.kind == Kind::Table);
            tables.filter(wanted).map(|entry| self.label(entry)).collect()
        };
        let mut warn = |what: &str, names: Vec<String>| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            if !names.is_empty() {
                warnings.push(format!("{what}: {}.", list(&names)));
            }
        };
        warn(
            "Tables that know no transactions are read as they are at that moment, not as at the dump's beginning",
            of(&|entry| !entry.table.engine.is_empty() && !engines.contains(&entry.table.engine)),
        );
        if !server.options.dump_args.iter().any(|arg| arg == "--dump-history" || arg == "-H") {
            warn("The past of system-versioned tables isn't in the dump", of(&|entry| entry.table.versioned));
        }
        warn(
            "Views, triggers, routines or events run as accounts that aren't there any more",
            facts::gone(server, &self.others()),
        );
        warnings
    }

    /// The definers but ourselves.
    fn others(&self) -> Vec<String> {
        self.definers.iter().filter(|definer| **definer != self.about.user).cloned().collect()
    }

    /// The rights that are missing, and what won't be in the dump for it.
    pub(crate) fn missing(&self, server: &Server<'_>) -> Vec<String> {
        let options = server.options;
        let mut missing = Vec::new();
        let events = if self.which.is_several() { "the events of all databases" } else { "events" };
        for (right, wanted, lost) in [
            ("SELECT", true, "tables that we may not read"),
            ("TRIGGER", options.triggers, "triggers"),
            ("EVENT", options.events, events),
        ] {
            let lacks = |database: &&Database| wanted && !self.about.rights.has(&database.name, right);
            missing.extend(self.databases.iter().filter(lacks).map(
                |database| match self.which.is_several() {
                    true => format!("`{right}` on the database `{}`: {lost} are left out", database.name),
                    false => format!("`{right}` on the database: {lost} are left out"),
                },
            ));
        }
        if options.routines
            && self.about.version.contains("MariaDB")
            && !self.about.rights.has("mysql", "SELECT")
            && server.rows("SELECT 1 FROM mysql.proc LIMIT 0").is_err()
        {
            missing.push("`SELECT` on `mysql.proc`: procedures and functions are left out".to_owned());
        }
        if !self.may_read_users {
            missing.push("`SELECT` on the database `mysql`: users and grants are left out".to_owned());
        }
        missing
    }

    /// What is only interesting.
    pub(crate) fn notes(&self, server: &Server<'_>) -> Vec<String> {
        let mut notes = Vec::new();
        if self.which.is_several() {
            let names: Vec<&str> = self.databases.iter().map(|database| database.name.as_str()).collect();
            notes.push(format!("Backs up {} databases as of one moment: {}.", names.len(), list(&names)));
        }
        if !server.options.users {
            notes.push("Users and grants aren't in the backup: set `users = true` to have them.".to_owned());
        }
        notes
    }

    pub(crate) fn packet_warning(&self, longest: u64) -> Option<String> {
        let most = self.about.max_allowed_packet;
        (longest > most).then(|| {
            format!(
                "A row needs a packet of {longest} bytes, and this server takes {most}: a restore needs a larger `max_allowed_packet`."
            )
        })
    }

    /// What a restore gets back.
    pub(crate) fn details(
        &self,
        server: &Server<'_>,
        selection: &Selection<'_>,
        longest: u64,
    ) -> Result<Map<String, Value>> {
        let mut details = Map::from_iter([
            ("definers".to_owned(), json!(self.definers)),
            ("longest_statement_bytes".to_owned(), json!(longest)),
        ]);
        let about = |database: &Database| {
            let (charset, collation) = database.charset.clone().unwrap_or_default();
            let taken = selection.taken.iter().filter(|entry| entry.database == database.name);
            let tables: Vec<&str> = taken.map(|entry| entry.table.name.as_str()).collect();
            json!({ "character_set": charset, "collation": collation, "tables": tables })
        };
        match self.databases.as_slice() {
            [database] if !self.which.is_several() => {
                details.extend(about(database).as_object().cloned().unwrap_or_default());
                details.insert("database".to_owned(), json!(database.name));
            }
            databases => {
                let each = databases.iter().map(|database| (database.name.clone(), about(database)));
                details.insert("databases".to_owned(), Value::Object(each.collect()));
                details.insert("ties".to_owned(), json!(ties(server, databases)?));
            }
        }
        Ok(details)
    }
}

/// The databases, or an error.
fn existing(server: &Server<'_>, which: &Which) -> Result<Vec<Database>> {
    let databases = Database::look_all(server, &which.names())?;
    match databases.iter().find(|database| !database.exists()) {
        None => Ok(databases),
        Some(gone) => {
            let message = format!("there is no database {}", server.place(&gone.name));
            Err(Error::new(ErrorKind::NotFound, message)
                .hint("List the databases with `SHOW DATABASES`; one that we may not see isn't listed."))
        }
    }
}
