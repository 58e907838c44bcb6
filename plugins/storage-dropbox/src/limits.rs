//! What the service takes, by its documentation: how large objects and parts may be, and which keys.
//!
//! Nothing here asks the service. What it would refuse is refused before an upload begins.

use windlass_object::Limits;
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::hash::BLOCK;
use crate::listing::PAGE;

const MIB: u64 = 1024 * 1024;

/// Names that the service keeps for itself or for systems, in any case.
const KEPT: [&str; 6] =
    [".dropbox", ".dropbox.attr", ".dropbox.cache", ".ds_store", "desktop.ini", "thumbs.db"];

/// The longest name that the service takes, in characters.
const NAME_CHARACTERS: usize = 255;

/// The numbers.
pub fn limits() -> Limits {
    Limits {
        key_bytes: 1024,
        object_bytes: 350_000_000_000,
        put_bytes: 140 * MIB,
        part_min: BLOCK as u64,
        part_max: 140 * MIB,
        parts: u64::from(u32::MAX),
        equal_parts: true,
        in_order: true,
        delete_batch: 1000,
        page: PAGE,
    }
}

/// Refuses names that the service wouldn't take.
pub fn judge(key: &str) -> Result<()> {
    for name in key.split('/') {
        let why = if name.chars().count() > NAME_CHARACTERS {
            "is longer than the service takes"
        } else if KEPT.contains(&name.to_lowercase().as_str()) {
            "is one that the service keeps for itself"
        } else if name.contains('\\') || name.chars().any(char::is_control) {
            "has a sign that the service doesn't take"
        } else if name.ends_with(' ') {
            "ends in a space, which the service doesn't take"
        } else {
            continue;
        };
        return Err(Error::new(ErrorKind::Config, format!("the name `{}` {why}", name.escape_debug())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use windlass_plugin_api::{Context, CreateOptions, Plugin, Storage};

    use super::*;

    /// Whether an upload of the key may begin. Nobody listens at the address, so nothing is asked.
    fn begun(options: Value, key: &str) -> Result<()> {
        let cx = Context::default();
        let storage = crate::Dropbox::new(serde_json::from_value(options).unwrap(), &cx)?;
        storage.create(&cx, key, &CreateOptions::default()).map(drop)
    }

    #[test]
    fn limits_are_those_of_the_documentation() {
        let limits = limits();
        // One request takes up to 150 MB, and but for the last in multiples of 4 MiB.
        assert_eq!((limits.object_bytes, limits.put_bytes), (350_000_000_000, 140 << 20));
        assert_eq!((limits.part_min, limits.part_max), (4 << 20, 140 << 20));
        assert!(limits.part_max <= 150_000_000 && limits.equal_parts && limits.in_order);
        assert_eq!((limits.delete_batch, limits.page), (1000, 2000));
    }

    #[test]
    fn a_key_that_the_service_refuses_is_refused_before_an_upload_begins() {
        let options = || json!({ "endpoint": "http://127.0.0.1:1", "client_id": "app", "refresh_token": { "$secret": "token" } });
        for key in [
            "x".repeat(256),
            "a/Thumbs.DB".to_owned(),
            ".dropbox".to_owned(),
            "a\\b".to_owned(),
            "a\nb".to_owned(),
            "a /b".to_owned(),
            "a/".repeat(512) + "a",
        ] {
            let error = begun(options(), &key).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Config, "`{}`: {error}", key.escape_debug());
        }
        for key in ["x".repeat(255), "..a/.hidden/a../-/_/a.b-c_d/thumbs.db.zst".to_owned()] {
            begun(options(), &key).unwrap();
        }
    }
}
