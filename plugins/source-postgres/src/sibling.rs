//! A database beside the target that is filled and then takes its name.
//!
//! `CREATE DATABASE` is no part of a transaction, but renaming two databases is: at every moment there is a whole database of
//! that name, and what replaces it never had the name while it was half. A sibling of a run that died is known by its
//! comment, or by being empty, and dropped by the next restore of the same snapshot; others are told.

use std::thread;

use serde_json::Value;
use windlass_plugin_api::{Context, Error, ErrorKind, RestoreOptions, Result};

use crate::facts::{self, Database};
use crate::load::Load;
use crate::server::{Login, Server};
use crate::target::{Look, Way, before, shortened};
use crate::words::{ident, literal};

/// The comment by which a sibling is known.
const MARK: &str = "windlass: a restore in progress";

/// How often sessions that come back are ended.
const ROUNDS: u32 = 3;

/// Restores into a sibling and swaps. Gives a sentence on what became of the old database.
pub(crate) fn restore(
    cx: &Context,
    server: &Server<'_>,
    look: &Look,
    load: Load,
    how: &RestoreOptions,
) -> Result<Vec<String>> {
    let sibling = shortened(&look.name, &format!("_new_{}", how.snapshot));
    create(cx, server, look, &sibling, how)?;
    let kept = load
        .run(cx, server, &sibling, Way::Sibling)
        .and_then(|()| cx.go_on())
        .and_then(|()| take_over(cx, server, look, &sibling, how));
    if kept.is_err() {
        remove(cx, server, look, &sibling);
    }
    kept
}

fn create(cx: &Context, server: &Server<'_>, look: &Look, sibling: &str, how: &RestoreOptions) -> Result<()> {
    let comment = format!(
        "SELECT coalesce((SELECT to_json(coalesce(shobj_description(oid, 'pg_database'), '')) FROM pg_database \
         WHERE datname = {}), 'null'::json)",
        literal(sibling)
    );
    let leftover: Option<String> = server.ask(cx, Some(&look.from), &comment)?;
    match leftover.as_deref() {
        None => {}
        // It died before it could say so: a moment after it made the database.
        Some(text) if text == MARK || facts::objects(cx, server, sibling)? == 0 => {
            run(cx, server, look, &[&format!("DROP DATABASE {}", ident(sibling))]).map_err(|error| {
                error.during(format!("can't drop `{sibling}`, which a restore left that died"))
            })?
        }
        Some(_) => {
            let message = format!("there is a database `{sibling}` already");
            return Err(Error::new(ErrorKind::AlreadyExists, message));
        }
    }
    let statement = format!("CREATE DATABASE {}{}", ident(sibling), properties(look, how));
    let mark = format!("COMMENT ON DATABASE {} IS {}", ident(sibling), literal(MARK));
    run(cx, server, look, &[&statement]).map_err(|error| {
        let is_locale = ["locale", "encoding"].iter().any(|word| error.one_line().contains(word));
        let error = error.during(format!("can't make the database `{sibling}`"));
        match is_locale {
            true => error.hint(
                "If the server lacks the locale, make the target by hand with another one and restore into it.",
            ),
            false => error,
        }
    })?;
    run(cx, server, look, &[&mark]).inspect_err(|_| remove(cx, server, look, sibling))
}

/// A sentence for each sibling that another restore to the same target left, or still fills.
pub(crate) fn leftovers(cx: &Context, server: &Server<'_>, look: &Look) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT coalesce(json_agg(datname ORDER BY datname), '[]') FROM pg_database \
         WHERE starts_with(datname, {}) AND datname ~ '_new_[0-9]{{8}}T[0-9]{{6}}Z-'",
        literal(&format!("{}_new_", look.name))
    );
    let names: Vec<String> = server.ask(cx, Some(&look.from), &sql)?;
    let tell = |name: String| {
        format!(
            "The database `{name}` is of another restore, which died or still runs: drop it when it isn't needed."
        )
    };
    Ok(names.into_iter().map(tell).collect())
}

/// The properties of the database that is replaced, or else of the one that was backed up.
fn properties(look: &Look, how: &RestoreOptions) -> String {
    let recorded = how.contents.as_ref().map(|contents| &contents.details);
    let (row, encoding) = match &look.database {
        Some(database) => (Some(&database.row), Some(database.encoding.as_str())),
        None => (
            recorded.and_then(|details| details.get("properties")),
            recorded.and_then(|details| details.get("encoding")).and_then(Value::as_str),
        ),
    };
    let text =
        |key: &str| row.and_then(|row| row.get(key)).and_then(Value::as_str).filter(|text| !text.is_empty());
    let mut words = " TEMPLATE template0".to_owned();
    let mut add = |word: &str, value: Option<&str>| {
        if let Some(value) = value {
            words.push_str(&format!(" {word} {}", literal(value)));
        }
    };
    add("ENCODING", encoding);
    add("LC_COLLATE", text("datcollate"));
    add("LC_CTYPE", text("datctype"));
    // Which columns hold the locale depends on the server's version.
    let locale = text("datlocale").or(text("daticulocale"));
    match text("datlocprovider") {
        Some("i") => {
            add("LOCALE_PROVIDER", Some("icu"));
            add("ICU_LOCALE", locale);
        }
        Some("b") => {
            add("LOCALE_PROVIDER", Some("builtin"));
            add("BUILTIN_LOCALE", locale);
        }
        _ => {}
    }
    if let Some(Database { owner, tablespace, .. }) = &look.database {
        words.push_str(&format!(" OWNER {}", ident(owner)));
        // To name the default one takes a right that few have.
        if tablespace != "pg_default" {
            words.push_str(&format!(" TABLESPACE {}", ident(tablespace)));
        }
    }
    words
}

