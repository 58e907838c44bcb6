//! Panics and lies around an honest storage.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use schemars::JsonSchema;
use serde::Deserialize;
use windlass_plugin_api::{
    ByteRange, Context, CreateOptions, Leftover, ListOptions, Object, Page, Reader, Result, Storage,
    StorageReport, Stored, Upload,
};

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
}

/// The storage.
pub struct Misbehaving {
    inner: Arc<dyn Storage>,
    wrong: Arc<Wrong>,
}

/// What is wrong, shared with uploads and readers.
struct Wrong {
    panic_in: Option<Place>,
    lie: Option<Lie>,
    vanish: Option<(u64, PathBuf)>,
    writes: AtomicU64,
    opened: Mutex<HashSet<String>>,
}

impl Wrong {
    /// Panics where it was asked to.
    fn at(&self, place: Place) {
        assert!(self.panic_in != Some(place), "asked to: {place:?}");
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
        let is_stream = key.rsplit('/').next().is_some_and(|name| name.starts_with("data"));
        self.lies(Lie::Bytes) || (self.lies(Lie::BytesAgain) && is_stream && !is_first)
    }
}

impl Misbehaving {
    pub(crate) fn around(
        inner: Arc<dyn Storage>,
        panic_in: Option<Place>,
        lie: Option<Lie>,
        vanish: Option<(u64, PathBuf)>,
    ) -> Self {
        let wrong = Wrong { panic_in, lie, vanish, writes: AtomicU64::new(0), opened: Mutex::default() };
        wrong.at(Place::New);
        Self { inner, wrong: Arc::new(wrong) }
    }

    fn stream<T>(&self, inner: T, damage: bool) -> Stream<T> {
        Stream { inner: Some(inner), wrong: self.wrong.clone(), damage }
    }
}

impl Storage for Misbehaving {
    fn create(&self, cx: &Context, key: &str, how: &CreateOptions) -> Result<Box<dyn Upload>> {
        self.wrong.at(Place::Create);
        Ok(Box::new(self.stream(self.inner.create(cx, key, how)?, false)))
    }

    fn open(&self, cx: &Context, key: &str, range: Option<ByteRange>) -> Result<Reader> {
        self.wrong.at(Place::Open);
        let damage = self.wrong.damages(key);
        Ok(Box::new(self.stream(self.inner.open(cx, key, range)?, damage)))
    }

    fn stat(&self, cx: &Context, key: &str) -> Result<Option<Object>> {
        self.wrong.at(Place::Stat);
        let mut object = self.inner.stat(cx, key)?;
        object.iter_mut().for_each(|object| self.wrong.size(&mut object.size_bytes));
        Ok(object)
    }

    fn list(&self, cx: &Context, what: &ListOptions) -> Result<Page> {
        self.wrong.at(Place::List);
        let mut page = self.inner.list(cx, what)?;
        page.entries.iter_mut().for_each(|object| self.wrong.size(&mut object.size_bytes));
        Ok(page)
    }

    fn delete(&self, cx: &Context, keys: &[String]) -> Result<Vec<Result<()>>> {
        self.wrong.at(Place::Delete);
        self.inner.delete(cx, keys)
    }

    fn leftovers(&self, cx: &Context, prefix: &str) -> Result<Vec<Leftover>> {
        self.wrong.at(Place::Leftovers);
        self.inner.leftovers(cx, prefix)
    }

    fn discard(&self, cx: &Context, leftovers: &[Leftover]) -> Result<()> {
        self.wrong.at(Place::Discard);
        self.inner.discard(cx, leftovers)
    }

    fn check(&self, cx: &Context) -> Result<StorageReport> {
        self.wrong.at(Place::Check);
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
}

impl<T> Stream<T> {
    fn inner(&mut self) -> io::Result<&mut T> {
        self.inner.as_mut().ok_or_else(|| io::Error::other("the stream has ended"))
    }
}

impl Write for Stream<Box<dyn Upload>> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wrong.at(Place::Write);
        let number = self.wrong.writes.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some((nth, root)) = &self.wrong.vanish
            && *nth == number
        {
            fs::remove_dir_all(root)?;
        }
        let count = self.inner()?.write(bytes)?;
        Ok(if self.wrong.lies(Lie::Writes) { bytes.len() + 1 } else { count })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner()?.flush()
    }
}

impl Upload for Stream<Box<dyn Upload>> {
    fn finish(&mut self) -> Result<()> {
        self.wrong.at(Place::Finish);
        self.inner()?.finish()
    }

    fn publish(mut self: Box<Self>) -> Result<Stored> {
        self.wrong.at(Place::Publish);
        if self.wrong.lies(Lie::Publish) {
            return Ok(Stored::default());
        }
        let upload = self.inner.take().ok_or_else(|| io::Error::other("the upload has ended"))?;
        let mut stored = upload.publish()?;
        self.wrong.size(&mut stored.size_bytes);
        Ok(stored)
    }
}

impl Read for Stream<Reader> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wrong.at(Place::Read);
        let count = self.inner()?.read(buffer)?;
        if count > 0 && std::mem::take(&mut self.damage) {
            buffer[0] ^= 1;
        }
        Ok(if self.wrong.lies(Lie::Reads) { buffer.len() + 1 } else { count })
    }
}

impl<T> Drop for Stream<T> {
    fn drop(&mut self) {
        // What was handed on isn't dropped here.
        if self.inner.is_some() {
            self.wrong.at(Place::Drop);
        }
    }
}
