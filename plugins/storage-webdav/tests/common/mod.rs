//! A folder of its own for each test, on a server that the tests of a process share.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use windlass_test_servers::Dav;
use windlass_testkit::TestHost;

/// The server. It ends with the process.
pub fn server() -> &'static Dav {
    static SERVER: OnceLock<Dav> = OnceLock::new();
    SERVER.get_or_init(Dav::start)
}

/// An empty place.
pub struct Room {
    pub prefix: String,
}

impl Room {
    pub fn new() -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        Self { prefix: format!("room {}/below", LAST.fetch_add(1, Ordering::Relaxed)) }
    }

    /// Options that open it.
    pub fn options(&self) -> Value {
        self.options_at(&server().endpoint())
    }

    /// Options that open it on another server.
    pub fn options_at(&self, url: &str) -> Value {
        json!({
            "url": url,
            "prefix": self.prefix,
            "user": Dav::USER,
            "password": { "$secret": "password" },
            "part_size": 1,
        })
    }

    pub fn host(&self) -> TestHost {
        TestHost::new().secret("password", Dav::PASSWORD)
    }

    /// All files of it on the server, hidden ones too.
    pub fn files(&self) -> Vec<String> {
        files(&server().folder().join(&self.prefix))
    }
}

/// All files below a folder, by their paths in it, sorted.
pub fn files(root: &std::path::Path) -> Vec<String> {
    let (mut found, mut open) = (Vec::new(), vec![PathBuf::from(root)]);
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => open.push(entry.path()),
                false => found.push(entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned()),
            }
        }
    }
    found.sort();
    found
}
