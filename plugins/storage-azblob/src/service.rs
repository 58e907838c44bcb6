//! The protocol of block blobs as a [`Service`].
//!
//! A block that was staged (Put Block) belongs to a blob's name and is seen by nobody until a list of blocks is committed
//! (Put Block List). The blocks of each upload have ids of its own, so that two uploads of one key never mix. The service
//! has no request that forgets blocks: it does so when a blob of that name is stored, or by itself after a week. How an
//! upload is aborted then, [`Container::forget`] says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::Method;
use reqsign_core::time::Timestamp;
use tokio::sync::RwLock;
use windlass_object::{Begun, How, Limits, Listed, Listing, Part, Received, Service, replaced};
use windlass_plugin_api::{Error, ErrorKind, Leftover, Object, Result, Stored};

use crate::errors::{self, refused};
use crate::limits::{self, PAGE, limits};
use crate::options::Options;
use crate::request::{Ask, Requests, refusal};
use crate::xml;

const MARK: &str = "x-ms-meta-windlassupload";
/// Of an empty blob that was made only to be deleted, with the blocks of its name. It counts as absent.
const DISCARDED: &str = "x-ms-meta-windlassdiscarded";

/// A container.
pub struct Container {
    pub requests: Arc<Requests>,
    options: Options,
    /// Held by each block on its way: what is forgotten must not come after all.
    under_way: Arc<RwLock<()>>,
    /// It gave a blob a version of its own: what is deleted there stays as one.
    has_versions: AtomicBool,
}

impl Container {
    pub fn new(requests: Requests, options: Options) -> Self {
        let requests = Arc::new(requests);
        Self { requests, options, under_way: Arc::default(), has_versions: AtomicBool::new(false) }
    }

    /// Headers of a new blob.
    fn headers(&self, how: &How) -> Result<Vec<(&'static str, String)>> {
        let mut headers =
            vec![(MARK, how.mark.clone()), ("x-ms-blob-content-type", "application/octet-stream".to_owned())];
        headers.extend(how.if_absent.then(|| ("if-none-match", "*".to_owned())));
        let options = &self.options;
        headers.extend(
            options
                .access_tier
                .filter(|_| !how.is_probe)
                .map(|tier| ("x-ms-access-tier", tier.name().to_owned())),
        );
        headers.extend(options.encryption_scope.clone().map(|scope| ("x-ms-encryption-scope", scope)));
        if let Some(policy) = options.immutability.filter(|_| !how.is_probe) {
            let days = i64::from(policy.days) * 86_400;
            let until = (Timestamp::now().as_second() + days).max(how.retain_until.unwrap_or_default());
            let until = Timestamp::from_second(until).map_err(|error| {
                Error::new(ErrorKind::Config, "`immutability` reaches too far").because(&error)
            })?;
            headers.push(("x-ms-immutability-policy-until-date", until.format_http_date()));
            headers.push(("x-ms-immutability-policy-mode", policy.mode.name().to_owned()));
        }
        Ok(headers)
    }

    fn stored(answer: &windlass_object::Answer) -> Stored {
        let version = answer.header("x-ms-version-id").or_else(|| answer.header("etag"));
        Stored { version: version.map(unquoted), ..Stored::default() }
    }

    /// A key of the storage, of a name in the container. `None`: it lies outside of our prefix.
    fn ours(&self, name: &str) -> Option<String> {
        name.strip_prefix(&self.requests.address.prefix).map(str::to_owned)
    }

    /// What a name is known for. `None`: no blob, or one that counts as absent.
    async fn head(&self, key: &str) -> Result<Option<windlass_object::Answer>> {
        let answer = self.requests.send(Ask::new(Method::HEAD, Some(key)).expect(&[404])).await?;
        if answer.status.as_u16() == 404 {
            // Of a missing container the answer says so in a header.
            let error = refusal(answer).await;
            return if error.kind == ErrorKind::NotFound { Ok(None) } else { Err(error) };
        }
        Ok(Some(answer).filter(|answer| answer.header(DISCARDED).is_none()))
    }

    /// Frees the blocks of a name that no blob has: an empty blob, which counts as absent, is committed in their place and
    /// deleted. Where there is a blob, its own blocks and the staged ones can't be told apart, and the service forgets the
    /// staged ones by itself.
    async fn forget(&self, key: &str) -> Result<()> {
        // Whether we may delete, before there is something to delete: no blob has this tag.
        let may = Ask::new(Method::DELETE, Some(key)).header("if-match", "\"0x0\"");
        match self.requests.send(may).await {
            Err(error) if error.kind == ErrorKind::Denied => {
                return Err(error.hint(
                    "Blocks that were staged stay invisible, and the service removes them within a week.",
                ));
            }
            Err(error) if windlass_object::is_passing(&error) => return Err(error),
            _ => {}
        }
        let empty = Ask::new(Method::PUT, Some(key))
            .query("comp", "blocklist")
            .header("if-none-match", "*")
            .header(DISCARDED, "1")
            .header("content-type", "application/xml")
            .body(xml::block_list(&[]));
        let tag = match self.requests.send(empty).await {
            Ok(answer) => answer.header("etag").map(str::to_owned),
            // There is a blob; perhaps the one that an earlier attempt has made.
            Err(error) if error.kind == ErrorKind::AlreadyExists => self.discarded(key).await?,
            Err(error) => return Err(error),
        };
        let Some(tag) = tag else { return Ok(()) };
        let delete = Ask::new(Method::DELETE, Some(key)).header("if-match", tag).expect(&[404, 412]);
        self.requests.send(delete).await.map(drop)
    }

