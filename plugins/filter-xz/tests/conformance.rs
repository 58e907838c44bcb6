//! What every filter must stand.

windlass_testkit::conformance! {
    filter windlass_filter_xz::Xz,
    options: [
        serde_json::json!({}),
        serde_json::json!({ "level": 0, "threads": 1 }),
        serde_json::json!({ "level": 1, "threads": 3 }),
    ]
}