/// Gives the sibling the target's name.
fn take_over(
    cx: &Context,
    server: &Server<'_>,
    look: &Look,
    sibling: &str,
    how: &RestoreOptions,
) -> Result<Vec<String>> {
    let (name, new) = (ident(&look.name), ident(sibling));
    if look.database.is_none() {
        let unmark = format!("COMMENT ON DATABASE {new} IS NULL; ALTER DATABASE {new} RENAME TO {name}");
        run(cx, server, look, &[&unmark])?;
        return Ok(Vec::new());
    }
    let settings = facts::settings(cx, server, &look.from, &look.name, sibling)?;
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    run(cx, server, look, &settings)
        .map_err(|error| error.during("can't give the new database the old one's settings"))?;
    let old = free_name(cx, server, look, how)?;
    let swap =
        format!("ALTER DATABASE {name} RENAME TO {0}; ALTER DATABASE {new} RENAME TO {name}", ident(&old));
    swap_databases(cx, server, look, &swap)?;
    if !server.options.drop_before && look.objects > 0 {
        return Ok(vec![format!(
            "What was there is the database `{old}` now: drop it when it isn't needed."
        )]);
    }
    match run(cx, server, look, &[&format!("DROP DATABASE {}", ident(&old))]) {
        Ok(()) => Ok(Vec::new()),
        Err(error) => {
            Ok(vec![format!("What was there is the database `{old}` now, and couldn't be dropped: {error}.")])
        }
    }
}

/// A rename waits up to 5 s for other sessions to end, and lets nobody in meanwhile. So those that are there are ended while
/// it waits, and whoever comes back at once waits until it is done, and finds the new database.
fn swap_databases(cx: &Context, server: &Server<'_>, look: &Look, swap: &str) -> Result<()> {
    let end = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = {} AND pid <> pg_backend_pid()",
        literal(&look.name)
    );
    let mut last = None;
    for _ in 0..if server.options.force { ROUNDS } else { 1 } {
        let swapped = thread::scope(|scope| {
            let swapping = scope.spawn(|| run(cx, server, look, &[swap]));
            if server.options.force {
                run(cx, server, look, &[&end])
                    .map_err(|error| error.during("can't end the sessions of others"))?;
            }
            swapping.join().unwrap_or_else(|_| Err(Error::failed("the swap panicked")))
        });
        match swapped {
            Ok(()) => return Ok(()),
            Err(error) => last = Some(error),
        }
        cx.go_on()?;
    }
    let error = last.unwrap_or_else(|| Error::failed("it was never tried"));
    let is_in_use = error.one_line().contains("being accessed by other users");
    let mut error = error.during(format!("can't swap the databases: `{}` is as it was", look.name));
    if is_in_use {
        error.kind = ErrorKind::Refused;
        error = error.hint("End the sessions that use it, or let the restore do it with `--force`.");
    }
    Err(error)
}

/// `<name>_before_<snapshot>`, with a number where that is taken.
fn free_name(cx: &Context, server: &Server<'_>, look: &Look, how: &RestoreOptions) -> Result<String> {
    let taken: Vec<String> = server.ask(cx, Some(&look.from), "SELECT json_agg(datname) FROM pg_database")?;
    let numbered = |number: u32| match number {
        1 => before(&look.name, &how.snapshot),
        number => before(&look.name, &format!("{}_{number}", how.snapshot)),
    };
    (1..=1000).map(numbered).find(|name| !taken.contains(name)).ok_or_else(|| {
        Error::new(ErrorKind::AlreadyExists, "there are too many databases that were replaced")
    })
}

/// Drops the sibling after a failure.
fn remove(cx: &Context, server: &Server<'_>, look: &Look, sibling: &str) {
    let end = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = {} AND usename = current_user",
        literal(sibling)
    );
    let statement = format!("DROP DATABASE IF EXISTS {}", ident(sibling));
    if let Err(error) = server.clear_up(cx, Login::User, &look.from, &[&end, &statement]) {
        tracing::warn!("the database `{sibling}` stays behind: {error}");
    }
}

fn run(cx: &Context, server: &Server<'_>, look: &Look, statements: &[&str]) -> Result<()> {
    server.run(cx, Login::User, Some(&look.from), statements).map(|_| ())
}
