//! A web server's folder as a [`Service`] that can only be read.
//!
//! A download is one request from where it begins to the object's end: its bytes are taken range by range from the same answer
//! ([`Flight`]). So a server that knows no ranges serves as well, and only a line that breaks costs the bytes before it again.

use std::sync::{Mutex, PoisonError};

use bytes::{Buf, Bytes};
use http::Method;
use http::header::{IF_MATCH, RANGE};
use windlass_object::{
    Answer, Begun, How, Limits, Listed, Listing, Part, Received, Service, replaced, unavailable,
};
use windlass_plugin_api::{Error, ErrorKind, Leftover, Object, Result, Stored};

use crate::errors::{no_folder, refused};
use crate::request::{Found, Requests};
use crate::walk;

/// Answers that are kept for who goes on reading: of more downloads at once some begin a new request for each range.
const KEPT: usize = 32;

/// A folder of a web server.
pub struct Web {
    pub requests: Requests,
    flights: Mutex<Vec<Flight>>,
}

/// An answer that isn't read to its end.
struct Flight {
    answer: Answer,
    key: String,
    version: String,
    /// Where in the object its next byte is.
    at: u64,
    total: u64,
    held: Bytes,
}

impl Web {
    pub fn new(requests: Requests) -> Self {
        Self { requests, flights: Mutex::default() }
    }

    fn taken(&self, key: &str, at: u64, version: Option<&str>) -> Option<Flight> {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |flight: &Flight| {
            flight.at == at && flight.key == key && Some(flight.version.as_str()) == version
        };
        let found = flights.iter().position(is_it)?;
        Some(flights.remove(found))
    }

    fn keep(&self, flight: Flight) {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if flights.len() >= KEPT {
            // The one that nobody has gone on with for the longest.
            flights.remove(0);
        }
        flights.push(flight);
    }

    /// Asks for the object from `from` on. `None`: there is nothing so far behind.
    async fn begun(
        &self,
        key: &str,
        from: u64,
        version: Option<&str>,
        into: &mut Received,
    ) -> Result<Option<Flight>> {
        let mut headers = Vec::new();
        if from > 0 {
            headers.push((RANGE, format!("bytes={from}-")));
        }
        // A weak tag is good for no range.
        let strong = version.filter(|version| version.starts_with('"'));
        headers.extend(strong.map(|tag| (IF_MATCH, tag.to_owned())));
        let url = self.requests.address.url(key);
        let Found { answer, url: from_url } =
            self.requests.send(&Method::GET, url, &headers, &[412, 416]).await?;
        if from_url.path().ends_with('/') {
            return Err(refused(http::StatusCode::NOT_FOUND, None));
        }
        let found = version_of(&answer);
        if answer.status.as_u16() == 412 || version.is_some_and(|version| version != found) {
            return Err(replaced(key));
        }
        let (at, total) = match answer.status.as_u16() {
            416 => {
                let total =
                    answer.header("content-range").and_then(|range| range.rsplit_once('/')?.1.parse().ok());
                into.total = total.unwrap_or_else(|| from.min(into.total));
                into.version = Some(found);
                return Ok(None);
            }
            206 => ranged(&answer)?,
            _ => (0, whole(&answer)?),
        };
        if at > from {
            return Err(Error::failed("the server gives another part than it was asked for"));
        }
        (into.total, into.version) = (total, Some(found.clone()));
        let mut flight =
            Flight { answer, key: key.to_owned(), version: found, at, total, held: Bytes::new() };
        // A server that doesn't know ranges gives all of it.
        while flight.at < from.min(total) {
            let skipped = flight.next(from - flight.at).await?;
            if skipped.is_empty() {
                return Err(unavailable("the answer was cut short"));
            }
        }
        Ok(Some(flight).filter(|_| from < total))
    }
}

impl Flight {
    /// At most `length` of the next bytes; none at the end.
    async fn next(&mut self, length: u64) -> Result<Bytes> {
        while self.held.is_empty() {
            let Some(chunk) = self.answer.chunk().await? else { return Ok(Bytes::new()) };
            self.held = chunk;
        }
        let count = length.min(self.held.remaining() as u64);
        self.at += count;
        Ok(self.held.split_to(count as usize))
    }
}

/// Its tag, or else the time of its last change.
fn version_of(answer: &Answer) -> String {
    answer.header("etag").or_else(|| answer.header("last-modified")).unwrap_or_default().to_owned()
}

