//! A folder of its own for each test, in a bucket that the tests of a process share.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use windlass_test_servers::FakeGcs;
use windlass_testkit::TestHost;

/// The bucket.
pub const BUCKET: &str = "backups";

/// The server. It ends with the process.
pub fn server() -> &'static FakeGcs {
    static SERVER: OnceLock<FakeGcs> = OnceLock::new();
    SERVER.get_or_init(|| {
        let server = FakeGcs::start();
        server.make_bucket(BUCKET);
        server
    })
}

/// An empty place.
pub struct Room {
    pub prefix: String,
}

impl Room {
    pub fn new() -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        Self { prefix: format!("room-{}/below", LAST.fetch_add(1, Ordering::Relaxed)) }
    }

    /// Options that open it.
    pub fn options(&self) -> Value {
        json!({
            "bucket": BUCKET,
            "prefix": self.prefix,
            "endpoint": server().endpoint(),
            "anonymous": true,
            "part_size": 1,
        })
    }

    pub fn host(&self) -> TestHost {
        TestHost::new()
    }
}
