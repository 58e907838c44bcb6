//! What every filter must stand.

windlass_testkit::conformance! {
    filter windlass_filter_brotli::Brotli,
    options: [
        serde_json::json!({}),
        serde_json::json!({ "level": 0 }),
        serde_json::json!({ "level": 3, "window": 10 }),
        serde_json::json!({ "level": 9, "window": 25 }),
    ]
}
