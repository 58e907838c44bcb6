//! The API as a [`Service`].
//!
//! A large object is an upload session: it takes bytes in order, proves a checksum of each request, and nobody sees it before it
//! is given a path. Sessions whose parts come side by side exist too; one that goes on where the service says it stands is what
//! a line that breaks needs.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use reqsign_core::time::Timestamp;
use serde_json::{Value, json};
use windlass_object::{Begun, How, Limits, Listed, Listing, Part, Received, Service, replaced};
use windlass_plugin_api::{Error, ErrorKind, Leftover, Object, Result, Stored};

use crate::documents::{Metadata, read};
use crate::errors::OFFSET;
use crate::hash::{content_hash, tag, whole};
use crate::limits::{self, limits};
use crate::request::Requests;
use crate::spelling::{Seen, clash};

/// An account, or what an application may see of it.
pub struct Account {
    pub requests: Requests,
    pub seen: Seen,
    /// What was sent under a mark, for the service keeps none: by that a file is known for ours.
    sent: Mutex<BTreeMap<String, Sent>>,
}

/// By which a file is known again.
#[derive(Clone, PartialEq)]
struct Sent {
    hash: String,
    /// The time that is told to the service as that of the file.
    time: String,
}

impl Account {
    pub fn new(requests: Requests) -> Self {
        Self { requests, seen: Seen::default(), sent: Mutex::default() }
    }

    /// What is known of a path, in whatever spelling.
    pub async fn metadata(&self, key: &str) -> Result<Option<Metadata>> {
        let argument = json!({ "path": self.requests.address.path(key) });
        match self.requests.send(self.requests.call("get_metadata", argument).question()).await {
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            answer => read(answer?).await.map(Some),
        }
    }

    /// The file of a key.
    pub async fn file(&self, key: &str) -> Result<Option<Metadata>> {
        match self.metadata(key).await?.filter(Metadata::is_file) {
            Some(file) if self.is_spelled(key, &file).await? => Ok(Some(file)),
            _ => Ok(None),
        }
    }

    /// How a file is to be stored, and what it will be known by.
    fn commit(&self, key: &str, how: &How, hash: &str) -> (Value, Sent) {
        let mut known = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        // Another attempt tells the same time.
        let new = || Sent { hash: hash.to_owned(), time: Timestamp::now().format_rfc3339_zulu() };
        let sent = known.entry(how.mark.clone()).or_insert_with(new).clone();
        let commit = json!({
            "path": self.requests.address.path(key),
            "mode": if how.if_absent { "add" } else { "overwrite" },
            "autorename": false,
            "client_modified": sent.time,
            "mute": true,
            // Otherwise a file of the same bytes would be no conflict.
            "strict_conflict": how.if_absent,
        });
        (commit, sent)
    }

    /// Judges what was stored.
    async fn stored(&self, key: &str, how: &How, sent: &Sent, file: &Metadata) -> Result<Stored> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).remove(&how.mark);
        if file.content_hash != sent.hash {
            return Err(Error::damaged(format!("the service stored other bytes as `{key}`")));
        }
        // Somebody may have made a folder of another case a moment ago.
        match self.is_spelled(key, file).await? {
            true => Ok(file.stored()),
            false => Err(clash(key, &file.path_display)),
        }
    }

    /// Sends bytes to the session of an upload, from wherever it stands.
    async fn append(&self, session: &str, begin: u64, bytes: &Bytes) -> Result<()> {
        let (mut offset, end) = (begin, begin + bytes.len() as u64);
        while offset < end {
            let rest = bytes.slice((offset - begin) as usize..);
            let argument = json!({
                "cursor": { "session_id": session, "offset": offset },
                "close": false,
                "content_hash": content_hash(&rest),
            });
            let error = match self
                .requests
                .send(self.requests.content("upload_session/append_v2", argument, rest))
                .await
            {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            // An answer was lost, or only a piece was kept: it says how much it has.
            match error.details.get(OFFSET).and_then(Value::as_u64) {
                Some(correct) if correct > offset && correct <= end => offset = correct,
                _ => return Err(error),
            }
        }
        Ok(())
    }
}

impl Service for Account {
    fn limits(&self) -> Limits {
        limits()
    }

    fn judge(&self, key: &str) -> Result<()> {
        limits::judge(key)
    }

