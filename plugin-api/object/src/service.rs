//! What a service must be able to do: one method a request. Everything above single requests is done for it.
//!
//! A service retries nothing, keeps no state of an upload and knows no thread: it says once what went wrong, with the
//! kind that decides what happens next.

use std::future::Future;

use bytes::Bytes;
use windlass_plugin_api::{Error, ErrorKind, Leftover, Object, Result, Stored};

/// One service, as seen by one instance of a plugin.
///
/// Keys are whole keys of the storage; a prefix of the options is the service's business. Every method is called from
/// the crate's own runtime, several at a time, and may be dropped in the middle when the run is cancelled.
///
/// Errors: [`Unavailable`](ErrorKind::Unavailable) and [`TimedOut`](ErrorKind::TimedOut) are tried again
/// (see [`Retry`](crate::Retry)), everything else is told at once.
pub trait Service: Send + Sync + 'static {
    /// What it can take. Asked once.
    fn limits(&self) -> Limits;

    /// Refuses a key that the service wouldn't take, before an upload of it begins. What no service takes and what is longer than
    /// [`Limits::key_bytes`] is refused already. Sends nothing.
    fn judge(&self, _key: &str) -> Result<()> {
        Ok(())
    }

    /// Where it is, for messages: `s3://bucket/prefix`. No secret in it.
    fn place(&self) -> String;

    /// Stores a small object in one request, visible at once.
    fn put(&self, key: &str, how: &How, bytes: Bytes) -> impl Future<Output = Result<Stored>> + Send;

    /// Removes what a [`put`](Self::put) with this [`How::mark`] that is given up may have left under another name. The
    /// object itself is left alone, for an answer may have been lost. Nothing to do where a request stores all or nothing.
    fn clear(&self, _key: &str, _mark: &str) -> impl Future<Output = Result<()>> + Send {
        std::future::ready(Ok(()))
    }

    /// Begins an upload in parts; its handle. Nothing may be visible of it.
    fn begin(&self, key: &str, how: &How) -> impl Future<Output = Result<String>> + Send;

    /// Stores a part durably; what [`complete`](Self::complete) needs to know of it. Called again for the same part
    /// where it failed.
    fn part(&self, upload: Begun<'_>, part: Part) -> impl Future<Output = Result<String>> + Send;

    /// Makes an object of the parts, in their order, and shows it.
    fn complete(
        &self,
        upload: Begun<'_>,
        how: &How,
        tags: &[String],
    ) -> impl Future<Output = Result<Stored>> + Send;

    /// Forgets an upload and its parts. [`NotFound`](ErrorKind::NotFound) counts as done.
    fn abort(&self, key: &str, handle: &str) -> impl Future<Output = Result<()>> + Send;

    /// Whether the object that is visible as `key` is the one that the upload with this [`How::mark`] made: asked where
    /// the answer to `put` or `complete` was lost.
    fn is_published(&self, key: &str, mark: &str) -> impl Future<Output = Result<Option<Stored>>> + Send;

    /// Appends bytes of `key` from `from` on to `into`, at most `length` of them, as they arrive: what came before an error
    /// stays. With `version` only of that version. A start at or past the end is no error.
    fn get(
        &self,
        key: &str,
        from: u64,
        length: u64,
        version: Option<&str>,
        into: &mut Received,
    ) -> impl Future<Output = Result<()>> + Send;

    /// What is known of `key`; `None` if it isn't there.
    fn stat(&self, key: &str) -> impl Future<Output = Result<Option<Object>>> + Send;

    /// One page of a listing. Entries that `after` excludes may be among them, a page may be empty.
    fn list(&self, what: &Listing<'_>) -> impl Future<Output = Result<Listed>> + Send;

    /// Deletes at most [`Limits::delete_batch`] keys, with a result for each. What isn't there is deleted.
    fn delete(&self, keys: &[String]) -> impl Future<Output = Result<Vec<Result<()>>>> + Send;

    /// Uploads in parts below `prefix` that were begun and neither completed nor aborted.
    fn unfinished(&self, prefix: &str) -> impl Future<Output = Result<Vec<Leftover>>> + Send;

    /// Whether its answers to `put` have shown that what is deleted stays, as a version that isn't listed.
    fn keeps_deleted(&self) -> bool {
        false
    }

    /// Whether `abort` removes what an upload has stored. Otherwise the service forgets it in its own time.
    fn can_abort(&self) -> bool {
        true
    }

    /// The service's clock, in seconds ahead of ours, as its last answer said.
    fn skew_seconds(&self) -> Option<i64> {
        None
    }
}

/// What a service can take. Sizes in bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// The longest key, in bytes, without a prefix of the options.
    pub key_bytes: usize,
    /// The largest object.
    pub object_bytes: u64,
    /// The largest object that one request may store.
    pub put_bytes: u64,
    /// The smallest part but the last.
    pub part_min: u64,
    /// The largest part.
    pub part_max: u64,
    /// How many parts an object may have.
    pub parts: u64,
    /// All parts but the last must be of one size.
    pub equal_parts: bool,
    /// Parts must come one after the other.
    pub in_order: bool,
    /// How many keys one request may delete.
    pub delete_batch: usize,
    /// How many entries one page of a listing has at most.
    pub page: usize,
}

