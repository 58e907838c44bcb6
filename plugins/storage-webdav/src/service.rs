//! WebDAV as a [`Service`].
//!
//! An object is a file that is stored under a hidden name beside its own (PUT), and renamed when it is published (MOVE). The
//! protocol knows no uploads in parts: a large object is one request, whose body is written while the stream comes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use windlass_object::{Begun, How, Limits, Listed, Listing, Part, Received, Service, is_passing, replaced};
use windlass_plugin_api::{Error, ErrorKind, Leftover, Object, Result, Stored};

use crate::address::{hidden, meant_for, parent};
use crate::errors::STATUS;
use crate::flights::Flights;
use crate::limits::{self, limits};
use crate::options::Options;
use crate::request::{Ask, Requests};
use crate::tree::File;

/// Some servers remove a file before they put another one in its place. So one that is missing is looked for so often.
const LOOKS: u32 = 3;

/// A folder of a server.
pub struct Folder {
    pub requests: Arc<Requests>,
    flights: Flights,
    /// Hidden files that may have got their name by a request whose answer was lost. Of no other is it looked up.
    doubtful: Mutex<BTreeSet<String>>,
}

impl Folder {
    pub fn new(requests: Requests, options: &Options) -> Self {
        let flights = Flights::new(options.patience());
        Self { requests: Arc::new(requests), flights, doubtful: Mutex::default() }
    }

    /// The place of a key that something is to be stored as, and that of its hidden file.
    fn places(&self, key: &str, mark: &str) -> (String, String) {
        let place = self.requests.address.place(key);
        let hidden = hidden(&place, mark);
        (place, hidden)
    }

    /// Gives a hidden file its name.
    async fn rename(&self, hidden: &str, place: &str, how: &How) -> Result<Stored> {
        if let Some(stored) = self.moved(hidden, place).await? {
            return Ok(stored);
        }
        let ask = Ask::new("MOVE", hidden)
            .header("destination", self.requests.address.url(place))
            .header("overwrite", if how.if_absent { "F" } else { "T" });
        match self.requests.send(ask).await {
            // The answer may be lost while the file has moved: only we know its name.
            Err(error) if is_lost(&error) => {
                self.doubtful().insert(hidden.to_owned());
                self.moved(hidden, place).await?.ok_or(error)
            }
            Err(error) => Err(error),
            Ok(_) => Ok(Stored::default()),
        }
    }

