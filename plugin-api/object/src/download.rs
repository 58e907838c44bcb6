//! One object on its way down: ranges in parallel ahead of the reader, in order, each tried again from where it broke.
//!
//! The first range is small and tells how large the object is and of which version; the others are asked of that version,
//! so that an object that is replaced meanwhile is told rather than mixed. It proves no hash: the host does.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::Arc;

use tokio::task::JoinHandle;
use windlass_plugin_api::{ByteRange, Context, Error, ErrorKind, Result};

use crate::core::Core;
use crate::runtime::{Cancel, Threads};
use crate::service::{REPLACED, Received, Service, unavailable};

/// An object that is replaced as often while its beginning is read is told as such.
const MOST_RIVALS: u32 = 10;

/// Enough for every manifest; a reader that stops here has cost no more.
const FIRST_BYTES: u64 = 1024 * 1024;

/// The others: large enough for the line, small enough for several in memory.
const RANGE_BYTES: u64 = 8 * 1024 * 1024;

/// Reads one object, or a part of it.
pub(crate) struct ObjectReader<S: Service> {
    core: Arc<Core<S>>,
    threads: Threads,
    cancel: Cancel,
    key: Arc<str>,
    version: Option<Arc<str>>,
    current: Vec<u8>,
    /// Room that is read and can be filled again: freed and taken anew, more of it would be held than is in use.
    spare: Vec<u8>,
    /// How much of `current` was read.
    taken: usize,
    ahead: VecDeque<JoinHandle<Result<Vec<u8>>>>,
    /// How many ranges may be under way: one more with each that is read, for many readers stop early.
    width: usize,
    /// Where the next range to be asked for begins.
    next: u64,
    end: u64,
}

impl<S: Service> ObjectReader<S> {
    pub fn open(
        core: Arc<Core<S>>,
        threads: Threads,
        cx: &Context,
        key: &str,
        range: Option<ByteRange>,
    ) -> Result<Self> {
        let range = range.unwrap_or(ByteRange { offset: 0, length: None });
        let mut cancel = Cancel::of(cx);
        let wanted = range.length.unwrap_or(u64::MAX);
        let first = async {
            if wanted == 0 {
                let absent = || {
                    Error::new(
                        ErrorKind::NotFound,
                        format!("no object `{key}` in `{}`", core.service.place()),
                    )
                };
                return core.stat(key).await?.map(|_| Received::default()).ok_or_else(absent);
            }
            let mut rivals = 0;
            loop {
                match begin(&core, key, range.offset, wanted.min(FIRST_BYTES)).await {
                    // Nothing was given out yet: what is there now is as good.
                    Err(error) if error.details.contains_key(REPLACED) && rivals < MOST_RIVALS => rivals += 1,
                    result => return result,
                }
            }
        };
        let first = threads.handle()?.block_on(cancel.or(first))?;
        let end = range.offset.saturating_add(wanted).min(first.total);
        let next = range.offset.saturating_add(first.bytes.len() as u64);
        let (current, version) = (first.bytes, first.version.map(Arc::from));
        let (key, ahead) = (Arc::from(key), VecDeque::new());
        Ok(Self {
            core,
            threads,
            cancel,
            key,
            version,
            current,
            spare: Vec::new(),
            taken: 0,
            ahead,
            width: 1,
            next,
            end,
        })
    }

    /// Asks for as much as may be under way.
    fn ask_ahead(&mut self) -> Result<()> {
        let handle = self.threads.handle()?;
        while self.ahead.len() < self.width && self.next < self.end {
            let (core, key, version) = (self.core.clone(), self.key.clone(), self.version.clone());
            // They end where parts mostly do: a service that keeps parts reads one for each.
            let length = (RANGE_BYTES - self.next % RANGE_BYTES).min(self.end - self.next);
            let from = self.next;
            let buffer = std::mem::take(&mut self.spare);
            self.next += length;
            self.ahead.push_back(handle.spawn(async move {
                Ok(fetch(&core, &key, from, length, version.as_deref(), buffer).await?.bytes)
            }));
        }
        Ok(())
    }

    /// The next range into `current`. False at the end.
    fn step(&mut self) -> Result<bool> {
        self.ask_ahead()?;
        let Some(range) = self.ahead.pop_front() else { return Ok(false) };
        let range = async {
            range.await.unwrap_or_else(|error| Err(Error::failed("a request ended abruptly").because(&error)))
        };
        let used =
            std::mem::replace(&mut self.current, self.threads.handle()?.block_on(self.cancel.or(range))?);
        self.spare = used;
        self.taken = 0;
        self.width = (self.width + 1).min(self.core.settings.concurrency.max(1) as usize);
        self.ask_ahead()?;
        Ok(true)
    }
}

/// The first range, of whatever version is there.
async fn begin<S: Service>(core: &Core<S>, key: &str, from: u64, length: u64) -> Result<Received> {
    let mut got = Received::default();
    let asked = core.service.get(key, from, length, None, &mut got);
    match core.ask(&format!("read `{key}`"), asked).await {
        // Something came: what is missing is of the same version.
        Err(error) if crate::retry::is_passing(&error) && got.version.is_some() => {}
        result => result?,
    }
    resume(core, key, from, length, got).await
}

/// A part of one version; see [`resume`].
async fn fetch<S: Service>(
    core: &Core<S>,
    key: &str,
    from: u64,
    length: u64,
    version: Option<&str>,
    mut bytes: Vec<u8>,
) -> Result<Received> {
    bytes.clear();
    if version.is_some() {
        bytes.reserve_exact(length as usize);
    }
    let got = Received { version: version.map(str::to_owned), bytes, total: u64::MAX };
    resume(core, key, from, length, got).await
}

/// The bytes from `from` on, `length` of them or up to the object's end, however often the line breaks.
async fn resume<S: Service>(
    core: &Core<S>,
    key: &str,
    from: u64,
    length: u64,
    mut got: Received,
) -> Result<Received> {
    let what = format!("read `{key}`");
    let place = |error: Error| error.during(format!("can't {what} in `{}`", core.service.place()));
    let mut attempt = 1;
    loop {
        let had = got.bytes.len() as u64;
        let whole = got.total.saturating_sub(from).min(length);
        if had >= whole {
            got.bytes.truncate(whole as usize);
            return Ok(got);
        }
        let version = got.version.clone();
        let asked = core.service.get(key, from + had, length - had, version.as_deref(), &mut got).await;
        let is_more = got.bytes.len() as u64 > had;
        let error = match asked {
            Ok(()) if is_more || got.total <= from + had => continue,
            Ok(()) => unavailable("the answer was cut short"),
            Err(error) if !crate::retry::is_passing(&error) => return Err(place(error)),
            Err(error) => error,
        };
        // Progress is no failed attempt: a line that breaks every few MiB still gets there.
        attempt = if is_more { 1 } else { attempt };
        core.retry.wait(&what, attempt, error).await.map_err(place)?;
        attempt += 1;
    }
}

impl<S: Service> Read for ObjectReader<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while self.taken == self.current.len() {
            if !self.step()? {
                return Ok(0);
            }
        }
        let count = buffer.len().min(self.current.len() - self.taken);
        buffer[..count].copy_from_slice(&self.current[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}

impl<S: Service> Drop for ObjectReader<S> {
    fn drop(&mut self) {
        self.ahead.iter().for_each(JoinHandle::abort);
    }
}

/// A small object, whole.
pub(crate) async fn whole<S: Service>(core: &Core<S>, key: &str, length: u64) -> Result<Vec<u8>> {
    Ok(fetch(core, key, 0, length, None, Vec::new()).await?.bytes)
}
