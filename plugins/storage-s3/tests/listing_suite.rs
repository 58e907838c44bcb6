//! What every storage must stand, on a double that lists as AWS does, in pages of seven.

use serde_json::{Value, json};
use windlass_test_servers::S3Double;
use windlass_testkit::TestHost;

struct Amazon(S3Double);

impl windlass_testkit::StorageFixture for Amazon {
    fn new() -> Self {
        let double = S3Double::start();
        // More than one call of the suite looks at without asking for the next page, and less than its longest listing.
        double.state().page = 7;
        Self(double)
    }
    fn options(&self) -> Value {
        json!({
            "bucket": S3Double::BUCKET,
            "prefix": "room/below",
            "endpoint": self.0.endpoint(),
            "access_key_id": { "$secret": "id" },
            "secret_access_key": { "$secret": "key" },
        })
    }
    fn host(&self) -> TestHost {
        TestHost::new().secret("id", "AKIAAMAZON").secret("key", "s3cret")
    }
    /// A small object isn't begun before it is published.
    fn tells_leftovers(&self) -> bool {
        false
    }
}

windlass_testkit::conformance! { storage windlass_storage_s3::S3, fixture: Amazon }
