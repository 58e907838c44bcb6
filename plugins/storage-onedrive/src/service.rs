//! Microsoft Graph as a [`Service`].
//!
//! The service takes no file whose length isn't told with its first byte, neither in one request nor in an upload session, and the
//! length of a stream is known only at its end. So a large object is a folder of parts, each a file of its own, stored in one
//! request. While they come the folder has a hidden name; publishing renames it, which is one request that shows all or nothing
//! and fails where the name is taken. A small object is a file, stored in one request.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::Method;
use serde_json::json;
use windlass_object::{Begun, How, Limits, Listed, Listing, Part, Received, Service, replaced, unavailable};
use windlass_plugin_api::{Error, ErrorKind, Leftover, Object, Result, Stored};

use crate::address::{joined, name, parent};
use crate::documents::{Item, read};
use crate::limits::limits;
use crate::names::{hidden, meant_for, of_parts};
use crate::parts::{Known, part_name};
use crate::quickxor::quick_xor;
use crate::request::{Ask, Requests};
use crate::spelling::{Folder, Seen, clash};
use crate::tree::Found;

/// A drive, or what an application may see of it.
pub struct Drive {
    pub requests: Requests,
    pub seen: Seen,
    pub known: Known,
    /// Checksum and length of what was sent under a mark in one request, for the service keeps no mark: by that a file is known for
    /// ours.
    sent: Mutex<BTreeMap<String, (String, usize)>>,
}

impl Drive {
    pub fn new(requests: Requests) -> Self {
        Self { requests, seen: Seen::default(), known: Known::default(), sent: Mutex::default() }
    }

    /// The path of the folder of an upload.
    fn hidden(&self, key: &str, mark: &str) -> String {
        let path = self.requests.address.path(key);
        joined(parent(&path), &hidden(name(&path), mark))
    }

    /// Stores a file in one request.
    async fn store(&self, path: &str, behavior: &str, bytes: Bytes) -> Result<Item> {
        let url = self.requests.address.url(path, "/content");
        let url = format!("{url}?@microsoft.graph.conflictBehavior={behavior}");
        read(self.requests.send(Ask::new(Method::PUT, url).bytes(bytes)).await?).await
    }

    /// The folder of an upload was given its name: the object, if that is so.
    async fn moved(&self, hidden: &str, key: &str) -> Result<Option<Stored>> {
        if self.requests.item(hidden).await?.is_some() {
            return Ok(None);
        }
        let parts = self.requests.item(&of_parts(&self.requests.address.path(key))).await?;
        Ok(parts.filter(|item| item.folder.is_some()).map(|item| stored(version_of_parts(&item))))
    }

    /// Somebody may have made a folder of another case a moment ago.
    async fn judge_place(&self, key: &str) -> Result<()> {
        match self.folder(parent(key)).await? {
            Folder::Other(other) => Err(clash(key, &other)),
            _ => Ok(()),
        }
    }

    async fn object(&self, key: &str) -> Result<Option<Item>> {
        // Under the other's name it isn't there.
        let forms = self.forms(key).await?.unwrap_or_default();
        Ok(forms.file.or(forms.parts))
    }

    async fn size(&self, item: &Item) -> Result<u64> {
        match item.file {
            Some(_) => Ok(item.size),
            None => Ok(self.parts(&item.id).await?.map_or(0, |parts| parts.total)),
        }
    }
}

fn version_of_file(item: &Item) -> String {
    format!("file:{}", item.c_tag)
}

fn version_of_parts(item: &Item) -> String {
    format!("parts:{}", item.id)
}

fn stored(version: String) -> Stored {
    Stored { version: Some(version), ..Stored::default() }
}

impl Service for Drive {
    fn limits(&self) -> Limits {
        limits()
    }

    fn judge(&self, key: &str) -> Result<()> {
        self.requests.address.judge(key)
    }

    fn place(&self) -> String {
        self.requests.address.shown()
    }

