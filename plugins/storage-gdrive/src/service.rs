//! The Drive API as a [`Service`].
//!
//! Every object is one file in one folder, its name the whole key. Files are never changed: a new object is a new file, so that
//! whoever reads an old one reads it to its end.

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use windlass_object::{Begun, How, Limits, Listed, Listing, Part, Received, Service, replaced};
use windlass_plugin_api::{Error, ErrorKind, Leftover, Object, Result, Stored};

use crate::files::{FIELDS, FOLDER, File, MARK, losers, marked, only, related, taken};
use crate::folder::Folder;
use crate::limits::limits;
use crate::request::{Ask, Requests, quoted, read};
use crate::sessions::{Sessions, hash_text, judge};

/// A folder in Google Drive.
pub struct Drive {
    pub requests: Requests,
    pub folder: Folder,
    pub sessions: Sessions,
}

impl Drive {
    fn described(&self, key: &str, folder: &str, how: &How) -> Value {
        json!({
            "name": key,
            "parents": [folder],
            "mimeType": "application/octet-stream",
            "appProperties": { MARK: marked(how) },
        })
    }

    /// All files that are called like a key. Nothing is made.
    async fn called(&self, key: &str) -> Result<Vec<File>> {
        let Some(folder) = self.folder.find(&self.requests).await? else { return Ok(Vec::new()) };
        let kind = format!("mimeType != '{FOLDER}'");
        let found = self.requests.called(key, &folder, self.folder.drive.as_deref(), &kind).await;
        self.in_folder(found).await
    }

    /// Where a listing finds nothing, it is the folder that is missing.
    async fn in_folder<T>(&self, result: Result<T>) -> Result<T> {
        match result {
            Err(error) if error.kind == ErrorKind::NotFound => {
                self.folder.forget().await;
                Err(self.folder.missing().because(&error))
            }
            result => result,
        }
    }

    /// Refuses to replace what is there. What is there already may be ours: its answer was lost.
    async fn look_before(&self, key: &str, how: &How) -> Result<Option<File>> {
        let there = self.called(key).await?;
        if let Some(own) = there.iter().find(|file| file.is_of(&how.mark)) {
            return Ok(Some(own.clone()));
        }
        if how.if_absent && !there.is_empty() { Err(taken(key)) } else { Ok(None) }
    }

    /// Puts right that files of one name lie side by side. Whether `own` stays where it had to be the only one.
    async fn settle(&self, key: &str, own: &File, is_large: bool, is_alone: bool) -> Result<bool> {
        let rivals = self.called(key).await?;
        let losers = losers(own, &rivals, is_large, is_alone);
        for file in &losers {
            self.requests.remove(&file.id).await?;
        }
        Ok(!is_alone || losers.is_empty())
    }

    async fn settled(&self, key: &str, own: &File, is_large: bool, how: &How) -> Result<Stored> {
        if self.settle(key, own, is_large, how.if_absent).await? { Ok(own.stored()) } else { Err(taken(key)) }
    }
}

impl Service for Drive {
    fn limits(&self) -> Limits {
        limits()
    }

    fn place(&self) -> String {
        self.folder.shown()
    }

    async fn put(&self, key: &str, how: &How, bytes: Bytes) -> Result<Stored> {
        if let Some(own) = self.look_before(key, how).await? {
            return self.settled(key, &own, false, how).await;
        }
        let folder = self.folder.make(&self.requests).await?;
        let boundary = format!("windlass-{}", how.mark);
        let url =
            self.requests.url("upload/drive/v3/files", &[("uploadType", "multipart"), ("fields", FIELDS)]);
        let ask = Ask::new(Method::POST, url)
            .header("content-type", format!("multipart/related; boundary={boundary}"))
            .body(related(&boundary, &self.described(key, &folder, how), &bytes));
        let answer = self.requests.send(ask).await;
        let own: File = read(self.in_folder(answer).await?).await?;
        judge(&self.requests, &own, &hash_text(&bytes), bytes.len() as u64).await?;
        self.settled(key, &own, false, how).await
    }

    async fn begin(&self, key: &str, how: &How) -> Result<String> {
        let folder = self.folder.make(&self.requests).await?;
        let url =
            self.requests.url("upload/drive/v3/files", &[("uploadType", "resumable"), ("fields", FIELDS)]);
        let ask = Ask::new(Method::POST, url)
            .header("content-type", "application/json; charset=utf-8")
            .header("x-upload-content-type", "application/octet-stream")
            .body(self.described(key, &folder, how).to_string());
        let answer = self.requests.send(ask).await;
        let answer = self.in_folder(answer).await?;
        let session = answer.header("location").filter(|place| self.requests.may_send_to(place));
        let session = session.ok_or_else(|| Error::failed("the service named no place for the upload"))?;
        self.sessions.begin(session);
        Ok(session.to_owned())
    }

