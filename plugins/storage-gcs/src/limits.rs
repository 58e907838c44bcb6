//! What the service takes, by its documentation: how large objects and parts may be, and which keys.
//!
//! Nothing here asks the service. What it would refuse is refused before an upload begins.

use windlass_object::Limits;
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::parts::STEP;

const TIB: u64 = 1024 * 1024 * 1024 * 1024;

/// The numbers.
pub fn limits(prefix_bytes: usize) -> Limits {
    Limits {
        key_bytes: 1024 - prefix_bytes,
        object_bytes: 5 * TIB,
        put_bytes: 5 * TIB,
        part_min: STEP as u64,
        part_max: 1024 * 1024 * 1024,
        parts: u64::from(u32::MAX),
        equal_parts: true,
        in_order: true,
        delete_batch: 1,
        page: 999,
    }
}

/// Refuses the names that the service keeps for itself or can't show; `name` begins with the prefix.
pub fn judge(name: &str) -> Result<()> {
    let why = if name.contains(['\r', '\n']) {
        "has the end of a line in it"
    } else if name.starts_with(".well-known/acme-challenge/") {
        "begins as only the proofs of certificates do"
    } else {
        return Ok(());
    };
    let message = format!("the name `{}` {why}, which the service doesn't take", name.escape_debug());
    Err(Error::new(ErrorKind::Config, message))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use windlass_plugin_api::{Context, CreateOptions, Plugin, Storage};

    use super::*;

    /// Whether an upload of the key may begin. Nobody listens at the address, so nothing is asked.
    fn begun(options: Value, key: &str) -> Result<()> {
        let cx = Context::default();
        let storage = crate::Gcs::new(serde_json::from_value(options).unwrap(), &cx)?;
        storage.create(&cx, key, &CreateOptions::default()).map(drop)
    }

    #[test]
    fn limits_are_those_of_the_documentation() {
        let limits = limits("web/".len());
        assert_eq!((limits.object_bytes, limits.put_bytes), (5 << 40, 5 << 40));
        // The pieces of a session: multiples of 256 KiB, one after the other.
        assert_eq!((limits.part_min, limits.equal_parts, limits.in_order), (256 << 10, true, true));
        assert_eq!((limits.key_bytes, limits.delete_batch, limits.page), (1020, 1, 999));
    }

    #[test]
    fn a_key_that_the_service_refuses_is_refused_before_an_upload_begins() {
        let options = || json!({ "bucket": "acme", "endpoint": "http://127.0.0.1:1", "anonymous": true });
        for key in [
            "a".repeat(1025),
            "a\rb".to_owned(),
            "a/b\n".to_owned(),
            ".well-known/acme-challenge/a".to_owned(),
        ] {
            let error = begun(options(), &key).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Config, "`{}`: {error}", key.escape_debug());
        }
        for key in ["a".repeat(1024), "a/.well-known/acme-challenge/a".to_owned(), "tab\t#[*]?".to_owned()] {
            begun(options(), &key).unwrap();
        }
    }
}