    fn place(&self) -> String {
        self.requests.address.shown()
    }

    async fn put(&self, key: &str, how: &How, bytes: Bytes) -> Result<Stored> {
        self.judge_spelling(key, how.if_absent).await?;
        let hash = content_hash(&bytes);
        let (mut argument, sent) = self.commit(key, how, &hash);
        argument["content_hash"] = hash.into();
        let answer = self.requests.send(self.requests.content("upload", argument, bytes)).await?;
        self.stored(key, how, &sent, &read(answer).await?).await
    }

    async fn begin(&self, key: &str, how: &How) -> Result<String> {
        self.judge_spelling(key, how.if_absent).await?;
        let ask = self.requests.content("upload_session/start", json!({ "close": false }), Bytes::new());
        let told: Value = read(self.requests.send(ask).await?).await?;
        let session = told["session_id"].as_str().filter(|session| !session.is_empty());
        session.map(str::to_owned).ok_or_else(|| Error::failed("the service named no session for the upload"))
    }

    async fn part(&self, upload: Begun<'_>, part: Part) -> Result<String> {
        self.append(upload.handle, part.offset, &part.bytes).await?;
        Ok(tag(&part.bytes))
    }

    async fn complete(&self, upload: Begun<'_>, how: &How, tags: &[String]) -> Result<Stored> {
        self.judge_spelling(upload.key, how.if_absent).await?;
        let (length, hash) = whole(tags)?;
        let (commit, sent) = self.commit(upload.key, how, &hash);
        let cursor = json!({ "session_id": upload.handle, "offset": length });
        let argument = json!({ "cursor": cursor, "commit": commit });
        let ask = self.requests.content("upload_session/finish", argument, Bytes::new());
        let answer = self.requests.send(ask).await?;
        self.stored(upload.key, how, &sent, &read(answer).await?).await
    }

    /// A session can't be ended. Nobody can see or list it, and the service forgets it after a week.
    async fn abort(&self, _key: &str, _handle: &str) -> Result<()> {
        Ok(())
    }

    async fn is_published(&self, key: &str, mark: &str) -> Result<Option<Stored>> {
        let known = self.sent.lock().unwrap_or_else(PoisonError::into_inner).remove(mark);
        let Some(sent) = known else { return Ok(None) };
        let is_ours = |file: &Metadata| file.content_hash == sent.hash && file.client_modified == sent.time;
        Ok(self.file(key).await?.filter(is_ours).map(|file| file.stored()))
    }

    async fn get(
        &self,
        key: &str,
        from: u64,
        length: u64,
        version: Option<&str>,
        into: &mut Received,
    ) -> Result<()> {
        // A version that was replaced can still be read.
        let path =
            version.map_or_else(|| self.requests.address.path(key), |version| format!("rev:{version}"));
        let ask = self.requests.content("download", json!({ "path": path }), Bytes::new());
        let answer = match self.requests.send(ask.question().range(from, length)).await {
            Err(error) if error.kind == ErrorKind::NotFound && version.is_some() => {
                return Err(replaced(key));
            }
            answer => answer?,
        };
        let told =
            answer.header("dropbox-api-result").and_then(|told| serde_json::from_str::<Metadata>(told).ok());
        if let Some(file) = told {
            if version.is_none() && !self.is_spelled(key, &file).await? {
                return Err(Error::new(ErrorKind::NotFound, format!("there is no file `{key}`")));
            }
            into.version = Some(file.rev);
        }
        answer.receive(from, length, into).await
    }

    async fn stat(&self, key: &str) -> Result<Option<Object>> {
        Ok(self.file(key).await?.map(|file| file.object(key.to_owned())))
    }

    async fn list(&self, what: &Listing<'_>) -> Result<Listed> {
        self.listed(what).await
    }

    async fn delete(&self, keys: &[String]) -> Result<Vec<Result<()>>> {
        self.remove(keys).await
    }

    /// Sessions can't be listed.
    async fn unfinished(&self, _prefix: &str) -> Result<Vec<Leftover>> {
        Ok(Vec::new())
    }

    fn can_abort(&self) -> bool {
        false
    }

    fn skew_seconds(&self) -> Option<i64> {
        self.requests.http.skew_seconds()
    }
}
