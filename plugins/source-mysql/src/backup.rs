//! The backup: one run of the dump program, in one transaction, whatever the number of databases.

use std::collections::BTreeMap;

use windlass_plugin_api::{Contents, Context, Error, ErrorKind, Outputs, Probe, Result, StreamInfo};

use crate::about::About;
use crate::claim;
use crate::errors::explained;
use crate::facts::Database;
use crate::options::Options;
use crate::select::{Selection, select};
use crate::server::Server;
use crate::survey::Survey;
use crate::trailer::Watched;
use crate::which::Which;
use crate::{FORMAT, Mysql, SEVERAL, STREAM, users};

/// Looks without touching.
pub(crate) fn probe(cx: &Context, source: &Mysql) -> Result<Probe> {
    let server = Server::new(cx, source)?;
    let options = server.options;
    server.prove_tls()?;
    let mut probe = Probe::default();
    if !server.programs.client(&server)?.knows("--sandbox") {
        probe.notes.push(
            "The client has no `--sandbox`: `--binary-mode` alone keeps a restore from running commands."
                .to_owned(),
        );
    }
    if options.databases.is_empty() && server.database().is_err() {
        probe.notes.push("No database is named: this source can only list them.".to_owned());
        probe.versions = versions(&server, &About::of(&server)?)?;
        return Ok(probe);
    }
    let which = Which::of(&server)?;
    let survey = Survey::take(&server, &which, existing(&server, &which)?)?;
    let selection = select(options, &survey.databases, which.is_several())?;
    probe.versions = versions(&server, &survey.about)?;
    probe.estimate_bytes = Some(estimate(&selection));
    probe.warnings = survey.warnings(&selection)?;
    for name in which.names() {
        let left = claim::left(&server, &survey.about, name)?;
        probe.warnings.extend(left.iter().map(|left| {
            format!("A restore that died left the database `{left}`: the next restore to `{name}` drops it.")
        }));
    }
    probe.missing = survey.missing()?;
    probe.notes.extend(survey.notes());
    Ok(probe)
}

/// Writes the dump.
pub(crate) fn backup(cx: &Context, source: &Mysql, out: &dyn Outputs) -> Result<Contents> {
    let server = Server::new(cx, source)?;
    let options = server.options;
    server.prove_tls()?;
    let which = Which::of(&server)?;
    let survey = Survey::take(&server, &which, existing(&server, &which)?)?;
    let selection = select(options, &survey.databases, which.is_several())?;
    let warnings = survey.warnings(&selection)?;
    let left_out = survey.missing()?;
    let format = if which.is_several() { SEVERAL } else { FORMAT };
    let mut sink = out.create(STREAM, StreamInfo::new(format).size_hint(estimate(&selection)))?;
    let mut watched = Watched::new(&mut *sink);
    let tool = server.with_args(server.dump()?, &dump_args(&survey, &which, &selection)?);
    let dump = || tool.dump(cx, &mut watched).map_err(explained);
    let outcome = crate::lock::watched(&server, &which.names(), dump)?;
    outcome.stderr.lines().for_each(|line| tracing::info!("dump: {line}"));
    watched.judge()?;
    let (longest_line, head) = (watched.longest_line, std::mem::take(&mut watched.head));
    let mut contents = Contents {
        consistency_point: position(&head),
        versions: versions(&server, &survey.about)?,
        left_out_count: left_out.len() as u64,
        left_out,
        warnings,
        details: survey.details(&selection, longest_line)?,
        ..Contents::default()
    };
    contents.warnings.extend(survey.packet_warning(longest_line));
    sink.finish()?;
    if options.users && survey.may_read_users() {
        // Behind the tables also by hand: rights on one can only be given once it is there.
        contents.warnings.extend(users::write(&server, out)?);
    }
    Ok(contents)
}

fn estimate(selection: &Selection<'_>) -> u64 {
    selection.taken.iter().map(|entry| entry.table.bytes).sum()
}

/// The databases, or an error.
fn existing(server: &Server<'_>, which: &Which) -> Result<Vec<Database>> {
    let databases = Database::look_all(server, &which.names())?;
    match databases.iter().find(|database| !database.exists()) {
        None => Ok(databases),
        Some(gone) => {
            let message = format!("there is no database {}", server.place(&gone.name));
            Err(Error::new(ErrorKind::NotFound, message)
                .hint("List the databases with `SHOW DATABASES`; one that we may not see isn't listed."))
        }
    }
}

fn dump_args(survey: &Survey<'_, '_>, which: &Which, selection: &Selection<'_>) -> Result<Vec<String>> {
    let options = survey.server.options;
    let mut args: Vec<String> = common_args(survey.server)?;
    args.push("--hex-blob".to_owned());
    args.extend(switches(options, survey.may_read_events()));
    args.extend(selection.left.iter().map(|entry| format!("--ignore-table={}", entry.dotted())));
    args.extend(selection.empty.iter().map(|entry| format!("--ignore-table-data={}", entry.dotted())));
    args.extend(options.statement_timeout.map(|limit| format!("--max-statement-time={limit}")));
    if options.binlog_position {
        args.push("--master-data=2".to_owned());
    }
    args.extend(options.dump_args.iter().cloned());
    if which.is_several() {
        args.push("--databases".to_owned());
    }
    args.push("--".to_owned());
    args.extend(which.names().into_iter().map(str::to_owned));
    Ok(args)
}

/// What every dump of ours has: one transaction and no lock over all tables, rows one by one.
pub(crate) fn common_args(server: &Server<'_>) -> Result<Vec<String>> {
    let mut args: Vec<String> = [
        "--single-transaction",
        "--skip-lock-tables",
        "--quick",
        "--no-tablespaces",
        "--skip-dump-date",
        "--skip-force",
        "--max-allowed-packet=1G",
        "--default-character-set=utf8mb4",
    ]
    .map(str::to_owned)
    .into();
    // Oracle's program only: it asks older servers for what they don't have, and writes what only an administrator may load.
    if server.programs.dump(server)?.knows("--set-gtid-purged") {
        args.extend(["--set-gtid-purged=OFF", "--column-statistics=0"].map(str::to_owned));
    }
    Ok(args)
}

fn switches(options: &Options, events: bool) -> Vec<String> {
    [("routines", options.routines), ("triggers", options.triggers), ("events", options.events && events)]
        .into_iter()
        .map(|(name, wanted)| if wanted { format!("--{name}") } else { format!("--skip-{name}") })
        .collect()
}

/// Versions of server and programs.
fn versions(server: &Server<'_>, about: &About) -> Result<BTreeMap<String, String>> {
    Ok(BTreeMap::from([
        ("server".to_owned(), about.version.clone()),
        ("dump".to_owned(), server.programs.dump(server)?.version.clone()),
        ("client".to_owned(), server.programs.client(server)?.version.clone()),
    ]))
}

/// The position in the binary log that the dump's head tells.
fn position(head: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(head);
    let behind = |word: &str| {
        let rest = &head[head.find(word)? + word.len()..];
        Some(rest.split(['\'', ';', ',']).find(|part| !part.is_empty())?.to_owned())
    };
    let file = behind("MASTER_LOG_FILE=")?;
    let mut point = format!("{file}:{}", behind("MASTER_LOG_POS=")?);
    if let Some(gtid) = behind("gtid_slave_pos=") {
        point.push_str(&format!(", GTID {gtid}"));
    }
    Some(point)
}

/// A few names, and how many more.
pub(crate) fn list(names: &[&str]) -> String {
    const SHOWN: usize = 10;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
