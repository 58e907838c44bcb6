//! S3's protocol as a [`Service`]: each method is one request.
//!
//! The crate's `Writer` of OpenDAL can't be used: it shows an object when it sends the last bytes (docs/adr/0012). Retries,
//! parallelism and part sizes aren't decided here.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::Method;
use reqsign_core::time::Timestamp;
use windlass_object::{Begun, How, Limits, Listed, Listing, Part, Received, Service, replaced};
use windlass_plugin_api::{Error, ErrorKind, Leftover, Object, Result, Stored};

use crate::errors::{self, refused};
use crate::limits::limits;
use crate::options::Options;
use crate::presets::Preset;
use crate::request::{Ask, Requests};
use crate::xml;

const MARK: &str = "x-amz-meta-windlass-upload";

/// A bucket.
pub struct Bucket {
    pub requests: Requests,
    pub options: Options,
    /// It was seen.
    is_there: AtomicBool,
    /// It gave an object a version of its own: what is deleted there stays behind a marker.
    has_versions: AtomicBool,
}

/// The type of everything that is stored.
const BYTES: &str = "application/octet-stream";

impl Bucket {
    pub fn new(requests: Requests, options: Options) -> Self {
        let (is_there, has_versions) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { requests, options, is_there, has_versions }
    }

    /// Headers of a new object.
    fn headers(&self, how: &How) -> Result<Vec<(&'static str, String)>> {
        let mut headers = vec![(MARK, how.mark.clone()), ("content-type", BYTES.to_owned())];
        let options = &self.options;
        let class = options.storage_class.clone().filter(|_| !how.is_probe);
        headers.extend(class.map(|class| ("x-amz-storage-class", class)));
        headers
            .extend(options.encryption.map(|name| ("x-amz-server-side-encryption", name.name().to_owned())));
        let key = options.kms_key_id.clone();
        headers.extend(key.map(|key| ("x-amz-server-side-encryption-aws-kms-key-id", key)));
        if let Some(lock) = options.object_lock.filter(|_| !how.is_probe) {
            let days = i64::from(lock.days) * 86_400;
            let until = (Timestamp::now().as_second() + days).max(how.retain_until.unwrap_or_default());
            let until = Timestamp::from_second(until).map_err(|error| {
                Error::new(ErrorKind::Config, "`object_lock` reaches too far").because(&error)
            })?;
            headers.push(("x-amz-object-lock-mode", lock.mode.name().to_owned()));
            headers.push(("x-amz-object-lock-retain-until-date", until.format_rfc3339_zulu()));
        }
        Ok(headers)
    }

    fn condition(how: &How) -> Vec<(&'static str, String)> {
        how.if_absent.then(|| ("if-none-match", "*".to_owned())).into_iter().collect()
    }

    /// A service without conditional requests: the best that can be done is to look before.
    async fn look_before(&self, key: &str, error: Error, how: &How) -> Result<How> {
        let is_condition =
            how.if_absent && error.kind == ErrorKind::Unsupported && errors::code(&error) == "NotImplemented";
        if !is_condition {
            return Err(error);
        }
        match self.stat(key).await? {
            Some(_) => {
                Err(Error::new(ErrorKind::AlreadyExists, format!("the object `{key}` is already there")))
            }
            None => Ok(How { if_absent: false, ..how.clone() }),
        }
    }

    async fn put_as(&self, key: &str, how: &How, bytes: Bytes) -> Result<Stored> {
        let ask = Ask::new(Method::PUT, Some(key))
            .headers(self.headers(how)?)
            .headers(Self::condition(how))
            .with_md5(true)
            .body(bytes);
        let answer = self.requests.send(ask).await?;
        // `null` is what a bucket says that keeps versions no longer.
        if answer.header("x-amz-version-id").is_some_and(|version| version != "null") {
            self.has_versions.store(true, Ordering::Relaxed);
        }
        let version = answer.header("x-amz-version-id").or_else(|| answer.header("etag")).map(unquoted);
        Ok(Stored { version, ..Stored::default() })
    }

