//! What a restore would write to, and the way it would take. Reads only.
//!
//! In one transaction into an empty database, among what is there, or in place of it; or into a sibling database that
//! takes the old one's name when it is whole. `restore` walks them.

use windlass_plugin_api::{Context, Error, ErrorKind, RestoreMode, RestoreOptions, Result, Target};

use crate::facts::{self, About, Database};
use crate::options::Options;
use crate::programs::Side;
use crate::server::Server;
use crate::words::list;
use crate::{GLOBALS, PARALLEL_PRE, PLAIN};

/// How the target is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Into the database as it is, in one transaction.
    InPlace,
    /// Into the database, dropping what has the same name, in one transaction.
    Over,
    /// Into the database, dropping all that is in it, in one transaction.
    Clear,
    /// Into a new database, which gets the name in the end.
    Sibling,
}

/// The target as it is.
pub(crate) struct Look {
    /// The database's name.
    pub name: String,
    /// Where questions about databases are asked: the maintenance database, or the target itself.
    pub from: String,
    /// The server, and who asks.
    pub about: About,
    /// The database, if there is one.
    pub database: Option<Database>,
    /// How many objects are in it.
    pub objects: u64,
    /// `schema.name` of the tables and the like in it.
    pub relations: Vec<String>,
}

impl Look {
    /// Looks.
    pub(crate) fn take(cx: &Context, server: &Server<'_>) -> Result<Self> {
        let name = match server.database() {
            Some(name) => name.to_owned(),
            // A service file may name it.
            None => facts::about(cx, server, None)?.database,
        };
        let maintenance = &server.options.maintenance_database;
        // A database can't be renamed by who is connected to it.
        let maintenance = if *maintenance == name { "template1" } else { maintenance };
        let (from, about) = match facts::about(cx, server, Some(maintenance)) {
            Ok(about) => (maintenance.to_owned(), about),
            Err(_) => (name.clone(), facts::about(cx, server, Some(&name))?),
        };
        let database = facts::database(cx, server, &from, &name)?;
        let mut look = Self { name, from, about, database, objects: 0, relations: Vec::new() };
        if look.about.standby {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "the server is a standby, which can't be written to",
            ));
        }
        if look.database.is_some() {
            look.objects = facts::objects(cx, server, &look.name)?;
            let relations = facts::relations(cx, server, Some(&look.name))?;
            look.relations = relations.iter().map(facts::Relation::dotted).collect();
        }
        Ok(look)
    }

    /// Nothing there that `how` could overwrite.
    pub(crate) fn is_empty(&self, how: &RestoreOptions) -> bool {
        if how.only.is_empty() { self.objects == 0 } else { self.in_the_way(how).is_empty() }
    }

    /// Which of the wanted tables are there.
    fn in_the_way(&self, how: &RestoreOptions) -> Vec<&String> {
        let wanted: Vec<String> = how.only.iter().map(ToString::to_string).collect();
        let is_wanted = |there: &&String| {
            wanted
                .iter()
                .any(|name| *name == **there || there.split_once('.').is_some_and(|(_, last)| last == name))
        };
        self.relations.iter().filter(is_wanted).collect()
    }

    /// The way that fits the target and the mode. An error where there is none.
    pub(crate) fn way(&self, how: &RestoreOptions) -> Result<Way> {
        let user = &self.about.user;
        let Some(database) = &self.database else {
            if self.about.createdb {
                return Ok(Way::Sibling);
            }
            let message = format!("there is no database `{}`, and `{user}` may not make one", self.name);
            return Err(Error::new(ErrorKind::Denied, message).hint(format!(
                "As an administrator: `CREATE DATABASE` with the owner `{user}`, or `ALTER ROLE {user} CREATEDB`."
            )));
        };
        let is_plain = how.stream_formats.values().any(|format| format == PLAIN);
        let can_swap = self.about.createdb && database.ours && self.from != self.name;
        match how.mode {
            _ if self.objects == 0
                && can_swap
                && database.sessions.is_empty()
                && how.only.is_empty()
                && (has_many_tables(how) || is_parallel(how)) =>
            {
                Ok(Way::Sibling)
            }
            _ if self.is_empty(how) => Ok(Way::InPlace),
            RestoreMode::Fail => Ok(Way::InPlace),
            _ if is_plain && (how.mode == RestoreMode::Merge || !how.only.is_empty()) => Err(Error::new(
                ErrorKind::Unsupported,
                "a plain dump can only fill a database, not add to one",
            )
            .hint("Use `--mode replace`, or back up with `format = \"custom\"`.")),
            _ if how.mode == RestoreMode::Merge || !how.only.is_empty() => Ok(Way::Over),
            _ if can_swap => Ok(Way::Sibling),
            _ => Ok(Way::Clear),
        }
    }

    /// Why the database isn't replaced by a swap.
    fn why_no_swap(&self) -> &'static str {
        if self.from == self.name {
            "no other database of the server lets it in"
        } else if self.about.createdb {
            "it isn't the database's owner"
        } else {
            "it may not make databases"
        }
    }

    /// What the restore would do.
    fn effects(&self, server: &Server<'_>, how: &RestoreOptions, way: Way) -> Vec<String> {
        let name = &self.name;
        let mut effects = match (way, &self.database) {
            (Way::Sibling, None) => vec![format!("makes the database `{name}`")],
            (Way::Sibling, Some(_)) if self.objects == 0 => {
                vec![format!("restores beside `{name}`, which is empty, and swaps the two in one step")]
            }
            (Way::Sibling, Some(_)) if server.options.drop_before => {
                vec![format!("restores beside `{name}`, swaps the two in one step, and drops the old one")]
            }
            (Way::Sibling, Some(_)) => vec![format!(
                "restores beside `{name}`, swaps the two in one step, and keeps the old one as `{}`",
                before(name, &how.snapshot)
            )],
            (Way::InPlace, _) => vec![format!("fills `{name}` in one transaction")],
            (Way::Clear, _) => vec![format!(
                "drops all that is in `{name}` and fills it, in one transaction that waits for its users: `{}` can't swap databases, {}",
                self.about.user,
                self.why_no_swap()
            )],
            (Way::Over, _) => vec![format!(
                "in one transaction replaces in `{name}` what has the same names and keeps the rest"
            )],
        };
        let there = self.in_the_way(how);
        if way == Way::Over && !there.is_empty() {
            effects.push(format!("replaces {}", list(&there)));
        }
        let sessions = self.database.as_ref().map_or(0, |database| database.sessions.len());
        if way == Way::Sibling && sessions > 0 {
            effects.push(match server.options.force {
                true => format!("ends {sessions} sessions"),
                false => {
                    format!("is refused while {sessions} sessions use `{name}`: end them, or say `--force`")
                }
            });
        }
        effects
    }
}

