//! The reference storage keeps to the contract.

use serde_json::{Value, json};
use windlass_testkit::{Memory, StorageFixture};

struct Shared(String, #[allow(dead_code)] Memory);

impl StorageFixture for Shared {
    fn new() -> Self {
        let name = tempfile::tempdir().unwrap().path().display().to_string();
        Self(name.clone(), Memory::named(&name))
    }

    fn options(&self) -> Value {
        json!({ "name": self.0 })
    }
}

windlass_testkit::conformance! { storage Memory, fixture: Shared }
