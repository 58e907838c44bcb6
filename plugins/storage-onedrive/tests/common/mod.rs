//! A OneDrive of its own for each test: a double of the service.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::ops::Deref;

use serde_json::{Value, json};
use windlass_plugin_api::{Context, Plugin};
use windlass_storage_onedrive::OneDrive;
use windlass_test_servers::OneDriveDouble;
use windlass_testkit::TestHost;

/// The service, and how it is opened.
pub struct Service(OneDriveDouble);

impl Deref for Service {
    type Target = OneDriveDouble;

    fn deref(&self) -> &OneDriveDouble {
        &self.0
    }
}

impl Service {
    pub fn start() -> Self {
        Self(OneDriveDouble::start())
    }

    /// Options that open a folder of it with a refresh token.
    pub fn options(&self, prefix: &str) -> Value {
        json!({
            "prefix": prefix,
            "endpoint": self.endpoint(),
            "login_endpoint": self.endpoint(),
            "client_id": OneDriveDouble::CLIENT_ID,
            "refresh_token": { "$secret": "refresh" },
            "part_size": 1,
        })
    }

    /// A storage in the folder `Top`.
    pub fn storage(&self) -> (OneDrive, Context) {
        self.storage_with(self.options("Top"))
    }

    pub fn storage_with(&self, options: Value) -> (OneDrive, Context) {
        let cx = host().context();
        (OneDrive::new(serde_json::from_value(options).unwrap(), &cx).unwrap(), cx)
    }
}

pub fn host() -> TestHost {
    TestHost::new().secret("refresh", OneDriveDouble::REFRESH_TOKEN)
}
