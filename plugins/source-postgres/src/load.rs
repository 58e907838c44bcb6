//! The stream of a snapshot and the program that loads it into a database: `pg_restore` for archives, `psql` for text.
//!
//! It is made before anything is touched, with all that can be judged of the stream by then, and used once.

use std::collections::BTreeSet;

use windlass_plugin_api::{Context, Error, ErrorKind, Inputs, Reader, RestoreOptions, Result, StreamInfo};

use crate::archives::Archives;
use crate::clear;
use crate::held::Held;
use crate::only::{self, Chosen};
use crate::options::Keep;
use crate::preflight;
use crate::programs::{Found, Program, Side, at_least, find};
use crate::script::Script;
use crate::server::{Login, Server, of_libpq};
use crate::target::{Look, Way};
use crate::toc::{Entry, Toc};
use crate::words::ident;
use crate::{CUSTOM, DATA, PLAIN};

/// An archive of more entries goes into a new database without one transaction around all: each table and index holds a
/// lock until the end of one, and servers have room for some 6,400 by default.
const MANY_ENTRIES: usize = 1500;

/// What will be loaded.
pub(crate) struct Load {
    reader: Reader,
    program: Found,
    kind: Kind,
    /// What of the snapshot can't come.
    pub left_out: Vec<String>,
}

enum Kind {
    Archive { extensions: Vec<(String, String)>, entries: usize, is_part: bool },
    Text,
}

impl Load {
    /// Opens the stream and judges it. `made` are roles that will be made before.
    pub(crate) fn prepare(
        cx: &Context,
        server: &Server<'_>,
        look: &Look,
        way: Way,
        input: &dyn Inputs,
        how: &RestoreOptions,
        made: &BTreeSet<String>,
    ) -> Result<Self> {
        let is_parallel = |(_, info): &(String, StreamInfo)| info.stream_format.starts_with("pg-parallel-");
        if input.streams().iter().any(is_parallel) {
            let archive = Archives::open(input)?.into_one()?;
            return Self::archive(cx, server, look, way, archive, how, made);
        }
        let format = format(input)?;
        let reader: Reader = Box::new(Held::new(input.open(DATA)?));
        match format.as_str() {
            PLAIN => Self::text(server, look, way, reader, how),
            _ => Self::archive(cx, server, look, way, Toc::read(reader)?, how, made),
        }
    }

    fn text(
        server: &Server<'_>,
        look: &Look,
        way: Way,
        reader: Reader,
        how: &RestoreOptions,
    ) -> Result<Self> {
        let unsupported = |what: &str| {
            Err(Error::new(ErrorKind::Unsupported, format!("a plain dump can't be restored {what}"))
                .hint("Back up with `format = \"custom\"`: a restore can choose from that."))
        };
        if !how.only.is_empty() {
            return unsupported("in parts");
        }
        let was_dropped = |key: &str| {
            let details = how.contents.as_ref().map(|contents| &contents.details);
            details.and_then(|details| details.get(key)).is_some_and(|value| value == "drop")
        };
        let options = server.options;
        if !options.role_map.is_empty()
            || options.owner == Keep::Drop && !was_dropped("owner")
            || options.privileges == Keep::Drop && !was_dropped("privileges")
        {
            return unsupported("with other owners or privileges than it was made with");
        }
        let program = server.psql().clone();
        let script = Script::new(&program, reader, look.about.major(), first(server, way).as_deref())?;
        Ok(Self { reader: Box::new(script), program, kind: Kind::Text, left_out: Vec::new() })
    }

    fn archive(
        cx: &Context,
        server: &Server<'_>,
        look: &Look,
        way: Way,
        (toc, rest): (Toc, Reader),
        how: &RestoreOptions,
        made: &BTreeSet<String>,
    ) -> Result<Self> {
        let program = chosen_program(cx, server, look, &toc)?;
        let extensions = preflight::extensions(cx, server, look, &toc, way == Way::Sibling)?;
        let is_part = !how.only.is_empty();
        let Chosen { ids, left_out } = match is_part {
            true => only::choose(&toc, &how.only, look.objects == 0)?,
            false => Chosen { ids: toc.entries.iter().map(|entry| entry.id).collect(), left_out: Vec::new() },
        };
        // Of an extension that somebody else made one may neither change the comment nor drop it.
        let spares_extensions = !look.about.superuser || way == Way::Over;
        let keep = |entry: &Entry| {
            let is_extension = entry.kind == "EXTENSION" && way == Way::Over;
            // Every database has it; a dump of chosen schemas makes it all the same.
            let makes_public = entry.kind == "SCHEMA"
                && entry.tag == "public"
                && entry.definition.starts_with("CREATE SCHEMA");
            let is_comment =
                entry.kind == "COMMENT" && entry.tag.starts_with("EXTENSION ") && spares_extensions;
            ids.contains(&entry.id) && !is_extension && !is_comment && !makes_public
        };
        let kept: Vec<&Entry> = toc.entries.iter().filter(|entry| keep(entry)).collect();
        preflight::roles(cx, server, look, &kept, made)?;
        let entries = kept.len();
        let reader = toc.reader(rest, first(server, way).as_deref(), keep, &server.options.role_map);
        Ok(Self { reader, program, kind: Kind::Archive { extensions, entries, is_part }, left_out })
    }

