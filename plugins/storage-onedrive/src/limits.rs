//! What the service takes, by its documentation: how large objects and parts may be, and which keys.
//!
//! Nothing here asks the service. What it would refuse is refused before an upload begins.

use windlass_object::Limits;

const MIB: u64 = 1024 * 1024;
const PARTS: u64 = 10_000;
const PART_MAX: u64 = 200 * MIB;

/// The numbers.
pub fn limits() -> Limits {
    Limits {
        key_bytes: 1024,
        object_bytes: PARTS * PART_MAX,
        put_bytes: PART_MAX,
        part_min: MIB,
        part_max: PART_MAX,
        parts: PARTS,
        equal_parts: false,
        in_order: false,
        delete_batch: 1000,
        page: usize::MAX,
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
        let storage = crate::OneDrive::new(serde_json::from_value(options).unwrap(), &cx)?;
        storage.create(&cx, key, &CreateOptions::default()).map(drop)
    }

    #[test]
    fn limits_are_those_of_the_documentation() {
        let limits = limits();
        // One request takes up to 250 MB. An object is a folder of such parts, as many as we like.
        assert_eq!((limits.put_bytes, limits.part_max, limits.parts), (200 << 20, 200 << 20, 10_000));
        assert!(limits.part_max <= 250_000_000 && limits.object_bytes == limits.parts * limits.part_max);
    }

    #[test]
    fn a_key_that_the_service_refuses_is_refused_before_an_upload_begins() {
        let options = || json!({ "endpoint": "http://127.0.0.1:1", "login_endpoint": "http://127.0.0.1:1", "client_id": "app", "refresh_token": { "$secret": "token" } });
        for key in ["a".repeat(250), "d/".repeat(150) + "d", "?".repeat(90)] {
            let error = begun(options(), &key).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Config, "`{}`: {error}", key.escape_debug());
        }
        for key in ["a".repeat(200), "d/".repeat(140) + "dd", "CON/a:b".to_owned()] {
            begun(options(), &key).unwrap();
        }
    }
}
