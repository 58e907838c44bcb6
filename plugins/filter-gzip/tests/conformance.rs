//! What every filter must stand.

windlass_testkit::conformance! {
    filter windlass_filter_gzip::Gzip,
    options: [
        serde_json::json!({}),
        serde_json::json!({ "level": 0, "threads": 1 }),
        serde_json::json!({ "level": 1, "threads": 3 }),
        serde_json::json!({ "level": 9, "threads": 16 }),
    ]
}
