//! What every filter must stand.

use serde_json::json;

/// Keys of nobody, for tests: one of GnuPG, and one that announces the newer form.
const PUBLIC: &str = include_str!("keys/nobody.pub.asc");
const SECRET: &str = include_str!("keys/nobody.sec.asc");
const CHUNKS_PUBLIC: &str = include_str!("keys/chunks.pub.asc");
const CHUNKS_SECRET: &str = include_str!("keys/chunks.sec.asc");

windlass_testkit::conformance! {
    filter windlass_filter_openpgp::OpenPgp,
    options: [
        json!({ "recipients": [PUBLIC], "identities": [SECRET] }),
        json!({ "recipients": [PUBLIC], "identities": [SECRET], "armor": true, "sign_with": SECRET, "signers": [PUBLIC] }),
        json!({ "recipients": [CHUNKS_PUBLIC], "identities": [CHUNKS_SECRET] }),
        json!({ "passphrase": "correct horse battery staple" }),
    ]
}
