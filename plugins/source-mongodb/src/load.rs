//! Writes documents into collections, in batches, each document as the bytes that stand in the archive.

use bson::raw::{RawBsonRef, cstr};
use bson::{Document, RawDocument, RawDocumentBuf, doc};
use windlass_plugin_api::{Error, Result};

use crate::connect::Server;
use crate::errors;

/// How much goes into one command: a document of the largest size still has room in one of its own.
const BATCH: usize = 8 * 1024 * 1024;

/// How many documents go into one command: about the time of one answer.
const COUNT: usize = 1000;

/// What a batch does with what it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Inserts documents; one that is there is an error.
    Insert,
    /// Puts documents into the place of those with the same `_id`.
    Upsert,
    /// Runs the statements of an `update`.
    Update,
    /// Runs the statements of a `delete`.
    Delete,
}

/// Documents or statements for one collection that wait to be sent.
pub(crate) struct Batch {
    db: String,
    name: String,
    kind: Kind,
    documents: Vec<Vec<u8>>,
    bytes: usize,
}

impl Batch {
    /// For a collection.
    pub(crate) fn new(db: &str, name: &str, kind: Kind) -> Self {
        Self { db: db.to_owned(), name: name.to_owned(), kind, documents: Vec::new(), bytes: 0 }
    }

    /// What it does.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Adds a document or statement, and sends what waits if that is enough.
    pub(crate) async fn add(&mut self, server: &Server, document: &[u8]) -> Result<()> {
        if self.bytes + document.len() > BATCH || self.documents.len() == COUNT {
            self.send(server).await?;
        }
        self.bytes += document.len();
        self.documents.push(document.to_vec());
        Ok(())
    }

    /// Sends what waits.
    pub(crate) async fn send(&mut self, server: &Server) -> Result<()> {
        let mut documents = std::mem::take(&mut self.documents);
        self.bytes = 0;
        if documents.is_empty() {
            return Ok(());
        }
        if self.kind == Kind::Upsert {
            documents = documents.iter().map(|one| upsert(one)).collect::<Result<_>>()?;
        }
        let (verb, list) = match self.kind {
            Kind::Insert => ("insert", "documents"),
            Kind::Upsert | Kind::Update => ("update", "updates"),
            Kind::Delete => ("delete", "deletes"),
        };
        let mut command = doc! { verb: &self.name, "ordered": true };
        if self.kind != Kind::Delete {
            command.insert("bypassDocumentValidation", true);
        }
        self.run(server, &command, list, &documents).await
    }

    async fn run(
        &self,
        server: &Server,
        command: &Document,
        list: &str,
        documents: &[Vec<u8>],
    ) -> Result<()> {
        let what = format!("write to `{}.{}`", self.db, self.name);
        let command = with_list(command, list, documents)
            .map_err(|error| Error::failed("a command can't be made").because(&error))?;
        let reply = server.ask(&what, server.client.database(&self.db).run_raw_command(command)).await?;
        let first = reply.get_array("writeErrors").ok().and_then(|errors| errors.first()?.as_document());
        let error = first.or_else(|| reply.get_document("writeConcernError").ok());
        match error {
            None => Ok(()),
            Some(error) => {
                let (code, message) = (
                    error.get_i32("code").unwrap_or(0),
                    error.get_str("errmsg").unwrap_or("no reason given"),
                );
                Err(errors::refused_write(code, message, &what))
            }
        }
    }
}

/// The statement that puts `document` into the place of the one with its `_id`, whichever there is.
pub(crate) fn upsert(document: &[u8]) -> Result<Vec<u8>> {
    let damaged = || Error::damaged("the archive has a document that can't be read");
    let raw = RawDocument::from_bytes(document).map_err(|error| damaged().because(&error))?;
    let id = raw.get("_id").map_err(|error| damaged().because(&error))?.ok_or_else(damaged)?;
    let mut update = RawDocumentBuf::new();
    update.append(cstr!("q"), by_id(id));
    update.append(cstr!("u"), raw.to_owned());
    update.append(cstr!("upsert"), true);
    Ok(update.into_bytes())
}

/// The query for the document with this `_id`, whatever type that has.
pub(crate) fn by_id(id: RawBsonRef<'_>) -> RawDocumentBuf {
    let mut equal = RawDocumentBuf::new();
    equal.append(cstr!("$eq"), id);
    let mut query = RawDocumentBuf::new();
    query.append(cstr!("_id"), equal);
    query
}

/// `command` and, at its end, an array of documents as they are.
fn with_list(command: &Document, list: &str, documents: &[Vec<u8>]) -> bson::error::Result<RawDocumentBuf> {
    let mut bytes = command.to_vec()?;
    bytes.pop();
    bytes.push(4);
    bytes.extend(list.as_bytes());
    bytes.push(0);
    let array = bytes.len();
    bytes.extend([0; 4]);
    for (place, document) in documents.iter().enumerate() {
        bytes.push(3);
        bytes.extend(place.to_string().as_bytes());
        bytes.push(0);
        bytes.extend(document);
    }
    bytes.push(0);
    let length = (bytes.len() - array) as i32;
    bytes[array..array + 4].copy_from_slice(&length.to_le_bytes());
    bytes.push(0);
    let length = bytes.len() as i32;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    RawDocumentBuf::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_holds_the_documents_as_they_are() {
        let documents: Vec<_> = (0..12).map(|n| doc! { "_id": n, "": n }.to_vec().unwrap()).collect();
        let command = with_list(&doc! { "insert": "c" }, "documents", &documents).unwrap();
        let expected: Vec<_> = (0..12).map(|n| bson::Bson::from(doc! { "_id": n, "": n })).collect();
        assert_eq!(Document::try_from(command).unwrap(), doc! { "insert": "c", "documents": expected });
    }
}
