//! The backup: one run of the dump program, in one transaction, whatever the number of databases.

use std::collections::BTreeMap;
use std::io::Write;

use windlass_plugin_api::{Contents, Context, Outputs, Probe, Result, StreamInfo};

use crate::about::About;
use crate::claim;
use crate::errors::explained;
use crate::options::Options;
use crate::select::{Selection, select};
use crate::server::Server;
use crate::survey::Survey;
use crate::trailer::Watched;
use crate::{FORMAT, Mysql, SEVERAL, STREAM, users};

/// Looks without touching.
pub(crate) fn probe(cx: &Context, source: &Mysql) -> Result<(Probe, Option<Survey>)> {
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
        return Ok((probe, None));
    }
    let survey = Survey::take(&server)?;
    let selection = select(options, &survey.databases, survey.which.is_several())?;
    probe.versions = versions(&server, &survey.about)?;
    probe.estimate_bytes = Some(estimate(&selection));
    probe.warnings = survey.warnings(&server, &selection);
    for name in survey.which.names() {
        let left = claim::left(&server, &survey.about, name)?;
        probe.warnings.extend(left.iter().map(|left| {
            format!("A restore that died left the database `{left}`: the next restore to `{name}` drops it.")
        }));
    }
    probe.missing = survey.missing(&server);
    probe.notes.extend(survey.notes(&server));
    Ok((probe, Some(survey)))
}

/// Writes the dump, of what `probe` saw just before.
pub(crate) fn backup(
    cx: &Context,
    source: &Mysql,
    seen: Option<Survey>,
    out: &dyn Outputs,
) -> Result<Contents> {
    let server = Server::new(cx, source)?;
    let options = server.options;
    let survey = match seen {
        Some(survey) => survey,
        None => {
            server.prove_tls()?;
            Survey::take(&server)?
        }
    };
    let which = &survey.which;
    let selection = select(options, &survey.databases, which.is_several())?;
    let warnings = survey.warnings(&server, &selection);
    let left_out = survey.missing(&server);
    let format = if which.is_several() { SEVERAL } else { FORMAT };
    let mut sink = out.create(STREAM, StreamInfo::new(format).size_hint(estimate(&selection)))?;
    let mut watched = Watched::new(&mut *sink);
    let tool = server.with_args(server.dump()?, &dump_args(&server, &survey, &selection)?);
    let dump = || tool.dump(cx, &mut watched).map_err(explained);
    let outcome = crate::lock::watched(&server, &which.names(), dump)?;
    outcome.stderr.lines().for_each(|line| tracing::info!("dump: {line}"));
    watched.flush()?;
    watched.judge()?;
    let (longest_line, head) = (watched.longest_line, std::mem::take(&mut watched.head));
    let mut contents = Contents {
        consistency_point: position(&head),
        versions: versions(&server, &survey.about)?,
        left_out_count: left_out.len() as u64,
        left_out,
        warnings,
        details: survey.details(&server, &selection, longest_line)?,
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

fn dump_args(server: &Server<'_>, survey: &Survey, selection: &Selection<'_>) -> Result<Vec<String>> {
    let (options, which) = (server.options, &survey.which);
    let mut args: Vec<String> = common_args(server)?;
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
