//! What lies where a restore would write, and in which way it would be written. Looks only.

use serde_json::Value;
use windlass_plugin_api::{Context, Error, ErrorKind, RestoreMode, RestoreOptions, Result, Target};

use crate::about::About;
use crate::backup::list;
use crate::facts::{self, Database};
use crate::goal::{Goal, detail, goals, texts};
use crate::names::siblings;
use crate::options::Keep;
use crate::server::Server;
use crate::{Mysql, USERS, claim};

/// A database that a restore writes, as it is now.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) goal: Goal,
    pub(crate) found: Database,
}

impl Place {
    /// Character set and collation that the database gets: the snapshot's, else what it has.
    pub(crate) fn defaults(&self) -> String {
        match self.goal.charset.as_ref().or(self.found.charset.as_ref()) {
            Some((charset, collation)) => format!(" CHARACTER SET {charset} COLLATE {collation}"),
            None => String::new(),
        }
    }
}

/// Looks at all databases that a restore writes.
pub(crate) fn places(server: &Server<'_>, how: &RestoreOptions) -> Result<Vec<Place>> {
    let goals = goals(server, how)?;
    let names: Vec<&str> = goals.iter().map(|goal| goal.to.as_str()).collect();
    let found = Database::look_all(server, &names)?;
    Ok(goals.into_iter().zip(found).map(|(goal, found)| Place { goal, found }).collect())
}

/// The names of the places.
fn names(places: &[Place]) -> Vec<&str> {
    places.iter().map(|place| place.found.name.as_str()).collect()
}

/// How a restore gets to its target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Into other databases first; their tables then take their places in one step.
    Swap,
    /// Into the target itself, for this reason.
    InPlace(String),
}

impl Way {
    pub(crate) fn choose(
        server: &Server<'_>,
        about: &About,
        places: &[Place],
        how: &RestoreOptions,
    ) -> Result<Self> {
        if how.mode == RestoreMode::Merge {
            return Ok(Self::InPlace("merging changes the database itself".to_owned()));
        }
        if let Some(tie) = texts(how, "ties").into_iter().next().filter(|_| places.len() > 1) {
            return Ok(Self::InPlace(tie));
        }
        for name in new_names(server, places).iter().chain(&before_names(places, how)) {
            let needed = ["CREATE", "DROP", "ALTER", "INSERT", "SELECT"];
            if let Some(right) = needed.iter().find(|right| !about.rights.has(name, right)) {
                return Ok(Self::InPlace(format!("there is no right `{right}` on a database `{name}`")));
            }
        }
        for place in places.iter().filter(|place| !place.found.is_empty()) {
            // Moving a table takes along what refers to it, and these would end up referring to the old rows.
            let referring = facts::referring(server, &place.found.name)?;
            if let Some(table) = referring.first() {
                return Ok(Self::InPlace(format!("the table `{table}` of another database refers to it")));
            }
        }
        Ok(Self::Swap)
    }
}

/// The databases that a restore fills before they are moved.
pub(crate) fn new_names(server: &Server<'_>, places: &[Place]) -> Vec<String> {
    siblings(&names(places), "new", &server.cx.run())
}

/// What the replaced databases are called afterwards.
pub(crate) fn before_names(places: &[Place], how: &RestoreOptions) -> Vec<String> {
    siblings(&names(places), "before", if how.snapshot.is_empty() { "restore" } else { &how.snapshot })
}

/// Where a restore writes, for people.
pub(crate) fn place_of(server: &Server<'_>, places: &[Place]) -> String {
    match places {
        [place] => server.place(&place.found.name),
        places => format!("{}{}", list(&names(places)), server.at()),
    }
}

/// The host's question before a restore.
pub(crate) fn target(cx: &Context, source: &Mysql, how: &RestoreOptions) -> Result<Target> {
    let server = Server::new(cx, source)?;
    server.prove_tls()?;
    let (about, places) = About::beside(&server, || places(&server, how))?;
    accept(&about, how)?;
    let way = Way::choose(&server, &about, &places, how)?;
    let mut target = Target {
        place: place_of(&server, &places),
        empty: places.iter().all(|place| place.found.is_empty()),
        atomic: way == Way::Swap,
        ..Target::default()
    };
    let before = before_names(&places, how);
    for (place, before) in places.iter().zip(&before) {
        let name = &place.found.name;
        if place.found.exists() {
            target.size_bytes = Some(target.size_bytes.unwrap_or(0) + place.found.bytes());
            target.sessions.extend(facts::sessions(&server, name)?.into_iter().map(|(_, line)| line));
        }
        target.effects.extend(effects(&server, &about, place, (&way, before), how));
        let left = claim::left(&server, &about, name)?;
        target
            .effects
            .extend(left.iter().map(|left| format!("drops `{left}`, which a restore left that died")));
    }
    if let Way::InPlace(why) = &way {
        let whole = if places.len() > 1 { "the databases" } else { "the database" };
        target.effects.push(format!("is not atomic, for {why}: a failure leaves {whole} half restored"));
    }
    target.effects.extend(foreign(&server, how));
    if server.options.users && how.stream_formats.values().any(|format| format == USERS) {
        target.effects.push("makes the accounts of the snapshot that this server doesn't have".to_owned());
    }
    Ok(target)
}

/// What becomes of one database.
fn effects(
    server: &Server<'_>,
    about: &About,
    place: &Place,
    (way, before): (&Way, &str),
    how: &RestoreOptions,
) -> Vec<String> {
    let database = &place.found;
    let (name, count) = (&database.name, database.tables.len());
    let mut effects = vec![match (how.mode, database.exists(), database.is_empty()) {
        (_, false, _) => format!("makes the database `{name}`"),
        (_, _, true) => format!("fills the empty database `{name}`"),
        (RestoreMode::Merge, ..) => {
            format!(
                "replaces those of the {count} tables of `{name}` that are in the snapshot, and keeps the others"
            )
        }
        _ => format!("replaces the database `{name}` with its {count} tables"),
    }];
    if *way != Way::Swap || database.is_empty() {
        return effects;
    }
    effects.push(
        "swaps all tables in one step; views, triggers, routines and events are made right after it"
            .to_owned(),
    );
    if !server.options.drop_before {
        effects.push(format!("keeps what is there as `{before}`"));
        if !facts::may_define(about, database) {
            effects.push("makes us the definer of its code, for we may not set another".to_owned());
        }
    }
    effects
}

/// What is told of accounts that aren't there.
fn foreign(server: &Server<'_>, how: &RestoreOptions) -> Option<String> {
    if server.options.definer == Keep::Drop {
        return None;
    }
    let gone = facts::gone(server, &texts(how, "definers"));
    let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
    (!gone.is_empty()).then(|| {
        format!(
            "makes views or code of accounts that this server doesn't have ({}): they won't run without `--set definer=drop`",
            list(&gone)
        )
    })
}

/// Refuses what can't go well, before anything is touched.
pub(crate) fn accept(about: &About, how: &RestoreOptions) -> Result<()> {
    let needed = detail(how, "longest_statement_bytes").and_then(Value::as_u64).unwrap_or(0);
    let most = about.max_allowed_packet;
    if needed > most {
        let message =
            format!("a row of the snapshot needs a packet of {needed} bytes, and the server takes {most}");
        return Err(Error::new(ErrorKind::Unsupported, message)
            .hint("Raise it with `SET GLOBAL max_allowed_packet = 1073741824` for the restore."));
    }
    Ok(())
}
