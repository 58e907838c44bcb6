//! What a restore would write to, and what it would do there. Reads only.

use std::io::{self, Read};

use bson::{Bson, doc};
use windlass_plugin_api::{Error, ErrorKind, Inputs, Reader, RestoreMode, RestoreOptions, Result, Target};

use crate::archive::Archive;
use crate::catalog::{self, BEFORE, Found};
use crate::connect::{Server, outside};
use crate::options::Options;
use crate::place::Places;
use crate::{FORMAT, select, sessions};

/// Looks at the databases that a restore would write to.
pub(crate) async fn target(server: &Server, options: &Options, how: &RestoreOptions) -> Result<Target> {
    let databases = databases(server, how)?;
    let only = only(how)?;
    let mut there = Vec::new();
    for db in &databases {
        there.extend(present(server, db).await?);
    }
    let counts = |one: &&Found| only.as_ref().is_none_or(|only| only.contains(&one.name));
    let count = there.iter().filter(counts).count();
    let mut target = Target {
        place: format!("{} on {}", databases.join(", "), server.place),
        empty: count == 0,
        ..Target::default()
    };
    target.effects = match (how.mode, target.empty) {
        (_, true) | (RestoreMode::Fail, _) => Vec::new(),
        (RestoreMode::Replace, _) => replacing(server, options, how, &databases).await,
        (RestoreMode::Merge, _) => {
            vec![
                "writes into the collections as they are: a failure leaves what was written until then"
                    .to_owned(),
            ]
        }
    };
    if how.mode == RestoreMode::Replace && !target.empty {
        target.sessions = sessions::shown(server, &databases).await?;
    }
    Ok(target)
}

/// What a restore does to what is there, and what stays of it.
async fn replacing(
    server: &Server,
    options: &Options,
    how: &RestoreOptions,
    databases: &[String],
) -> Vec<String> {
    let mut told = vec![
        "each collection is loaded beside the old one and takes its place once all are loaded: a failure until then, or in it, \
         leaves what was there"
            .to_owned(),
    ];
    if options.drop_before {
        told.push("what was there is dropped once the restore has gone well".to_owned());
        return told;
    }
    let there = catalog::databases(server).await.unwrap_or_default();
    for db in databases {
        let before = before_name(db, &how.snapshot, &there);
        told.push(match may_keep(server, &before).await {
            true => format!("what was in `{db}` stays as the database `{before}` (the server copies it there)"),
            false => format!(
                "what was in `{db}` stays in it as `{BEFORE}{}-…`, because it can't be moved to the database `{before}`",
                how.snapshot
            ),
        });
    }
    told
}

/// What a database that was replaced is called: a name that none has.
pub(crate) fn before_name(db: &str, snapshot: &str, there: &[String]) -> String {
    let number = |count: usize| if count == 1 { String::new() } else { format!("_{count}") };
    let name = |count: usize| {
        let end = format!("_before_{snapshot}{}", number(count));
        // The longest name of a database is of 63 bytes.
        let mut room = 63_usize.saturating_sub(end.len()).min(db.len());
        while !db.is_char_boundary(room) {
            room -= 1;
        }
        format!("{}{end}", &db[..room])
    };
    (1..).map(name).find(|name| !there.contains(name)).unwrap_or_default()
}

/// Whether collections can be moved to the database `to`: not on a sharded cluster, and not without the right to write there.
pub(crate) async fn may_keep(server: &Server, to: &str) -> bool {
    if server.hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid") {
        return false;
    }
    let question = doc! { "connectionStatus": 1, "showPrivileges": true };
    let Ok(reply) = server.command("ask for our rights", "admin", question).await else { return true };
    let Ok(info) = reply.get_document("authInfo") else { return true };
    let list = |key: &str| info.get_array(key).map_or(&[][..], Vec::as_slice);
    let (privileges, roles) = (list("authenticatedUserPrivileges"), list("authenticatedUserRoles"));
    // Nobody signed in: the server asks nobody.
    list("authenticatedUsers").is_empty()
        || privileges.iter().any(|one| allows(one, to))
        || roles.iter().any(writes_everywhere)
}

/// For servers that name no single rights.
fn writes_everywhere(role: &Bson) -> bool {
    let name = role.as_document().and_then(|role| role.get_str("role").ok());
    name.is_some_and(|name| ["root", "restore", "readWriteAnyDatabase", "__system"].contains(&name))
}

fn allows(privilege: &Bson, db: &str) -> bool {
    let Some(privilege) = privilege.as_document() else { return false };
    let actions = privilege.get_array("actions").map_or(&[][..], Vec::as_slice);
    let may =
        |action: &str| actions.iter().any(|one| [Some(action), Some("anyAction")].contains(&one.as_str()));
    let Ok(resource) = privilege.get_document("resource") else { return false };
    let there = resource.get_bool("anyResource").unwrap_or(false)
        || (resource.get_str("collection").ok() == Some("")
            && ["", db].contains(&resource.get_str("db").unwrap_or("$")));
    there && may("insert") && may("createIndex")
}

