//! The JSON API as a [`Service`].
//!
//! An upload in parts is a resumable upload: a session that takes bytes in order and shows its object when it has the last
//! one. Of the ways to store large objects it alone needs no right but that to create, leaves nothing that is listed or
//! paid for, honours a precondition, and is the same with the emulator. The XML API's uploads in parts know no
//! preconditions; parts that are composed are objects which everybody sees and somebody must delete.

use bytes::Bytes;
use http::Method;
use reqsign_core::time::Timestamp;
use serde_json::{Value, json};
use windlass_object::{Begun, How, Limits, Listed, Listing, Part, Received, Service, replaced};
use windlass_plugin_api::{Error, ErrorKind, Leftover, Object, Result, Stored};

use crate::documents::{Page, Resource, read, related};
use crate::errors::no_bucket;
use crate::limits::{self, limits};
use crate::options::Options;
use crate::parts::{Whole, checksum_text, sent_before, tag};
use crate::request::{Ask, Requests};

const MARK: &str = "windlass-upload";
/// What is asked about objects in a listing.
const FIELDS: &str = "items(name,size,updated),prefixes,nextPageToken";

/// A bucket.
pub struct Bucket {
    pub requests: Requests,
    pub options: Options,
}

impl Bucket {
    /// The description of a new object.
    fn described(&self, key: &str, how: &How) -> Result<Value> {
        let mut metadata = json!({
            "name": self.requests.address.name(key),
            "contentType": "application/octet-stream",
            "metadata": { MARK: how.mark },
        });
        if let Some(class) = self.options.storage_class.as_ref().filter(|_| !how.is_probe) {
            metadata["storageClass"] = class.as_str().into();
        }
        if let Some(retention) = self.options.retention.filter(|_| !how.is_probe) {
            let days = i64::from(retention.days) * 86_400;
            let until = (Timestamp::now().as_second() + days).max(how.retain_until.unwrap_or_default());
            let until = Timestamp::from_second(until).map_err(|error| {
                Error::new(ErrorKind::Config, "`retention` reaches too far").because(&error)
            })?;
            metadata["retention"] =
                json!({ "mode": retention.mode.name(), "retainUntilTime": until.format_rfc3339_zulu() });
        }
        Ok(metadata)
    }

    fn upload_url(&self, kind: &str, how: &How) -> String {
        let mut query = vec![("uploadType", kind)];
        query.extend(how.if_absent.then_some(("ifGenerationMatch", "0")));
        query.extend(self.options.kms_key.as_deref().map(|key| ("kmsKeyName", key)));
        self.requests.address.upload(&query)
    }

    fn no_bucket(&self) -> Error {
        no_bucket(&self.requests.address.shown())
    }

    /// Where something is stored, nothing but the bucket can be missing.
    fn of_bucket(&self, error: Error) -> Error {
        if error.kind == ErrorKind::NotFound { self.no_bucket() } else { error }
    }

    /// A missing bucket answers a question about an object as a missing object does. Who may not list isn't told.
    async fn judge_bucket(&self) -> Result<()> {
        let url = self.requests.address.url(None, &[("maxResults", "1"), ("fields", "nextPageToken")]);
        match self.requests.send(Ask::new(Method::GET, url).expect(&[401, 403, 404])).await?.status.as_u16() {
            404 => Err(self.no_bucket()),
            _ => Ok(()),
        }
    }

    async fn resource(&self, key: &str) -> Result<Option<Resource>> {
        let url = self.requests.address.url(Some(key), &[]);
        let answer = self.requests.send(Ask::new(Method::GET, url).expect(&[404])).await?;
        if answer.status.as_u16() == 404 {
            self.judge_bucket().await?;
            return Ok(None);
        }
        read(answer).await.map(Some)
    }

