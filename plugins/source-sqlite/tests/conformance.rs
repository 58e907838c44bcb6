//! The conformance suite.

mod common;

windlass_testkit::conformance! { source windlass_source_sqlite::Sqlite, fixture: common::Fixture }
