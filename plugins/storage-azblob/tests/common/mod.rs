//! A folder of its own for each test, in a container that the tests of a process share.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use windlass_test_servers::Azurite;
use windlass_testkit::TestHost;

/// The container.
pub const CONTAINER: &str = "backups";

/// The server. It ends with the process.
pub fn server() -> &'static Azurite {
    static SERVER: OnceLock<Azurite> = OnceLock::new();
    SERVER.get_or_init(|| {
        let server = Azurite::start();
        server.make_container(CONTAINER);
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

    /// Options that open it with the account's key.
    pub fn options(&self) -> Value {
        json!({
            "container": CONTAINER,
            "prefix": self.prefix,
            "endpoint": server().endpoint(),
            "account": Azurite::ACCOUNT,
            "account_key": { "$secret": "key" },
        })
    }

    /// Options that open it with the token that the host knows.
    pub fn options_by_token(&self) -> Value {
        json!({
            "container": CONTAINER,
            "prefix": self.prefix,
            "endpoint": server().endpoint(),
            "sas_token": { "$secret": "token" },
            "part_size": 1,
        })
    }

    pub fn host(&self) -> TestHost {
        TestHost::new().secret("key", Azurite::KEY)
    }

    /// A host with a token that has some of the rights `rwdlac`.
    pub fn host_with(&self, rights: &str) -> TestHost {
        TestHost::new().secret("token", &server().sas(rights))
    }
}