    /// Sends bytes to the session of an upload, none of which is the object's last.
    async fn send(&self, session: &str, mut offset: u64, mut bytes: Bytes) -> Result<()> {
        while !bytes.is_empty() {
            let end = offset + bytes.len() as u64;
            let ask = Ask::new(Method::PUT, session.to_owned())
                .header("content-range", format!("bytes {offset}-{}/*", end - 1))
                .body(bytes.clone())
                .expect(&[308])
                .open();
            let answer = self.requests.send(ask).await?;
            if answer.status.as_u16() != 308 {
                return Err(Error::failed("the service ended an upload that isn't at its end"));
            }
            // It may keep less than was sent; nothing kept has no range at all.
            let range =
                answer.header("range").and_then(|range| range.rsplit_once('-')?.1.parse::<u64>().ok());
            let kept = range.map_or(0, |last| last + 1);
            if kept <= offset || kept > end {
                return Err(windlass_object::unavailable("the service didn't keep what was sent"));
            }
            bytes = bytes.slice((kept - offset) as usize..);
            offset = kept;
        }
        Ok(())
    }

    /// A key of the storage, of a name in the bucket. `None`: it lies outside of our prefix.
    fn ours(&self, name: &str) -> Option<String> {
        name.strip_prefix(&self.requests.address.prefix).map(str::to_owned)
    }

    async fn delete_one(&self, key: &str) -> Result<()> {
        let url = self.requests.address.url(Some(key), &[]);
        self.requests.send(Ask::new(Method::DELETE, url).expect(&[404])).await.map(drop)
    }
}

impl Service for Bucket {
    fn limits(&self) -> Limits {
        limits(self.requests.address.prefix.len())
    }

    fn judge(&self, key: &str) -> Result<()> {
        limits::judge(&self.requests.address.name(key))
    }

    fn place(&self) -> String {
        self.requests.address.shown()
    }

    async fn put(&self, key: &str, how: &How, bytes: Bytes) -> Result<Stored> {
        let mut described = self.described(key, how)?;
        described["crc32c"] = checksum_text(crc32c::crc32c(&bytes)).into();
        let boundary = format!("windlass-{}", how.mark);
        let ask = Ask::new(Method::POST, self.upload_url("multipart", how))
            .header("content-type", format!("multipart/related; boundary={boundary}"))
            .body(related(&boundary, &described, &bytes));
        let answer = self.requests.send(ask).await.map_err(|error| self.of_bucket(error))?;
        Ok(read::<Resource>(answer).await?.stored())
    }

    async fn begin(&self, key: &str, how: &How) -> Result<String> {
        let ask = Ask::new(Method::POST, self.upload_url("resumable", how))
            .header("content-type", "application/json; charset=utf-8")
            .header("x-upload-content-type", "application/octet-stream")
            .body(self.described(key, how)?.to_string());
        let answer = self.requests.send(ask).await.map_err(|error| self.of_bucket(error))?;
        let session = answer.header("location").filter(|place| self.requests.address.may_send_to(place));
        session.map(str::to_owned).ok_or_else(|| Error::failed("the service named no place for the upload"))
    }

    async fn part(&self, upload: Begun<'_>, part: Part) -> Result<String> {
        let length = part.bytes.len();
        let sent = if part.is_last { sent_before(length) } else { length };
        self.send(upload.handle, part.offset, part.bytes.slice(..sent)).await?;
        Ok(tag(&part.bytes, sent))
    }

    async fn complete(&self, upload: Begun<'_>, _how: &How, tags: &[String]) -> Result<Stored> {
        let whole = Whole::of(tags)?;
        let (from, last) = (whole.length - whole.tail.len() as u64, whole.length.saturating_sub(1));
        let ask = Ask::new(Method::PUT, upload.handle.to_owned())
            .header("content-range", format!("bytes {from}-{last}/{}", whole.length))
            .header("x-goog-hash", format!("crc32c={}", whole.checksum_text()))
            .body(whole.tail.clone())
            .expect(&[308])
            .open();
        let answer = self.requests.send(ask).await?;
        if answer.status.as_u16() == 308 {
            return Err(windlass_object::unavailable("the service didn't keep what was sent"));
        }
        let resource: Resource = read(answer).await?;
        if !resource.crc32c.is_empty() && resource.crc32c != whole.checksum_text() {
            return Err(Error::damaged(format!("the service stored other bytes as `{}`", upload.key)));
        }
        Ok(resource.stored())
    }

