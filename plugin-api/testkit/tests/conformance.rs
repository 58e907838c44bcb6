//! The reference storage keeps to the contract.

struct Shared(String);

impl windlass_testkit::StorageFixture for Shared {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap().path().display().to_string())
    }
    fn options(&self) -> serde_json::Value {
        serde_json::json!({ "name": self.0 })
    }
}

windlass_testkit::conformance! { storage windlass_testkit::Memory, fixture: Shared }

/// What may be tried on a storage in use is the suite of storages, but for what leaks an upload or needs to know secrets.
#[test]
fn the_proofs_for_a_storage_in_use_are_those_of_the_suite() {
    let suite = include_str!("../src/conformance.rs");
    let (_, suite) = suite.split_once("@tests storage, ").unwrap();
    let (_, suite) = suite.split_once(";\n").unwrap();
    let (suite, _) = suite.split_once('}').unwrap();
    let left_out =
        ["the_command_by_hand_holds_no_secret", "what_a_dead_maker_left_is_told_and_can_be_removed"];
    let wanted: Vec<String> = suite
        .split_whitespace()
        .filter(|name| !left_out.contains(name))
        .map(|name| name.replace('_', " "))
        .collect();
    let proofs: Vec<&str> = windlass_testkit::storage::PROOFS.iter().map(|(sentence, _)| *sentence).collect();
    assert_eq!(proofs, wanted);
}