    /// The tag of the blob that was made to be deleted, if that is what is there.
    async fn discarded(&self, key: &str) -> Result<Option<String>> {
        let answer = self.requests.send(Ask::new(Method::HEAD, Some(key)).expect(&[404])).await?;
        let is_one = answer.status.is_success() && answer.header(DISCARDED).is_some();
        Ok(answer.header("etag").filter(|_| is_one).map(str::to_owned))
    }

    async fn delete_one(&self, key: &str) -> Result<()> {
        let ask = Ask::new(Method::DELETE, Some(key)).header("x-ms-delete-snapshots", "include");
        match self.requests.send(ask).await {
            Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
            result => result.map(drop),
        }
    }

    async fn page(&self, query: &[(&str, &str)], marker: Option<&str>) -> Result<xml::Page> {
        let mut ask = Ask::new(Method::GET, None).query("restype", "container").query("comp", "list");
        ask.query.extend(query);
        ask.query.extend(marker.map(|marker| ("marker", marker)));
        xml::read(&self.requests.send(ask).await?.text().await?)
    }

    /// All blobs whose name begins with `prefix`, with those that have only blocks if `uncommitted`.
    async fn names(&self, prefix: &str, uncommitted: bool) -> Result<Vec<xml::Blob>> {
        let include = if uncommitted { "uncommittedblobs,metadata" } else { "metadata" };
        let (mut found, mut marker) = (Vec::new(), None);
        loop {
            let page = self.page(&[("prefix", prefix), ("include", include)], marker.as_deref()).await?;
            found.extend(page.blobs.blobs);
            marker = Some(page.next_marker).filter(|marker| !marker.is_empty());
            if marker.is_none() {
                return Ok(found);
            }
        }
    }
}

impl Service for Container {
    fn limits(&self) -> Limits {
        limits(self.requests.address.prefix.len())
    }

    fn judge(&self, key: &str) -> Result<()> {
        limits::judge(&self.requests.address.prefix, key)
    }

    fn place(&self) -> String {
        self.requests.address.shown()
    }

    async fn put(&self, key: &str, how: &How, bytes: Bytes) -> Result<Stored> {
        let ask = Ask::new(Method::PUT, Some(key))
            .header("x-ms-blob-type", "BlockBlob")
            .headers(self.headers(how)?)
            .body(bytes);
        let answer = self.requests.send(ask).await?;
        if answer.header("x-ms-version-id").is_some() {
            self.has_versions.store(true, Ordering::Relaxed);
        }
        Ok(Self::stored(&answer))
    }

    /// Nothing is to be asked for: the first block begins it.
    async fn begin(&self, _key: &str, how: &How) -> Result<String> {
        Ok(how.mark.clone())
    }

    async fn part(&self, upload: Begun<'_>, part: Part) -> Result<String> {
        // All ids of a blob must be of one length.
        let id = BASE64.encode(format!("{}-{:05}", upload.handle, part.number));
        let (requests, key) = (self.requests.clone(), upload.key.to_owned());
        let on_the_way = self.under_way.clone().read_owned().await;
        // A task of its own: a block whose request is given up may arrive nevertheless, and nothing would tell when.
        let staged = tokio::spawn(async move {
            let ask = Ask::new(Method::PUT, Some(&key))
                .query("comp", "block")
                .query("blockid", &id)
                .body(part.bytes);
            let answer = requests.send(ask).await;
            drop(on_the_way);
            answer.map(|_| id)
        });
        staged.await.map_err(|error| Error::failed("a request ended abruptly").because(&error))?
    }

    async fn complete(&self, upload: Begun<'_>, how: &How, tags: &[String]) -> Result<Stored> {
        let ask = Ask::new(Method::PUT, Some(upload.key))
            .query("comp", "blocklist")
            .headers(self.headers(how)?)
            .header("content-type", "application/xml")
            .body(xml::block_list(tags));
        Ok(Self::stored(&self.requests.send(ask).await?))
    }

    async fn abort(&self, key: &str, _handle: &str) -> Result<()> {
        let _none_under_way = self.under_way.write().await;
        self.forget(key).await
    }