    /// Loads it into `database`. `Ok` only if the program said so and the stream was read to its end.
    pub(crate) fn run(self, cx: &Context, server: &Server<'_>, database: &str, way: Way) -> Result<()> {
        let conninfo = server.conninfo(Login::User, Some(database));
        let (args, is_part) = match &self.kind {
            Kind::Text => (text_args(&conninfo), false),
            Kind::Archive { extensions, entries, is_part } => {
                make_extensions(cx, server, database, extensions)?;
                (archive_args(server, &conninfo, way, *entries), *is_part)
            }
        };
        let tool = server.tool(cx, &self.program, Login::User, &args)?.allow_unread(is_part);
        let outcome = tool.load(cx, self.reader).map_err(of_libpq);
        if let (Err(_), Kind::Archive { extensions, .. }) = (&outcome, &self.kind) {
            drop_extensions(cx, server, database, extensions);
        }
        for line in outcome?.stderr.lines() {
            tracing::info!("{line}");
        }
        Ok(())
    }
}

/// The format of the one stream that holds the database; an archive if nobody said it.
fn format(input: &dyn Inputs) -> Result<String> {
    let streams = input.streams();
    let found = streams.iter().find(|(name, _)| name == DATA).map(|(_, info)| info.stream_format.as_str());
    match found {
        Some(format) if [CUSTOM, PLAIN, ""].contains(&format) => Ok(format.to_owned()),
        Some(format) => Err(Error::new(
            ErrorKind::Unsupported,
            format!("the stream format `{format}` is none of PostgreSQL's"),
        )),
        None => Err(Error::new(ErrorKind::Unsupported, format!("the snapshot has no stream `{DATA}`"))),
    }
}

/// What is run before all else.
fn first(server: &Server<'_>, way: Way) -> Option<String> {
    (way == Way::Clear).then(|| clear::sql(server.options.lock_timeout))
}

/// The oldest `pg_restore` that reads the archive; and it must write what the server knows.
fn chosen_program(cx: &Context, server: &Server<'_>, look: &Look, toc: &Toc) -> Result<Found> {
    let needed = toc.needed_major();
    let (major, minor) = toc.version;
    let why = format!("the archive (version {major}.{minor}, of a PostgreSQL {} server)", toc.server);
    let program =
        at_least(find(cx, server.options, Side::Restore, Program::Restore)?, Program::Restore, needed, &why)?;
    if program.major() >= 17 && look.about.major() < 17 {
        let message = format!(
            "`pg_restore` {} sets `transaction_timeout`, which the server (PostgreSQL {}) doesn't know",
            program.version, look.about.version
        );
        let hint = match needed >= 17 {
            true => {
                "The snapshot was made by pg_dump 17 or later: restore it to a server of version 17 or later."
                    .to_owned()
            }
            false => format!("Install the package `postgresql-client-{}`.", needed.max(look.about.major())),
        };
        return Err(Error::new(ErrorKind::Unsupported, message).hint(hint));
    }
    Ok(program)
}

fn text_args(conninfo: &str) -> Vec<String> {
    let mut args: Vec<String> =
        ["-X", "-q", "-w", "-v", "ON_ERROR_STOP=1", "--single-transaction", "-f", "-"]
            .map(str::to_owned)
            .into();
    args.push(format!("--dbname={conninfo}"));
    args
}

fn archive_args(server: &Server<'_>, conninfo: &str, way: Way, entries: usize) -> Vec<String> {
    let options = server.options;
    let mut args = vec!["--exit-on-error".to_owned(), "--no-password".to_owned()];
    if way != Way::Sibling || entries <= MANY_ENTRIES {
        args.push("--single-transaction".to_owned());
    }
    if way == Way::Over {
        args.extend(["--clean".to_owned(), "--if-exists".to_owned()]);
    }
    let drop = [(options.owner, "--no-owner"), (options.privileges, "--no-privileges")];
    args.extend(drop.iter().filter(|(keep, _)| *keep == Keep::Drop).map(|(_, word)| (*word).to_owned()));
    args.extend(options.restore_args.clone());
    args.push(format!("--dbname={conninfo}"));
    args
}

/// As the administrator; nothing of the archive but names goes into these statements.
fn make_extensions(
    cx: &Context,
    server: &Server<'_>,
    database: &str,
    extensions: &[(String, String)],
) -> Result<()> {
    for (name, schema) in extensions {
        let statement = format!("CREATE EXTENSION {} SCHEMA {}", ident(name), ident(schema));
        server.run(cx, Login::Admin, Some(database), &[&statement]).map_err(|error| {
            error.during(format!("can't make the extension `{name}` in the schema `{schema}`"))
        })?;
    }
    Ok(())
}

/// Those that were made for a restore that failed.
fn drop_extensions(cx: &Context, server: &Server<'_>, database: &str, extensions: &[(String, String)]) {
    for (name, _) in extensions {
        let statement = format!("DROP EXTENSION IF EXISTS {}", ident(name));
        if let Err(error) = server.clear_up(cx, Login::Admin, database, &[&statement]) {
            tracing::warn!("the extension `{name}` stays behind: {error}");
        }
    }
}
