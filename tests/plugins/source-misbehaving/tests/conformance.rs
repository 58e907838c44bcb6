//! Asked for nothing, it is a source like any other.

mod fixture;

use windlass_source_misbehaving::Misbehaving;

windlass_testkit::conformance! { source Misbehaving, fixture: fixture::Noisy }
