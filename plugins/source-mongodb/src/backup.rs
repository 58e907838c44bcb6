//! A backup: one archive, one collection after the other, each document copied as it came.
//!
//! Where the deployment gives a snapshot, all documents are read as of one moment; where it doesn't, the warnings say so.

use std::io::{self, Write};

use bson::{Timestamp, doc};
use mongodb::ClientSession;
use mongodb::options::SessionOptions;
use serde_json::{Map, Value, json};
use windlass_plugin_api::{Contents, Error, ErrorKind, Outputs, Probe, Progress, Result, Sink, StreamInfo};

use crate::archive::{ArchiveWriter, Entry, Header};
use crate::catalog::{self, Found, STAGING};
use crate::connect::{Server, outside};
use crate::options::{Options, Snapshot};
use crate::{FORMAT, STREAM, select};

/// How many bytes are handed on at once.
const BUFFER: usize = 256 * 1024;

/// What a backup would take, and what it wouldn't.
struct Plan {
    databases: Vec<String>,
    collections: Vec<Found>,
    left_out: Vec<String>,
    warnings: Vec<String>,
}

/// Looks at the server.
pub(crate) async fn probe(server: &Server, options: &Options) -> Result<Probe> {
    let plan = plan(server, options).await?;
    let mut probe = Probe { warnings: plan.warnings, ..Probe::default() };
    probe.versions.insert("server".to_owned(), version(server).await?);
    let (_, warning) = consistency(server, options)?;
    probe.warnings.extend(warning);
    probe.missing = plan.left_out;
    let mut bytes = 0;
    for db in &plan.databases {
        let stats = server.command(&format!("measure `{db}`"), db, doc! { "dbStats": 1 }).await;
        bytes += stats.ok().and_then(|stats| number(stats.get("dataSize"))).unwrap_or(0);
    }
    probe.estimate_bytes = (bytes > 0).then_some(bytes);
    probe.notes.push(format!(
        "{} collections and views in {} databases",
        plan.collections.len(),
        plan.databases.len()
    ));
    Ok(probe)
}

/// Writes the archive.
pub(crate) async fn backup(server: &Server, options: &Options, out: &dyn Outputs) -> Result<Contents> {
    let plan = plan(server, options).await?;
    let (snapshot, warning) = consistency(server, options)?;
    let mut contents = Contents { left_out: plan.left_out, warnings: plan.warnings, ..Contents::default() };
    contents.warnings.extend(warning);
    contents.left_out_count = contents.left_out.len() as u64;
    let version = version(server).await?;
    contents.versions.insert("server".to_owned(), version.clone());
    let mut entries = Vec::new();
    for one in &plan.collections {
        entries.push(one.entry(server).await?);
    }
    let header = Header {
        concurrent_collections: 1,
        server_version: version.clone(),
        tool_version: concat!("windlass-", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    let sink = Buffered {
        sink: outside(|| out.create(STREAM, StreamInfo::new(FORMAT)))?,
        bytes: Vec::with_capacity(BUFFER),
    };
    let mut copy =
        Copy { server, archive: ArchiveWriter::new(sink, &header, &entries)?, snapshot, moment: None };
    let mut told = Vec::new();
    for (place, (one, entry)) in plan.collections.iter().zip(&entries).enumerate() {
        let (done, total) = (place as u64, Some(entries.len() as u64));
        let (message, unit) = (format!("reading {}", one.namespace()), "collections".to_owned());
        server.cx.progress(&Progress { message, done, total, unit, ..Progress::default() });
        let aside = one.is_capped() && major(&version) < 8;
        if aside && snapshot {
            contents.warnings.push(format!(
                "The capped collection `{}` was read at a moment of its own: this server gives no snapshot of such.",
                one.namespace()
            ));
        }
        let documents = copy.collection(one, entry, aside).await?;
        told.push(json!({ "name": one.namespace(), "type": one.kind, "documents": documents }));
    }
    unchanged(server, &plan.databases, &plan.collections).await?;
    if let Some(time) = copy.moment {
        contents.consistency_point = Some(format!("cluster time {}.{}", time.time, time.increment));
    }
    let mut sink = copy.archive.into_inner();
    sink.pass_on()?;
    outside(|| sink.sink.finish())?;
    contents.details = details(&plan.databases, told);
    Ok(contents)
}

fn details(databases: &[String], collections: Vec<Value>) -> Map<String, Value> {
    [("databases".to_owned(), json!(databases)), ("collections".to_owned(), collections.into())]
        .into_iter()
        .collect()
}

/// What there is to back up.
async fn plan(server: &Server, options: &Options) -> Result<Plan> {
    let all = catalog::databases(server).await;
    let databases = match (&server.database, all) {
        (Some(name), Ok(all))
            if !all.contains(name) && !["admin", "config", "local"].contains(&name.as_str()) =>
        {
            return Err(Error::new(ErrorKind::NotFound, format!("no database `{name}` on the server"))
                .hint(format!("There are {}.", all.join(", "))));
        }
        (Some(name), _) => vec![name.clone()],
        (None, all) => all?,
    };
    let (mut found, mut left_out, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
    for db in &databases {
        found.extend(catalog::collections(server, db).await?);
    }
    found = select::chosen(options, found)?;
    found.retain(|one| {
        if one.kind == "timeseries" {
            left_out.push(format!("the time series collection `{}` isn't in the backup", one.namespace()));
        } else if one.name.starts_with(STAGING) {
            warnings.push(format!(
                "`{}` was left by a restore that was killed; it isn't in the backup.",
                one.namespace()
            ));
        } else {
            return true;
        }
        false
    });
    Ok(Plan { databases, collections: found, left_out, warnings })
}

/// Whether all is read as of one moment; if not though it was wanted, a warning that says why.
fn consistency(server: &Server, options: &Options) -> Result<(bool, Option<String>)> {
    let replicated = server.hello.contains_key("setName")
        || server.hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid");
    // Version 5.0.
    let recent = number(server.hello.get("maxWireVersion")).unwrap_or(0) >= 13;
    let why = match (options.snapshot, replicated, recent) {
        (Snapshot::Off, ..) => "the option `snapshot` is off",
        (_, true, true) => return Ok((true, None)),
        (_, false, _) => "the server is no member of a replica set",
        (_, _, false) => "the server is older than version 5.0",
    };
    if options.snapshot == Snapshot::Required {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("no snapshot of all collections is to be had: {why}"),
        ));
    }
    let warning = format!(
        "Not consistent: each collection is read while it may change, and at a time of its own, because {why}."
    );
    Ok((false, Some(warning)))
}

/// A collection that was dropped, replaced or renamed on the way may have been read as an empty one: that is no backup.
async fn unchanged(server: &Server, databases: &[String], before: &[Found]) -> Result<()> {
    let mut now = Vec::new();
    for db in databases {
        now.extend(catalog::collections(server, db).await?);
    }
    let same =
        |one: &&Found| now.iter().any(|other| other.namespace() == one.namespace() && other.uuid == one.uuid);
    match before.iter().find(|one| !same(one)) {
        None => Ok(()),
        Some(one) => {
            let message =
                format!("`{}` was dropped, renamed or made anew during the backup", one.namespace());
            Err(Error::failed(message).hint("Run the backup again."))
        }
    }
}

async fn version(server: &Server) -> Result<String> {
    let info = server.command("ask for the server's version", "admin", doc! { "buildInfo": 1 }).await?;
    Ok(info.get_str("version").unwrap_or("unknown").to_owned())
}

fn major(version: &str) -> u32 {
    version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0)
}

