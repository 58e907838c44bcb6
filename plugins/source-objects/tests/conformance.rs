//! The suite that every source stands.
mod common;

windlass_testkit::conformance! { source windlass_source_objects::Objects, fixture: common::Media }
