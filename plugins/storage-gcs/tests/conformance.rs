//! What every storage must stand, on the emulator.

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
    /// The service lists no uploads under way: they are seen by nobody, cost nothing and end by themselves.
    fn tells_leftovers(&self) -> bool {
        false
    }
}

windlass_testkit::conformance! { storage windlass_storage_gcs::Gcs, fixture: Room }
