//! The backup: one run of the dump program, in one transaction.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use windlass_plugin_api::{Contents, Context, Outputs, Probe, Result, StreamInfo};
use windlass_tool::{Tool, Version};

use crate::errors::explained;
use crate::facts::{self, Database, Kind};
use crate::options::Options;
use crate::select::{Selection, select};
use crate::server::Server;
use crate::trailer::Watched;
use crate::{FORMAT, STREAM};

/// Looks without touching.
pub(crate) fn probe(cx: &Context, options: &Options) -> Result<Probe> {
    let server = Server::new(cx, options)?;
    server.prove_tls()?;
    let mut probe = Probe { versions: versions(&server)?, ..Probe::default() };
    if !server.has_sandbox()? {
        probe.notes.push(
            "The client has no `--sandbox`: `--binary-mode` alone keeps a restore from running commands."
                .to_owned(),
        );
    }
    let Ok(name) = server.database() else {
        probe.notes.push("No database is named: this source can only list them.".to_owned());
        return Ok(probe);
    };
    let database = existing(&server, name)?;
    let selection = select(options, &database)?;
    probe.estimate_bytes = Some(selection.taken.iter().map(|table| table.bytes).sum());
    probe.warnings = warnings(&server, &database, &selection)?;
    probe.missing = missing(&server, &database)?;
    Ok(probe)
}

/// Writes the dump.
pub(crate) fn backup(cx: &Context, options: &Options, out: &dyn Outputs) -> Result<Contents> {
    let server = Server::new(cx, options)?;
    server.prove_tls()?;
    let database = existing(&server, server.database()?)?;
    let selection = select(options, &database)?;
    let warnings = warnings(&server, &database, &selection)?;
    let estimate = selection.taken.iter().map(|table| table.bytes).sum();
    let mut sink = out.create(STREAM, StreamInfo::new(FORMAT).size_hint(estimate))?;
    let mut watched = Watched::new(&mut *sink);
    let tool = server.with_args(server.dump()?, &dump_args(&server, &database, &selection)?);
    let outcome =
        crate::lock::watched(&server, &database.name, || tool.dump(cx, &mut watched).map_err(explained))?;
    outcome.stderr.lines().for_each(|line| tracing::info!("dump: {line}"));
    watched.judge()?;
    let (longest_line, head) = (watched.longest_line, std::mem::take(&mut watched.head));
    let mut contents = Contents {
        consistency_point: position(&head),
        versions: versions(&server)?,
        left_out: missing(&server, &database)?,
        warnings,
        details: details(&server, &database, &selection, longest_line)?,
        ..Contents::default()
    };
    contents.left_out_count = contents.left_out.len() as u64;
    packet_warning(&server, longest_line, &mut contents.warnings)?;
    sink.finish()?;
    Ok(contents)
}

/// The database, or an error.
fn existing(server: &Server<'_>, name: &str) -> Result<Database> {
    let database = Database::look(server, name)?;
    if database.exists() {
        return Ok(database);
    }
    Err(windlass_plugin_api::Error::new(
        windlass_plugin_api::ErrorKind::NotFound,
        format!("there is no database {}", server.place(name)),
    )
    .hint("List the databases with `SHOW DATABASES`; one that we may not see isn't listed."))
}

fn dump_args(server: &Server<'_>, database: &Database, selection: &Selection<'_>) -> Result<Vec<String>> {
    let options = server.options;
    let mut args: Vec<String> = common_args(server)?;
    args.push("--hex-blob".to_owned());
    args.extend(switches(options));
    let qualified = |name: &str| format!("{}.{name}", database.name);
    args.extend(selection.left.iter().map(|name| format!("--ignore-table={}", qualified(name))));
    args.extend(selection.empty.iter().map(|name| format!("--ignore-table-data={}", qualified(name))));
    args.extend(options.statement_timeout.map(|limit| format!("--max-statement-time={limit}")));
    if options.binlog_position {
        args.push("--master-data=2".to_owned());
    }
    args.extend(options.dump_args.iter().cloned());
    args.extend(["--".to_owned(), database.name.clone()]);
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
    if server.knows(server.dump()?, "--set-gtid-purged")? {
        args.extend(["--set-gtid-purged=OFF", "--column-statistics=0"].map(str::to_owned));
    }
    Ok(args)
}

