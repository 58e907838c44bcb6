//! A backup during which something happens, and a restore during which something happens.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};

use bson::doc;
use serde_json::Value;
use windlass_plugin_api::{Contents, Finished, Inputs, Outputs, Reader, Result, Sink, Source, StreamInfo};
use windlass_testkit::TestHost;

use super::{Side, fill, source};

/// A stream that does something once the first bytes have come.
#[derive(Clone)]
pub struct Hooked(Arc<Mutex<Inner>>);

pub struct Inner {
    pub bytes: Vec<u8>,
    pub finished: bool,
    hook: Option<Box<dyn FnOnce() + Send>>,
}

impl Hooked {
    pub fn new(hook: impl FnOnce() + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Inner { bytes: Vec::new(), finished: false, hook: Some(Box::new(hook)) })))
    }
}

impl Hooked {
    /// What came.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().bytes.clone()
    }

    /// Whether the stream was ended well.
    pub fn finished(&self) -> bool {
        self.0.lock().unwrap().finished
    }
}

impl Outputs for Hooked {
    fn create(&self, _: &str, _: StreamInfo) -> Result<Box<dyn Sink>> {
        Ok(Box::new(self.clone()))
    }
}

impl Write for Hooked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let hook = self.0.lock().unwrap().hook.take();
        if let Some(hook) = hook {
            hook();
        }
        self.0.lock().unwrap().bytes.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Hooked {
    fn finish(&mut self) -> Result<Finished> {
        self.0.lock().unwrap().finished = true;
        Ok(Finished::default())
    }
}

/// Backs up; `hook` runs once the first bytes have come.
pub fn backup_with(options: &Value, hook: impl FnOnce() + Send + 'static) -> (Result<Contents>, Hooked) {
    let (host, out) = (TestHost::new(), Hooked::new(hook));
    (source(options, &host).backup(&host.context(), &out), out)
}

/// A database large enough that a backup of it is still reading when its first bytes arrive.
pub fn large(side: &Side, db: &str) {
    large_of(side, db, 8);
}

/// As [`large`], of three megabytes for each of `parts`.
pub fn large_of(side: &Side, db: &str, parts: i32) {
    fill(side, db, 10);
    for part in 0..parts {
        let documents: Vec<_> =
            (0..1500).map(|n| doc! { "_id": part * 1500 + n, "x": "x".repeat(2000) }).collect();
        side.insert(db, "large", &documents);
    }
}

/// What is done once.
type Once = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// A stream to restore from that does something once `at` bytes were read.
pub struct Interrupted {
    pub bytes: Vec<u8>,
    pub at: usize,
    pub hook: Once,
}

impl Interrupted {
    pub fn new(bytes: Vec<u8>, at: usize, hook: impl FnOnce() + Send + 'static) -> Self {
        Self { bytes, at, hook: Arc::new(Mutex::new(Some(Box::new(hook)))) }
    }
}

impl Inputs for Interrupted {
    fn streams(&self) -> Vec<(String, StreamInfo)> {
        vec![("data".to_owned(), StreamInfo::new(windlass_source_mongodb::FORMAT))]
    }

    fn open(&self, _: &str) -> Result<Reader> {
        let rest = io::Cursor::new(self.bytes[self.at..].to_vec());
        let first = io::Cursor::new(self.bytes[..self.at].to_vec());
        let hook = Hook(self.hook.clone());
        Ok(Box::new(first.chain(hook).chain(rest)))
    }
}

struct Hook(Once);

impl Read for Hook {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        let hook = self.0.lock().unwrap().take();
        if let Some(hook) = hook {
            hook();
        }
        Ok(0)
    }
}
