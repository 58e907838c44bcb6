//! A drive of its own for each test, at a double of the service.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::io::{Read, Write};

use serde_json::{Value, json};
use windlass_plugin_api::{Context, CreateOptions, Plugin, Result, Storage, Stored, Upload};
use windlass_storage_gdrive::Gdrive;
use windlass_test_servers::DriveDouble;
use windlass_testkit::TestHost;

pub const MIB: usize = 1024 * 1024;

/// An empty place.
pub struct Room {
    pub double: DriveDouble,
}

impl Room {
    pub fn new() -> Self {
        Self { double: DriveDouble::start() }
    }

    /// Options that open it.
    pub fn options(&self) -> Value {
        json!({
            "folder": "Backups/web",
            "endpoint": self.double.endpoint(),
            "login_url": self.double.token_url(),
            "client_id": DriveDouble::CLIENT_ID,
            "client_secret": { "$secret": "client" },
            "refresh_token": { "$secret": "refresh" },
            "part_size": 1,
        })
    }

    pub fn host(&self) -> TestHost {
        TestHost::new()
            .secret("client", DriveDouble::CLIENT_SECRET)
            .secret("refresh", DriveDouble::REFRESH_TOKEN)
    }

    /// The storage, with these options changed; `null` takes one away.
    pub fn storage(&self, changes: Value) -> (Gdrive, Context) {
        let mut options = self.options();
        for (name, value) in changes.as_object().unwrap() {
            options[name] = value.clone();
        }
        let cx = self.host().context();
        (Gdrive::new(serde_json::from_value(options).unwrap(), &cx).unwrap(), cx)
    }

    /// The only file of a name.
    pub fn object(&self, name: &str) -> Option<Vec<u8>> {
        self.double.state().object(name)
    }
}

pub fn begun(
    storage: &Gdrive,
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

pub fn put(storage: &Gdrive, cx: &Context, key: &str, content: &[u8]) -> Result<Stored> {
    let mut upload = begun(storage, cx, key, true, content)?;
    upload.finish()?;
    upload.publish()
}

pub fn get(storage: &Gdrive, cx: &Context, key: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    storage.open(cx, key, None)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 % 251) as u8).collect()
}
