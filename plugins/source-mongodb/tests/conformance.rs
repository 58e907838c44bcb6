//! The conformance suite.

mod common;

windlass_testkit::conformance! { source windlass_source_mongodb::Mongodb, fixture: common::Fixture }