    fn doubtful(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.doubtful.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a hidden file was given its name without our knowing. That it is gone proves nothing where it was never
    /// asked for that: what is at `place` is somebody else's then.
    async fn moved(&self, hidden: &str, place: &str) -> Result<Option<Stored>> {
        if !self.doubtful().contains(hidden) {
            return Ok(None);
        }
        if self.requests.look(hidden).await?.is_some() {
            return Ok(None);
        }
        let file = self.requests.look(place).await?;
        Ok(file.map(|file| Stored { version: file.etag, ..Stored::default() }))
    }

    /// `NotFound` where no file is at `place`.
    async fn judge_file(&self, place: &str) -> Result<()> {
        for look in 1..=LOOKS {
            match self.requests.look(place).await {
                Ok(Some(file)) if file.is_shown() => return Ok(()),
                // Servers that rename in two steps answer so while another is put in its place.
                Err(error) if !is_passing(&error) || look == LOOKS => return Err(error),
                _ => {}
            }
        }
        self.requests.judge_top().await?;
        Err(Error::new(ErrorKind::NotFound, "there is no such file"))
    }

    /// Removes a file and the folder that nothing is left in.
    async fn remove(&self, place: &str) -> Result<()> {
        self.requests.send(Ask::new("DELETE", place).expect(&[404, 410])).await?;
        self.requests.tidy(parent(place)).await
    }

    fn object(&self, file: File) -> Option<Object> {
        let key = self.requests.address.key(&file.place)?;
        let File { size_bytes, modified, .. } = file;
        Some(Object { key, size_bytes, modified, ..Object::default() })
    }

    /// One folder, whose inner folders are folded.
    async fn level(&self, prefix: &str) -> Result<Option<Vec<Object>>> {
        let place = prefix.rfind('/').map_or("", |end| &prefix[..=end]);
        let Some(folder) = self.requests.folder(place).await? else { return Ok(None) };
        let files = folder.files.into_iter().filter(|file| file.is_shown() && file.place.starts_with(prefix));
        let mut entries: Vec<Object> = files.filter_map(|file| self.object(file)).collect();
        for inner in folder.folders.into_iter().filter(|inner| inner.starts_with(prefix)) {
            let key = self.requests.address.key(&inner);
            entries.extend(key.map(|key| Object { key, ..Object::default() }));
        }
        Ok(Some(entries))
    }

    /// All files, folded by a delimiter that isn't the one of folders.
    async fn all(&self, prefix: &str, what: &Listing<'_>) -> Result<Vec<Object>> {
        // Every key in a folder begins with its own: all of them lie before `after`.
        let after = what.after.map(|after| self.requests.address.place(after));
        let is_before = |folder: &str| {
            after.as_ref().is_some_and(|after| folder < after.as_str() && !after.starts_with(folder))
        };
        let files = self.requests.walk(prefix, is_before).await?;
        let shown = files.into_iter().filter(File::is_shown).filter_map(|file| self.object(file));
        let Some(delimiter) = what.delimiter else { return Ok(shown.collect()) };
        let mut entries = BTreeMap::new();
        for object in shown {
            let rest = object.key.get(what.prefix.len()..).unwrap_or_default();
            let end = rest.find(delimiter).map(|at| what.prefix.len() + at + delimiter.len());
            let entry = match end {
                Some(end) => Object { key: object.key[..end].to_owned(), ..Object::default() },
                None => object,
            };
            entries.insert(entry.key.clone(), entry);
        }
        Ok(entries.into_values().collect())
    }
}

/// Whether it isn't known what became of a request. A proxy that says so has lost its server's answer.
fn is_lost(error: &Error) -> bool {
    let status = error.details.get(STATUS).and_then(|status| status.as_u64());
    is_passing(error) && matches!(status, None | Some(502 | 504))
}

impl Service for Folder {
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
        let (place, hidden) = self.places(key, &how.mark);
        if let Some(stored) = self.moved(&hidden, &place).await? {
            return Ok(stored);
        }
        self.requests.make(parent(&place)).await?;
        self.requests.send(Ask::new("PUT", &hidden).body(bytes)).await?;
        self.rename(&hidden, &place, how).await
    }

    async fn clear(&self, key: &str, mark: &str) -> Result<()> {
        self.remove(&self.places(key, mark).1).await
    }

    async fn begin(&self, key: &str, how: &How) -> Result<String> {
        let (place, hidden) = self.places(key, &how.mark);
        self.requests.make(parent(&place)).await?;
        self.flights.begin(self.requests.clone(), &hidden);
        Ok(hidden)
    }

    async fn part(&self, upload: Begun<'_>, part: Part) -> Result<String> {
        let total = part.offset + part.bytes.len() as u64;
        self.flights.send(upload.handle, part.bytes).await?;
        if part.is_last {
            self.flights.end(upload.handle).await?;
            // A server whose disk is full may say so too late, or not at all.
            let kept = self.requests.look(upload.handle).await?.map_or(0, |file| file.size_bytes);
            if kept != total {
                return Err(Error::failed(format!("the server kept {kept} of {total} bytes")));
            }
        }
        Ok(String::new())
    }

    async fn complete(&self, upload: Begun<'_>, how: &How, _tags: &[String]) -> Result<Stored> {
        let place = self.requests.address.place(upload.key);
        self.rename(upload.handle, &place, how).await
    }

