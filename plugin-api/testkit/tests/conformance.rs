//! The reference storage keeps to the contract.

struct Shared(String);

impl windlass_testkit::StorageFixture for Shared {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap().path().display().to_string())
    }
    fn options(&self) -> serde_json::Value {
        serde_json::json!({ "name": self.0 })
    }
}

windlass_testkit::conformance! { storage windlass_testkit::Memory, fixture: Shared }
