//! Requests of a storage: what is asked once, what is insisted on, and what becomes of an answer that was lost.
//!
//! It holds no threads and knows no plugin: tasks keep it alive.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use windlass_plugin_api::{Error, ErrorKind, ListOptions, Object, Page, Result, Stored};

use crate::key;
use crate::retry::Retry;
use crate::service::{Begun, How, Limits, Listed, Listing, Part, Service, unavailable};
use crate::storage::Settings;

/// How long tidying up may take once a run has failed. What is left then is told as a leftover.
pub(crate) const TIDYING: Duration = Duration::from_secs(20);

/// What requests need. Holds no threads: it lives on in tasks.
pub(crate) struct Core<S> {
    pub service: S,
    pub limits: Limits,
    pub settings: Settings,
    pub retry: Retry,
    /// One for each KiB of a part in flight.
    pub room: Arc<Semaphore>,
}

/// How many units of [`Core::room`] so many bytes take.
pub(crate) fn kib(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).max(1)
}

impl<S: Service> Core<S> {
    /// Asks once: the host asks again. `what` completes "can't …".
    pub async fn ask<T>(&self, what: &str, request: impl Future<Output = Result<T>>) -> Result<T> {
        request.await.map_err(|error| error.during(format!("can't {what} in `{}`", self.service.place())))
    }

    /// Asks until there is an answer, for what the host can't ask again.
    pub async fn insist<T, F>(&self, what: &str, request: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        self.ask(what, self.retry.run(what, request)).await
    }

    pub async fn put(&self, key: &str, how: &How, bytes: Bytes) -> Result<Stored> {
        let what = format!("store `{key}`");
        let request = || self.service.put(key, how, bytes.clone());
        let stored = self.shown(&what, key, how, request).await;
        if stored.is_err() {
            self.clear(key, &how.mark).await;
        }
        stored
    }

    /// Removes what a `put` has left that is given up. The next run can do that as well, so it isn't insisted on.
    pub async fn clear(&self, key: &str, mark: &str) {
        let cleared = tokio::time::timeout(TIDYING, self.service.clear(key, mark)).await;
        if let Err(error) = cleared.unwrap_or_else(|_| Err(unavailable("no answer in time"))) {
            tracing::warn!("a half upload of `{key}` may stay: {}", error.one_line());
        }
    }

    pub async fn part(&self, key: &str, handle: &str, part: Part) -> Result<String> {
        let what = format!("store part {} of `{key}`", part.number);
        self.insist(&what, || self.service.part(Begun { key, handle }, part.clone())).await
    }

    pub async fn complete(&self, key: &str, handle: &str, how: &How, tags: &[String]) -> Result<Stored> {
        let what = format!("publish `{key}`");
        self.shown(&what, key, how, || self.service.complete(Begun { key, handle }, how, tags)).await
    }

    /// Asks for what shows an object. Where an answer was lost, the object may be there by now: the next attempt fails
    /// for that very reason, and the mark tells whose it is.
    async fn shown<F>(
        &self,
        what: &str,
        key: &str,
        how: &How,
        mut request: impl FnMut() -> F,
    ) -> Result<Stored>
    where
        F: Future<Output = Result<Stored>>,
    {
        let mut attempts = 0;
        let counted = || {
            attempts += 1;
            request()
        };
        let error = match self.insist(what, counted).await {
            Ok(stored) => return Ok(stored),
            Err(error) => error,
        };
        let is_doubtful = attempts > 1 || crate::retry::is_passing(&error);
        if !is_doubtful {
            return Err(error);
        }
        match self.insist(what, || self.service.is_published(key, &how.mark)).await {
            Ok(Some(stored)) => Ok(stored),
            Ok(None) | Err(_) => Err(error),
        }
    }

