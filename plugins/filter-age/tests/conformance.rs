//! What every filter must stand.

use serde_json::json;

/// Keys of nobody, for tests.
const IDENTITY: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
const RECIPIENT: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";

windlass_testkit::conformance! {
    filter windlass_filter_age::Age,
    options: [
        json!({ "recipients": [RECIPIENT], "identities": [IDENTITY] }),
        json!({ "recipients": [RECIPIENT], "identities": [IDENTITY], "armor": true }),
        json!({ "passphrase": "correct horse battery staple", "work_factor": 10 }),
    ]
}