    async fn abort(&self, _key: &str, handle: &str) -> Result<()> {
        if !self.requests.address.may_send_to(handle) {
            return Err(Error::new(ErrorKind::Config, "that is no upload of this storage"));
        }
        // 499 is how the service says that it is done; 410 and 404 that it was before.
        let ask = Ask::new(Method::DELETE, handle.to_owned()).expect(&[404, 410, 499]).open();
        self.requests.send(ask).await.map(drop)
    }

    async fn is_published(&self, key: &str, mark: &str) -> Result<Option<Stored>> {
        let resource = self.resource(key).await?;
        let ours = resource.filter(|resource| resource.metadata.get(MARK).is_some_and(|own| own == mark));
        Ok(ours.map(Resource::stored))
    }

    async fn get(
        &self,
        key: &str,
        from: u64,
        length: u64,
        version: Option<&str>,
        into: &mut Received,
    ) -> Result<()> {
        let last = from.saturating_add(length).saturating_sub(1);
        let mut query = vec![("alt", "media")];
        query.extend(version.map(|version| ("generation", version)));
        let ask = Ask::new(Method::GET, self.requests.address.url(Some(key), &query))
            .header("range", format!("bytes={from}-{last}"))
            .expect(&[416]);
        let answer = match self.requests.send(ask).await {
            Err(error) if error.kind == ErrorKind::NotFound && version.is_some() => {
                return Err(replaced(key));
            }
            Err(error) if error.kind == ErrorKind::NotFound => {
                self.judge_bucket().await?;
                return Err(error);
            }
            answer => answer?,
        };
        into.version = answer.header("x-goog-generation").map(str::to_owned);
        answer.receive(from, length, into).await
    }

    async fn stat(&self, key: &str) -> Result<Option<Object>> {
        Ok(self.resource(key).await?.map(|resource| resource.object(key.to_owned())))
    }

    async fn list(&self, what: &Listing<'_>) -> Result<Listed> {
        let address = &self.requests.address;
        // The page begins with `after` itself, which isn't wanted.
        let limit = (what.limit + usize::from(what.after.is_some())).to_string();
        let prefix = address.name(what.prefix);
        let start = what.after.map(|after| address.name(after));
        let mut query = vec![("prefix", prefix.as_str()), ("maxResults", &limit), ("fields", FIELDS)];
        query.extend(what.delimiter.map(|delimiter| ("delimiter", delimiter)));
        // From that one on, itself included.
        query.extend(start.as_deref().map(|start| ("startOffset", start)));
        query.extend(what.token.map(|token| ("pageToken", token)));
        let answer = self.requests.send(Ask::new(Method::GET, address.url(None, &query))).await;
        let page: Page = read(answer.map_err(|error| self.of_bucket(error))?).await?;
        let mut entries = Vec::with_capacity(page.items.len() + page.prefixes.len());
        for item in &page.items {
            // Consoles make empty objects that end in `/` for folders. They are no keys of ours.
            let key = self.ours(&item.name).filter(|key| !key.is_empty() && !key.ends_with('/'));
            entries.extend(key.map(|key| item.object(key)));
        }
        for folded in &page.prefixes {
            entries.extend(self.ours(folded).map(|key| Object { key, ..Object::default() }));
        }
        let next = page.next_page_token.filter(|token| !token.is_empty());
        Ok(Listed { entries, next, is_unordered: false })
    }

    async fn delete(&self, keys: &[String]) -> Result<Vec<Result<()>>> {
        let mut fates = Vec::with_capacity(keys.len());
        for key in keys {
            fates.push(self.delete_one(key).await);
        }
        Ok(fates)
    }

    /// Sessions can't be listed. The service forgets them after a week, and they cost nothing.
    async fn unfinished(&self, _prefix: &str) -> Result<Vec<Leftover>> {
        Ok(Vec::new())
    }

    fn skew_seconds(&self) -> Option<i64> {
        self.requests.http.skew_seconds()
    }
}
