//! What the service takes, by its documentation: how large objects and parts may be, and which keys.
//!
//! Nothing here asks the service. What it would refuse is refused before an upload begins.

use windlass_object::Limits;
use windlass_plugin_api::{Error, ErrorKind, Result};

const MIB: u64 = 1024 * 1024;
/// The most that one page of a listing may have.
pub const PAGE: usize = 5000;
/// The most parts that a name may have between slashes.
const SEGMENTS: usize = 254;

/// The numbers.
pub fn limits(prefix_bytes: usize) -> Limits {
    Limits {
        key_bytes: 1024 - prefix_bytes,
        object_bytes: 50_000 * 4000 * MIB,
        put_bytes: 5000 * MIB,
        part_min: MIB,
        part_max: 4000 * MIB,
        parts: 50_000,
        equal_parts: false,
        in_order: false,
        delete_batch: 1,
        page: PAGE,
    }
}

/// Refuses what the service does, or what it says leads astray. It also advises against parts that end in a dot: those are keys of
/// the contract, so they are tried, and the page says what comes of it.
pub fn judge(prefix: &str, key: &str) -> Result<()> {
    let is_sign = |character: char| !character.is_control() && !matches!(character, '\u{fffe}' | '\u{ffff}');
    let why = if key.ends_with('\\') {
        "ends in a backslash"
    } else if !key.chars().all(is_sign) {
        "has a sign that no name may have"
    } else if prefix.matches('/').count() + key.split('/').count() > SEGMENTS {
        "has more than 254 parts with `prefix`"
    } else {
        return Ok(());
    };
    let message = format!("the key `{}` {why}, which the service doesn't take", key.escape_debug());
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
        let storage = crate::Azblob::new(serde_json::from_value(options).unwrap(), &cx)?;
        storage.create(&cx, key, &CreateOptions::default()).map(drop)
    }

    #[test]
    fn limits_are_those_of_the_documentation() {
        let limits = limits("web/".len());
        assert_eq!((limits.object_bytes, limits.put_bytes), (50_000 * (4000 << 20), 5000 << 20));
        assert_eq!((limits.part_max, limits.parts, limits.equal_parts), (4000 << 20, 50_000, false));
        assert_eq!((limits.key_bytes, limits.delete_batch, limits.page), (1020, 1, 5000));
    }

    #[test]
    fn a_key_that_the_service_refuses_is_refused_before_an_upload_begins() {
        let options = || json!({ "container": "acme", "prefix": "web", "account": "acme", "endpoint": "http://127.0.0.1:1" });
        for key in ["a".repeat(1021), "c\\".to_owned(), "tab\t".to_owned(), "a/".repeat(253) + "a"] {
            let error = begun(options(), &key).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Config, "`{}`: {error}", key.escape_debug());
        }
        for key in ["a".repeat(1020), "a./.c/d\\e ü".to_owned(), "a/".repeat(252) + "a"] {
            begun(options(), &key).unwrap();
        }
    }
}