    async fn abort(&self, key: &str, handle: &str) -> Result<()> {
        if meant_for(handle).is_none_or(|place| place != self.requests.address.place(key)) {
            return Err(Error::new(ErrorKind::Config, format!("`{handle}` is no half upload of `{key}`")));
        }
        self.flights.give_up(handle).await;
        self.remove(handle).await
    }

    async fn is_published(&self, key: &str, mark: &str) -> Result<Option<Stored>> {
        let (place, hidden) = self.places(key, mark);
        self.moved(&hidden, &place).await
    }

    async fn get(
        &self,
        key: &str,
        from: u64,
        length: u64,
        version: Option<&str>,
        into: &mut Received,
    ) -> Result<()> {
        let place = self.requests.address.place(key);
        if version.is_none() {
            // A folder would answer with a page for browsers.
            self.judge_file(&place).await?;
        }
        let last = from.saturating_add(length).saturating_sub(1);
        let mut ask = Ask::new("GET", &place).header("range", format!("bytes={from}-{last}")).expect(&[416]);
        // A weak tag is good for no range.
        let strong = version.filter(|tag| !tag.is_empty() && !tag.starts_with("W/"));
        ask.headers.extend(strong.map(|tag| ("if-match", tag.to_owned())));
        let answer = self.requests.send(ask).await.map_err(|error| match error.kind {
            ErrorKind::AlreadyExists => replaced(key),
            _ => error,
        })?;
        into.version = Some(answer.header("etag").unwrap_or_default().to_owned());
        answer.receive(from, length, into).await
    }

    async fn stat(&self, key: &str) -> Result<Option<Object>> {
        let file = self.requests.look(&self.requests.address.place(key)).await?;
        if file.is_none() {
            self.requests.judge_top().await?;
        }
        Ok(file.filter(File::is_shown).and_then(|file| self.object(file)))
    }

    async fn list(&self, what: &Listing<'_>) -> Result<Listed> {
        let prefix = self.requests.address.place(what.prefix);
        let entries = match what.delimiter {
            Some("/") => self.level(&prefix).await?.unwrap_or_default(),
            _ => self.all(&prefix, what).await?,
        };
        if entries.is_empty() {
            self.requests.judge_top().await?;
        }
        Ok(Listed { entries, next: None, is_unordered: false })
    }

    async fn delete(&self, keys: &[String]) -> Result<Vec<Result<()>>> {
        let (mut fates, mut folders) = (Vec::with_capacity(keys.len()), BTreeSet::new());
        for key in keys {
            let place = self.requests.address.place(key);
            // What is no file is no object: a folder would go with all that is in it.
            let fate = match self.requests.look(&place).await {
                Ok(None) => Ok(()),
                Ok(Some(_)) => {
                    let gone = self.requests.send(Ask::new("DELETE", &place).expect(&[404, 410])).await;
                    folders.insert(parent(&place).to_owned());
                    gone.map(drop)
                }
                Err(error) => Err(error),
            };
            fates.push(fate);
        }
        for folder in folders {
            if let Err(error) = self.requests.tidy(&folder).await {
                tracing::info!("an empty folder stays: {}", error.one_line());
            }
        }
        Ok(fates)
    }

    async fn unfinished(&self, prefix: &str) -> Result<Vec<Leftover>> {
        let top = self.requests.address.place(prefix);
        // A hidden file begins with another name than the key that it is meant for.
        let folder = top.rfind('/').map_or("", |end| &top[..=end]);
        let files = self.requests.walk(folder, |_| false).await?;
        let left = files.into_iter().filter_map(|file| {
            let key = self.requests.address.key(&meant_for(&file.place)?)?;
            let (size_bytes, started) = (Some(file.size_bytes), file.modified);
            Some(Leftover { key, handle: file.place, size_bytes, started, ..Leftover::default() })
        });
        Ok(left.collect())
    }

    fn skew_seconds(&self) -> Option<i64> {
        self.requests.http.skew_seconds()
    }
}
