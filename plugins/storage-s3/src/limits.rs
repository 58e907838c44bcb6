//! What the service takes, by its documentation: how large objects and parts may be, and which keys.
//!
//! Nothing here asks the service. What it would refuse is refused before an upload begins.

use windlass_object::Limits;

const MIB: u64 = 1024 * 1024;

const GIB: u64 = 1024 * MIB;
const PARTS: u64 = 10_000;

/// The numbers. Of the services only Amazon's own takes objects as large as its parts allow; for the others 5 TiB are the most that
/// all of them take.
pub fn limits(prefix_bytes: usize, is_amazon: bool, equal_parts: bool) -> Limits {
    Limits {
        key_bytes: 1024 - prefix_bytes,
        object_bytes: if is_amazon { PARTS * 5 * GIB } else { 5 * 1024 * GIB },
        put_bytes: 5 * GIB,
        part_min: 5 * MIB,
        part_max: 5 * GIB,
        parts: PARTS,
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
        let (amazon, limits) = (limits(0, true, false), limits("web/".len(), false, false));
        assert_eq!((amazon.object_bytes, limits.object_bytes), (50_000 << 30, 5 << 40));
        assert_eq!(limits.put_bytes, 5 << 30);
        assert_eq!((limits.part_min, limits.part_max, limits.parts), (5 << 20, 5 << 30, 10_000));
        assert_eq!((limits.key_bytes, limits.delete_batch, limits.page), (1020, 1000, 1000));
    }

    #[test]
    fn what_is_larger_than_any_object_is_refused_before_the_first_byte() {
        let own = json!({ "bucket": "acme", "endpoint": "http://127.0.0.1:1" });
        for (options, most) in [(json!({ "bucket": "acme" }), 50_000 << 30), (own, 5 << 40)] {
            let cx = Context::default();
            let storage = crate::S3::new(serde_json::from_value(options).unwrap(), &cx).unwrap();
            let begun = |bytes: u64| {
                let how = CreateOptions { size_hint: Some(bytes), ..CreateOptions::default() };
                storage.create(&cx, "data", &how).map(drop)
            };
            begun(most).unwrap();
            assert_eq!(begun(most + 1).unwrap_err().kind, ErrorKind::Unsupported);
        }
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
