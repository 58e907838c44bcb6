//! The reference storage: what the contract of [`Storage`] means, in the shortest form there is.
//!
//! It runs the storage suite itself. It keeps everything in memory, delays nothing and never fails: for that there is
//! [`Faulty`](crate::Faulty).

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read, Write};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use schemars::JsonSchema;
use serde::Deserialize;
use windlass_plugin_api::export::Described;
use windlass_plugin_api::{
    ByteRange, Context, CreateOptions, Error, ErrorKind, Leftover, ListOptions, Object, Page, Plugin, Reader,
    Result, Storage, StorageReport, Stored, Upload,
};

/// How many entries a page has where the caller sets no limit: callers must be able to go on.
const PAGE: usize = 1000;

/// Options of `memory`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Storages of one name share their objects, within a process and while one of them lives. Without a name: its own.
    name: Option<String>,
}

/// A storage in memory. Clones share their objects.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<Shelf>>);

#[derive(Default)]
struct Shelf {
    objects: BTreeMap<String, Held>,
    uploads: BTreeMap<u64, Leftover>,
    last_number: u64,
}

struct Held {
    bytes: Arc<[u8]>,
    modified: i64,
    version: u64,
}

/// By hand what `export_plugin!` writes: nothing is exported from a test crate.
impl Described for Memory {
    const DESCRIPTION: &'static [&'static str] = &[
        "windlass-plugin-1\n",
        r#"{"kind":"storage","name":"memory","summary":"keeps objects in memory, for tests","panic":"unwind","#,
        r#""schemes":["memory"],"url_option":"name","odd_keys":true,"version":""#,
        env!("CARGO_PKG_VERSION"),
        r#"","api":""#,
        windlass_plugin_api::API_VERSION,
        r#"","options":"#,
        include_str!("../options.schema.json"),
        "}\n",
    ];
}

impl Plugin for Memory {
    type Options = Options;

    fn new(options: Options, _: &Context) -> Result<Self> {
        Ok(options.name.map_or_else(Self::default, |name| Self::named(&name)))
    }
}

impl Memory {
    /// An empty storage of its own.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The storage of this name, as its option `name` opens it.
    pub fn named(name: &str) -> Self {
        static NAMED: Mutex<BTreeMap<String, Weak<Mutex<Shelf>>>> = Mutex::new(BTreeMap::new());
        let mut named = NAMED.lock().unwrap_or_else(PoisonError::into_inner);
        named.retain(|_, shelf| shelf.strong_count() > 0);
        if let Some(shelf) = named.get(name).and_then(Weak::upgrade) {
            return Self(shelf);
        }
        let fresh = Self::default();
        named.insert(name.to_owned(), Arc::downgrade(&fresh.0));
        fresh
    }

    /// All objects by key: what a test compares.
    pub fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        self.shelf().objects.iter().map(|(key, held)| (key.clone(), held.bytes.to_vec())).collect()
    }

    /// Puts an object in place, or damages one: past every rule, as a test likes it.
    pub fn plant(&self, key: &str, bytes: &[u8]) {
        self.shelf().publish(key, bytes.into());
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    fn publish(&mut self, key: &str, bytes: Arc<[u8]>) -> u64 {
        self.last_number += 1;
        let version = self.last_number;
        self.objects.insert(key.to_owned(), Held { bytes, modified: now(), version });
        version
    }
}

impl Storage for Memory {
    fn create(&self, _: &Context, key: &str, how: &CreateOptions) -> Result<Box<dyn Upload>> {
        judge(key)?;
        let mut shelf = self.shelf();
        if how.if_absent && shelf.objects.contains_key(key) {
            return Err(there_already(key));
        }
        shelf.last_number += 1;
        let number = shelf.last_number;
        let half = Leftover {
            key: key.to_owned(),
            handle: number.to_string(),
            run: how.run.clone(),
            started: Some(now()),
            ..Leftover::default()
        };
        shelf.uploads.insert(number, half);
        drop(shelf);
        Ok(Box::new(Half {
            memory: self.clone(),
            number,
            key: key.to_owned(),
            if_absent: how.if_absent,
            bytes: Vec::new(),
            finished: false,
        }))
    }

