//! A backup: one archive, one collection after the other, each document copied as it came.
//!
//! What makes the collections be of one moment is chosen in `consistency`: a snapshot, for which every read is asked for the
//! same moment, or the oplog, which goes to the end of the archive.

use std::io;

use bson::{Timestamp, doc};
use mongodb::ClientSession;
use mongodb::options::SessionOptions;
use serde_json::{Map, Value, json};
use windlass_plugin_api::{Contents, Error, ErrorKind, Outputs, Progress, Result, StreamInfo};

use crate::archive::{ArchiveWriter, Entry, Header};
use crate::catalog::Found;
use crate::connect::{Server, outside};
use crate::consistency::{self, Way};
use crate::options::Options;
use crate::plan::{Plan, version};
use crate::sink::Buffered;
use crate::{FORMAT, STREAM, oplog, users};

/// Writes the archive.
pub(crate) async fn backup(server: &Server, options: &Options, out: &dyn Outputs) -> Result<Contents> {
    let mut plan = Plan::of(server, options).await?;
    let choice = consistency::choose(server, options, plan.bytes).await?;
    let since = match choice.way {
        Way::Oplog => {
            let since = oplog::begin(server).await?;
            // What was made before this moment must be in the plan, and what comes later is in the oplog.
            plan = Plan::of(server, options).await?.by(Way::Oplog);
            Some(since)
        }
        _ => None,
    };
    let version = version(server).await?;
    let mut copy = Copy {
        server,
        archive: begin(server, options, &plan, &version, since.is_some(), out).await?,
        snapshot: choice.way == Way::Snapshot,
        moment: None,
    };
    let mut contents =
        Contents { left_out: plan.left_out.clone(), warnings: plan.warnings.clone(), ..Contents::default() };
    contents.warnings.extend(choice.warning);
    contents.left_out_count = contents.left_out.len() as u64;
    contents.versions.insert("server".to_owned(), version.clone());
    contents.details = copy.all(&plan, &version, &mut contents.warnings).await?;
    plan.unchanged(server).await?;
    if options.users {
        copy.users(users::of(server, server.database.as_deref()).await?)?;
        contents.details.insert("users".to_owned(), true.into());
    }
    let mut moment = copy.moment;
    if let Some(since) = since {
        let part = !(options.include.is_empty() && options.exclude.is_empty());
        let scope = oplog::Scope::new(&plan.databases, &plan.collections, part);
        let (entries, until) = copy.oplog(since, &scope).await?;
        contents.details.insert("oplog".to_owned(), json!({ "entries": entries }));
        moment = Some(until);
    }
    contents.consistency_point = Some(moment.map_or_else(
        || "none: each collection is of a moment of its own".to_owned(),
        |time| format!("cluster time {}.{}", time.time, time.increment),
    ));
    copy.archive.into_inner().finish()?;
    Ok(contents)
}

/// Writes the prelude.
async fn begin(
    server: &Server,
    options: &Options,
    plan: &Plan,
    version: &str,
    oplog: bool,
    out: &dyn Outputs,
) -> Result<ArchiveWriter<Buffered>> {
    let mut entries = Vec::new();
    for one in &plan.collections {
        entries.push(one.entry(server).await?);
    }
    if options.users {
        entries.extend(users::Found::default().entries(server.database.as_deref()).map(|(entry, _)| entry));
    }
    if oplog {
        entries.push(Entry { collection: oplog::NAME.to_owned(), ..Entry::default() });
    }
    let header = Header {
        concurrent_collections: 1,
        server_version: version.to_owned(),
        tool_version: concat!("windlass-", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    let sink = Buffered::new(outside(|| out.create(STREAM, StreamInfo::new(FORMAT)))?);
    Ok(ArchiveWriter::new(sink, &header, &entries)?)
}

fn details(databases: &[String], collections: Vec<Value>) -> Map<String, Value> {
    [("databases".to_owned(), json!(databases)), ("collections".to_owned(), collections.into())]
        .into_iter()
        .collect()
}

fn major(version: &str) -> u32 {
    version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0)
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
    /// Writes all collections. Returns what the contents say of them.
    async fn all(
        &mut self,
        plan: &Plan,
        version: &str,
        warnings: &mut Vec<String>,
    ) -> Result<Map<String, Value>> {
        let mut told = Vec::new();
        for (place, one) in plan.collections.iter().enumerate() {
            let (done, total) = (place as u64, Some(plan.collections.len() as u64));
            let (message, unit) = (format!("reading {}", one.namespace()), "collections".to_owned());
            self.server.cx.progress(&Progress { message, done, total, unit, ..Progress::default() });
            let aside = one.is_capped() && major(version) < 8;
            if aside && self.snapshot {
                warnings.push(format!(
                    "The capped collection `{}` was read at a moment of its own: this server gives no snapshot of such.",
                    one.namespace()
                ));
            }
            let documents = self.collection(one, aside).await?;
            told.push(json!({ "name": one.namespace(), "type": one.kind, "documents": documents }));
        }
        Ok(details(&plan.databases, told))
    }

    /// Writes one collection, past the snapshot if `aside`. Returns how many documents it has.
    async fn collection(&mut self, one: &Found, aside: bool) -> Result<u64> {
        self.archive.begin(&one.db, &one.data())?;
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
        let find = server.client.database(&one.db).collection::<bson::RawDocumentBuf>(&one.data());
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
                return Err(error.hint(
                    "Set `consistency = \"oplog\"`, or `none` to read each collection at a time of its own.",
                ));
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

    fn users(&mut self, found: users::Found) -> io::Result<()> {
        for (entry, documents) in found.entries(self.server.database.as_deref()) {
            self.archive.begin(&entry.db, &entry.collection)?;
            documents.iter().try_for_each(|one| self.archive.document(one.as_bytes()))?;
            self.archive.end()?;
        }
        Ok(())
    }

    /// Writes what was written since. Returns how many entries that were, and of which moment all is now.
    async fn oplog(&mut self, since: Timestamp, scope: &oplog::Scope) -> Result<(u64, Timestamp)> {
        let message = "reading the oplog".to_owned();
        self.server.cx.progress(&Progress { message, ..Progress::default() });
        self.archive.begin("", oplog::NAME)?;
        let result = oplog::copy(self.server, since, scope, |entry| self.archive.document(entry)).await?;
        self.archive.end()?;
        oplog::same_primary(self.server).await?;
        Ok(result)
    }

    /// A session for one collection. Not one for all: what later answers say of a moment would move it.
    async fn session(&self) -> Result<ClientSession> {
        let options = SessionOptions::builder().snapshot(true).snapshot_time(self.moment).build();
        let session = self.server.client.start_session().with_options(options);
        self.server.ask("begin a snapshot", session).await
    }
}
