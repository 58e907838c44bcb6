//! What every filter must stand. This one can't tell damage, and says so.

windlass_testkit::conformance! {
    filter windlass_filter_acme__xor::Xor,
    options: [serde_json::json!({}), serde_json::json!({ "key": 7 })],
    transparent
}
