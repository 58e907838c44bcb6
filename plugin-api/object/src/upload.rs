//! One object on its way up: parts in parallel, at most so much of them in memory, and nothing visible before `publish`.
//!
//! `finish` leaves all bytes with the service, as parts that make no object yet. An object of one part is kept in memory
//! instead and stored by `publish` in one request. Dropping it ends the requests under way, then aborts.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;
use windlass_plugin_api::{Context, CreateOptions, Error, ErrorKind, Result, Stored, Upload};

use crate::chance::random_word;
use crate::core::{Core, TIDYING, kib};
use crate::plan::Parts;
use crate::runtime::{Cancel, Threads};
use crate::service::{How, Part, Service};

/// A buffer that has become so large gets the room for the whole part.
const SMALL: usize = 512 * 1024;

/// An upload under way.
pub(crate) struct ObjectUpload<S: Service> {
    core: Arc<Core<S>>,
    threads: Threads,
    cancel: Cancel,
    key: String,
    how: How,
    plan: Parts,
    filling: Vec<u8>,
    /// Bytes that were handed on before those in `filling`.
    sent_bytes: u64,
    /// Of the upload in parts, once it is begun.
    handle: Option<Arc<str>>,
    tasks: JoinSet<Result<(u32, String)>>,
    last_number: u32,
    tags: BTreeMap<u32, String>,
    is_finished: bool,
    failed: Option<Error>,
    /// Beginning took more than one attempt: an answer may have been lost, and with it a half upload.
    may_have_strays: bool,
    /// Storing it in one request was cut short.
    is_cut_short: bool,
}

impl<S: Service> ObjectUpload<S> {
    pub fn new(
        core: Arc<Core<S>>,
        threads: Threads,
        cx: &Context,
        key: &str,
        how: &CreateOptions,
    ) -> Result<Self> {
        let plan = Parts::plan(&core.limits, core.settings.part_bytes, how.size_hint, how.made_of_bytes)?;
        let how = How {
            if_absent: how.if_absent,
            retain_until: how.retain_until,
            mark: random_word(),
            is_probe: false,
        };
        Ok(Self {
            core,
            threads,
            cancel: Cancel::of(cx),
            key: key.to_owned(),
            how,
            plan,
            filling: Vec::new(),
            sent_bytes: 0,
            handle: None,
            tasks: JoinSet::new(),
            last_number: 0,
            tags: BTreeMap::new(),
            is_finished: false,
            failed: None,
            may_have_strays: false,
            is_cut_short: false,
        })
    }

    fn size_bytes(&self) -> u64 {
        self.sent_bytes + self.filling.len() as u64
    }

    /// Hands `filling` on as a part. Waits until there is room for it.
    fn send(&mut self, is_last: bool) -> Result<()> {
        let number = self.last_number + 1;
        self.plan.judge(number.into(), self.size_bytes())?;
        let bytes = Bytes::from(std::mem::take(&mut self.filling));
        let part = Part { number, offset: self.sent_bytes, is_last, bytes };
        let length = part.bytes.len() as u64;
        self.threads.handle()?.block_on(hand_on(self, part))?;
        self.last_number = number;
        self.sent_bytes += length;
        Ok(())
    }

    /// Waits for all parts.
    fn settle(&mut self) -> Result<()> {
        let Self { threads, cancel, tasks, tags, .. } = self;
        threads.handle()?.block_on(cancel.or(async {
            while let Some(done) = tasks.join_next().await {
                let (number, tag) = joined(done)?;
                tags.insert(number, tag);
            }
            Ok(())
        }))
    }

