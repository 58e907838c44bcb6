//! What every storage must stand, on the double.

mod common;

use common::{Service, host};
use windlass_storage_dropbox::Dropbox;

struct Room(Service);

impl windlass_testkit::StorageFixture for Room {
    fn new() -> Self {
        Self(Service::start())
    }
    fn options(&self) -> serde_json::Value {
        self.0.options("Top/below")
    }
    fn host(&self) -> windlass_testkit::TestHost {
        host()
    }
    /// The service lists no sessions: they are seen by nobody, and it forgets them by itself.
    fn tells_leftovers(&self) -> bool {
        false
    }
}

windlass_testkit::conformance! { storage Dropbox, fixture: Room }
