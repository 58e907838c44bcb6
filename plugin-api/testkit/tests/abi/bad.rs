//! One type that is a plugin of every kind, panics where it is told to, and counts what reaches it.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::panic::panic_any;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use serde_json::{Map, Value};
use windlass_plugin_api::{
    ByteRange, Contents, Context, CreateOptions, Event, Filter, Finished, Inputs, Item, Leftover,
    ListOptions, Notifier, Object, Outputs, Page, Plugin, Probe, Reader, RestoreOptions, Restored, Result,
    Sink, Source, Storage, StorageReport, Stored, StreamInfo, Target, Upload,
};

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Under which name calls are counted.
    name: String,
    /// The call that panics.
    #[serde(default)]
    panic_in: String,
}

#[derive(Clone)]
pub struct Bad(Options);

static CALLS: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

/// How often `call` of the plugin `name` reached the author's code.
pub fn calls(name: &str, call: &str) -> u64 {
    let calls = CALLS.lock().unwrap_or_else(PoisonError::into_inner);
    calls.get(&format!("{name} {call}")).copied().unwrap_or(0)
}

struct Payload;

impl Drop for Payload {
    fn drop(&mut self) {
        panic!("a payload that panics when dropped");
    }
}

impl Options {
    fn at(&self, call: &str) {
        let mut calls = CALLS.lock().unwrap_or_else(PoisonError::into_inner);
        *calls.entry(format!("{} {call}", self.name)).or_default() += 1;
        drop(calls);
        assert!(self.panic_in != call, "told to panic in {call}");
        if self.panic_in.strip_prefix("payload ") == Some(call) {
            panic_any(Payload);
        }
    }
}

impl Plugin for Bad {
    type Options = Options;

    fn new(options: Options, _: &Context) -> Result<Self> {
        options.at("new");
        Ok(Self(options))
    }
}

impl Drop for Bad {
    fn drop(&mut self) {
        self.0.at("drop");
    }
}

/// A sink, an upload or a reader of it.
struct Stream<T> {
    inner: T,
    options: Options,
}

impl<T> Drop for Stream<T> {
    fn drop(&mut self) {
        self.options.at("drop-stream");
    }
}

impl<W: Write> Write for Stream<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.options.at("write");
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.options.at("flush");
        self.inner.flush()
    }
}

impl Sink for Stream<Box<dyn Sink>> {
    fn finish(&mut self) -> Result<Finished> {
        self.options.at("finish");
        self.inner.finish()
    }
}

impl Upload for Stream<Vec<u8>> {
    fn finish(&mut self) -> Result<()> {
        self.options.at("finish");
        Ok(())
    }

    fn publish(self: Box<Self>) -> Result<Stored> {
        self.options.at("publish");
        Ok(Stored::default())
    }
}

impl<R: Read> Read for Stream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.options.at("read");
        self.inner.read(buffer)
    }
}

impl Filter for Bad {
    fn encode(&self, _: &Context, _: &str, next: Box<dyn Sink>) -> Result<Box<dyn Sink>> {
        self.0.at("encode");
        Ok(Box::new(Stream { inner: next, options: self.0.clone() }))
    }

    fn decode(&self, _: &Context, _: &str, _: &Map<String, Value>, input: Reader) -> Result<Reader> {
        self.0.at("decode");
        Ok(Box::new(Stream { inner: input, options: self.0.clone() }))
    }

    fn by_hand(&self) -> Option<String> {
        self.0.at("by_hand");
        Some("cat".into())
    }
}

impl Source for Bad {
    fn probe(&mut self, _: &Context) -> Result<Probe> {
        self.0.at("probe");
        Ok(Probe::default())
    }

    fn discover(&mut self, _: &Context) -> Result<Vec<Item>> {
        self.0.at("discover");
        Ok(Vec::new())
    }

    fn backup(&mut self, _: &Context, out: &dyn Outputs) -> Result<Contents> {
        let mut sink = out.create("data", StreamInfo::new("test/1"))?;
        sink.write_all(b"some bytes")?;
        self.0.at("backup");
        sink.finish()?;
        Ok(Contents::default())
    }

    fn target(&mut self, _: &Context, _: &RestoreOptions) -> Result<Target> {
        self.0.at("target");
        Ok(Target::default())
    }

    fn preview(&mut self, _: &Context, _: &dyn Inputs, _: &RestoreOptions) -> Result<Vec<String>> {
        self.0.at("preview");
        Ok(Vec::new())
    }

    fn restore(&mut self, _: &Context, input: &dyn Inputs, _: &RestoreOptions) -> Result<Restored> {
        self.0.at("restore");
        input.open("data")?.read_to_end(&mut Vec::new())?;
        Ok(Restored::default())
    }

    fn by_hand(&self, _: &str, _: &Contents) -> Option<String> {
        self.0.at("by_hand");
        None
    }
}

impl Storage for Bad {
    fn create(&self, _: &Context, _: &str, _: &CreateOptions) -> Result<Box<dyn Upload>> {
        self.0.at("create");
        Ok(Box::new(Stream { inner: Vec::new(), options: self.0.clone() }))
    }

    fn open(&self, _: &Context, _: &str, _: Option<ByteRange>) -> Result<Reader> {
        self.0.at("open");
        Ok(Box::new(Stream { inner: io::repeat(7), options: self.0.clone() }))
    }

    fn stat(&self, _: &Context, _: &str) -> Result<Option<Object>> {
        self.0.at("stat");
        Ok(None)
    }

    fn list(&self, _: &Context, _: &ListOptions) -> Result<Page> {
        self.0.at("list");
        Ok(Page::default())
    }

    fn delete(&self, _: &Context, keys: &[String]) -> Result<Vec<Result<()>>> {
        self.0.at("delete");
        Ok(keys.iter().map(|_| Ok(())).collect())
    }

    fn leftovers(&self, _: &Context, _: &str) -> Result<Vec<Leftover>> {
        self.0.at("leftovers");
        Ok(Vec::new())
    }

    fn discard(&self, _: &Context, _: &[Leftover]) -> Result<()> {
        self.0.at("discard");
        Ok(())
    }

    fn check(&self, _: &Context) -> Result<StorageReport> {
        self.0.at("check");
        Ok(StorageReport::default())
    }

    fn by_hand(&self, _: &str) -> Option<String> {
        self.0.at("by_hand");
        None
    }
}

impl Notifier for Bad {
    fn notify(&self, _: &Context, _: &Event) -> Result<()> {
        self.0.at("notify");
        Ok(())
    }
}
