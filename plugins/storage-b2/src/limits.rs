//! What the service takes, by its documentation: how large objects and parts may be, and which keys.
//!
//! Nothing here asks the service. What it would refuse is refused before an upload begins.

use windlass_object::Limits;
use windlass_plugin_api::{Error, ErrorKind, Result};

const GB: u64 = 1_000_000_000;

/// The longest name of a file.
const NAME_BYTES: usize = 1024;

/// The longest part of a name between two slashes.
pub const SEGMENT_BYTES: usize = 250;

/// The numbers.
pub fn limits(prefix_bytes: usize) -> Limits {
    Limits {
        key_bytes: NAME_BYTES - prefix_bytes,
        object_bytes: 10_000 * GB,
        put_bytes: 5 * GB,
        part_min: 5_000_000,
        part_max: 5 * GB,
        parts: 10_000,
        equal_parts: false,
        in_order: false,
        delete_batch: 1,
        page: 1000,
    }
}

/// Refuses what the service does. A file that ends in `.bzEmpty` stands for a folder in its console, and is no object.
pub fn judge(key: &str) -> Result<()> {
    let why = if key.bytes().any(|byte| byte < 32 || byte == 127 || byte == b'\\') {
        "has signs that no file of the service may have"
    } else if key.split('/').any(|segment| segment.len() > SEGMENT_BYTES) {
        "has a part of more than 250 bytes, which the service refuses"
    } else if key.rsplit('/').next() == Some(".bzEmpty") {
        "is what the service keeps for a folder"
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::Config, format!("the key `{}` {why}", key.escape_debug())))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use windlass_plugin_api::{Context, CreateOptions, Plugin, Storage};

    use super::*;

    /// Whether an upload of the key may begin. Nobody listens at the address, so nothing is asked.
    fn begun(options: Value, key: &str) -> Result<()> {
        let cx = Context::default();
        let storage = crate::B2::new(serde_json::from_value(options).unwrap(), &cx)?;
        storage.create(&cx, key, &CreateOptions::default()).map(drop)
    }

    #[test]
    fn limits_are_those_of_the_documentation() {
        let limits = limits("web/".len());
        assert_eq!((limits.object_bytes, limits.put_bytes), (10_000 * GB, 5 * GB));
        assert_eq!((limits.part_min, limits.part_max, limits.parts), (5_000_000, 5 * GB, 10_000));
        assert_eq!((limits.key_bytes, limits.page), (1020, 1000));
    }

    #[test]
    fn a_key_that_the_service_refuses_is_refused_before_an_upload_begins() {
        let options = || json!({ "bucket": "acme-backups", "prefix": "web", "endpoint": "http://127.0.0.1:1", "key_id": "id", "application_key": { "$secret": "key" } });
        for key in [
            "a".repeat(251),
            "a/".repeat(511),
            "a\tb".to_owned(),
            "a\\b".to_owned(),
            "a\u{7f}".to_owned(),
            "a/.bzEmpty".to_owned(),
        ] {
            let error = begun(options(), &key).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Config, "`{}`: {error}", key.escape_debug());
        }
        for key in ["a".repeat(250), "a/".repeat(509) + "ab", "ü日本 +%".to_owned()] {
            begun(options(), &key).unwrap();
        }
    }
}
