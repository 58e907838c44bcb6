//! What every filter must stand.

windlass_testkit::conformance! {
    filter windlass_filter_zstd::Zstd,
    options: [
        serde_json::json!({}),
        serde_json::json!({ "level": 1, "threads": 1 }),
        serde_json::json!({ "level": -7, "threads": 16 }),
        serde_json::json!({ "level": 5, "threads": 3, "long": 24 }),
    ]
}
