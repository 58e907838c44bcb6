//! What lies where a restore would write, and in which way it would be written. Looks only.

use serde_json::Value;
use windlass_plugin_api::{Context, Error, ErrorKind, RestoreMode, RestoreOptions, Result, Target};

use crate::facts::{self, Database};
use crate::names::sibling;
use crate::options::{Keep, Options};
use crate::server::Server;

/// How a restore gets to its target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Into another database first; its tables then take their place in one step.
    Swap,
    /// Into the target itself, for this reason.
    InPlace(String),
}

impl Way {
    pub(crate) fn choose(server: &Server<'_>, database: &Database, how: &RestoreOptions) -> Result<Self> {
        if how.mode == RestoreMode::Merge {
            return Ok(Self::InPlace("merging changes the database itself".to_owned()));
        }
        for name in [new_name(server, database), before_name(&database.name, how)] {
            let rights = facts::rights(server, &name)?;
            let needed = ["CREATE", "DROP", "ALTER", "INSERT", "SELECT"];
            if let Some(right) = needed.iter().find(|right| !rights.iter().any(|held| held == *right)) {
                return Ok(Self::InPlace(format!("there is no right `{right}` on a database `{name}`")));
            }
        }
        if database.is_empty() {
            return Ok(Self::Swap);
        }
        // Moving a table takes along what refers to it, and these would end up referring to the old rows.
        let referring = facts::referring(server, &database.name)?;
        if let Some(table) = referring.first() {
            return Ok(Self::InPlace(format!("the table `{table}` of another database refers to it")));
        }
        Ok(Self::Swap)
    }
}

/// The database that a restore fills before it is moved.
pub(crate) fn new_name(server: &Server<'_>, database: &Database) -> String {
    sibling(&database.name, "new", &server.cx.run())
}

/// What the replaced database is called afterwards.
pub(crate) fn before_name(database: &str, how: &RestoreOptions) -> String {
    sibling(database, "before", if how.snapshot.is_empty() { "restore" } else { &how.snapshot })
}

/// The host's question before a restore.
pub(crate) fn target(cx: &Context, options: &Options, how: &RestoreOptions) -> Result<Target> {
    let server = Server::new(cx, options)?;
    server.prove_tls()?;
    accept(&server, how)?;
    let database = Database::look(&server, server.database()?)?;
    let way = Way::choose(&server, &database, how)?;
    let sessions = match database.exists() {
        true => facts::sessions(&server, &database.name)?.into_iter().map(|(_, line)| line).collect(),
        false => Vec::new(),
    };
    Ok(Target {
        place: server.place(&database.name),
        empty: database.is_empty(),
        size_bytes: database.exists().then(|| database.bytes()),
        sessions,
        effects: effects(&server, &database, &way, how)?,
        atomic: way == Way::Swap,
        ..Target::default()
    })
}

fn effects(server: &Server<'_>, database: &Database, way: &Way, how: &RestoreOptions) -> Result<Vec<String>> {
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
    match way {
        Way::Swap if database.is_empty() => {}
        Way::Swap => {
            effects.push(
                "swaps all tables in one step; views, triggers, routines and events are made right after it"
                    .to_owned(),
            );
            if !server.options.drop_before {
                effects.push(format!("keeps what is there as `{}`", before_name(name, how)));
                if !facts::may_define(server, name)? {
                    effects.push("makes us the definer of its code, for we may not set another".to_owned());
                }
            }
        }
        Way::InPlace(why) => {
            effects.push(format!("is not atomic, for {why}: a failure leaves the database half restored"));
        }
    }
    let gone = match server.options.definer {
        Keep::Keep => facts::gone(server, &texts(how, "definers")),
        Keep::Drop => Vec::new(),
    };
    if !gone.is_empty() {
        let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
        effects.push(format!(
            "makes views or code of accounts that this server doesn't have ({}): they won't run without `--set definer=drop`",
            crate::backup::list(&gone)
        ));
    }
    Ok(effects)
}

/// Refuses what can't go well, before anything is touched.
pub(crate) fn accept(server: &Server<'_>, how: &RestoreOptions) -> Result<()> {
    if !how.only.is_empty() && how.mode == RestoreMode::Replace {
        let message =
            "`--mode replace` makes the whole database equal to the snapshot, and `--only` names a part";
        return Err(Error::new(ErrorKind::Unsupported, message)
            .hint("Use `--mode merge`, which replaces only these tables."));
    }
    if how.contents.is_some() {
        let known = texts(how, "tables");
        let unknown =
            how.only.iter().find(|name| !known.iter().any(|known| known.as_bytes() == name.as_bytes()));
        if let Some(name) = unknown {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("the snapshot has no table or view `{name}`"),
            )
            .hint("`windlass show` lists what is in it."));
        }
    }
    let needed = detail(how, "longest_statement_bytes").and_then(Value::as_u64).unwrap_or(0);
    let most = facts::max_allowed_packet(server)?;
    if needed > most {
        let message =
            format!("a row of the snapshot needs a packet of {needed} bytes, and the server takes {most}");
        return Err(Error::new(ErrorKind::Unsupported, message)
            .hint("Raise it with `SET GLOBAL max_allowed_packet = 1073741824` for the restore."));
    }
    Ok(())
}

/// What the backup said under this name.
pub(crate) fn detail<'a>(how: &'a RestoreOptions, name: &str) -> Option<&'a Value> {
    how.contents.as_ref()?.details.get(name)
}

/// A list of texts among it.
pub(crate) fn texts(how: &RestoreOptions, name: &str) -> Vec<String> {
    let list = detail(how, name).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