/// Whether one transaction would hold more locks than a server has room for by default: some 6,400, and a table takes up
/// to five with its index, its sequence and what holds its large values.
fn has_many_tables(how: &RestoreOptions) -> bool {
    let recorded = how.contents.as_ref().and_then(|contents| contents.details.get("relations"));
    recorded.and_then(|relations| relations.as_array()).is_some_and(|all| all.len() > 1000)
}

/// Whether several programs can load it, which takes a database that nobody knows yet.
fn is_parallel(how: &RestoreOptions) -> bool {
    how.stream_formats.values().any(|format| format == PARALLEL_PRE)
}

/// Asks what a restore would write to.
pub(crate) fn target(cx: &Context, options: &Options, how: &RestoreOptions) -> Result<Target> {
    let server = Server::new(cx, options, Side::Restore)?;
    let look = Look::take(cx, &server)?;
    // A target that the host refuses anyway needs no way.
    let is_refused = how.mode == RestoreMode::Fail && !look.is_empty(how);
    let effects = if is_refused { Vec::new() } else { look.effects(&server, how, look.way(how)?) };
    if let Some(contents) = &how.contents {
        crate::preflight::recorded(cx, &server, &look, contents)?;
    }
    let makes_roles = options.globals && how.stream_formats.contains_key(GLOBALS);
    Ok(Target {
        place: server.place(&look.name),
        empty: look.is_empty(how),
        size_bytes: look.database.as_ref().and_then(|database| database.bytes),
        sessions: look.database.as_ref().map(|database| database.sessions.clone()).unwrap_or_default(),
        effects,
        // Roles are the server's, and are made before the database is known to be good.
        atomic: !makes_roles,
        ..Target::default()
    })
}

/// The name that a replaced database gets. Names have at most 63 bytes.
pub(crate) fn before(name: &str, snapshot: &str) -> String {
    shortened(name, &format!("_before_{snapshot}"))
}

/// `name` with `end`, cut so that the server doesn't cut it.
pub(crate) fn shortened(name: &str, end: &str) -> String {
    let mut room = 63_usize.saturating_sub(end.len()).min(name.len());
    while !name.is_char_boundary(room) {
        room -= 1;
    }
    format!("{}{end}", &name[..room])
}