/// How an object is to be stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct How {
    /// Fail with [`AlreadyExists`](ErrorKind::AlreadyExists) rather than replace an object.
    pub if_absent: bool,
    /// Undeletable until then, seconds since 1970 UTC.
    pub retain_until: Option<i64>,
    /// A random word of this upload alone, to be kept with the object where the service keeps such things.
    pub mark: String,
    /// It belongs to a check and is deleted at once: neither locked nor stored in a class that has to be paid for longer, whatever
    /// the options say.
    pub is_probe: bool,
}

/// An upload in parts under way.
#[derive(Clone, Copy, Debug)]
pub struct Begun<'a> {
    /// The key it is meant for.
    pub key: &'a str,
    /// What [`Service::begin`] returned.
    pub handle: &'a str,
}

/// A part of an object.
#[derive(Clone, Debug)]
pub struct Part {
    /// Counted from 1.
    pub number: u32,
    /// Where in the object it begins.
    pub offset: u64,
    /// Nothing comes after it.
    pub is_last: bool,
    /// What is in it.
    pub bytes: Bytes,
}

/// What was read of an object so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Received {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// How large the whole object is.
    pub total: u64,
    /// Which version of it this is of.
    pub version: Option<String>,
}

/// What to list.
#[derive(Clone, Debug)]
pub struct Listing<'a> {
    /// Only keys that begin with this.
    pub prefix: &'a str,
    /// Keys that go on past the next one of these are folded.
    pub delimiter: Option<&'a str>,
    /// Only entries after this one.
    pub after: Option<&'a str>,
    /// At most so many entries.
    pub limit: usize,
    /// Go on where the page ended that returned this.
    pub token: Option<&'a str>,
}

/// A page of a listing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listed {
    /// Objects and folded prefixes.
    pub entries: Vec<Object>,
    /// Where the next page begins; `None`: this was the last.
    pub next: Option<String>,
    /// Pages come in another order than that of the bytes of the keys, and `after` is understood in that order: then
    /// whatever a listing names is fetched before any of it is told.
    pub is_unordered: bool,
}

/// Under this detail an error says that an object was replaced while it was read.
pub(crate) const REPLACED: &str = "replaced";

/// What [`Service::get`] says where the version that was asked for is gone.
pub fn replaced(key: &str) -> Error {
    Error::failed(format!("the object `{key}` was replaced while it was read")).detail(REPLACED, true)
}

/// An error that may pass, as [`Service`] tells it.
pub fn unavailable(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unavailable, message)
}
