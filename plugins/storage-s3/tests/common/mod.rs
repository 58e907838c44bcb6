//! A folder of its own for each test, in a bucket that the tests of a process share: to SeaweedFS each bucket is a collection
//! with volumes of its own, and 20 of them would fill it.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use windlass_test_servers::{Keys, Seaweed};
use windlass_testkit::TestHost;

/// The bucket.
pub const BUCKET: &str = "backups";

/// The server. It ends with the process.
pub fn server() -> &'static Seaweed {
    static SERVER: OnceLock<Seaweed> = OnceLock::new();
    SERVER.get_or_init(|| {
        let server = Seaweed::start();
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
        self.options_at(&server().endpoint())
    }

    /// Options that open it behind something else.
    pub fn options_at(&self, endpoint: &str) -> Value {
        json!({
            "bucket": BUCKET,
            "prefix": self.prefix,
            "preset": "seaweedfs",
            "endpoint": endpoint,
            "access_key_id": { "$secret": "id" },
            "secret_access_key": { "$secret": "key" },
        })
    }

    pub fn host(&self) -> TestHost {
        self.host_of(Seaweed::ADMIN)
    }

    pub fn host_of(&self, keys: Keys) -> TestHost {
        TestHost::new().secret("id", keys.id).secret("key", keys.secret)
    }
}