    fn open(&self, _: &Context, key: &str, range: Option<ByteRange>) -> Result<Reader> {
        judge(key)?;
        let shelf = self.shelf();
        let held = shelf.objects.get(key);
        let held = held.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("no object `{key}`")))?;
        let mut cursor = Cursor::new(held.bytes.clone());
        let Some(range) = range else { return Ok(Box::new(cursor)) };
        cursor.set_position(range.offset);
        Ok(Box::new(cursor.take(range.length.unwrap_or(u64::MAX))))
    }

    fn stat(&self, _: &Context, key: &str) -> Result<Option<Object>> {
        judge(key)?;
        Ok(self.shelf().objects.get(key).map(|held| object(key, held)))
    }

    fn list(&self, _: &Context, what: &ListOptions) -> Result<Page> {
        let shelf = self.shelf();
        let from = (Bound::Included(what.prefix.as_str()), Bound::Unbounded);
        Ok(page(shelf.objects.range::<str, _>(from).map(|(key, held)| object(key, held)), what))
    }

    fn delete(&self, _: &Context, keys: &[String]) -> Result<Vec<Result<()>>> {
        let mut shelf = self.shelf();
        Ok(keys.iter().map(|key| judge(key).map(|()| drop(shelf.objects.remove(key)))).collect())
    }

    fn leftovers(&self, _: &Context, prefix: &str) -> Result<Vec<Leftover>> {
        let shelf = self.shelf();
        Ok(shelf.uploads.values().filter(|half| half.key.starts_with(prefix)).cloned().collect())
    }

    fn discard(&self, _: &Context, leftovers: &[Leftover]) -> Result<()> {
        let mut shelf = self.shelf();
        shelf.uploads.retain(|_, half| leftovers.iter().all(|leftover| leftover.handle != half.handle));
        Ok(())
    }

    fn check(&self, _: &Context) -> Result<StorageReport> {
        Ok(StorageReport::default())
    }
}

/// An object on its way. As long as it lives it is listed among the uploads.
struct Half {
    memory: Memory,
    number: u64,
    key: String,
    if_absent: bool,
    bytes: Vec<u8>,
    finished: bool,
}

impl Write for Half {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.finished {
            return Err(Error::failed("the upload is already finished").into_io());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Upload for Half {
    fn finish(&mut self) -> Result<()> {
        self.finished = true;
        Ok(())
    }

    fn publish(mut self: Box<Self>) -> Result<Stored> {
        let bytes: Arc<[u8]> = std::mem::take(&mut self.bytes).into();
        let mut shelf = self.memory.shelf();
        if !self.finished {
            return Err(Error::failed("the upload isn't finished"));
        }
        if !shelf.uploads.contains_key(&self.number) {
            return Err(Error::new(ErrorKind::NotFound, "the upload was discarded"));
        }
        if self.if_absent && shelf.objects.contains_key(&self.key) {
            return Err(there_already(&self.key));
        }
        let size_bytes = bytes.len() as u64;
        let version = shelf.publish(&self.key, bytes);
        Ok(Stored { size_bytes, version: Some(version.to_string()), ..Stored::default() })
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        self.memory.shelf().uploads.remove(&self.number);
    }
}

/// The page that `what` asks for, out of objects in byte order of their keys: what [`Storage::list`] means.
pub fn page(objects: impl IntoIterator<Item = Object>, what: &ListOptions) -> Page {
    let limit = what.limit.unwrap_or(PAGE);
    let mut page = Page::default();
    for object in objects {
        let Some(rest) = object.key.strip_prefix(&what.prefix) else { continue };
        let end = what.delimiter.as_ref().and_then(|delimiter| Some(rest.find(delimiter)? + delimiter.len()));
        let entry = match end {
            Some(end) => Object { key: format!("{}{}", what.prefix, &rest[..end]), ..Object::default() },
            None => object,
        };
        let is_before = what.after.as_ref().is_some_and(|after| entry.key <= *after);
        if is_before || page.entries.last().is_some_and(|last| last.key == entry.key) {
            continue;
        }
        if page.entries.len() == limit {
            page.more = true;
            break;
        }
        page.entries.push(entry);
    }
    page
}

/// Refuses what is no key for any storage: it could lead outside of a folder.
pub fn judge(key: &str) -> Result<()> {
    if key.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return Err(Error::new(ErrorKind::Config, format!("`{key}` is no key")));
    }
    Ok(())
}

fn there_already(key: &str) -> Error {
    Error::new(ErrorKind::AlreadyExists, format!("the object `{key}` is already there"))
}

fn object(key: &str, held: &Held) -> Object {
    Object {
        key: key.to_owned(),
        size_bytes: held.bytes.len() as u64,
        modified: Some(held.modified),
        version: Some(held.version.to_string()),
        ..Object::default()
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
