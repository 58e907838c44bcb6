//! Probe and backup: looks, chooses the program, and pipes `pg_dump` into the stream.
//!
//! The snapshot is as consistent as `pg_dump` makes it: one transaction that sees one moment. Its verdict is the program's
//! exit status and, of SQL text, the comment at its end.

use serde_json::json;
use windlass_plugin_api::{Contents, Context, Error, ErrorKind, Outputs, Probe, Result, StreamInfo};

use crate::dump::{End, dump_arguments, write};
use crate::facts;
use crate::options::{Format, Options};
use crate::parallel;
use crate::programs::{Program, Side, at_least, find};
use crate::script::{DUMP_END, GLOBALS_END};
use crate::server::Login;
use crate::survey::Survey;
use crate::words::list;
use crate::{CUSTOM, DATA, GLOBALS, GLOBALS_FORMAT, PARALLEL, PLAIN};

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
    let (format, relations) = match options.format {
        Format::Parallel => (PARALLEL, parallel::dump(cx, &survey, out)?),
        Format::Custom => (CUSTOM, one(cx, &survey, out, CUSTOM, End::Archive)?),
        Format::Plain => (PLAIN, one(cx, &survey, out, PLAIN, End::Comment(DUMP_END))?),
    };
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

/// The one stream of the formats `custom` and `plain`. Gives the relations that are in it.
fn one(
    cx: &Context,
    survey: &Survey<'_>,
    out: &dyn Outputs,
    format: &str,
    end: End,
) -> Result<Vec<facts::Relation>> {
    let sink = out.create(DATA, StreamInfo::new(format).size_hint(survey.estimate()))?;
    let tool = survey.server.tool(cx, &survey.dump, Login::User, &arguments(survey))?;
    write(cx, &tool, sink, end)?;
    Ok(survey.selection.relations.clone())
}

fn arguments(survey: &Survey<'_>) -> Vec<String> {
    let options = survey.server.options;
    let (format, mut own) = match options.format {
        // Of an archive a restore can choose; of text it can't.
        Format::Plain => ("plain", options.dropped().collect()),
        _ => ("custom", Vec::new()),
    };
    own.extend(survey.selection.arguments.clone());
    dump_arguments(survey, format, options.lock_timeout, own)
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
