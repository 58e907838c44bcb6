//! The native API as a [`Service`].
//!
//! An object of one part is one request; a larger one is a large file, whose parts go up side by side and make no file
//! before it is finished. A large file that is begun can be listed and cancelled without the right to delete.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::{Value, json};
use windlass_object::{Begun, How, Limits, Listed, Listing, Part, Received, Service, replaced};
use windlass_plugin_api::{Error, ErrorKind, Leftover, Object, Result, Stored};

use crate::address::encoded;
use crate::documents::{MARK, Page, Version, marked};
use crate::doors::checksum;
use crate::errors::is_code;
use crate::limits::{self, limits};
use crate::options::{Delete, Options};
use crate::request::Requests;
use crate::versions::taken;

const TYPE: &str = "application/octet-stream";

/// A bucket.
pub struct Bucket {
    pub requests: Requests,
    pub options: Options,
}

impl Bucket {
    async fn bucket_id(&self) -> Result<String> {
        Ok(self.requests.account.session().await?.bucket_id.clone())
    }

    /// Until when a new file is undeletable, in milliseconds, and how firmly.
    fn retained(&self, how: &How) -> Option<(&'static str, i64)> {
        let retention = self.options.retention.filter(|_| !how.is_probe)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
        let until = now + i64::from(retention.days) * 86_400;
        Some((retention.mode.name(), until.max(how.retain_until.unwrap_or_default()).saturating_mul(1000)))
    }

    /// Refuses to replace what is there, where that can be looked at. What is there already may be ours: its answer was lost.
    async fn look_before(&self, key: &str, name: &str, how: &How) -> Result<Option<Version>> {
        if !how.if_absent || !self.requests.account.session().await?.may("listFiles") {
            return Ok(None);
        }
        match self.requests.newest(name).await? {
            Some(there) if there.is_of(&how.mark) => Ok(Some(there)),
            Some(_) => Err(taken(key)),
            None => Ok(None),
        }
    }

    async fn look_after(&self, key: &str, name: &str, how: &How, own: &Version) -> Result<Stored> {
        match !how.if_absent || self.requests.is_first(name, own).await? {
            true => Ok(own.stored()),
            false => Err(taken(key)),
        }
    }

    async fn delete_one(&self, key: &str) -> Result<()> {
        let name = self.requests.address.name(key)?;
        match self.options.delete {
            Delete::Versions => self.requests.delete_all(&name).await,
            Delete::Hide => self.requests.hide(&name).await,
        }
    }

    async fn begun_below(&self, prefix: &str) -> Result<Vec<Version>> {
        let (bucket, mut found, mut from) = (self.bucket_id().await?, Vec::new(), None::<String>);
        loop {
            let mut body = json!({ "bucketId": bucket, "namePrefix": prefix, "maxFileCount": 100 });
            if let Some(id) = &from {
                body["startFileId"] = id.as_str().into();
            }
            let page: Page = self.requests.call("b2_list_unfinished_large_files", "listFiles", body).await?;
            found.extend(page.files);
            from = page.next_file_id;
            if from.is_none() {
                return Ok(found);
            }
        }
    }
}

impl Service for Bucket {
    fn limits(&self) -> Limits {
        limits(self.requests.address.prefix.len())
    }

    fn judge(&self, key: &str) -> Result<()> {
        limits::judge(key)
    }

    fn place(&self) -> String {
        self.requests.address.shown()
    }

    async fn put(&self, key: &str, how: &How, bytes: Bytes) -> Result<Stored> {
        let name = self.requests.address.name(key)?;
        if let Some(own) = self.look_before(key, &name, how).await? {
            return self.look_after(key, &name, how, &own).await;
        }
        let mut headers = vec![
            ("x-bz-file-name", encoded(&name)),
            ("content-type", TYPE.to_owned()),
            ("x-bz-info-windlass-upload", marked(how)),
        ];
        if let Some((mode, until)) = self.retained(how) {
            headers.push(("x-bz-file-retention-mode", mode.to_owned()));
            headers.push(("x-bz-file-retention-retain-until-timestamp", until.to_string()));
        }
        let sum = checksum(&bytes);
        let own = self.requests.store("", headers, bytes, &sum).await?;
        self.look_after(key, &name, how, &own).await
    }

    async fn begin(&self, key: &str, how: &How) -> Result<String> {
        let name = self.requests.address.name(key)?;
        let mut body = json!({
            "bucketId": self.bucket_id().await?,
            "fileName": name,
            "contentType": TYPE,
            "fileInfo": { MARK: marked(how) },
        });
        if let Some((mode, until)) = self.retained(how) {
            body["fileRetention"] = json!({ "mode": mode, "retainUntilTimestamp": until });
        }
        let begun: Version = self.requests.call("b2_start_large_file", "writeFiles", body).await?;
        begun.file_id.ok_or_else(|| Error::failed("the service named no large file"))
    }

    async fn part(&self, upload: Begun<'_>, part: Part) -> Result<String> {
        let sum = checksum(&part.bytes);
        let headers = vec![("x-bz-part-number", part.number.to_string())];
        self.requests.store(upload.handle, headers, part.bytes, &sum).await?;
        Ok(sum)
    }