    async fn complete_as(&self, upload: Begun<'_>, how: &How, tags: &[String]) -> Result<Stored> {
        let ask = Ask::new(Method::POST, Some(upload.key))
            .query("uploadId", upload.handle)
            .headers(Self::condition(how))
            .header("content-type", "application/xml")
            .body(xml::completion(tags));
        let answer = self.requests.send(ask).await?;
        let version = answer.header("x-amz-version-id").map(unquoted);
        let status = answer.status;
        let told: xml::Completed = xml::read(&answer.text().await?)?;
        if !told.code.is_empty() {
            // The status was sent before it was known how it ends.
            return Err(refused(status, &told.code, &told.message, None));
        }
        Ok(Stored { version: version.or_else(|| Some(unquoted(&told.etag))), ..Stored::default() })
    }

    async fn delete_one(&self, key: &str) -> Result<()> {
        let ask = Ask::new(Method::DELETE, Some(key)).expect(&[404]);
        let answer = self.requests.send(ask).await?;
        if answer.status.as_u16() != 404 {
            return Ok(());
        }
        let told: xml::Refusal = xml::read(&answer.text().await?).unwrap_or_default();
        let error = refused(http::StatusCode::NOT_FOUND, &told.code, &told.message, None);
        if error.kind == ErrorKind::NotFound { Ok(()) } else { Err(error) }
    }

    /// A missing bucket answers a HEAD of an object as a missing object does.
    async fn judge_bucket(&self) -> Result<()> {
        if self.is_there.load(Ordering::Relaxed) {
            return Ok(());
        }
        let ask = Ask::new(Method::HEAD, None).expect(&[403, 404]);
        match self.requests.send(ask).await?.status.as_u16() {
            404 => Err(refused(http::StatusCode::NOT_FOUND, "NoSuchBucket", "the bucket isn't there", None)),
            _ => {
                self.is_there.store(true, Ordering::Relaxed);
                Ok(())
            }
        }
    }
}

impl Service for Bucket {
    fn limits(&self) -> Limits {
        let (address, preset) = (&self.requests.address, self.options.preset);
        let is_amazon = preset == Preset::Aws && !address.is_own;
        limits(address.prefix.len(), is_amazon, preset.facts().equal_parts)
    }

    fn place(&self) -> String {
        self.requests.address.shown()
    }

    async fn put(&self, key: &str, how: &How, bytes: Bytes) -> Result<Stored> {
        match self.put_as(key, how, bytes.clone()).await {
            Err(error) => self.put_as(key, &self.look_before(key, error, how).await?, bytes).await,
            stored => stored,
        }
    }

    async fn begin(&self, key: &str, how: &How) -> Result<String> {
        let ask = Ask::new(Method::POST, Some(key)).query("uploads", "").headers(self.headers(how)?);
        let answer = self.requests.send(ask).await?;
        let begun: xml::Initiated = xml::read(&answer.text().await?)?;
        Ok(begun.upload_id)
    }

    async fn part(&self, upload: Begun<'_>, part: Part) -> Result<String> {
        let number = part.number.to_string();
        let ask = Ask::new(Method::PUT, Some(upload.key))
            .query("partNumber", &number)
            .query("uploadId", upload.handle)
            // Some services look for themselves into what has no type, and compress it where that is worth it.
            .header("content-type", BYTES)
            .with_md5(true)
            .body(part.bytes);
        let answer = self.requests.send(ask).await?;
        let tag = answer.header("etag").map(str::to_owned);
        tag.ok_or_else(|| Error::failed("the service didn't name the part that it stored"))
    }

    async fn complete(&self, upload: Begun<'_>, how: &How, tags: &[String]) -> Result<Stored> {
        match self.complete_as(upload, how, tags).await {
            Err(error) => {
                let how = self.look_before(upload.key, error, how).await?;
                self.complete_as(upload, &how, tags).await
            }
            stored => stored,
        }
    }

    async fn abort(&self, key: &str, handle: &str) -> Result<()> {
        let ask = Ask::new(Method::DELETE, Some(key)).query("uploadId", handle);
        self.requests.send(ask).await.map(drop)
    }

