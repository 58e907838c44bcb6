//! What a backup takes and what it doesn't, and whether that stayed as it was. Reads no documents.

use bson::{Document, doc};
use windlass_plugin_api::{Error, ErrorKind, Probe, Result};

use crate::catalog::{self, Found};
use crate::connect::Server;
use crate::consistency::{self, Way, number};
use crate::options::Options;
use crate::{select, users};

/// What a backup would take, and what it wouldn't.
pub(crate) struct Plan {
    pub(crate) databases: Vec<String>,
    pub(crate) collections: Vec<Found>,
    pub(crate) left_out: Vec<String>,
    pub(crate) warnings: Vec<String>,
    /// How much there is to read, as far as the server says.
    pub(crate) bytes: u64,
}

/// Looks at the server, for `check` and before each backup.
pub(crate) async fn probe(server: &Server, options: &Options) -> Result<Probe> {
    let plan = Plan::of(server, options).await?;
    let choice = consistency::choose(server, options, plan.bytes).await?;
    let plan = plan.by(choice.way);
    let mut probe = Probe { warnings: plan.warnings, ..Probe::default() };
    probe.versions.insert("server".to_owned(), version(server).await?);
    probe.warnings.extend(choice.warning);
    probe.missing = plan.left_out;
    probe.estimate_bytes = (plan.bytes > 0).then_some(plan.bytes);
    let (count, databases) = (plan.collections.len(), plan.databases.len());
    probe.notes.push(format!("{count} collections and views in {databases} databases"));
    probe.notes.push(choice.note);
    may_read(server, &plan.collections).await?;
    if options.users {
        let found = users::of(server, server.database.as_deref()).await?;
        probe.notes.push(format!("{} users and {} roles", found.users.len(), found.roles.len()));
    } else {
        probe.notes.push("users and roles aren't in the backup (`users = true` takes them)".to_owned());
    }
    Ok(probe)
}

/// Why a time series can't be backed up.
async fn kept_back(server: &Server, one: &Found) -> Result<Option<&'static str>> {
    if one.kind != "timeseries" {
        return Ok(None);
    }
    if one.buckets.is_none() {
        return Ok(Some("the server keeps no buckets of it"));
    }
    match look(server, one).await {
        Err(error) if error.kind == ErrorKind::Denied => {
            Ok(Some("only the role `backup` may read its buckets"))
        }
        Err(error) => Err(error),
        Ok(()) => Ok(None),
    }
}

/// Reads a document, if there is one.
async fn look(server: &Server, one: &Found) -> Result<()> {
    let collection = server.client.database(&one.db).collection::<Document>(&one.data());
    let look = collection.find_one(doc! {}).projection(doc! { "_id": 1 });
    server.ask(&format!("read `{}`", one.namespace()), look).await.map(drop)
}

/// An error that names each collection which may not be read, rather than one after the other in runs that fail.
async fn may_read(server: &Server, collections: &[Found]) -> Result<()> {
    let mut denied = Vec::new();
    for one in collections.iter().filter(|one| one.kind != "view") {
        match look(server, one).await {
            Err(error) if error.kind == ErrorKind::Denied => denied.push((one.namespace(), error)),
            Err(error) => return Err(error),
            Ok(()) => {}
        }
    }
    let names: Vec<_> = denied.iter().map(|(name, _)| format!("`{name}`")).collect();
    match denied.into_iter().next() {
        None => Ok(()),
        Some((_, mut error)) => {
            error.message = format!("can't read {}", names.join(", "));
            Err(error)
        }
    }
}

/// The server's version.
pub(crate) async fn version(server: &Server) -> Result<String> {
    let info = server.command("ask for the server's version", "admin", doc! { "buildInfo": 1 }).await?;
    Ok(info.get_str("version").unwrap_or("unknown").to_owned())
}

impl Plan {
    /// What there is to back up.
    pub(crate) async fn of(server: &Server, options: &Options) -> Result<Self> {
        let databases = databases(server).await?;
        let (mut found, mut bytes) = (Vec::new(), 0);
        for db in &databases {
            found.extend(catalog::collections(server, db).await?);
            let stats = server.command(&format!("measure `{db}`"), db, doc! { "dbStats": 1 }).await;
            bytes += stats.ok().and_then(|stats| number(stats.get("dataSize")?)).unwrap_or(0);
        }
        let (ours, found): (Vec<_>, Vec<_>) = found.into_iter().partition(|one| catalog::is_ours(&one.name));
        let collections = select::chosen(options, found)?;
        let mut plan =
            Self { databases, collections: Vec::new(), left_out: Vec::new(), warnings: Vec::new(), bytes };
        plan.warnings.extend(ours.iter().map(|one| {
            format!("`{}` was left by a restore that was ended; it isn't in the backup.", one.namespace())
        }));
        for one in collections {
            plan.take(server, one).await?;
        }
        Ok(plan)
    }

    async fn take(&mut self, server: &Server, one: Found) -> Result<()> {
        if let Some(why) = kept_back(server, &one).await? {
            self.left_out.push(format!("the time series collection `{}`: {why}", one.namespace()));
            return Ok(());
        }
        if one.kind != "timeseries" && one.options.contains_key("timeseries") {
            self.warnings.push(format!(
                "The server gives the time series collection `{}` as a plain one: its options are kept, its documents are measurements.",
                one.namespace()
            ));
        }
        self.collections.push(one);
        Ok(())
    }

    /// Leaves out what can't be had in the chosen way.
    pub(crate) fn by(mut self, way: Way) -> Self {
        if way == Way::Oplog {
            let (series, others): (Vec<_>, Vec<_>) =
                self.collections.into_iter().partition(|one| one.kind == "timeseries");
            self.collections = others;
            self.left_out.extend(series.iter().map(|one| {
                format!("the time series collection `{}`: its oplog can't be applied", one.namespace())
            }));
        }
        self
    }

    /// A collection that was dropped, replaced or renamed on the way may have been read as an empty one: that is no backup.
    pub(crate) async fn unchanged(&self, server: &Server) -> Result<()> {
        let mut now = Vec::new();
        for db in &self.databases {
            now.extend(catalog::collections(server, db).await?);
        }
        let same = |one: &&Found| {
            now.iter().any(|other| {
                (other.namespace(), &other.uuid, &other.buckets) == (one.namespace(), &one.uuid, &one.buckets)
            })
        };
        match self.collections.iter().find(|one| !same(one)) {
            None => Ok(()),
            Some(one) => {
                let message =
                    format!("`{}` was dropped, renamed or made anew during the backup", one.namespace());
                Err(Error::failed(message).hint("Run the backup again."))
            }
        }
    }
}

async fn databases(server: &Server) -> Result<Vec<String>> {
    let all = catalog::databases(server).await;
    match (&server.database, all) {
        (Some(name), Ok(all))
            if !all.contains(name) && !["admin", "config", "local"].contains(&name.as_str()) =>
        {
            Err(Error::new(ErrorKind::NotFound, format!("no database `{name}` on the server"))
                .hint(format!("There are {}.", all.join(", "))))
        }
        (Some(name), _) => Ok(vec![name.clone()]),
        (None, all) => all,
    }
}
