//! MongoDB's oplog: what one entry says. `dump` takes entries into an archive, as `mongodump --oplog` does, and `scope` knows
//! which; `delta` is the form that updates have in it. Applying them is a restore's: `restore::replay`.
//!
//! Nothing here talks to a server but `dump`.

use bson::RawDocument;
use bson::raw::{RawArray, RawBsonRef};
use windlass_plugin_api::{Error, Result};

pub(crate) mod delta;
mod dump;
mod scope;

pub(crate) use dump::{begin, copy, readable, same_primary};
pub(crate) use scope::Scope;

/// The name of the oplog in an archive, in a database without a name.
pub(crate) const NAME: &str = "oplog";

/// One entry, or one of those inside of an `applyOps`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op<'a> {
    pub(crate) raw: &'a RawDocument,
    /// `i`, `u`, `d`, `c`, `n`.
    pub(crate) kind: &'a str,
    /// `database.collection`, `database.$cmd` for a command.
    pub(crate) ns: &'a str,
    /// The document, the change, the command.
    pub(crate) o: &'a RawDocument,
}

/// What an update does.
pub(crate) enum Update<'a> {
    /// The whole document.
    Whole(&'a RawDocument),
    /// A difference (`$v: 2`), for `delta`.
    Delta(&'a RawDocument),
    /// Operators (`$set`, `$unset`), of servers before 5.0.
    Operators(&'a RawDocument),
}

impl<'a> Op<'a> {
    /// Reads an entry; an error of kind `Damaged` if it is none.
    pub(crate) fn read(raw: &'a RawDocument) -> Result<Self> {
        let text = |key: &str| raw.get_str(key).map_err(|error| damaged().because(&error));
        let o = raw.get_document("o").map_err(|error| damaged().because(&error))?;
        Ok(Self { raw, kind: text("op")?, ns: text("ns")?, o })
    }

    /// Database and collection.
    pub(crate) fn names(&self) -> (&'a str, &'a str) {
        self.ns.split_once('.').unwrap_or((self.ns, ""))
    }

    /// A command's name, and the collection that it is about if it names one.
    pub(crate) fn command(&self) -> Result<(&'a str, Option<&'a str>)> {
        let first = self.o.iter().next().ok_or_else(damaged)?;
        let (name, value) = first.map_err(|error| damaged().because(&error))?;
        Ok((name.as_str(), value.as_str()))
    }

    /// The entries inside of an `applyOps`.
    pub(crate) fn inner(&self) -> Result<&'a RawArray> {
        self.o.get_array("applyOps").map_err(|error| damaged().because(&error))
    }

    /// The `_id` of the document that is changed or deleted.
    pub(crate) fn id(&self) -> Result<RawBsonRef<'a>> {
        let from = if self.kind == "u" {
            self.raw.get_document("o2").map_err(|error| damaged().because(&error))?
        } else {
            self.o
        };
        from.get("_id").map_err(|error| damaged().because(&error))?.ok_or_else(damaged)
    }

    /// What an update does; an error if it is of a form that nobody has told of.
    pub(crate) fn update(&self) -> Result<Update<'a>> {
        let first = self.o.iter().next().transpose().map_err(|error| damaged().because(&error))?;
        match first {
            Some((key, _)) if key.as_str().starts_with('$') => {}
            _ => return Ok(Update::Whole(self.o)),
        }
        match self.o.get_document("diff") {
            Ok(diff) => {
                delta::judge(diff)?;
                Ok(Update::Delta(diff))
            }
            Err(_) => {
                let mut keys = self.o.iter().filter_map(|item| Some(item.ok()?.0.as_str()));
                if keys.all(|key| ["$v", "$set", "$unset"].contains(&key)) {
                    return Ok(Update::Operators(self.o));
                }
                Err(unknown("an update"))
            }
        }
    }

    /// Whether more of this transaction follows: nothing of it holds before its end.
    pub(crate) fn goes_on(&self) -> bool {
        ["partialTxn", "prepare"].iter().any(|key| self.o.get_bool(key).unwrap_or(false))
    }

    /// What tells a transaction from others; none for what is in none.
    pub(crate) fn transaction(&self) -> Option<Vec<u8>> {
        let number = self.raw.get_i64("txnNumber").ok()?;
        let mut key = self.raw.get_document("lsid").ok()?.as_bytes().to_vec();
        key.extend(number.to_le_bytes());
        Some(key)
    }
}

/// An entry of an archive as a document.
pub(crate) fn document(bytes: &[u8]) -> Result<&RawDocument> {
    RawDocument::from_bytes(bytes).map_err(|error| damaged().because(&error))
}

pub(crate) fn damaged() -> Error {
    Error::damaged("the oplog has an entry that can't be read")
}

fn unknown(what: &str) -> Error {
    Error::new(
        windlass_plugin_api::ErrorKind::Unsupported,
        format!("the oplog has {what} of an unknown form"),
    )
}
