//! Compound values as versioned JSON documents.
//!
//! `"v": 1` stands in each. A key that the reader doesn't know is kept where the type has room for it and ignored
//! otherwise; a key that is missing has the default that the type documents. Only a changed meaning raises the version,
//! and a reader refuses a version above its own.

use abi_stable::std_types::RString;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::error::{Error, ErrorKind, Result};

const VERSION: u64 = 1;

/// `value` as a document. Values that aren't objects are wrapped as `{"v": 1, "value": …}`.
pub fn write(value: &impl Serialize) -> RString {
    let document = match serde_json::to_value(value) {
        Ok(Value::Object(mut object)) => {
            object.insert("v".to_owned(), VERSION.into());
            Value::Object(object)
        }
        Ok(other) => json!({ "v": VERSION, "value": other }),
        Err(error) => {
            let broken =
                Error::new(ErrorKind::Broken, "a value can't be written as a document").because(&error);
            json!({ "v": VERSION, "kind": "broken", "message": broken.one_line() })
        }
    };
    document.to_string().into()
}

/// The value in a document.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T> {
    let unreadable =
        |error: serde_json::Error| Error::new(ErrorKind::Broken, "unreadable document").because(&error);
    let mut document: Value = serde_json::from_str(text).map_err(unreadable)?;
    let version = document.as_object_mut().and_then(|object| object.remove("v")).and_then(|v| v.as_u64());
    match version {
        Some(VERSION) => {}
        Some(newer) => {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("a document of version {newer}, where {VERSION} is the newest known"),
            )
            .hint("Update the older side, the host or the plugin."));
        }
        None => return Err(Error::new(ErrorKind::Broken, "a document without a version")),
    }
    let is_wrapped = document.as_object().is_some_and(|o| o.len() == 1 && o.contains_key("value"));
    let value = if is_wrapped { document["value"].take() } else { document };
    serde_json::from_value(value).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Contents, Finished, Probe, RestoreOptions, StreamInfo, Target};

    #[test]
    fn lists_and_objects_come_back() {
        assert_eq!(read::<Vec<String>>(&write(&vec!["a", "b"])).unwrap(), ["a", "b"]);
        let info = StreamInfo::new("tar/1").size_hint(7);
        assert_eq!(read::<StreamInfo>(&write(&info)).unwrap(), info);
    }

    #[test]
    fn a_newer_sides_key_is_kept_and_a_missing_one_has_its_default() {
        fn with_key<T: DeserializeOwned + Serialize>() {
            let value: T = read(r#"{"v":1,"of_2031":{"a":[1]}}"#).unwrap();
            let again: Value = serde_json::from_str(&write(&value)).unwrap();
            assert_eq!(again["of_2031"]["a"][0], 1, "{}", std::any::type_name::<T>());
        }
        with_key::<StreamInfo>();
        with_key::<Finished>();
        with_key::<Probe>();
        with_key::<Contents>();
        with_key::<RestoreOptions>();
        with_key::<Target>();
        with_key::<crate::Restored>();
        with_key::<crate::Error>();
        with_key::<crate::Event>();
        with_key::<crate::CreateOptions>();
        with_key::<crate::ListOptions>();
        with_key::<crate::Page>();
        with_key::<crate::Stored>();
        with_key::<crate::StorageReport>();
        with_key::<crate::Progress>();
    }

    #[test]
    fn a_document_of_a_later_version_is_refused_in_words() {
        let error = read::<StreamInfo>(r#"{"v":2}"#).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported);
        assert!(error.message.contains("version 2"), "{error}");
    }
}
