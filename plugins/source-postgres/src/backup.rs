//! Probe and backup: looks, chooses the program, and pipes `pg_dump` into the stream.
//!
//! The snapshot is as consistent as `pg_dump` makes it: one transaction that sees one moment. Its verdict is the program's
//! exit status and, of SQL text, the comment at its end.

use std::io::{self, Write};

use serde_json::json;
use windlass_plugin_api::{Contents, Context, Error, ErrorKind, Outputs, Probe, Result, Sink, StreamInfo};

use crate::facts::{self, About, Others, Relation};
use crate::options::{Format, Keep, Options};
use crate::programs::{Found, Program, Side, at_least, find};
use crate::script::{DUMP_END, GLOBALS_END, TAIL, holds, no_end};
use crate::select::{Selection, select};
use crate::server::{Login, Server, of_libpq};
use crate::words::list;
use crate::{CUSTOM, DATA, GLOBALS, GLOBALS_FORMAT, PLAIN};

/// What a backup knows before it begins.
struct Survey<'a> {
    server: Server<'a>,
    about: About,
    others: Others,
    selection: Selection,
    dump: Found,
}

impl<'a> Survey<'a> {
    fn take(cx: &Context, options: &'a Options) -> Result<Self> {
        let server = Server::new(cx, options, Side::Backup)?;
        let about = facts::about(cx, &server, None)?;
        let why = format!("the server (PostgreSQL {})", about.version);
        let dump =
            at_least(find(cx, options, Side::Backup, Program::Dump)?, Program::Dump, about.major(), &why)?;
        let relations = facts::relations(cx, &server, None)?;
        let schemas = facts::schemas(cx, &server, None)?;
        let selection = select(options, relations, &schemas)?;
        let others = facts::others(cx, &server, None)?;
        Ok(Self { server, about, others, selection, dump })
    }

    fn estimate(&self) -> u64 {
        self.selection.relations.iter().map(|relation| relation.bytes).sum()
    }

    fn tool_versions(&self) -> [(String, String); 2] {
        let server = ("server".to_owned(), self.about.version.clone());
        [server, ("pg_dump".to_owned(), self.dump.version.to_string())]
    }

    /// What the user should know of this database, whatever is done with it.
    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.dump.major() > self.about.major() {
            warnings.push(format!(
                "The dump is written by pg_dump {}: an older server may not load it, also not the one it comes from (PostgreSQL {}).",
                self.dump.version, self.about.version
            ));
        }
        if let Some(count) = self.others.subscriptions.filter(|count| *count > 0) {
            warnings.push(format!("{count} subscriptions are restored disabled, and only by a superuser."));
        }
        if self.others.unlogged > 0 && self.about.standby {
            warnings.push(
                "The rows of unlogged tables aren't on a standby, and so not in the backup.".to_owned(),
            );
        }
        warnings
    }

    fn missing(&self) -> Vec<String> {
        let of = |wanted: fn(&&Relation) -> bool| -> Vec<String> {
            self.selection.relations.iter().filter(wanted).map(Relation::dotted).collect()
        };
        let user = &self.about.user;
        let mut missing = Vec::new();
        let unreadable =
            of(|relation| !relation.readable && ["r", "p", "S"].contains(&relation.kind.as_str()));
        if !unreadable.is_empty() {
            missing.push(format!(
                "`{user}` may not read {}: a backup fails until it may, or they are excluded.",
                list(&unreadable)
            ));
        }
        let filtered = of(|relation| relation.readable && relation.filtered && relation.kind == "r");
        if !filtered.is_empty() {
            missing.push(format!(
                "Row security hides rows of {} from `{user}`: a backup fails until it has `BYPASSRLS`, or they are excluded.",
                list(&filtered)
            ));
        }
        missing
    }
}

/// Looks without touching.
pub(crate) fn probe(cx: &Context, options: &Options) -> Result<Probe> {
    let survey = Survey::take(cx, options)?;
    let mut probe = Probe {
        estimate_bytes: Some(survey.estimate()),
        versions: survey.tool_versions().into(),
        warnings: survey.warnings(),
        missing: survey.missing(),
        ..Probe::default()
    };
    let place = survey.server.place(&survey.about.database);
    probe.notes.push(format!("The database is {place}, PostgreSQL {}.", survey.about.version));
    probe.notes.push(format!("It is dumped by `{}`, version {}.", survey.dump.place, survey.dump.version));
    if !options.globals {
        probe.notes.push(
            "Roles and tablespaces aren't in the backup: set `globals = true` to have them.".to_owned(),
        );
    }
    if !survey.others.extensions.is_empty() {
        let names = list(&survey.others.extensions);
        probe.notes.push(format!(
            "A restore needs the extensions {names} on its server: they aren't in the backup."
        ));
    }
    Ok(probe)
}

