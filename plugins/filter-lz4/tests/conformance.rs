//! What every filter must stand.

windlass_testkit::conformance! {
    filter windlass_filter_lz4::Lz4,
    options: [
        serde_json::json!({}),
        serde_json::json!({ "threads": 1 }),
        serde_json::json!({ "threads": 16 }),
    ]
}
