//! Asked for nothing, it is a storage like any other; asked for small pieces too.

mod fixture;

use windlass_storage_misbehaving::Misbehaving;

windlass_testkit::conformance! { storage Misbehaving, fixture: fixture::Root }
