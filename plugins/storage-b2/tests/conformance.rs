//! What every storage must stand, on a double of the service.

mod common;

use common::Room;

impl windlass_testkit::StorageFixture for Room {
    fn new() -> Self {
        Self::new()
    }
    fn options(&self) -> serde_json::Value {
        self.options()
    }
    fn host(&self) -> windlass_testkit::TestHost {
        self.host()
    }
    /// A small object is stored when it is published; uploads.rs proves it with large ones.
    fn tells_leftovers(&self) -> bool {
        false
    }
}

windlass_testkit::conformance! { storage windlass_storage_b2::B2, fixture: Room }
