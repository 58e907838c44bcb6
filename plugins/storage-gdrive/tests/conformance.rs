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
    /// The service lists no uploads under way: they are seen by nobody and end by themselves.
    fn tells_leftovers(&self) -> bool {
        false
    }
    /// A new object is a new file; for a moment there are two of one name, which is told to who reads them.
    fn replaces_at_once(&self) -> bool {
        false
    }
}

windlass_testkit::conformance! { storage windlass_storage_gdrive::Gdrive, fixture: Room }