    async fn is_published(&self, key: &str, mark: &str) -> Result<Option<Stored>> {
        let answer = self.requests.send(Ask::new(Method::HEAD, Some(key)).expect(&[404])).await?;
        let is_ours = answer.status.is_success() && answer.header(MARK) == Some(mark);
        let version = answer.header("x-amz-version-id").or_else(|| answer.header("etag")).map(unquoted);
        Ok(is_ours.then(|| Stored { version, ..Stored::default() }))
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
        let mut ask =
            Ask::new(Method::GET, Some(key)).header("range", format!("bytes={from}-{last}")).expect(&[416]);
        ask.headers.extend(version.map(|version| ("if-match", version.to_owned())));
        let answer = self.requests.send(ask).await;
        let mut answer = answer.map_err(|error| match error.kind {
            ErrorKind::AlreadyExists => replaced(key),
            _ => error,
        })?;
        let range = answer.header("content-range").and_then(|range| range.rsplit_once('/')?.1.parse().ok());
        if answer.status.as_u16() == 416 {
            into.total = range.unwrap_or(from.min(into.total));
            return Ok(());
        }
        let whole = answer.header("content-length").and_then(|length| length.parse().ok());
        let total: Option<u64> = if answer.status.as_u16() == 206 { range } else { whole };
        into.total = total.ok_or_else(|| Error::failed("the service didn't say how large the object is"))?;
        into.version = answer.header("etag").map(str::to_owned);
        // One that doesn't know ranges sends all of it.
        let mut skipped = if answer.status.as_u16() == 206 { 0 } else { from };
        let mut wanted = length;
        while let Some(mut chunk) = answer.chunk().await? {
            let skip = skipped.min(chunk.len() as u64);
            skipped -= skip;
            chunk = chunk.slice(skip as usize..);
            let taken = wanted.min(chunk.len() as u64);
            into.bytes.extend_from_slice(&chunk[..taken as usize]);
            wanted -= taken;
            if wanted == 0 {
                break;
            }
        }
        Ok(())
    }

    async fn stat(&self, key: &str) -> Result<Option<Object>> {
        let answer = self.requests.send(Ask::new(Method::HEAD, Some(key)).expect(&[404])).await?;
        if answer.status.as_u16() == 404 {
            self.judge_bucket().await?;
            return Ok(None);
        }
        let size_bytes =
            answer.header("content-length").and_then(|length| length.parse().ok()).unwrap_or_default();
        let modified = answer.header("last-modified").and_then(|date| Timestamp::parse_rfc2822(date).ok());
        let modified = modified.map(Timestamp::as_second);
        let version = answer.header("etag").map(unquoted);
        Ok(Some(Object { key: key.to_owned(), size_bytes, modified, version, ..Object::default() }))
    }

    async fn list(&self, what: &Listing<'_>) -> Result<Listed> {
        self.page(what).await
    }

    async fn delete(&self, keys: &[String]) -> Result<Vec<Result<()>>> {
        let mut fates: Vec<Result<()>> = vec![Ok(()); keys.len()];
        let (several, single): (Vec<usize>, Vec<usize>) =
            (0..keys.len()).partition(|at| keys.len() > 1 && xml::can_hold(&keys[*at]));
        for at in single {
            fates[at] = self.delete_one(&keys[at]).await;
        }
        if several.is_empty() {
            return Ok(fates);
        }
        let prefix = &self.requests.address.prefix;
        let named: Vec<String> = several.iter().map(|at| format!("{prefix}{}", keys[*at])).collect();
        let ask = Ask::new(Method::POST, None)
            .query("delete", "")
            .header("content-type", "application/xml")
            .with_md5(true)
            .body(xml::deletion(&named));
        let told: xml::Deleted = xml::read(&self.requests.send(ask).await?.text().await?)?;
        for error in told.errors {
            if let Some(at) = named.iter().position(|key| *key == error.key) {
                let refusal = refused(http::StatusCode::BAD_REQUEST, &error.code, &error.message, None);
                if refusal.kind != ErrorKind::NotFound {
                    fates[several[at]] = Err(refusal);
                }
            }
        }
        Ok(fates)
    }

    async fn unfinished(&self, prefix: &str) -> Result<Vec<Leftover>> {
        self.half_uploads(prefix).await
    }

    fn keeps_deleted(&self) -> bool {
        self.has_versions.load(Ordering::Relaxed)
    }

    fn skew_seconds(&self) -> Option<i64> {
        self.requests.http.skew_seconds()
    }
}

pub fn unquoted(tag: &str) -> String {
    tag.trim_matches('"').to_owned()
}
