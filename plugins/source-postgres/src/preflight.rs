//! What a snapshot needs of the server, asked before anything is touched: extensions and roles.

use std::collections::BTreeSet;

use windlass_plugin_api::{Contents, Context, Error, ErrorKind, Result};

use crate::extensions::Extensions;
use crate::facts::{self, Available, Role};
use crate::grants;
use crate::options::{Keep, Options};
use crate::server::Server;
use crate::target::Look;
use crate::toc::{Entry, Toc};
use crate::words::list;

/// By what the backup recorded: so that it is told before the user is asked.
pub(crate) fn recorded(cx: &Context, server: &Server<'_>, look: &Look, contents: &Contents) -> Result<()> {
    let names = contents.details.get("extensions").and_then(|names| names.as_array());
    let names: Vec<&str> = names.into_iter().flatten().filter_map(|name| name.as_str()).collect();
    if !names.is_empty() {
        judge_extensions(&facts::available(cx, server, &look.from)?, &names, look)?;
    }
    Ok(())
}

fn judge_extensions(available: &[Available], names: &[&str], look: &Look) -> Result<()> {
    let is_there = |name: &&&str| !available.iter().any(|one| one.name == **name);
    let missing: Vec<&&str> = names.iter().filter(is_there).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let message =
        format!("the server (PostgreSQL {}) hasn't the extensions {}", look.about.version, list(&missing));
    Err(Error::new(ErrorKind::Unsupported, message)
        .hint("Install their packages on the server, such as `postgresql-17-postgis-3`, and try again."))
}

/// What an administrator does about the archive's extensions: those to make aren't in the target yet, and `user` may not
/// make them.
pub(crate) fn extensions(
    cx: &Context,
    server: &Server<'_>,
    look: &Look,
    toc: &Toc,
    in_new_database: bool,
) -> Result<Extensions> {
    let user = look.about.user.clone();
    let nothing = |user| Extensions { missing: Vec::new(), lent: Vec::new(), user };
    let names: Vec<&str> = toc.extensions().map(|entry| entry.tag.as_str()).collect();
    if names.is_empty() {
        return Ok(nothing(user));
    }
    let available = facts::available(cx, server, &look.from)?;
    judge_extensions(&available, &names, look)?;
    if look.about.superuser {
        return Ok(nothing(user));
    }
    let there = match in_new_database {
        true => Vec::new(),
        false => facts::others(cx, server, Some(&look.name))?.extensions,
    };
    let only_admin = |entry: &&Entry| available.iter().any(|one| one.name == entry.tag && one.superuser);
    let needed = toc.extensions().filter(only_admin).filter(|entry| !there.contains(&entry.tag));
    let needed: Vec<(String, String)> = needed.map(|entry| (entry.tag.clone(), schema_of(entry))).collect();
    if !needed.is_empty() && server.options.admin_user.is_none() {
        let names: Vec<&String> = needed.iter().map(|(name, _)| name).collect();
        let message = format!("`{}` may not make the extensions {}", look.about.user, list(&names));
        return Err(Error::new(ErrorKind::Denied, message)
            .hint("Name a superuser in `admin_user` and `admin_password`, who makes them before the rest is restored."));
    }
    let lent = toc.extensions().filter(only_admin).filter(|_| server.options.admin_user.is_some());
    Ok(Extensions { missing: needed, lent: lent.map(|entry| entry.tag.clone()).collect(), user })
}

/// The schema behind `WITH SCHEMA` in what `pg_dump` writes.
fn schema_of(entry: &Entry) -> String {
    let schema = entry.definition.rsplit_once(" WITH SCHEMA ").map_or("public", |(_, schema)| schema);
    let schema = schema.trim().trim_end_matches(';');
    match schema.strip_prefix('"').and_then(|schema| schema.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => schema.to_owned(),
    }
}

/// Every role that the archive names must be there, or among those `made` before it is read.
pub(crate) fn roles(
    cx: &Context,
    server: &Server<'_>,
    look: &Look,
    entries: &[&Entry],
    made: &BTreeSet<String>,
) -> Result<()> {
    let options = server.options;
    let there = facts::roles(cx, server, &look.from)?;
    let (owners, named) = wanted(options, entries);
    let missing: Vec<&String> = named
        .iter()
        .filter(|name| !made.contains(*name) && !there.iter().any(|role| role.name == **name))
        .collect();
    if !missing.is_empty() {
        let message = format!("the snapshot names roles that the server hasn't: {}", list(&missing));
        return Err(Error::new(ErrorKind::NotFound, message).hint(
            "Make them, call them otherwise with `role_map`, or leave them away with `owner = \"drop\"` and `privileges = \"drop\"`.",
        ));
    }
    let is_foreign = |role: &&Role| !role.ours && owners.contains(&role.name);
    let foreign: Vec<&String> = there.iter().filter(is_foreign).map(|role| &role.name).collect();
    if !foreign.is_empty() && !look.about.superuser {
        let user = &look.about.user;
        let message = format!("`{user}` may not give objects to {}: it isn't a member", list(&foreign));
        return Err(Error::new(ErrorKind::Denied, message).hint(
            "Set `owner = \"drop\"`, which gives them to who restores, use `role_map`, or restore as a superuser.",
        ));
    }
    Ok(())
}

/// Owners, and all roles, as they will be called.
fn wanted(options: &Options, entries: &[&Entry]) -> (BTreeSet<String>, BTreeSet<String>) {
    let called = |name: &str| options.role_map.get(name).cloned().unwrap_or_else(|| name.to_owned());
    let mut owners = BTreeSet::new();
    if options.owner == Keep::Keep {
        // A schema's owner may be a role that every database has for its own owner.
        let owned = entries.iter().filter(|entry| !entry.owner.is_empty() && !entry.kind.contains("ACL"));
        owners.extend(owned.map(|entry| called(&entry.owner)).filter(|owner| owner != "pg_database_owner"));
    }
    let mut named = owners.clone();
    if options.privileges == Keep::Keep {
        let granted = entries.iter().filter(|entry| entry.kind.contains("ACL"));
        named.extend(granted.flat_map(|entry| grants::roles(&entry.definition)).map(|role| called(&role)));
    }
    (owners, named)
}
