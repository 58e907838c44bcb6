//! A Dropbox of its own for each test: a double of the service.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::ops::Deref;

use serde_json::{Value, json};
use windlass_plugin_api::{Context, Plugin};
use windlass_storage_dropbox::Dropbox;
use windlass_test_servers::DropboxDouble;
use windlass_testkit::TestHost;

/// The service, and how it is opened.
pub struct Service(DropboxDouble);

impl Deref for Service {
    type Target = DropboxDouble;

    fn deref(&self) -> &DropboxDouble {
        &self.0
    }
}

impl Service {
    pub fn start() -> Self {
        Self(DropboxDouble::start())
    }

    /// Options that open a folder of it with a refresh token.
    pub fn options(&self, prefix: &str) -> Value {
        json!({
            "prefix": prefix,
            "endpoint": self.endpoint(),
            "client_id": DropboxDouble::CLIENT_ID,
            "refresh_token": { "$secret": "refresh" },
            "part_size": 4,
        })
    }

    /// A storage in the folder `Top`.
    pub fn storage(&self) -> (Dropbox, Context) {
        let cx = host().context();
        (Dropbox::new(serde_json::from_value(self.options("Top")).unwrap(), &cx).unwrap(), cx)
    }
}

pub fn host() -> TestHost {
    TestHost::new().secret("refresh", DropboxDouble::REFRESH_TOKEN)
}