/// What a restore would do to what is there, by the archive's prelude.
pub(crate) async fn preview(
    server: &Server,
    options: &Options,
    input: &dyn Inputs,
    how: &RestoreOptions,
) -> Result<Vec<String>> {
    let archive = open(input)?;
    let places = Places::of(&archive.entries, how, server.database.as_deref(), options.users)?;
    let (mut replaced, mut dropped) = (0, Vec::new());
    for db in databases_of(server, &places) {
        for one in present(server, &db).await? {
            let held = places.places.iter().any(|place| place.db == db && place.name == one.name);
            replaced += usize::from(held);
            if !held && goes(&one, how) {
                dropped.push(format!("`{}`", one.namespace()));
            }
        }
    }
    let mut told = match how.mode {
        RestoreMode::Merge => vec![format!("merges into {replaced} collections and views that are there")],
        _ => vec![format!("replaces {replaced} collections and views")],
    };
    if !dropped.is_empty() {
        told.push(format!("drops {} that aren't in the snapshot: {}", dropped.len(), dropped.join(", ")));
    }
    Ok(told)
}

/// Whether a restore drops this collection, which the snapshot doesn't hold.
pub(crate) fn goes(one: &Found, how: &RestoreOptions) -> bool {
    // No backup holds a time series, so that none is missing from a snapshot because it was dropped.
    how.mode == RestoreMode::Replace && how.only.is_empty() && one.kind != "timeseries"
}

/// What is in a database, without what a killed restore left.
pub(crate) async fn present(server: &Server, db: &str) -> Result<Vec<Found>> {
    let mut found = catalog::collections(server, db).await?;
    found.retain(|one| !catalog::is_ours(&one.name));
    Ok(found)
}

/// The archive among the streams.
pub(crate) fn open(input: &dyn Inputs) -> Result<Archive> {
    let streams = input.streams();
    let named = streams.iter().find(|(_, info)| info.stream_format == FORMAT);
    let (name, _) = named.or(streams.first()).ok_or_else(|| Error::damaged("the snapshot has no stream"))?;
    Archive::open(Box::new(Outside(outside(|| input.open(name))?)))
}

/// A reader that is called outside of the runtime.
struct Outside(Reader);

impl Read for Outside {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        outside(|| self.0.read(bytes))
    }
}

/// The databases that a restore writes to: also an empty one that a snapshot of nothing is restored to.
pub(crate) fn databases_of(server: &Server, places: &Places) -> Vec<String> {
    match &server.database {
        Some(name) => vec![name.clone()],
        None => places.databases().into_iter().map(str::to_owned).collect(),
    }
}

fn databases(server: &Server, how: &RestoreOptions) -> Result<Vec<String>> {
    if let Some(name) = &server.database {
        return Ok(vec![name.clone()]);
    }
    let recorded = how.contents.as_ref().and_then(|contents| contents.details.get("databases")?.as_array());
    let names: Vec<_> =
        recorded.into_iter().flatten().filter_map(|name| name.as_str()).map(str::to_owned).collect();
    if names.is_empty() {
        return Err(Error::new(ErrorKind::Config, "no database is named to restore to")
            .hint("Name it by the option `database`, as in `--set database=shop`."));
    }
    Ok(names)
}

/// The names of the collections that are chosen; none if all are.
fn only(how: &RestoreOptions) -> Result<Option<Vec<String>>> {
    if how.only.is_empty() {
        return Ok(None);
    }
    let recorded = how.contents.as_ref().and_then(|contents| contents.details.get("collections")?.as_array());
    let names = recorded.into_iter().flatten().filter_map(|one| one.get("name")?.as_str()?.split_once('.'));
    let names: Vec<_> = names.collect();
    if names.is_empty() {
        // A bare stream: with or without a database in front, each may be meant.
        let wanted = how.only.iter().map(ToString::to_string);
        let both =
            wanted.flat_map(|name| [name.split_once('.').map(|(_, rest)| rest.to_owned()), Some(name)]);
        return Ok(Some(both.flatten().collect()));
    }
    let chosen = select::only(&how.only, &names)?;
    Ok(Some(chosen.into_iter().map(|place| names[place].1.to_owned()).collect()))
}

#[cfg(test)]
mod tests {
    use bson::bson;

    use super::*;

    #[test]
    fn a_kept_database_gets_a_name_that_is_free_and_not_too_long() {
        let there = ["shop_before_1".to_owned()];
        assert_eq!(before_name("shop", "1", &[]), "shop_before_1");
        assert_eq!(before_name("shop", "1", &there), "shop_before_1_2");
        let long = before_name(&"é".repeat(31), "20260101T000000Z-k3f9", &[]);
        assert!(long.len() <= 63 && long.ends_with("é_before_20260101T000000Z-k3f9"), "{long}");
    }

    #[test]
    fn the_right_to_write_is_looked_for_in_what_the_server_says() {
        let privilege = |db: &str, actions: &[&str]| {
            let actions: Vec<_> = actions.iter().map(|&one| Bson::from(one)).collect();
            bson!({ "resource": { "db": db, "collection": "" }, "actions": actions })
        };
        assert!(allows(&privilege("", &["insert", "createIndex"]), "x"));
        assert!(allows(&privilege("x", &["insert", "createIndex"]), "x"));
        assert!(!allows(&privilege("y", &["insert", "createIndex"]), "x"));
        assert!(!allows(&privilege("", &["find"]), "x"));
        assert!(allows(&bson!({ "resource": { "anyResource": true }, "actions": ["anyAction"] }), "x"));
    }
}
