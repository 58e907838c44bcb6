//! Where objects are kept under keys.

use std::io::Write;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::context::Context;
use crate::error::Result;
use crate::stream::Reader;

/// A storage: a folder, a bucket.
///
/// One instance serves a run, from several threads at once. Keys are `/`-separated segments of `[A-Za-z0-9._-]`, at most
/// 200 bytes in all, no segment `.` or `..`, none empty; a storage that can keep any other key declares `odd_keys`.
/// Retrying, limiting and counting are the host's wrappers: report an error once, with the right
/// [`ErrorKind`](crate::ErrorKind). `Unavailable` and `TimedOut` are tried again after a wait, with the detail
/// `retry_after_seconds` after that long, with `retry` = `false` not at all. Only an upload under way isn't: repeat its parts
/// yourself, as long as you have their bytes.
pub trait Storage: Send + Sync {
    /// Starts the object `key`. Nothing is visible, to `open`, `stat` or `list`, before [`Upload::publish`] returns.
    fn create(&self, cx: &Context, key: &str, how: &CreateOptions) -> Result<Box<dyn Upload>>;

    /// Reads `key`, or the part of it that `range` names; [`NotFound`](crate::ErrorKind::NotFound) if it isn't there.
    /// A range that begins past the end reads as empty; one that ends past it ends there.
    fn open(&self, cx: &Context, key: &str, range: Option<ByteRange>) -> Result<Reader>;

    /// What is known of `key`; `None` if it isn't there.
    fn stat(&self, cx: &Context, key: &str) -> Result<Option<Object>>;

    /// One page of the objects whose key begins with `prefix` (a plain string prefix), in byte order of the keys.
    fn list(&self, cx: &Context, what: &ListOptions) -> Result<Page>;

    /// Deletes, with a result for each key in order. A key that isn't there is deleted: `Ok`.
    fn delete(&self, cx: &Context, keys: &[String]) -> Result<Vec<Result<()>>>;

    /// Uploads below `prefix` that were begun and neither published nor aborted: their maker died.
    fn leftovers(&self, cx: &Context, prefix: &str) -> Result<Vec<Leftover>> {
        let _ = (cx, prefix);
        Ok(Vec::new())
    }

    /// Removes leftovers that [`leftovers`](Self::leftovers) named.
    fn discard(&self, cx: &Context, leftovers: &[Leftover]) -> Result<()> {
        let _ = (cx, leftovers);
        Ok(())
    }

    /// Whether this storage can be used now: reachable, writable, room. Leaves nothing behind; where the storage itself keeps
    /// what is deleted, as little as can be, and says so.
    fn check(&self, cx: &Context) -> Result<StorageReport>;

    /// The shell command that writes the object to stdout (`cat '/mnt/nas/…'`), for RESTORE.txt. No secret in it.
    fn by_hand(&self, key: &str) -> Option<String> {
        let _ = key;
        None
    }
}

/// An object on its way into a storage.
///
/// One thread at a time: `write`s, `finish`, `publish`. Dropping it before `publish` has returned aborts: nothing
/// visible, nothing left over, needing no right to delete where the service allows that. Aborting after an error too.
pub trait Upload: Write + Send {
    /// All bytes are durable after this, and still invisible. Nothing may be written afterwards.
    fn finish(&mut self) -> Result<()>;

    /// Makes the object visible, whole, at once. Only the host calls it, only after `finish`.
    /// With [`CreateOptions::if_absent`], an object that is there by now is [`AlreadyExists`](crate::ErrorKind).
    fn publish(self: Box<Self>) -> Result<Stored>;
}

/// How to create an object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CreateOptions {
    /// Fail rather than replace an object of that key.
    pub if_absent: bool,
    /// About how many bytes will come, if known.
    pub size_hint: Option<u64>,
    /// About how many bytes those are made of that will come, where `size_hint` isn't known: filters mostly make fewer of them.
    /// Good for planning; no reason to refuse.
    pub made_of_bytes: Option<u64>,
    /// Keep it undeletable until then, seconds since 1970 UTC, where the storage can.
    pub retain_until: Option<i64>,
    /// Who writes: a short word that stands in the names of half uploads, so that leftovers can be told apart.
    pub run: String,
    /// What a newer side adds.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A part of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByteRange {
    /// First byte.
    pub offset: u64,
    /// How many bytes; `None`: to the end.
    pub length: Option<u64>,
}

/// A published object, as its upload saw it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stored {
    /// Bytes stored.
    pub size_bytes: u64,
    /// The storage's own name for this version of it (ETag, version id), if it has one.
    pub version: Option<String>,
    /// What a newer side adds.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// An object of a storage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Object {
    /// Its key; with a delimiter also a common prefix that ends in it.
    pub key: String,
    /// Size in bytes; 0 for a common prefix.
    pub size_bytes: u64,
    /// Last change, seconds since 1970 UTC, if known.
    pub modified: Option<i64>,
    /// What is another one whenever the bytes are others (ETag, generation), if the storage has such a thing and tells it in
    /// this call.
    pub version: Option<String>,
    /// What a newer side adds.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What to list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListOptions {
    /// Only keys that begin with this.
    pub prefix: String,
    /// With `/`, keys that go on past the next `/` after the prefix are folded into one entry that ends in it.
    pub delimiter: Option<String>,
    /// Only entries after this one, in byte order.
    pub after: Option<String>,
    /// At most so many entries; `None`: as the storage likes.
    pub limit: Option<usize>,
    /// What a newer side adds.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Page {
    /// In byte order of the keys.
    pub entries: Vec<Object>,
    /// There is more: go on after the last entry.
    pub more: bool,
    /// What a newer side adds.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A half upload.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Leftover {
    /// The key it was meant for.
    pub key: String,
    /// The storage's own name of the half upload.
    pub handle: String,
    /// [`CreateOptions::run`] of its maker, where it is known.
    pub run: String,
    /// Bytes it takes, if known.
    pub size_bytes: Option<u64>,
    /// When it was begun, seconds since 1970 UTC.
    pub started: Option<i64>,
    /// What a newer side adds.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What [`Storage::check`] found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StorageReport {
    /// Room for so many more bytes, if that can be known.
    pub free_bytes: Option<u64>,
    /// What is deleted stays all the same: as a version that isn't listed, or because a lock forbids it. A test of the storage
    /// can't clean up behind itself then.
    pub keeps_deleted: bool,
    /// What the user should know; a sentence each.
    pub warnings: Vec<String>,
    /// What is only interesting.
    pub notes: Vec<String>,
    /// What a newer side adds.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}
