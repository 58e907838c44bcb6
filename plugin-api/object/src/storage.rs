//! A storage out of a service: each call of the contract as requests, retried, on the crate's threads.
//!
//! Uploads and downloads are modules of their own; what is here is done in a few requests.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;
use windlass_plugin_api::{
    ByteRange, Context, CreateOptions, Error, ErrorKind, Leftover, ListOptions, Object, Page, Reader, Result,
    StorageReport, Upload,
};

use crate::check;
use crate::download::ObjectReader;
use crate::key;
use crate::retry::Retry;
use crate::runtime::Threads;
use crate::service::{Begun, How, Limits, Listed, Listing, Part, Service};
use crate::upload::ObjectUpload;

/// How much is done at the same time.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Requests with bytes of objects in flight at once, over all uploads of the instance; and those of each download.
    pub concurrency: u32,
    /// The size that parts begin with, in bytes. An object that is no larger is stored in one request.
    pub part_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { concurrency: 4, part_bytes: 8 * 1024 * 1024 }
    }
}

/// A storage over `S`. Its methods are those of [`Storage`](windlass_plugin_api::Storage).
pub struct Objects<S> {
    core: Arc<Core<S>>,
    threads: Threads,
}

/// What requests need. Holds no threads: it lives on in tasks.
pub(crate) struct Core<S> {
    pub service: S,
    pub limits: Limits,
    pub settings: Settings,
    pub retry: Retry,
    /// One for each KiB of a part in flight.
    pub room: Arc<Semaphore>,
}

impl<S: Service> Objects<S> {
    /// A storage that has asked for nothing yet.
    pub fn new(service: S, settings: Settings) -> Self {
        Self::with_retry(service, settings, Retry::default())
    }

    /// As [`new`](Self::new), with patience of one's own.
    pub fn with_retry(service: S, settings: Settings, retry: Retry) -> Self {
        let limits = service.limits();
        let room = Arc::new(Semaphore::new(
            kib(settings.part_bytes) as usize * settings.concurrency.max(1) as usize,
        ));
        Self { core: Arc::new(Core { service, limits, settings, retry, room }), threads: Threads::default() }
    }

    /// The service itself.
    pub fn service(&self) -> &S {
        &self.core.service
    }

    /// See [`Storage::create`](windlass_plugin_api::Storage::create).
    pub fn create(&self, cx: &Context, key: &str, how: &CreateOptions) -> Result<Box<dyn Upload>> {
        key::judge(key, &self.core.limits)?;
        Ok(Box::new(ObjectUpload::new(self.core.clone(), self.threads.clone(), cx, key, how)?))
    }

    /// See [`Storage::open`](windlass_plugin_api::Storage::open).
    pub fn open(&self, cx: &Context, key: &str, range: Option<ByteRange>) -> Result<Reader> {
        key::judge(key, &self.core.limits)?;
        Ok(Box::new(ObjectReader::open(self.core.clone(), self.threads.clone(), cx, key, range)?))
    }

    /// See [`Storage::stat`](windlass_plugin_api::Storage::stat).
    pub fn stat(&self, cx: &Context, key: &str) -> Result<Option<Object>> {
        key::judge(key, &self.core.limits)?;
        self.threads.block(cx, self.core.stat(key))
    }

    /// See [`Storage::list`](windlass_plugin_api::Storage::list).
    pub fn list(&self, cx: &Context, what: &ListOptions) -> Result<Page> {
        self.threads.block(cx, self.core.page(what))
    }

    /// See [`Storage::delete`](windlass_plugin_api::Storage::delete).
    pub fn delete(&self, cx: &Context, keys: &[String]) -> Result<Vec<Result<()>>> {
        self.threads.block(cx, self.core.delete(keys))
    }

    /// See [`Storage::leftovers`](windlass_plugin_api::Storage::leftovers).
    pub fn leftovers(&self, cx: &Context, prefix: &str) -> Result<Vec<Leftover>> {
        self.threads.block(cx, async {
            let mut found = self.core.ask("list half uploads", self.core.service.unfinished(prefix)).await?;
            found.retain(|leftover| leftover.key.starts_with(prefix));
            found.sort_by(|one, other| (&one.key, &one.handle).cmp(&(&other.key, &other.handle)));
            Ok(found)
        })
    }

