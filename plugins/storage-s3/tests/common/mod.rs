//! A folder of its own for each test, in a bucket that the tests of a process share: to SeaweedFS each bucket is a collection
//! with volumes of its own, and 20 of them would fill it.
#![allow(dead_code, reason = "each test file uses its own part")]

pub mod admin;
pub mod proxy;
pub mod tls;

use std::io::{Read, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use windlass_plugin_api::{CreateOptions, Plugin, Result, Storage, Upload};
use windlass_storage_s3::S3;
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

/// A storage as the host makes one.
pub fn storage(options: Value, host: &TestHost) -> S3 {
    S3::new(serde_json::from_value(options).unwrap(), &host.context()).unwrap()
}

/// An upload with these bytes in it, finished.
pub fn finished(storage: &S3, host: &TestHost, key: &str, bytes: &[u8]) -> Result<Box<dyn Upload>> {
    let how = CreateOptions { if_absent: true, run: "run".to_owned(), ..CreateOptions::default() };
    let mut upload = storage.create(&host.context(), key, &how)?;
    upload.write_all(bytes)?;
    upload.finish()?;
    Ok(upload)
}

/// The whole of an object.
pub fn read(storage: &S3, host: &TestHost, key: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    storage.open(&host.context(), key, None)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Bytes that no two parts have in common.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..length.div_ceil(8)).flat_map(|_| next()).take(length).collect()
}
