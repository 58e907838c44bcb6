//! A bucket of its own for each test, at a double of the service.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::io::{Read, Write};

use serde_json::{Value, json};
use windlass_plugin_api::{Context, CreateOptions, Plugin, Result, Storage, Stored, Upload};
use windlass_storage_b2::B2;
use windlass_test_servers::B2Double;
use windlass_testkit::TestHost;

pub const MIB: usize = 1024 * 1024;

/// An empty place.
pub struct Room {
    pub double: B2Double,
}

impl Room {
    pub fn new() -> Self {
        Self { double: B2Double::start() }
    }

    /// Options that open it.
    pub fn options(&self) -> Value {
        json!({
            "bucket": B2Double::BUCKET,
            "prefix": "web/below",
            "endpoint": self.double.endpoint(),
            "key_id": B2Double::KEY_ID,
            "application_key": { "$secret": "key" },
            "part_size": 5,
        })
    }

    pub fn host(&self) -> TestHost {
        TestHost::new().secret("key", B2Double::KEY)
    }

    /// The storage, with these options changed.
    pub fn storage(&self, changes: Value) -> (B2, Context) {
        let mut options = self.options();
        for (name, value) in changes.as_object().unwrap() {
            options[name] = value.clone();
        }
        let cx = self.host().context();
        (B2::new(serde_json::from_value(options).unwrap(), &cx).unwrap(), cx)
    }

    /// What the service shows for a key.
    pub fn object(&self, key: &str) -> Option<Vec<u8>> {
        self.double.state().object(&format!("web/below/{key}"))
    }

    /// How many large files are begun.
    pub fn unfinished(&self) -> usize {
        self.double.state().unfinished()
    }

    pub fn actions(&self, key: &str) -> Vec<&'static str> {
        self.double.state().actions(&format!("web/below/{key}"))
    }
}

pub fn begun(
    storage: &B2,
    cx: &Context,
    key: &str,
    if_absent: bool,
    content: &[u8],
) -> Result<Box<dyn Upload>> {
    let how = CreateOptions { if_absent, ..CreateOptions::default() };
    let mut upload = storage.create(cx, key, &how)?;
    upload.write_all(content)?;
    Ok(upload)
}

pub fn put(storage: &B2, cx: &Context, key: &str, content: &[u8]) -> Result<Stored> {
    let mut upload = begun(storage, cx, key, true, content)?;
    upload.finish()?;
    upload.publish()
}

pub fn get(storage: &B2, cx: &Context, key: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    storage.open(cx, key, None)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 % 251) as u8).collect()
}