    pub async fn abort(&self, key: &str, handle: &str) -> Result<()> {
        let what = format!("remove the half upload of `{key}`");
        match self.insist(&what, || self.service.abort(key, handle)).await {
            Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    /// Removes all half uploads of a key: those whose handle was lost on its way to us.
    pub async fn abort_strays(&self, key: &str) -> Result<()> {
        let found = self.ask("list half uploads", self.service.unfinished(key)).await?;
        for stray in found.iter().filter(|stray| stray.key == key) {
            self.abort(key, &stray.handle).await?;
        }
        Ok(())
    }

    pub async fn stat(&self, key: &str) -> Result<Option<Object>> {
        self.ask(&format!("look at `{key}`"), self.service.stat(key)).await
    }

    /// One page. Asks on as long as all that came is excluded by `after`, so that a page that says there is more gets on.
    pub async fn page(&self, what: &ListOptions) -> Result<Page> {
        let limit = what.limit.unwrap_or(self.limits.page).clamp(1, self.limits.page);
        let after = what.after.as_deref();
        let (mut entries, mut token) = (Vec::<Object>::new(), None);
        let more = loop {
            let listed = self.listed(what, after, limit, token.as_deref()).await?;
            if listed.is_unordered {
                return self.gathered(what).await;
            }
            entries.extend(
                listed.entries.into_iter().filter(|entry| after.is_none_or(|after| *entry.key > *after)),
            );
            match listed.next {
                None => break false,
                Some(_) if !entries.is_empty() => break true,
                next => token = next,
            }
        };
        Ok(page_of(entries, limit, more))
    }

    async fn listed(
        &self,
        what: &ListOptions,
        after: Option<&str>,
        limit: usize,
        token: Option<&str>,
    ) -> Result<Listed> {
        let delimiter = what.delimiter.as_deref();
        let listing = Listing { prefix: &what.prefix, delimiter, after, limit, token };
        self.ask("list", self.service.list(&listing)).await
    }

    /// A page of a service whose order isn't ours: all of it is fetched, then cut.
    async fn gathered(&self, what: &ListOptions) -> Result<Page> {
        let (mut entries, mut token) = (Vec::new(), None);
        loop {
            let listed = self.listed(what, None, self.limits.page, token.as_deref()).await?;
            entries.extend(listed.entries);
            token = listed.next;
            if token.is_none() {
                break;
            }
        }
        entries.retain(|entry| what.after.as_ref().is_none_or(|after| entry.key > *after));
        Ok(page_of(entries, what.limit.unwrap_or(usize::MAX).max(1), false))
    }

    /// In as few requests as the service allows. One that fails fails for all of its keys.
    pub async fn delete(&self, keys: &[String]) -> Result<Vec<Result<()>>> {
        let mut fates: Vec<Option<Result<()>>> =
            keys.iter().map(|key| key::judge(key, &self.limits).err().map(Err)).collect();
        let open: Vec<usize> = (0..keys.len()).filter(|at| fates[*at].is_none()).collect();
        for batch in open.chunks(self.limits.delete_batch.max(1)) {
            let named: Vec<String> = batch.iter().map(|at| keys[*at].clone()).collect();
            let what = match named.as_slice() {
                [key] => format!("delete `{key}`"),
                several => format!("delete {} objects", several.len()),
            };
            let told = self.ask(&what, self.service.delete(&named)).await;
            let told = told.unwrap_or_else(|error| vec![Err(error); named.len()]);
            for (at, fate) in batch.iter().zip(told) {
                fates[*at] = Some(fate);
            }
        }
        let unsaid = || Err(Error::failed("the service didn't say whether it was deleted"));
        Ok(fates.into_iter().map(|fate| fate.unwrap_or_else(unsaid)).collect())
    }
}

/// The first `limit` entries, in byte order.
fn page_of(mut entries: Vec<Object>, limit: usize, more: bool) -> Page {
    entries.sort_by(|one, other| one.key.cmp(&other.key));
    entries.dedup_by(|one, other| one.key == other.key);
    let is_cut = entries.len() > limit;
    entries.truncate(limit);
    Page { entries, more: more || is_cut, ..Page::default() }
}
