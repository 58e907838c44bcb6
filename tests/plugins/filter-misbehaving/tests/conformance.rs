//! Asked for nothing, it is a filter like any other.

use serde_json::json;
use windlass_filter_misbehaving::Misbehaving;

windlass_testkit::conformance! { filter Misbehaving, options: [json!({}), json!({ "behaviour": "log" })], transparent }
