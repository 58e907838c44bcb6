//! Panics and lies around an honest storage.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use windlass_plugin_api::{
    ByteRange, Context, CreateOptions, Error, Leftover, ListOptions, Object, Page, Reader, Result, Storage,
    StorageReport, Stored, Upload,
};
use windlass_testkit::faulty::wait;

/// Where to panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Place {
    New,
    Create,
    Write,
    Finish,
    Publish,
    Open,
    Read,
    Stat,
    List,
    Delete,
    Leftovers,
    Discard,
    Check,
    ByHand,
    /// The destructors of the storage, of uploads and of readers.
    Drop,
}

/// What to lie about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Lie {
    /// A write claims more bytes than it was given.
    Writes,
    /// A read claims more bytes than its buffer holds.
    Reads,
    /// `stat`, `list` and `publish` tell sizes that are one byte too large.
    Sizes,
    /// The first byte of everything that is read has its lowest bit flipped.
    Bytes,
    /// The same, but only of a stream that has been read before.
    BytesAgain,
    /// `publish` says that all is well and aborts.
    Publish,
    /// `publish` says that all is well, and how large the object is, which isn't there.
    Keeps,
    /// A dropped upload isn't aborted.
    Aborts,
}

/// A call that doesn't come back.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hang {
    /// The call.
    op: Place,
    /// The first that hangs, counted from 1 over all objects.
    #[serde(default = "one")]
    nth: u64,
    /// It doesn't even come back when the run is cancelled.
    #[serde(default)]
    deaf: bool,
}

fn one() -> u64 {
    1
}

/// The storage.
pub struct Misbehaving {
    inner: Arc<dyn Storage>,
    wrong: Arc<Wrong>,
}

/// What is wrong, shared with uploads and readers.
#[derive(Default)]
pub(crate) struct Wrong {
    pub(crate) panic_in: Option<Place>,
    pub(crate) lie: Option<Lie>,
    pub(crate) vanish: Option<(u64, PathBuf)>,
    pub(crate) hang: Option<Hang>,
    pub(crate) damaged_at: Vec<u64>,
    pub(crate) breaks_at: Option<u64>,
    pub(crate) ledger: Option<(PathBuf, PathBuf)>,
    pub(crate) writes: AtomicU64,
    pub(crate) written: AtomicU64,
    pub(crate) hangs: AtomicU64,
    pub(crate) opened: Mutex<HashSet<String>>,
}

impl Wrong {
    /// Panics where it was asked to.
    fn at(&self, place: Place) {
        assert!(self.panic_in != Some(place), "asked to: {place:?}");
    }

    /// As [`at`](Self::at), and hangs where it was asked to.
    fn here(&self, cx: &Context, place: Place) -> Result<()> {
        self.at(place);
        let Some(hang) = self.hang.filter(|hang| hang.op == place) else { return Ok(()) };
        if self.hangs.fetch_add(1, Ordering::Relaxed) + 1 < hang.nth {
            return Ok(());
        }
        if hang.deaf {
            loop {
                std::thread::sleep(Duration::from_secs(1));
            }
        }
        wait(cx, Duration::from_secs(24 * 60 * 60))
    }

    /// Notes in the ledger that `count` bytes were written.
    fn note(&self, count: usize) -> io::Result<()> {
        let sum = self.written.fetch_add(count as u64, Ordering::Relaxed) + count as u64;
        let Some((ledger, root)) = &self.ledger else { return Ok(()) };
        let line = format!("{} {sum}\n", root.display());
        OpenOptions::new().create(true).append(true).open(ledger)?.write_all(line.as_bytes())
    }

    fn lies(&self, lie: Lie) -> bool {
        self.lie == Some(lie)
    }

    fn size(&self, size: &mut u64) {
        *size += u64::from(self.lies(Lie::Sizes));
    }

    /// Whether what is read of `key` now is to be damaged.
    fn damages(&self, key: &str) -> bool {
        let is_first = self.opened.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned());
        self.lies(Lie::Bytes) || (self.lies(Lie::BytesAgain) && is_stream(key) && !is_first)
    }
}

fn is_stream(key: &str) -> bool {
    key.rsplit('/').next().is_some_and(|name| name.starts_with("data"))
}

impl Misbehaving {
    pub(crate) fn around(inner: Arc<dyn Storage>, wrong: Wrong) -> Self {
        wrong.at(Place::New);
        Self { inner, wrong: Arc::new(wrong) }
    }

    fn stream<T>(&self, cx: &Context, inner: T) -> Stream<T> {
        Stream {
            inner: Some(inner),
            cx: cx.clone(),
            wrong: self.wrong.clone(),
            damage: false,
            at: None,
            of: None,
        }
    }
}

impl Storage for Misbehaving {
    fn create(&self, cx: &Context, key: &str, how: &CreateOptions) -> Result<Box<dyn Upload>> {
        self.wrong.here(cx, Place::Create)?;
        let mut stream = self.stream(cx, self.inner.create(cx, key, how)?);
        stream.of = Some((self.inner.clone(), key.to_owned()));
        Ok(Box::new(stream))
    }

