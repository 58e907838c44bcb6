//! What the service takes, by its documentation: how large objects and parts may be, and which keys.
//!
//! Nothing here asks the service. What it would refuse is refused before an upload begins.

use windlass_object::Limits;

use crate::sessions::STEP;

const TIB: u64 = 1024 * 1024 * 1024 * 1024;

/// The largest file that the service takes in one request with its description.
const MULTIPART_BYTES: u64 = 5_000_000;

/// The numbers.
pub fn limits() -> Limits {
    Limits {
        key_bytes: 1000,
        object_bytes: 5 * TIB,
        put_bytes: MULTIPART_BYTES,
        part_min: STEP as u64,
        part_max: 1024 * 1024 * 1024,
        parts: u64::from(u32::MAX),
        equal_parts: true,
        in_order: true,
        delete_batch: 1,
        page: 1000,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use windlass_plugin_api::{Context, CreateOptions, ErrorKind, Plugin, Result, Storage};

    use super::*;

    /// Whether an upload of the key may begin. Nobody listens at the address, so nothing is asked.
    fn begun(options: Value, key: &str) -> Result<()> {
        let cx = Context::default();
        let storage = crate::Gdrive::new(serde_json::from_value(options).unwrap(), &cx)?;
        storage.create(&cx, key, &CreateOptions::default()).map(drop)
    }

    #[test]
    fn limits_are_those_of_the_documentation() {
        let limits = limits();
        assert_eq!((limits.object_bytes, limits.put_bytes), (5 << 40, 5_000_000));
        // The pieces of a session: multiples of 256 KiB, one after the other.
        assert_eq!((limits.part_min, limits.equal_parts, limits.in_order), (256 << 10, true, true));
        assert_eq!((limits.key_bytes, limits.delete_batch, limits.page), (1000, 1, 1000));
    }

    #[test]
    fn a_key_that_the_service_refuses_is_refused_before_an_upload_begins() {
        let options = || json!({ "folder": "Backups", "endpoint": "http://127.0.0.1:1", "client_id": "c", "client_secret": { "$secret": "s" }, "refresh_token": { "$secret": "t" } });
        for key in ["a".repeat(1001), "a//b".to_owned()] {
            let error = begun(options(), &key).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Config, "`{}`: {error}", key.escape_debug());
        }
        for key in ["a".repeat(1000), "it's\\/ü".to_owned()] {
            begun(options(), &key).unwrap();
        }
    }
}