    fn write_on(&mut self, bytes: &[u8]) -> Result<usize> {
        if self.is_finished {
            return Err(Error::failed("the upload is already finished"));
        }
        let size = self.plan.size_at(self.sent_bytes) as usize;
        if self.filling.len() >= size {
            // Only now is it known that more comes: an object of one part takes one request.
            self.send(false)?;
        }
        let size = self.plan.size_at(self.sent_bytes) as usize;
        if self.filling.len() > SMALL && self.filling.capacity() < size {
            self.filling.reserve_exact(size - self.filling.len());
        }
        let count = bytes.len().min(size - self.filling.len());
        self.filling.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    /// What failed once stays failed: parts are missing.
    fn keep<T>(&mut self, result: Result<T>) -> Result<T> {
        if let Err(error) = &result {
            self.failed.get_or_insert_with(|| error.clone());
        }
        result
    }

    fn go_on(&self) -> Result<()> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    fn finish_parts(&mut self) -> Result<()> {
        let largest = self.core.limits.put_bytes;
        let fits = largest > 0 && self.size_bytes() <= largest;
        if self.handle.is_none() && self.last_number == 0 && fits {
            return Ok(());
        }
        self.send(true)?;
        self.settle()
    }
}

/// Begins the upload in parts if that is still to do, and starts the request of `part` once there is room.
async fn hand_on<S: Service>(upload: &mut ObjectUpload<S>, part: Part) -> Result<()> {
    let ObjectUpload { core, cancel, key, how, handle, tasks, tags, may_have_strays, .. } = upload;
    let handle = match handle {
        Some(handle) => handle.clone(),
        None => {
            let what = format!("begin `{key}`");
            // Not cut short by cancelling: what was begun must be known, to be aborted.
            let mut attempts = 0;
            let begin = || {
                attempts += 1;
                core.service.begin(key, how)
            };
            let begun = core.insist(&what, begin).await;
            *may_have_strays = attempts > 1;
            let begun: Arc<str> = begun?.into();
            handle.insert(begun).clone()
        }
    };
    let in_order = core.limits.in_order;
    let wanted = kib(part.bytes.len() as u64);
    let all = kib(core.settings.part_bytes).saturating_mul(core.settings.concurrency.max(1));
    let room = core.room.clone();
    let permit = cancel
        .or(async {
            let mut asked = Box::pin(room.acquire_many_owned(wanted.min(all)));
            loop {
                tokio::select! {
                    // An error of an earlier part is told now, not after the last.
                    Some(done) = tasks.join_next(), if !tasks.is_empty() => {
                        let (number, tag) = joined(done)?;
                        tags.insert(number, tag);
                    }
                    permit = &mut asked, if !in_order || tasks.is_empty() => {
                        return permit.map_err(|_| Error::failed("the storage is closed"));
                    }
                }
            }
        })
        .await?;
    let (core, key) = (core.clone(), key.clone());
    tasks.spawn(async move {
        let number = part.number;
        let tag = core.part(&key, &handle, part).await?;
        drop(permit);
        Ok((number, tag))
    });
    Ok(())
}

fn joined<T>(done: std::result::Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
    done.unwrap_or_else(|error| Err(Error::failed("a request ended abruptly").because(&error)))
}

impl<S: Service> Write for ObjectUpload<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.go_on()?;
        if bytes.is_empty() {
            return Ok(0);
        }
        let result = self.write_on(bytes);
        Ok(self.keep(result)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<S: Service> Upload for ObjectUpload<S> {
    fn finish(&mut self) -> Result<()> {
        self.go_on()?;
        let result = self.finish_parts();
        self.keep(result)?;
        self.is_finished = true;
        Ok(())
    }

    fn publish(mut self: Box<Self>) -> Result<Stored> {
        self.go_on()?;
        if !self.is_finished {
            return Err(Error::failed("the upload isn't finished"));
        }
        let size_bytes = self.size_bytes();
        let Self { core, threads, cancel, key, how, filling, handle, tags, .. } = &mut *self;
        let is_whole = handle.is_none();
        let stored = threads.handle()?.block_on(cancel.or(async {
            match handle {
                None => core.put(key, how, Bytes::from(std::mem::take(filling))).await,
                Some(handle) => {
                    let tags: Vec<String> = std::mem::take(tags).into_values().collect();
                    core.complete(key, handle, how, &tags).await
                }
            }
        }));
        let is_cancelled = stored.as_ref().is_err_and(|error| error.kind == ErrorKind::Cancelled);
        self.is_cut_short = is_whole && is_cancelled;
        let stored = stored?;
        // Nothing is left to abort.
        self.handle = None;
        Ok(Stored { size_bytes, ..stored })
    }
}

impl<S: Service> Drop for ObjectUpload<S> {
    fn drop(&mut self) {
        let handle = self.handle.take();
        if handle.is_none() && !self.may_have_strays && !self.is_cut_short {
            return;
        }
        let Self { core, threads, tasks, key, how, may_have_strays, is_cut_short, .. } = self;
        let tidied = threads.tidy(TIDYING, async {
            // A part that arrives after the abort would stay for ever.
            tasks.shutdown().await;
            if *is_cut_short {
                core.clear(key, &how.mark).await;
            }
            if let Some(handle) = handle {
                core.abort(key, &handle).await?;
            }
            if *may_have_strays { core.abort_strays(key).await } else { Ok(()) }
        });
        match tidied {
            Some(Ok(())) => {}
            Some(Err(error)) => tracing::warn!("a half upload of `{key}` may stay: {}", error.one_line()),
            None => tracing::warn!("a half upload of `{key}` may stay: its service didn't answer in time"),
        }
    }
}
