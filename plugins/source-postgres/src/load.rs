//! The stream of a snapshot and the program that loads it into a database: `pg_restore` for archives, `psql` for text.
//!
//! It is made before anything is touched, with all that can be judged of the stream by then, and used once.

use std::collections::BTreeSet;
use std::io;

use windlass_plugin_api::{Context, Error, ErrorKind, Inputs, Reader, RestoreOptions, Result, StreamInfo};

use crate::archives::Archives;
use crate::clear;
use crate::extensions::Extensions;
use crate::held_end::Held;
use crate::only::{self, Chosen};
use crate::options::Keep;
use crate::parts::Parts;
use crate::preflight;
use crate::programs::{Found, Program, Side, at_least, find};
use crate::script::Script;
use crate::server::{Login, Server, of_libpq};
use crate::target::{Look, Way};
use crate::toc::{Entry, Own, Toc};
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
    Archive { extensions: Extensions, entries: usize, is_part: bool, parts: Option<Parts> },
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
            let archives = Archive::Several(Archives::open(input)?);
            return Self::archive(cx, server, look, way, archives, how, made);
        }
        let format = format(input)?;
        let reader: Reader = Box::new(Held::new(input.open(DATA)?));
        match format.as_str() {
            PLAIN => Self::text(server, look, way, reader, how),
            _ => {
                let (toc, rest) = Toc::read(reader)?;
                Self::archive(cx, server, look, way, Archive::One(toc, rest), how, made)
            }
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
        archive: Archive,
        how: &RestoreOptions,
        made: &BTreeSet<String>,
    ) -> Result<Self> {
        let toc = archive.toc()?;
        let program = chosen_program(cx, server, look, &toc)?;
        let extensions = preflight::extensions(cx, server, look, &toc, way == Way::Sibling)?;
        let is_part = !how.only.is_empty();
        let chosen = match is_part {
            true => Some(only::choose(&toc, &how.only, look.objects == 0)?),
            false => None,
        };
        let is_chosen = |entry: &Entry| chosen.as_ref().is_none_or(|chosen| chosen.ids.contains(&entry.id));
        let is_ours = is_ours(look, way);
        let keep = |entry: &Entry| is_chosen(entry) && is_ours(entry);
        let kept: Vec<&Entry> = toc.entries.iter().filter(|entry| keep(entry)).collect();
        preflight::roles(cx, server, look, &kept, made)?;
        let entries = kept.len();
        let (reader, parts) = match archive {
            // What takes the name of the target only when it is whole needs no transaction around all.
            Archive::Several(archives) if way == Way::Sibling && !is_part => {
                (Box::new(io::empty()) as Reader, Some(Parts::new(archives, server, is_ours)))
            }
            archive => {
                let (toc, rest) = archive.into_one()?;
                (toc.reader(rest, &own(server, way), keep, &server.options.role_map), None)
            }
        };
        let left_out = chosen.map(|Chosen { left_out, .. }| left_out).unwrap_or_default();
        Ok(Self { reader, program, kind: Kind::Archive { extensions, entries, is_part, parts }, left_out })
    }

    /// Loads it into `database`. `Ok` only if the program said so and the stream was read to its end.
    pub(crate) fn run(self, cx: &Context, server: &Server<'_>, database: &str, way: Way) -> Result<()> {
        let conninfo = server.conninfo(Login::User, Some(database));
        let Kind::Archive { extensions, entries, is_part, parts } = self.kind else {
            return load(cx, server, &self.program, &text_args(&conninfo), self.reader, false);
        };
        extensions.make(cx, server, database).inspect_err(|_| extensions.unmake(cx, server, database))?;
        let outcome = match parts {
            Some(parts) => parts.run(cx, server, &self.program, &common_args(server, &conninfo)),
            None => {
                let args = archive_args(server, &conninfo, way, entries);
                load(cx, server, &self.program, &args, self.reader, is_part)
            }
        };
        outcome.inspect_err(|_| extensions.unmake(cx, server, database))?;
        extensions.take_back(cx, server, database)
    }
}

/// Feeds `reader` to `program`.
fn load(
    cx: &Context,
    server: &Server<'_>,
    program: &Found,
    args: &[String],
    reader: Reader,
    is_part: bool,
) -> Result<()> {
    let tool = server.tool(cx, program, Login::User, args)?.allow_unread(is_part);
    for line in tool.load(cx, reader).map_err(of_libpq)?.stderr.lines() {
        tracing::info!("{line}");
    }
    Ok(())
}

/// Which entries are for who restores: not what every database has, or what somebody else made.
fn is_ours(look: &Look, way: Way) -> impl Fn(&Entry) -> bool + Copy {
    // Of an extension that somebody else made one may neither change the comment nor drop it.
    let spares_extensions = !look.about.superuser || way == Way::Over;
    move |entry: &Entry| {
        let is_extension = entry.kind == "EXTENSION" && way == Way::Over;
        // Every database has it; a dump of chosen schemas makes it all the same.
        let makes_public =
            entry.kind == "SCHEMA" && entry.tag == "public" && entry.definition.starts_with("CREATE SCHEMA");
        let is_comment = entry.kind == "COMMENT" && entry.tag.starts_with("EXTENSION ") && spares_extensions;
        !is_extension && !is_comment && !makes_public
    }
}

/// An archive as it comes.
enum Archive {
    /// In one stream.
    One(Toc, Reader),
    /// Of a parallel dump.
    Several(Archives),
}

impl Archive {
    fn toc(&self) -> Result<Toc> {
        match self {
            Self::One(toc, _) => Ok(toc.clone()),
            Self::Several(archives) => archives.toc(),
        }
    }

    fn into_one(self) -> Result<(Toc, Reader)> {
        match self {
            Self::One(toc, rest) => Ok((toc, rest)),
            Self::Several(archives) => archives.into_one(),
        }
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

/// The same for an archive, and how long it waits for locks where it drops: `pg_restore` itself waits for ever.
fn own(server: &Server<'_>, way: Way) -> Own {
    let wait = || format!("SET lock_timeout = '{}s';\n", server.options.lock_timeout);
    match (first(server, way), way) {
        (Some(sql), _) => Own::First(sql),
        (None, Way::Over) => Own::BeforeDrops(wait()),
        (None, _) => Own::Nothing,
    }
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
    let mut args = common_args(server, conninfo);
    if way != Way::Sibling || entries <= MANY_ENTRIES {
        args.push("--single-transaction".to_owned());
    }
    if way == Way::Over {
        args.extend(["--clean".to_owned(), "--if-exists".to_owned()]);
    }
    args
}

fn common_args(server: &Server<'_>, conninfo: &str) -> Vec<String> {
    let options = server.options;
    let mut args = vec!["--exit-on-error".to_owned(), "--no-password".to_owned()];
    args.extend(options.dropped());
    args.extend(options.restore_args.clone());
    args.push(format!("--dbname={conninfo}"));
    args
}