/// How large the object is, of an answer that holds all of it.
fn whole(answer: &Answer) -> Result<u64> {
    let length = answer.header("content-length").and_then(|length| length.parse().ok());
    length.ok_or_else(|| Error::failed("the server doesn't say how large the object is"))
}

/// Where the part begins, and how large the object is.
fn ranged(answer: &Answer) -> Result<(u64, u64)> {
    let range =
        answer.header("content-range").and_then(|range| range.strip_prefix("bytes ")?.split_once('/'));
    let read =
        |(range, total): (&str, &str)| Some((range.split_once('-')?.0.parse().ok()?, total.parse().ok()?));
    range
        .and_then(read)
        .ok_or_else(|| Error::failed("the server doesn't say which part of the object it gives"))
}

fn read_only<T>() -> Result<T> {
    Err(Error::new(ErrorKind::Unsupported, "it can only be read"))
}

impl Service for Web {
    fn limits(&self) -> Limits {
        Limits {
            key_bytes: 1024,
            object_bytes: u64::MAX,
            put_bytes: u64::MAX,
            part_min: 1,
            part_max: u64::MAX,
            parts: u64::MAX,
            equal_parts: false,
            in_order: true,
            delete_batch: 1,
            page: 1000,
        }
    }

    fn place(&self) -> String {
        self.requests.address.shown().to_owned()
    }

    async fn put(&self, _: &str, _: &How, _: Bytes) -> Result<Stored> {
        read_only()
    }

    async fn begin(&self, _: &str, _: &How) -> Result<String> {
        read_only()
    }

    async fn part(&self, _: Begun<'_>, _: Part) -> Result<String> {
        read_only()
    }

    async fn complete(&self, _: Begun<'_>, _: &How, _: &[String]) -> Result<Stored> {
        read_only()
    }

    async fn abort(&self, _: &str, _: &str) -> Result<()> {
        read_only()
    }

    async fn is_published(&self, _: &str, _: &str) -> Result<Option<Stored>> {
        read_only()
    }

    async fn get(
        &self,
        key: &str,
        from: u64,
        length: u64,
        version: Option<&str>,
        into: &mut Received,
    ) -> Result<()> {
        let mut flight = match self.taken(key, from, version) {
            Some(flight) => flight,
            None => match self.begun(key, from, version, into).await? {
                Some(flight) => flight,
                None => return Ok(()),
            },
        };
        (into.total, into.version) = (flight.total, Some(flight.version.clone()));
        let mut wanted = length.min(flight.total - from);
        while wanted > 0 {
            let bytes = flight.next(wanted).await?;
            if bytes.is_empty() {
                return Err(unavailable("the answer was cut short"));
            }
            wanted -= bytes.len() as u64;
            into.bytes.extend_from_slice(&bytes);
        }
        if flight.at < flight.total {
            self.keep(flight);
        }
        Ok(())
    }

    async fn stat(&self, key: &str) -> Result<Option<Object>> {
        let url = self.requests.address.url(key);
        let mut found = self.requests.send(&Method::HEAD, url.clone(), &[], &[404, 405, 410, 501]).await?;
        if matches!(found.answer.status.as_u16(), 405 | 501) {
            // It knows no questions without an answer: of this one only the head is read.
            found = self.requests.send(&Method::GET, url, &[], &[404, 410]).await?;
        }
        let Found { answer, url } = found;
        // A folder is no object: servers send on to its page.
        if !answer.status.is_success() || url.path().ends_with('/') {
            return Ok(None);
        }
        let modified = answer.header("last-modified").and_then(|date| httpdate::parse_http_date(date).ok());
        let modified = modified.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        Ok(Some(Object {
            key: key.to_owned(),
            size_bytes: whole(&answer)?,
            modified: modified.and_then(|since| i64::try_from(since.as_secs()).ok()),
            ..Object::default()
        }))
    }

    async fn list(&self, what: &Listing<'_>) -> Result<Listed> {
        let listed = walk::page(self, what).await?;
        if listed.entries.is_empty() && self.folder("").await?.is_none() {
            return Err(no_folder(self.requests.address.shown()));
        }
        Ok(listed)
    }

    async fn delete(&self, keys: &[String]) -> Result<Vec<Result<()>>> {
        Ok(keys.iter().map(|_| read_only()).collect())
    }

    async fn unfinished(&self, _: &str) -> Result<Vec<Leftover>> {
        Ok(Vec::new())
    }

    fn skew_seconds(&self) -> Option<i64> {
        self.requests.http.skew_seconds()
    }
}
