//! The conformance suite.

mod common;

windlass_testkit::conformance! { source windlass_source_redis::Redis, fixture: common::Fixture }