/// Writes the streams.
pub(crate) fn backup(cx: &Context, options: &Options, out: &dyn Outputs) -> Result<Contents> {
    let survey = Survey::take(cx, options)?;
    if let [first, ..] = survey.missing().as_slice() {
        return Err(Error::new(ErrorKind::Denied, first.trim_end_matches('.'))
            .hint("Grant what is missing, or exclude those tables."));
    }
    let database = facts::database(cx, &survey.server, &survey.about.database, &survey.about.database)?;
    if options.globals {
        globals(cx, &survey, out)?;
    }
    let format = if options.format == Format::Custom { CUSTOM } else { PLAIN };
    let sink = out.create(DATA, StreamInfo::new(format).size_hint(survey.estimate()))?;
    let end = if options.format == Format::Custom { End::Archive } else { End::Comment(DUMP_END) };
    let tool = survey.server.tool(cx, &survey.dump, Login::User, &arguments(&survey))?;
    write(cx, &tool, sink, end)?;
    let relations = &survey.selection.relations;
    let details = json!({
        "stream_format": format,
        "database": survey.about.database,
        "properties": database.as_ref().map(|database| &database.row),
        "encoding": database.as_ref().map(|database| &database.encoding),
        "extensions": survey.others.extensions,
        "large_objects": survey.others.large_objects,
        "relations": relations,
        "owner": options.owner,
        "privileges": options.privileges,
    });
    Ok(Contents {
        consistency_point: survey.about.lsn.as_ref().map(|lsn| format!("one moment at or after LSN {lsn}")),
        versions: survey.tool_versions().into(),
        details: details.as_object().cloned().unwrap_or_default(),
        ..Contents::default()
    })
}

fn arguments(survey: &Survey<'_>) -> Vec<String> {
    let options = survey.server.options;
    let mut arguments = vec![
        match options.format {
            Format::Custom => "--format=custom".to_owned(),
            Format::Plain => "--format=plain".to_owned(),
        },
        // The pipeline's filters compress, and better.
        "--compress=0".to_owned(),
        "--no-password".to_owned(),
        format!("--lock-wait-timeout={}s", options.lock_timeout),
    ];
    if options.format == Format::Plain {
        // Of an archive a restore can choose; of text it can't.
        let drop = [(options.owner, "--no-owner"), (options.privileges, "--no-privileges")];
        arguments
            .extend(drop.iter().filter(|(keep, _)| *keep == Keep::Drop).map(|(_, word)| (*word).to_owned()));
    }
    arguments.extend(survey.selection.arguments.clone());
    arguments.extend(options.dump_args.clone());
    arguments.push(format!("--dbname={}", survey.server.conninfo(Login::User, None)));
    arguments
}

/// Roles and tablespaces.
fn globals(cx: &Context, survey: &Survey<'_>, out: &dyn Outputs) -> Result<()> {
    let options = survey.server.options;
    let why = format!("the server (PostgreSQL {})", survey.about.version);
    let all = find(cx, options, Side::Backup, Program::DumpAll)?;
    let found = at_least(all, Program::DumpAll, survey.about.major(), &why)?;
    let mut arguments = vec!["--globals-only".to_owned(), "--no-password".to_owned()];
    if !options.role_passwords {
        arguments.push("--no-role-passwords".to_owned());
    }
    arguments.push(format!("--database={}", survey.about.database));
    arguments.push(format!("--dbname={}", survey.server.conninfo(Login::User, None)));
    let tool = survey.server.tool(cx, &found, Login::User, &arguments)?;
    let sink = out.create(GLOBALS, StreamInfo::new(GLOBALS_FORMAT))?;
    write(cx, &tool, sink, End::Comment(GLOBALS_END))
}

/// How a whole dump is known.
enum End {
    /// It begins as an archive does; its end is the program's exit status alone.
    Archive,
    /// This comment stands in its last lines.
    Comment(&'static [u8]),
}

/// Runs `tool` into `sink`, and finishes that if the dump is whole.
fn write(cx: &Context, tool: &windlass_tool::Tool, sink: Box<dyn Sink>, end: End) -> Result<()> {
    let mut watched = Watched { sink, first: Vec::new(), last: Vec::new() };
    let outcome = tool.dump(cx, &mut watched).map_err(of_libpq)?;
    let whole = match end {
        End::Archive => watched.first == b"PGDMP",
        End::Comment(comment) => holds(&watched.last, comment),
    };
    if !whole {
        let mut error = no_end();
        error.kind = ErrorKind::Failed;
        return Err(error
            .during("the dump program ended well and its output isn't whole")
            .detail("stderr", outcome.stderr));
    }
    for line in outcome.stderr.lines() {
        tracing::info!("{line}");
    }
    watched.sink.finish()?;
    Ok(())
}

/// A sink whose first and last bytes are remembered.
struct Watched {
    sink: Box<dyn Sink>,
    first: Vec<u8>,
    last: Vec<u8>,
}

impl Write for Watched {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.sink.write(bytes)?;
        let taken = &bytes[..count];
        self.first.extend(taken.iter().take(5 - self.first.len().min(5)));
        self.last.extend_from_slice(&taken[taken.len().saturating_sub(TAIL)..]);
        self.last.drain(..self.last.len().saturating_sub(TAIL));
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}