    /// See [`Storage::discard`](windlass_plugin_api::Storage::discard).
    pub fn discard(&self, cx: &Context, leftovers: &[Leftover]) -> Result<()> {
        self.threads.block(cx, async {
            for Leftover { key, handle, .. } in leftovers {
                if handle.is_empty() || key::judge(key, &self.core.limits).is_err() {
                    return Err(Error::new(
                        ErrorKind::Config,
                        format!("`{handle}` isn't a half upload of `{key}`"),
                    ));
                }
                self.core.abort(key, handle).await?;
            }
            Ok(())
        })
    }

    /// See [`Storage::check`](windlass_plugin_api::Storage::check).
    pub fn check(&self, cx: &Context) -> Result<StorageReport> {
        self.threads.block(cx, check::check(&self.core))
    }
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

    pub async fn put(&self, key: &str, how: &How, bytes: Bytes) -> Result<windlass_plugin_api::Stored> {
        let what = format!("store `{key}`");
        let request = || self.service.put(key, how, bytes.clone());
        self.shown(&what, key, how, request).await
    }

    pub async fn part(&self, key: &str, handle: &str, part: Part) -> Result<String> {
        let what = format!("store part {} of `{key}`", part.number);
        self.insist(&what, || self.service.part(Begun { key, handle }, part.clone())).await
    }

    pub async fn complete(
        &self,
        key: &str,
        handle: &str,
        how: &How,
        tags: &[String],
    ) -> Result<windlass_plugin_api::Stored> {
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
    ) -> Result<windlass_plugin_api::Stored>
    where
        F: Future<Output = Result<windlass_plugin_api::Stored>>,
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

/// Implements [`Storage`](windlass_plugin_api::Storage) for a plugin's type by its field `objects`. `by_hand` is a method
/// of the type.
#[macro_export]
macro_rules! storage_of_objects {
    ($plugin:ty) => {
        impl windlass_plugin_api::Storage for $plugin {
            fn create(
                &self,
                cx: &windlass_plugin_api::Context,
                key: &str,
                how: &windlass_plugin_api::CreateOptions,
            ) -> windlass_plugin_api::Result<Box<dyn windlass_plugin_api::Upload>> {
                self.objects.create(cx, key, how)
            }

            fn open(
                &self,
                cx: &windlass_plugin_api::Context,
                key: &str,
                range: Option<windlass_plugin_api::ByteRange>,
            ) -> windlass_plugin_api::Result<windlass_plugin_api::Reader> {
                self.objects.open(cx, key, range)
            }

            fn stat(
                &self,
                cx: &windlass_plugin_api::Context,
                key: &str,
            ) -> windlass_plugin_api::Result<Option<windlass_plugin_api::Object>> {
                self.objects.stat(cx, key)
            }

            fn list(
                &self,
                cx: &windlass_plugin_api::Context,
                what: &windlass_plugin_api::ListOptions,
            ) -> windlass_plugin_api::Result<windlass_plugin_api::Page> {
                self.objects.list(cx, what)
            }

            fn delete(
                &self,
                cx: &windlass_plugin_api::Context,
                keys: &[String],
            ) -> windlass_plugin_api::Result<Vec<windlass_plugin_api::Result<()>>> {
                self.objects.delete(cx, keys)
            }

            fn leftovers(
                &self,
                cx: &windlass_plugin_api::Context,
                prefix: &str,
            ) -> windlass_plugin_api::Result<Vec<windlass_plugin_api::Leftover>> {
                self.objects.leftovers(cx, prefix)
            }

            fn discard(
                &self,
                cx: &windlass_plugin_api::Context,
                leftovers: &[windlass_plugin_api::Leftover],
            ) -> windlass_plugin_api::Result<()> {
                self.objects.discard(cx, leftovers)
            }

            fn check(
                &self,
                cx: &windlass_plugin_api::Context,
            ) -> windlass_plugin_api::Result<windlass_plugin_api::StorageReport> {
                self.objects.check(cx)
            }

            fn by_hand(&self, key: &str) -> Option<String> {
                self.by_hand(key)
            }
        }
    };
}
