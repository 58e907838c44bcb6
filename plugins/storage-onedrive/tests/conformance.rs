//! What every storage must stand, on the double.

mod common;

use common::{Service, host};
use windlass_storage_onedrive::OneDrive;

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
    /// A small object is nowhere before it is published, and the suite writes small ones: half uploads are tested in uploads.rs.
    fn tells_leftovers(&self) -> bool {
        false
    }
}

windlass_testkit::conformance! { storage OneDrive, fixture: Room }