    async fn is_published(&self, key: &str, mark: &str) -> Result<Option<Stored>> {
        let answer = self.head(key).await?;
        Ok(answer.filter(|answer| answer.header(MARK) == Some(mark)).map(|answer| Self::stored(&answer)))
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
        let answer = self.requests.send(ask).await.map_err(|error| match errors::code(&error) {
            "ConditionNotMet" => replaced(key),
            _ => error,
        })?;
        if answer.header(DISCARDED).is_some() {
            return Err(refused(http::StatusCode::NOT_FOUND, "BlobNotFound", "", None));
        }
        into.version = answer.header("etag").map(str::to_owned);
        answer.receive(from, length, into).await
    }

    async fn stat(&self, key: &str) -> Result<Option<Object>> {
        let Some(answer) = self.head(key).await? else { return Ok(None) };
        let size_bytes =
            answer.header("content-length").and_then(|length| length.parse().ok()).unwrap_or_default();
        let modified = answer.header("last-modified").and_then(seconds);
        let version = answer.header("etag").map(unquoted);
        Ok(Some(Object { key: key.to_owned(), size_bytes, modified, version, ..Object::default() }))
    }

    async fn list(&self, what: &Listing<'_>) -> Result<Listed> {
        let prefix = format!("{}{}", self.requests.address.prefix, what.prefix);
        // The service can't begin after a name: what lies before is fetched, in pages as large as can be.
        let limit = if what.after.is_some() { PAGE } else { what.limit };
        let limit = limit.to_string();
        let mut query = vec![("prefix", prefix.as_str()), ("maxresults", &limit), ("include", "metadata")];
        query.extend(what.delimiter.map(|delimiter| ("delimiter", delimiter)));
        let page = self.page(&query, what.token).await?;
        let mut entries = Vec::with_capacity(page.blobs.blobs.len() + page.blobs.prefixes.len());
        // With folders, what is below `a` comes before `a-b`.
        let has_folders = page.blobs.blobs.iter().any(|blob| blob.properties.resource_type.is_some());
        for blob in page.blobs.blobs {
            let is_folder = blob.properties.resource_type.as_deref() == Some("directory");
            let is_discarded = blob.metadata.is_some_and(|marks| marks.windlassdiscarded.is_some());
            let Some(key) = self.ours(&blob.name).filter(|key| !key.is_empty() && !key.ends_with('/')) else {
                continue;
            };
            if !is_folder && !is_discarded {
                let modified = seconds(&blob.properties.last_modified);
                let size_bytes = blob.properties.content_length;
                // Quoted in some answers and not in others.
                let version = Some(unquoted(&blob.properties.etag)).filter(|etag| !etag.is_empty());
                entries.push(Object { key, size_bytes, modified, version, ..Object::default() });
            }
        }
        for folded in page.blobs.prefixes {
            entries.extend(self.ours(&folded.name).map(|key| Object { key, ..Object::default() }));
        }
        let next = Some(page.next_marker).filter(|marker| !marker.is_empty());
        Ok(Listed { entries, next, is_unordered: has_folders })
    }

    async fn delete(&self, keys: &[String]) -> Result<Vec<Result<()>>> {
        let mut fates = Vec::with_capacity(keys.len());
        for key in keys {
            fates.push(self.delete_one(key).await);
        }
        Ok(fates)
    }

    /// Blobs that are listed only when those without a committed block are asked for, and those that were made only to be
    /// deleted.
    async fn unfinished(&self, prefix: &str) -> Result<Vec<Leftover>> {
        let prefix = format!("{}{prefix}", self.requests.address.prefix);
        let all = self.names(&prefix, true).await?;
        let is_discarded =
            |blob: &xml::Blob| blob.metadata.as_ref().is_some_and(|marks| marks.windlassdiscarded.is_some());
        // Asked for later: a blob that was committed in between isn't told.
        let committed: std::collections::BTreeSet<String> = self
            .names(&prefix, false)
            .await?
            .into_iter()
            .filter(|blob| !is_discarded(blob))
            .map(|blob| blob.name)
            .collect();
        let left = all.into_iter().filter(|blob| !committed.contains(&blob.name));
        Ok(left
            .filter_map(|blob| {
                let key = self.ours(&blob.name)?;
                let started = seconds(&blob.properties.last_modified);
                Some(Leftover { key, handle: "uncommitted".to_owned(), started, ..Leftover::default() })
            })
            .collect())
    }

    fn keeps_deleted(&self) -> bool {
        self.has_versions.load(Ordering::Relaxed)
    }

    fn skew_seconds(&self) -> Option<i64> {
        self.requests.http.skew_seconds()
    }
}

fn seconds(date: &str) -> Option<i64> {
    Timestamp::parse_rfc2822(date).ok().map(Timestamp::as_second)
}

fn unquoted(tag: &str) -> String {
    tag.trim_matches('"').to_owned()
}
