//! What every storage must stand, on a real server.

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
    /// A small object is stored when it is published; flights.rs proves it with large ones.
    fn tells_leftovers(&self) -> bool {
        false
    }
    /// rclone removes a file before it puts another in its place, and answers with 404 or 500 meanwhile.
    fn replaces_at_once(&self) -> bool {
        false
    }
}

windlass_testkit::conformance! { storage windlass_storage_webdav::Webdav, fixture: Room }
