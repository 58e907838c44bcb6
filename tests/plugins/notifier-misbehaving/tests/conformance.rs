//! Asked for nothing, it is a notifier like any other.

mod fixture;

use windlass_notifier_misbehaving::Misbehaving;

windlass_testkit::conformance! { notifier Misbehaving, fixture: fixture::Lines }
