//! What every filter must stand.

windlass_testkit::conformance! {
    filter windlass_filter_bzip2::Bzip2,
    options: [
        serde_json::json!({}),
        serde_json::json!({ "level": 1, "threads": 1 }),
        serde_json::json!({ "level": 2, "threads": 5 }),
    ]
}