    async fn part(&self, upload: Begun<'_>, part: Part) -> Result<String> {
        self.sessions.part(&self.requests, upload.handle, &part).await?;
        Ok(String::new())
    }

    async fn complete(&self, upload: Begun<'_>, how: &How, _tags: &[String]) -> Result<Stored> {
        let own = match self.look_before(upload.key, how).await? {
            Some(own) => own,
            None => self.sessions.finish(&self.requests, upload.handle).await?,
        };
        let stored = self.settled(upload.key, &own, true, how).await?;
        self.sessions.forget(upload.handle);
        Ok(stored)
    }

    async fn abort(&self, _key: &str, handle: &str) -> Result<()> {
        self.sessions.forget(handle);
        if !self.requests.may_send_to(handle) {
            return Err(Error::new(ErrorKind::Config, "that is no upload of this storage"));
        }
        // 499 is how the service says that it is done; 410 and 404 that it was before.
        let ask = Ask::new(Method::DELETE, handle.to_owned()).expect(&[404, 410, 499]);
        self.requests.send(ask).await.map(drop)
    }

    async fn is_published(&self, key: &str, mark: &str) -> Result<Option<Stored>> {
        let there = self.called(key).await?;
        let Some(own) = there.iter().find(|file| file.is_of(mark)) else { return Ok(None) };
        // Whether it was large isn't known any more: it gives way as one that was.
        let stays = self.settle(key, own, own.is_alone(), own.is_alone()).await?;
        Ok(stays.then(|| own.stored()))
    }

    async fn get(
        &self,
        key: &str,
        from: u64,
        length: u64,
        version: Option<&str>,
        into: &mut Received,
    ) -> Result<()> {
        let id = match version {
            Some(id) => id.to_owned(),
            None => match only(key, self.called(key).await?)? {
                Some(file) => file.id,
                None => {
                    return Err(Error::new(ErrorKind::NotFound, format!("there is no file called `{key}`")));
                }
            },
        };
        let last = from.saturating_add(length).saturating_sub(1);
        let url = self.requests.url(&format!("drive/v3/files/{id}"), &[("alt", "media")]);
        let ask = Ask::new(Method::GET, url).header("range", format!("bytes={from}-{last}")).expect(&[416]);
        let answer = match self.requests.send(ask).await {
            Err(error) if error.kind == ErrorKind::NotFound => return Err(replaced(key)),
            answer => answer?,
        };
        into.version = Some(id);
        answer.receive(from, length, into).await
    }

    async fn stat(&self, key: &str) -> Result<Option<Object>> {
        Ok(only(key, self.called(key).await?)?.map(|file| file.object(key)))
    }

    async fn list(&self, what: &Listing<'_>) -> Result<Listed> {
        let mut listed = Listed { is_unordered: true, ..Listed::default() };
        let Some(folder) = self.folder.find(&self.requests).await? else { return Ok(listed) };
        let query = format!("{} in parents and trashed = false and mimeType != '{FOLDER}'", quoted(&folder));
        let page = self.requests.search(&query, self.folder.drive.as_deref(), what.token).await;
        let page = self.in_folder(page).await?;
        for file in page.files.iter().filter(|file| file.name.starts_with(what.prefix)) {
            let rest = &file.name[what.prefix.len()..];
            let fold = what.delimiter.and_then(|delimiter| Some(rest.find(delimiter)? + delimiter.len()));
            listed.entries.push(match fold {
                Some(end) => {
                    Object { key: file.name[..what.prefix.len() + end].to_owned(), ..Object::default() }
                }
                None => file.object(&file.name),
            });
        }
        listed.next = page.next_page_token;
        Ok(listed)
    }

    /// All files of that name: of several, none comes to light again.
    async fn delete(&self, keys: &[String]) -> Result<Vec<Result<()>>> {
        let mut fates = Vec::with_capacity(keys.len());
        for key in keys {
            let fate = async {
                for file in self.called(key).await? {
                    self.requests.remove(&file.id).await?;
                }
                Ok(())
            };
            fates.push(fate.await);
        }
        Ok(fates)
    }

    /// Sessions can't be listed. The service forgets them after a week, and they take no room.
    async fn unfinished(&self, _prefix: &str) -> Result<Vec<Leftover>> {
        Ok(Vec::new())
    }

    fn skew_seconds(&self) -> Option<i64> {
        self.requests.http.skew_seconds()
    }
}