    async fn put(&self, key: &str, how: &How, bytes: Bytes) -> Result<Stored> {
        let (hash, length) = (quick_xor(&bytes), bytes.len());
        self.sent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(how.mark.clone(), (hash.clone(), length));
        let before = self.judged(key, how.if_absent).await?;
        let path = self.requests.address.path(key);
        let item = self.store(&path, if how.if_absent { "fail" } else { "replace" }, bytes).await?;
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).remove(&how.mark);
        if item.is_other(length, &hash) {
            return Err(Error::damaged(format!("the service stored other bytes as `{key}`")));
        }
        if item.name != name(&path) {
            return Err(clash(key, &item.name));
        }
        self.judge_place(key).await?;
        // The file counts, so the old one was replaced by now.
        if let Some(parts) = before.parts {
            self.requests.remove(&parts).await?;
        }
        Ok(stored(version_of_file(&item)))
    }

    async fn begin(&self, key: &str, how: &How) -> Result<String> {
        self.judged(key, how.if_absent).await?;
        let hidden = self.hidden(key, &how.mark);
        // The name is ours alone: one that is there is of an attempt whose answer was lost.
        self.requests.make(&hidden).await?;
        Ok(hidden)
    }

    async fn part(&self, upload: Begun<'_>, part: Part) -> Result<String> {
        let (hash, length) = (quick_xor(&part.bytes), part.bytes.len());
        let path = joined(upload.handle, &part_name(part.number));
        let item = self.store(&path, "replace", part.bytes).await?;
        match item.is_other(length, &hash) {
            true => Err(unavailable(format!("the service stored other bytes as part {}", part.number))),
            false => Ok(String::new()),
        }
    }

    async fn complete(&self, upload: Begun<'_>, how: &How, _tags: &[String]) -> Result<Stored> {
        // An answer may have been lost. What is there then must not be taken for an old one.
        if self.requests.item(upload.handle).await?.is_none() {
            let gone = || Error::failed(format!("the half upload of `{}` is gone", upload.key));
            let stored = self.moved(upload.handle, upload.key).await?.ok_or_else(gone)?;
            let forms = self.forms(upload.key).await?.unwrap_or_default();
            if let Some(file) = forms.file.filter(|_| !how.if_absent) {
                self.requests.remove(&file).await?;
            }
            return Ok(stored);
        }
        let before = self.judged(upload.key, how.if_absent).await?;
        if let Some(parts) = &before.parts {
            self.requests.remove(parts).await?;
        }
        let path = self.requests.address.path(upload.key);
        let named = json!({
            "name": of_parts(name(&path)),
            "@microsoft.graph.conflictBehavior": "fail",
        });
        let ask = Ask::new(Method::PATCH, self.requests.address.url(upload.handle, "")).document(&named);
        let item: Item = read(self.requests.send(ask).await?).await?;
        if let Some(file) = &before.file {
            self.requests.remove(file).await?;
        }
        self.judge_place(upload.key).await?;
        Ok(stored(version_of_parts(&item)))
    }

    async fn abort(&self, key: &str, handle: &str) -> Result<()> {
        let path = self.requests.address.path(key);
        let meant = meant_for(name(handle)).map(|name| joined(parent(handle), name));
        if meant.is_none_or(|meant| meant != path) {
            return Err(Error::new(ErrorKind::Config, format!("`{handle}` is no half upload of `{key}`")));
        }
        if let Some(item) = self.requests.item(handle).await? {
            self.requests.remove(&item).await?;
        }
        self.tidy(parent(key)).await
    }

    async fn is_published(&self, key: &str, mark: &str) -> Result<Option<Stored>> {
        let known = self.sent.lock().unwrap_or_else(PoisonError::into_inner).remove(mark);
        let file = self.forms(key).await?.unwrap_or_default().file;
        let Some((hash, length)) = known else {
            // While an older file is there it counts.
            return match file {
                Some(_) => Ok(None),
                None => self.moved(&self.hidden(key, mark), key).await,
            };
        };
        let is_ours = |item: &Item| {
            // Without a checksum nothing says whose it is.
            let is_told = item.file.as_ref().is_some_and(|file| file.hashes.quick_xor_hash.is_some());
            is_told && !item.is_other(length, &hash)
        };
        Ok(file.filter(is_ours).map(|item| stored(version_of_file(&item))))
    }

    async fn get(
        &self,
        key: &str,
        from: u64,
        length: u64,
        version: Option<&str>,
        into: &mut Received,
    ) -> Result<()> {
        if let Some(folder) = version.and_then(|version| version.strip_prefix("parts:")) {
            return self.get_part(key, folder, from, length, into).await;
        }
        let absent = || match version {
            Some(_) => replaced(key),
            None => Error::new(ErrorKind::NotFound, format!("there is no file `{key}`")),
        };
        let item = self.object(key).await?.ok_or_else(absent)?;
        if item.file.is_none() {
            if version.is_some() {
                return Err(replaced(key));
            }
            into.version = Some(version_of_parts(&item));
            return self.get_part(key, &item.id, from, length, into).await;
        }
        let found = version_of_file(&item);
        if version.is_some_and(|version| version != found) {
            return Err(replaced(key));
        }
        (into.version, into.total) = (Some(found), item.size);
        if from >= item.size {
            return Ok(());
        }
        self.download(key, &item.id, from, length, into).await
    }

    async fn stat(&self, key: &str) -> Result<Option<Object>> {
        let Some(item) = self.object(key).await? else { return Ok(None) };
        let size = self.size(&item).await?;
        Ok(Some(item.object(key.to_owned(), size)))
    }

    async fn list(&self, what: &Listing<'_>) -> Result<Listed> {
        let folder = parent(what.prefix);
        let is_path = folder.is_empty() || folder.split('/').all(|name| !matches!(name, "" | "." | ".."));
        if !is_path || !matches!(self.folder(folder).await?, Folder::There) {
            return Ok(Listed::default());
        }
        let is_level = what.delimiter == Some("/");
        let mut entries = BTreeMap::new();
        for found in self.walk(what.prefix, !is_level).await? {
            let (object, is_large) = match found {
                Found::Folder(key) if is_level => (Object { key: key + "/", ..Object::default() }, false),
                Found::Small(key, item) => (item.object(key, item.size), false),
                Found::Large(key, item) if key.starts_with(what.prefix) => {
                    let size = self.size(&item).await?;
                    (item.object(key, size), true)
                }
                _ => continue,
            };
            if object.key.starts_with(what.prefix) {
                let object = folded(object, what);
                // The file counts where there is one.
                if !is_large || !entries.contains_key(&object.key) {
                    entries.insert(object.key.clone(), object);
                }
            }
        }
        Ok(Listed { entries: entries.into_values().collect(), ..Listed::default() })
    }

    async fn delete(&self, keys: &[String]) -> Result<Vec<Result<()>>> {
        self.delete_all(keys).await
    }

    async fn unfinished(&self, prefix: &str) -> Result<Vec<Leftover>> {
        if !matches!(self.folder(parent(prefix)).await?, Folder::There) {
            return Ok(Vec::new());
        }
        let mut left = Vec::new();
        for found in self.walk(prefix, true).await? {
            if let Found::HalfUpload(key, handle, item) = found {
                let started = item.object(String::new(), 0).modified;
                let size_bytes = Some(item.size);
                left.push(Leftover { key, handle, size_bytes, started, ..Leftover::default() });
            }
        }
        Ok(left)
    }

    fn skew_seconds(&self) -> Option<i64> {
        self.requests.http.skew_seconds()
    }
}

fn folded(object: Object, what: &Listing<'_>) -> Object {
    let Some(delimiter) = what.delimiter else { return object };
    match object.key[what.prefix.len()..].find(delimiter) {
        Some(at) => {
            let end = what.prefix.len() + at + delimiter.len();
            Object { key: object.key[..end].to_owned(), ..Object::default() }
        }
        None => object,
    }
}