    fn open(&self, cx: &Context, key: &str, range: Option<ByteRange>) -> Result<Reader> {
        self.wrong.here(cx, Place::Open)?;
        let damage = self.wrong.damages(key);
        let at = is_stream(key).then(|| range.map_or(0, |range| range.offset));
        let mut stream = self.stream(cx, self.inner.open(cx, key, range)?);
        (stream.damage, stream.at) = (damage, at);
        Ok(Box::new(stream))
    }

    fn stat(&self, cx: &Context, key: &str) -> Result<Option<Object>> {
        self.wrong.here(cx, Place::Stat)?;
        let mut object = self.inner.stat(cx, key)?;
        object.iter_mut().for_each(|object| self.wrong.size(&mut object.size_bytes));
        Ok(object)
    }

    fn list(&self, cx: &Context, what: &ListOptions) -> Result<Page> {
        self.wrong.here(cx, Place::List)?;
        let mut page = self.inner.list(cx, what)?;
        page.entries.iter_mut().for_each(|object| self.wrong.size(&mut object.size_bytes));
        Ok(page)
    }

    fn delete(&self, cx: &Context, keys: &[String]) -> Result<Vec<Result<()>>> {
        self.wrong.here(cx, Place::Delete)?;
        self.inner.delete(cx, keys)
    }

    fn leftovers(&self, cx: &Context, prefix: &str) -> Result<Vec<Leftover>> {
        self.wrong.here(cx, Place::Leftovers)?;
        self.inner.leftovers(cx, prefix)
    }

    fn discard(&self, cx: &Context, leftovers: &[Leftover]) -> Result<()> {
        self.wrong.here(cx, Place::Discard)?;
        self.inner.discard(cx, leftovers)
    }

    fn check(&self, cx: &Context) -> Result<StorageReport> {
        self.wrong.here(cx, Place::Check)?;
        self.inner.check(cx)
    }

    fn by_hand(&self, key: &str) -> Option<String> {
        self.wrong.at(Place::ByHand);
        self.inner.by_hand(key)
    }
}

impl Drop for Misbehaving {
    fn drop(&mut self) {
        self.wrong.at(Place::Drop);
    }
}

/// An upload or a reader.
struct Stream<T> {
    inner: Option<T>,
    wrong: Arc<Wrong>,
    /// The next byte that is read gets a bit flipped.
    damage: bool,
    cx: Context,
    /// Where in a stream of a snapshot is read next.
    at: Option<u64>,
    /// The object that an upload makes, and where.
    of: Option<(Arc<dyn Storage>, String)>,
}

impl<T> Stream<T> {
    fn inner(&mut self) -> io::Result<&mut T> {
        self.inner.as_mut().ok_or_else(|| io::Error::other("the stream has ended"))
    }
}

impl Write for Stream<Box<dyn Upload>> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wrong.here(&self.cx, Place::Write)?;
        let number = self.wrong.writes.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some((nth, root)) = &self.wrong.vanish
            && *nth == number
        {
            fs::remove_dir_all(root)?;
        }
        let count = self.inner()?.write(bytes)?;
        self.wrong.note(count)?;
        Ok(if self.wrong.lies(Lie::Writes) { bytes.len() + 1 } else { count })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner()?.flush()
    }
}

impl Upload for Stream<Box<dyn Upload>> {
    fn finish(&mut self) -> Result<()> {
        self.wrong.here(&self.cx, Place::Finish)?;
        self.inner()?.finish()
    }

    fn publish(mut self: Box<Self>) -> Result<Stored> {
        self.wrong.here(&self.cx, Place::Publish)?;
        if self.wrong.lies(Lie::Publish) {
            return Ok(Stored::default());
        }
        let upload = self.inner.take().ok_or_else(|| io::Error::other("the upload has ended"))?;
        let mut stored = upload.publish()?;
        if let Some((storage, key)) = self.of.as_ref().filter(|_| self.wrong.lies(Lie::Keeps)) {
            storage.delete(&self.cx, std::slice::from_ref(key))?.remove(0)?;
        }
        self.wrong.size(&mut stored.size_bytes);
        Ok(stored)
    }
}

impl Stream<Reader> {
    /// Flips and breaks what was asked for, of a stream of a snapshot.
    fn spoil(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        let Some(at) = &mut self.at else { return Ok(()) };
        let here = *at..*at + bytes.len() as u64;
        if self.wrong.breaks_at.is_some_and(|place| place < here.end) {
            return Err(Error::failed("asked to break").into_io());
        }
        for place in self.wrong.damaged_at.iter().filter(|place| here.contains(place)) {
            bytes[usize::try_from(place - here.start).unwrap_or_default()] ^= 1;
        }
        *at = here.end;
        Ok(())
    }
}

impl Read for Stream<Reader> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wrong.here(&self.cx, Place::Read)?;
        let count = self.inner()?.read(buffer)?;
        self.spoil(&mut buffer[..count])?;
        if count > 0 && std::mem::take(&mut self.damage) {
            buffer[0] ^= 1;
        }
        Ok(if self.wrong.lies(Lie::Reads) { buffer.len() + 1 } else { count })
    }
}

impl<T> Drop for Stream<T> {
    fn drop(&mut self) {
        // What was handed on isn't dropped here.
        let Some(inner) = self.inner.take() else { return };
        if self.of.is_some() && self.wrong.lies(Lie::Aborts) {
            std::mem::forget(inner);
        }
        self.wrong.at(Place::Drop);
    }
}
