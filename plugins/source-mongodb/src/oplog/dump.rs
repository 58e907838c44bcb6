//! Takes what was written during a backup into its archive, as `mongodump --oplog` does: all entries from the beginning of
//! the run, or of the oldest transaction that was open then, to its end.
//!
//! Which entries those are, `scope` knows.

use std::time::Duration;

use bson::raw::RawDocumentBuf;
use bson::{Document, Timestamp, doc};
use windlass_plugin_api::{Error, ErrorKind, Result};

use super::{Scope, damaged};
use crate::connect::Server;
use crate::errors;

/// How long to wait before the oplog's edge is asked for again: twice as long each time, until it takes too long. Dropping
/// entries has been seen to take a server a second.
const AGAIN: Duration = Duration::from_millis(250);
const LAST: Duration = Duration::from_secs(2);

/// An error if the oplog can't be read. What takes it apart from a snapshot is that all must be read from one server.
pub(crate) async fn readable(server: &Server) -> Result<()> {
    if !server.one_member {
        return Err(Error::new(
            ErrorKind::Config,
            "the oplog can't be used where reads go to several servers",
        )
        .hint("Leave `readPreference` out of the URL, or add `directConnection=true`."));
    }
    let needed = "The oplog needs the role `read` on `local` and on `config`.";
    begin(server).await.map(drop).map_err(|error| errors::needs(error, needed))
}

/// From when on entries are wanted.
pub(crate) async fn begin(server: &Server) -> Result<Timestamp> {
    let what = "look for open transactions";
    let open = doc! { "state": { "$in": ["prepared", "inProgress"] } };
    let find = server.client.database("config").collection::<Document>("transactions");
    let oldest = find.find_one(open).sort(doc! { "startOpTime": 1 });
    let oldest = server.ask(what, oldest).await?;
    let since = oldest.and_then(|one| one.get_document("startOpTime").ok()?.get_timestamp("ts").ok());
    match since {
        Some(since) => Ok(since),
        None => edge(server, -1).await,
    }
}

/// The time of the newest entry (-1), or of the oldest (1). A server that drops entries at this very moment loses its place
/// there, which says nothing of what is left: it is asked again.
async fn edge(server: &Server, order: i32) -> Result<Timestamp> {
    let oplog = server.client.database("local").collection::<Document>("oplog.rs");
    let mut pause = AGAIN;
    let entry = loop {
        let find = oplog.find_one(doc! {}).sort(doc! { "$natural": order });
        match server.ask("read the oplog", find).await {
            Err(error) if error.kind == ErrorKind::Unavailable && pause < LAST => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            entry => break entry?,
        }
    };
    let entry = entry.ok_or_else(|| Error::new(ErrorKind::Unsupported, "the oplog is empty"))?;
    entry.get_timestamp("ts").map_err(|error| damaged().because(&error))
}

/// Gives `write` each entry from `since` to now. Returns how many there were, and now.
pub(crate) async fn copy(
    server: &Server,
    since: Timestamp,
    scope: &Scope,
    mut write: impl FnMut(&[u8]) -> std::io::Result<()>,
) -> Result<(u64, Timestamp)> {
    let until = edge(server, -1).await?;
    reaches_back(server, since).await?;
    let find = server.client.database("local").collection::<RawDocumentBuf>("oplog.rs");
    let mut wanted = doc! { "ts": { "$gte": since, "$lte": until } };
    wanted.extend(scope.query());
    let find = find.find(wanted);
    let mut cursor = server.ask("read the oplog", find).await?;
    let mut count = 0;
    while server.ask("read the oplog", cursor.advance()).await? {
        server.cx.go_on()?;
        if let Some(kept) = scope.kept(cursor.current())? {
            write(kept.as_bytes())?;
            count += 1;
        }
    }
    // Entries may have been dropped while they were read.
    reaches_back(server, since).await?;
    Ok((count, until))
}

async fn reaches_back(server: &Server, since: Timestamp) -> Result<()> {
    if edge(server, 1).await? <= since {
        return Ok(());
    }
    Err(Error::failed("the oplog doesn't reach back to the beginning of the backup any more").hint(
        "Make the server's oplog larger (`replSetResizeOplog`), or run the backup when less is written.",
    ))
}

/// An error if another server has become the primary since the run began: entries of the old one may be missing.
pub(crate) async fn same_primary(server: &Server) -> Result<()> {
    let now = server.command("ask who is the primary", "admin", doc! { "hello": 1 }).await?;
    match ["me", "electionId", "setName"].iter().all(|key| now.get(key) == server.hello.get(key)) {
        true => Ok(()),
        false => Err(Error::failed("another server became the primary during the backup")
            .hint("Run the backup again.")),
    }
}
