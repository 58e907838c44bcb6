//! What the service takes, by its documentation: how large objects and parts may be, and which keys.
//!
//! Nothing here asks the service. What it would refuse is refused before an upload begins.

use windlass_object::Limits;
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::address::is_hidden;

const PIB: u64 = 1 << 50;

/// The longest name of a file, and of a folder. File systems take 255 bytes, and a hidden name is longer by 34.
const FILE_BYTES: usize = 220;
const FOLDER_BYTES: usize = 255;

/// The numbers.
pub fn limits() -> Limits {
    Limits {
        key_bytes: 1024,
        object_bytes: PIB,
        put_bytes: PIB,
        part_min: 64 * 1024,
        part_max: 1024 * 1024 * 1024,
        parts: u64::from(u32::MAX),
        equal_parts: true,
        in_order: true,
        delete_batch: 1000,
        page: usize::MAX,
    }
}

/// Refuses what the server's file system would most likely not take, before it is found out at the end.
pub fn judge(key: &str) -> Result<()> {
    let (folders, name) = key.rsplit_once('/').unwrap_or(("", key));
    let why = if name.len() > FILE_BYTES || folders.split('/').any(|name| name.len() > FOLDER_BYTES) {
        "has a name that is too long"
    } else if is_hidden(key) {
        "has a name that is kept for uploads"
    } else if key.chars().any(char::is_control) {
        "has a sign that not every server takes"
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
        let storage = crate::Webdav::new(serde_json::from_value(options).unwrap(), &cx)?;
        storage.create(&cx, key, &CreateOptions::default()).map(drop)
    }

    #[test]
    fn limits_are_those_of_the_documentation() {
        // The protocol names none: these are those of servers and file systems.
        let limits = limits();
        assert_eq!((limits.key_bytes, limits.equal_parts, limits.in_order), (1024, true, true));
        let hidden = crate::address::hidden(&"a".repeat(FILE_BYTES), "0123456789abcdef");
        assert!(hidden.len() <= FOLDER_BYTES, "{}", hidden.len());
    }

    #[test]
    fn a_key_that_the_service_refuses_is_refused_before_an_upload_begins() {
        let options = || json!({ "url": "http://127.0.0.1:1/dav" });
        for key in [
            "a".repeat(221),
            "a".repeat(256) + "/b",
            "a/.windlass-upload-0123456789abcdef-b".to_owned(),
            "a\nb".to_owned(),
            "a/".repeat(512) + "a",
        ] {
            let error = begun(options(), &key).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Config, "`{}`: {error}", key.escape_debug());
        }
        for key in ["a".repeat(220), "a".repeat(255) + "/b", "a b/ü#?".to_owned()] {
            begun(options(), &key).unwrap();
        }
    }
}
