//! A storage out of a service: each call of the contract as requests, retried, on the crate's threads.
//!
//! Uploads and downloads are modules of their own; what is here is done in a few requests.

use std::sync::Arc;

use tokio::sync::Semaphore;
use windlass_plugin_api::{
    ByteRange, Context, CreateOptions, Error, ErrorKind, Leftover, ListOptions, Object, Page, Reader, Result,
    StorageReport, Upload,
};

use crate::check;
use crate::core::{Core, kib};
use crate::download::ObjectReader;
use crate::key;
use crate::retry::Retry;
use crate::runtime::Threads;
use crate::service::Service;
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
        self.core.service.judge(key)?;
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
