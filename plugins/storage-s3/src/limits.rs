//! What the service takes, by its documentation: how large objects and parts may be, and which keys.
//!
//! Nothing here asks the service. What it would refuse is refused before an upload begins.

use windlass_object::Limits;

const MIB: u64 = 1024 * 1024;

/// The numbers.
pub fn limits(prefix_bytes: usize, equal_parts: bool) -> Limits {
    Limits {
        key_bytes: 1024 - prefix_bytes,
        object_bytes: 5 * MIB * MIB,
        put_bytes: 5 * 1024 * MIB,
        part_min: 5 * MIB,
        part_max: 5 * 1024 * MIB,
        parts: 10_000,
        equal_parts,
        in_order: false,
        delete_batch: 1000,
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
        let storage = crate::S3::new(serde_json::from_value(options).unwrap(), &cx)?;
        storage.create(&cx, key, &CreateOptions::default()).map(drop)
    }

    #[test]
    fn limits_are_those_of_the_documentation() {
        let limits = limits("web/".len(), false);
        assert_eq!((limits.object_bytes, limits.put_bytes), (5 << 40, 5 << 30));
        assert_eq!((limits.part_min, limits.part_max, limits.parts), (5 << 20, 5 << 30, 10_000));
        assert_eq!((limits.key_bytes, limits.delete_batch, limits.page), (1020, 1000, 1000));
    }

    #[test]
    fn a_key_that_the_service_refuses_is_refused_before_an_upload_begins() {
        let options = || json!({ "bucket": "acme", "prefix": "web", "endpoint": "http://127.0.0.1:1" });
        for key in ["a".repeat(1021), format!("{}ü", "a".repeat(1019)), "a//b".to_owned()] {
            let error = begun(options(), &key).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Config, "`{}`: {error}", key.escape_debug());
        }
        for key in ["a".repeat(1020), "tab\t/ü?&+<>.".to_owned()] {
            begun(options(), &key).unwrap();
        }
    }
}