/// A count, in whichever type of number the server gives it.
fn number(value: Option<&bson::Bson>) -> Option<u64> {
    match value? {
        bson::Bson::Int32(number) => u64::try_from(*number).ok(),
        bson::Bson::Int64(number) => u64::try_from(*number).ok(),
        bson::Bson::Double(number) if *number >= 0.0 => Some(*number as u64),
        _ => None,
    }
}

/// The archive that is being written, and how its documents are read.
struct Copy<'a> {
    server: &'a Server,
    archive: ArchiveWriter<Buffered>,
    /// Read as of one moment.
    snapshot: bool,
    /// That moment, once the first read was given it.
    moment: Option<Timestamp>,
}

impl Copy<'_> {
    /// Writes one collection, past the snapshot if `aside`. Returns how many documents it has.
    async fn collection(&mut self, one: &Found, entry: &Entry, aside: bool) -> Result<u64> {
        self.archive.begin(&entry.db, &entry.collection)?;
        let documents = match (one.kind.as_str(), aside) {
            // A view has no documents of its own.
            ("view", _) => 0,
            (_, aside) => self.documents(one, self.snapshot && !aside).await?,
        };
        self.archive.end()?;
        Ok(documents)
    }

    async fn documents(&mut self, one: &Found, snapshot: bool) -> Result<u64> {
        let what = format!("read `{}`", one.namespace());
        let (server, mut count) = (self.server, 0);
        let find = server.client.database(&one.db).collection::<bson::RawDocumentBuf>(&one.name);
        let find = find.find(doc! {});
        if snapshot {
            let mut session = self.session().await?;
            let mut cursor = server.ask(&what, find.session(&mut session)).await?;
            self.moment = self.moment.or(session.snapshot_time());
            if self.moment.is_none() {
                let error = Error::new(
                    ErrorKind::Unsupported,
                    "the server takes a snapshot session but names no moment",
                );
                return Err(
                    error.hint("With `snapshot = \"off\"` each collection is read at a time of its own.")
                );
            }
            while server.ask(&what, cursor.advance(&mut session)).await? {
                self.archive.document(cursor.current().as_bytes())?;
                count += 1;
                server.cx.go_on()?;
            }
        } else {
            let mut cursor = server.ask(&what, find).await?;
            while server.ask(&what, cursor.advance()).await? {
                self.archive.document(cursor.current().as_bytes())?;
                count += 1;
                server.cx.go_on()?;
            }
        }
        Ok(count)
    }

    /// A session for one collection. Not one for all: what later answers say of a moment would move it.
    async fn session(&self) -> Result<ClientSession> {
        let options = SessionOptions::builder().snapshot(true).snapshot_time(self.moment).build();
        let session = self.server.client.start_session().with_options(options);
        self.server.ask("begin a snapshot", session).await
    }
}

/// Hands bytes on in larger pieces. Not std's: that writes once more when it is dropped, and nothing may be written
/// after an error.
struct Buffered {
    sink: Box<dyn Sink>,
    bytes: Vec<u8>,
}

impl Buffered {
    fn pass_on(&mut self) -> io::Result<()> {
        outside(|| self.sink.write_all(&self.bytes))?;
        self.bytes.clear();
        Ok(())
    }
}

impl Write for Buffered {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > BUFFER {
            self.pass_on()?;
        }
        if bytes.len() >= BUFFER {
            outside(|| self.sink.write_all(bytes))?;
        } else {
            self.bytes.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pass_on()?;
        outside(|| self.sink.flush())
    }
}
