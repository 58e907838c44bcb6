//! What a server holds: databases, and the collections and views of each, with their options and indexes.
//!
//! Reads only, and no documents.

use bson::{Bson, Document, doc, spec::BinarySubtype};
use windlass_plugin_api::{Error, Result};

use crate::archive::{BUCKETS, Entry};
use crate::connect::Server;
use crate::extjson;

/// What a collection begins with that a restore has made and not put in place yet.
pub(crate) const STAGING: &str = "windlass-restore-";

/// What a collection begins with that a restore has moved out of the way of a new one.
pub(crate) const BEFORE: &str = "windlass-before-";

/// Whether a restore made this collection for the time that it took.
pub(crate) fn is_ours(name: &str) -> bool {
    name.starts_with(STAGING) || name.starts_with(BEFORE)
}

/// What databases a server keeps for itself.
const OWN: [&str; 3] = ["admin", "config", "local"];

/// A collection or view.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) db: String,
    pub(crate) name: String,
    /// `collection`, `view` or `timeseries`.
    pub(crate) kind: String,
    pub(crate) options: Document,
    /// In hexadecimal digits; tells one that was dropped and made again from what it was.
    pub(crate) uuid: Option<String>,
    /// What the server says of the collection of buckets, if there is one: that of a time series.
    pub(crate) buckets: Option<Bson>,
}

impl Found {
    /// `database.collection`.
    pub(crate) fn namespace(&self) -> String {
        format!("{}.{}", self.db, self.name)
    }

    /// The name of the collection that holds its documents.
    pub(crate) fn data(&self) -> String {
        match self.kind.as_str() {
            "timeseries" => format!("{BUCKETS}{}", self.name),
            _ => self.name.clone(),
        }
    }

    /// Whether its oldest documents give way to new ones.
    pub(crate) fn is_capped(&self) -> bool {
        self.options.get_bool("capped").unwrap_or(false)
    }

    /// What an archive's prelude says of it.
    pub(crate) async fn entry(&self, server: &Server) -> Result<Entry> {
        let indexes =
            if self.kind == "view" { Vec::new() } else { indexes(server, &self.db, &self.name).await? };
        let mut metadata = Document::new();
        if !self.options.is_empty() {
            metadata.insert("options", self.options.clone());
        }
        metadata.insert("indexes", indexes.into_iter().map(Bson::from).collect::<Vec<_>>());
        if let Some(uuid) = &self.uuid {
            metadata.insert("uuid", uuid.clone());
        }
        metadata.insert("collectionName", self.name.clone());
        metadata.insert("type", self.kind.clone());
        Ok(Entry {
            db: self.db.clone(),
            collection: self.name.clone(),
            metadata: extjson::write(&metadata)?,
            kind: self.kind.clone(),
        })
    }
}

/// The names of all databases that are a user's.
pub(crate) async fn databases(server: &Server) -> Result<Vec<String>> {
    let reply =
        server.command("list the databases", "admin", doc! { "listDatabases": 1, "nameOnly": true }).await?;
    let list = reply.get_array("databases").map_or(&[][..], Vec::as_slice);
    let names = list.iter().filter_map(|one| one.as_document()?.get_str("name").ok());
    let mut names: Vec<_> = names.filter(|name| !OWN.contains(name)).map(str::to_owned).collect();
    names.sort();
    Ok(names)
}

/// All that a user has put into a database: no collections that the server keeps for itself, but stored functions.
pub(crate) async fn collections(server: &Server, db: &str) -> Result<Vec<Found>> {
    let what = format!("list the collections of `{db}`");
    let listed = all(server, &what, db, doc! { "listCollections": 1 }).await?;
    let info_of = |name: &str| {
        let one = listed.iter().find(|one| one.get_str("name").ok() == Some(name))?;
        Some(one.get("info").cloned().unwrap_or(Bson::Null))
    };
    let mut found = Vec::new();
    for one in &listed {
        let name = one.get_str("name").unwrap_or_default().to_owned();
        if name.is_empty() || (name.starts_with("system.") && name != "system.js") {
            continue;
        }
        let info = one.get_document("info").ok();
        let uuid = match info.and_then(|info| info.get("uuid")) {
            Some(Bson::Binary(binary)) if binary.subtype == BinarySubtype::Uuid => {
                Some(binary.bytes.iter().map(|byte| format!("{byte:02x}")).collect())
            }
            _ => None,
        };
        found.push(Found {
            db: db.to_owned(),
            buckets: info_of(&format!("{BUCKETS}{name}")),
            name,
            kind: one.get_str("type").unwrap_or("collection").to_owned(),
            options: one.get_document("options").cloned().unwrap_or_default(),
            uuid,
        });
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

async fn indexes(server: &Server, db: &str, name: &str) -> Result<Vec<Document>> {
    all(server, &format!("list the indexes of `{db}.{name}`"), db, doc! { "listIndexes": name }).await
}

/// All documents that a command with a cursor gives.
async fn all(server: &Server, what: &str, db: &str, command: Document) -> Result<Vec<Document>> {
    let mut cursor = server.ask(what, server.client.database(db).run_cursor_command(command)).await?;
    let mut documents = Vec::new();
    while server.ask(what, cursor.advance()).await? {
        let document = Document::try_from(cursor.current());
        documents.push(document.map_err(|error| Error::failed(format!("can't {what}")).because(&error))?);
    }
    Ok(documents)
}
