//! The suite that every source stands.
mod common;

windlass_testkit::conformance! { source windlass_source_files::Files, fixture: common::Media }