fn switches(options: &Options) -> Vec<String> {
    [("routines", options.routines), ("triggers", options.triggers), ("events", options.events)]
        .into_iter()
        .map(|(name, wanted)| if wanted { format!("--{name}") } else { format!("--skip-{name}") })
        .collect()
}

/// Versions of server and programs.
fn versions(server: &Server<'_>) -> Result<BTreeMap<String, String>> {
    let asked = |tool: Tool| -> Result<String> {
        let (_, answer) = server.with_args(tool, &["--version"]).output(server.cx)?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        // The first number of older programs is that of the program's own language, not of its release.
        let release = answer.split([' ', ',']).find(|word| word.contains("-MariaDB")).map(str::to_owned);
        Ok(release.or_else(|| Version::parse(&answer).map(|version| version.to_string())).unwrap_or_default())
    };
    Ok(BTreeMap::from([
        ("server".to_owned(), facts::version(server)?),
        ("dump".to_owned(), asked(server.dump()?)?),
        ("client".to_owned(), asked(server.client()?)?),
    ]))
}

/// What the user should know of what will be in the dump.
fn warnings(server: &Server<'_>, database: &Database, selection: &Selection<'_>) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    let engines = facts::transactional(server)?;
    let tables = || selection.taken.iter().filter(|table| table.kind == Kind::Table);
    let loose: Vec<&str> = tables()
        .filter(|table| !table.engine.is_empty() && !engines.contains(&table.engine))
        .map(|table| table.name.as_str())
        .collect();
    if !loose.is_empty() {
        warnings.push(format!(
            "Tables that know no transactions are read as they are at that moment, not as at the dump's beginning: {}.",
            list(&loose)
        ));
    }
    let versioned: Vec<&str> =
        tables().filter(|table| table.versioned).map(|table| table.name.as_str()).collect();
    if !versioned.is_empty()
        && !server.options.dump_args.iter().any(|arg| arg == "--dump-history" || arg == "-H")
    {
        warnings
            .push(format!("The past of system-versioned tables isn't in the dump: {}.", list(&versioned)));
    }
    let gone = facts::gone(server, &facts::definers(server, &database.name)?);
    if !gone.is_empty() {
        let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
        warnings.push(format!(
            "Views, triggers, routines or events run as accounts that aren't there any more: {}.",
            list(&gone)
        ));
    }
    Ok(warnings)
}

/// The rights that are missing, and what won't be in the dump for it.
fn missing(server: &Server<'_>, database: &Database) -> Result<Vec<String>> {
    let rights = facts::rights(server, &database.name)?;
    let options = server.options;
    let has = |right: &str| rights.iter().any(|held| held == right);
    let mut missing = Vec::new();
    if !has("SELECT") {
        missing.push("`SELECT` on the database: tables that we may not read are left out".to_owned());
    }
    if options.triggers && !has("TRIGGER") {
        missing.push("`TRIGGER` on the database: triggers are left out".to_owned());
    }
    if options.events && !has("EVENT") {
        missing.push("`EVENT` on the database: events are left out".to_owned());
    }
    let is_mariadb = facts::version(server)?.contains("MariaDB");
    if options.routines && is_mariadb && server.rows("SELECT 1 FROM mysql.proc LIMIT 0").is_err() {
        missing.push("`SELECT` on `mysql.proc`: procedures and functions are left out".to_owned());
    }
    Ok(missing)
}

fn packet_warning(server: &Server<'_>, longest: u64, warnings: &mut Vec<String>) -> Result<()> {
    let most = facts::max_allowed_packet(server)?;
    if longest > most {
        warnings.push(format!(
            "A row needs a packet of {longest} bytes, and this server takes {most}: a restore needs a larger `max_allowed_packet`."
        ));
    }
    Ok(())
}

fn details(
    server: &Server<'_>,
    database: &Database,
    selection: &Selection<'_>,
    longest_line: u64,
) -> Result<Map<String, Value>> {
    let (charset, collation) = database.charset.clone().unwrap_or_default();
    let tables: Vec<&str> = selection.taken.iter().map(|table| table.name.as_str()).collect();
    let details = json!({
        "database": database.name,
        "character_set": charset,
        "collation": collation,
        "tables": tables,
        "definers": facts::definers(server, &database.name)?,
        "longest_statement_bytes": longest_line,
    });
    Ok(details.as_object().cloned().unwrap_or_default())
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
