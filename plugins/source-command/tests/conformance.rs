//! The suite that every source stands.
mod common;

windlass_testkit::conformance! { source windlass_source_command::CommandSource, fixture: common::Pair }
