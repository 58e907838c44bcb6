//! What every storage must stand.

struct Folder(tempfile::TempDir);

impl windlass_testkit::StorageFixture for Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    fn options(&self) -> serde_json::Value {
        serde_json::json!({ "root": self.0.path() })
    }
}

windlass_testkit::conformance! { storage windlass_storage_fs::Fs, fixture: Folder }