    async fn complete(&self, upload: Begun<'_>, how: &How, tags: &[String]) -> Result<Stored> {
        let name = self.requests.address.name(upload.key)?;
        if let Some(own) = self.look_before(upload.key, &name, how).await? {
            return self.look_after(upload.key, &name, how, &own).await;
        }
        let body = json!({ "fileId": upload.handle, "partSha1Array": tags });
        let own: Version = self.requests.call("b2_finish_large_file", "writeFiles", body).await?;
        self.requests.doors.forget(upload.handle);
        self.look_after(upload.key, &name, how, &own).await
    }

    async fn abort(&self, key: &str, handle: &str) -> Result<()> {
        self.requests.doors.forget(handle);
        let body = json!({ "fileId": handle });
        let cancelled: Result<Value> = self.requests.call("b2_cancel_large_file", "writeFiles", body).await;
        match cancelled {
            // So it answers for what is finished or cancelled already.
            Err(error) if is_code(&error, "bad_request") => {
                let name = self.requests.address.name(key)?;
                let is_there = self.begun_below(&name).await?.iter().any(|begun| begun.id() == handle);
                if is_there { Err(error) } else { Ok(()) }
            }
            result => result.map(drop),
        }
    }

    async fn is_published(&self, key: &str, mark: &str) -> Result<Option<Stored>> {
        let name = self.requests.address.name(key)?;
        let versions = self.requests.versions(&name).await?;
        let mut files = versions.iter().filter(|version| version.is_file());
        let Some(own) = files.clone().find(|version| version.is_of(mark)) else { return Ok(None) };
        let is_ours = match own.is_alone() {
            true => self.requests.is_first(&name, own).await?,
            false => files.next().is_some_and(|newest| newest.id() == own.id()),
        };
        Ok(is_ours.then(|| own.stored()))
    }

    async fn get(
        &self,
        key: &str,
        from: u64,
        length: u64,
        version: Option<&str>,
        into: &mut Received,
    ) -> Result<()> {
        let name = self.requests.address.name(key)?;
        let place = match version.filter(|id| !id.is_empty()) {
            Some(id) => format!("b2api/v3/b2_download_file_by_id?fileId={}", encoded(id)),
            None => format!("file/{}/{}", self.requests.address.bucket, encoded(&name)),
        };
        let last = from.saturating_add(length).saturating_sub(1);
        let answer = match self.requests.fetch(&place, format!("bytes={from}-{last}")).await {
            Err(error) if error.kind == ErrorKind::NotFound && version.is_some() => {
                return Err(replaced(key));
            }
            answer => answer?,
        };
        into.version = answer.header("x-bz-file-id").map(str::to_owned).or(into.version.take());
        answer.receive(from, length, into).await
    }

    async fn stat(&self, key: &str) -> Result<Option<Object>> {
        let name = self.requests.address.name(key)?;
        Ok(self.requests.newest(&name).await?.map(|file| file.object(key)))
    }

    async fn list(&self, what: &Listing<'_>) -> Result<Listed> {
        let address = &self.requests.address;
        // The page begins with `after` itself, which isn't wanted.
        let limit = (what.limit + usize::from(what.after.is_some())).min(1000);
        let mut body = json!({
            "bucketId": self.bucket_id().await?,
            "prefix": address.start(what.prefix),
            "maxFileCount": limit,
        });
        if let Some(delimiter) = what.delimiter {
            body["delimiter"] = delimiter.into();
        }
        let start = what.token.map(str::to_owned).or_else(|| what.after.map(|after| address.start(after)));
        if let Some(start) = start {
            body["startFileName"] = start.into();
        }
        let page: Page = self.requests.call("b2_list_file_names", "listFiles", body).await?;
        let entries = page.files.iter().filter_map(|file| match file.action.as_str() {
            "folder" => {
                let key = file.file_name.strip_prefix(&address.prefix)?.to_owned();
                Some(Object { key, ..Object::default() })
            }
            _ => Some(file.object(address.key(&file.file_name)?)),
        });
        Ok(Listed { entries: entries.collect(), next: page.next_file_name, is_unordered: false })
    }

    async fn delete(&self, keys: &[String]) -> Result<Vec<Result<()>>> {
        let mut fates = Vec::with_capacity(keys.len());
        for key in keys {
            fates.push(self.delete_one(key).await);
        }
        Ok(fates)
    }

    async fn unfinished(&self, prefix: &str) -> Result<Vec<Leftover>> {
        let address = &self.requests.address;
        let found = self.begun_below(&address.start(prefix)).await?;
        let left = found.iter().filter_map(|begun| {
            let key = address.key(&begun.file_name)?.to_owned();
            let started = begun.upload_timestamp.map(|milliseconds| milliseconds / 1000);
            Some(Leftover { key, handle: begun.id().to_owned(), started, ..Leftover::default() })
        });
        Ok(left.collect())
    }

    fn keeps_deleted(&self) -> bool {
        self.options.delete == Delete::Hide
    }

    fn skew_seconds(&self) -> Option<i64> {
        self.requests.http.skew_seconds()
    }
}
