//! The documents that the service answers with, and what we keep with a file.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use windlass_object::{Answer, How};
use windlass_plugin_api::{Error, Object, Result, Stored};

/// The name of our mark in a file's info.
pub const MARK: &str = "windlass-upload";

/// Behind the mark of an upload that must replace nothing.
const ALONE: &str = "-alone";

/// One version of a file, as the service describes it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Version {
    pub file_id: Option<String>,
    pub file_name: String,
    pub action: String,
    pub content_length: Option<u64>,
    pub content_sha1: Option<String>,
    pub upload_timestamp: Option<i64>,
    pub file_info: Option<Map<String, Value>>,
}

/// A page of a listing, of whatever kind.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Page {
    pub files: Vec<Version>,
    pub next_file_name: Option<String>,
    pub next_file_id: Option<String>,
}

impl Version {
    /// It is a file, not a hidden one and not one that is still being uploaded.
    pub fn is_file(&self) -> bool {
        self.action == "upload"
    }

    /// It was uploaded in parts.
    pub fn is_large(&self) -> bool {
        let sum = self.content_sha1.as_deref().unwrap_or_default();
        sum.trim_start_matches("unverified:").len() != 40
    }

    pub fn id(&self) -> &str {
        self.file_id.as_deref().unwrap_or_default()
    }

    fn mark(&self) -> &str {
        self.file_info.as_ref().and_then(|info| info.get(MARK)?.as_str()).unwrap_or_default()
    }

    /// The upload with this mark has made it.
    pub fn is_of(&self, mark: &str) -> bool {
        self.mark().trim_end_matches(ALONE) == mark
    }

    /// It was to replace nothing.
    pub fn is_alone(&self) -> bool {
        self.mark().ends_with(ALONE)
    }

    pub fn stored(&self) -> Stored {
        Stored { version: self.file_id.clone(), ..Stored::default() }
    }

    pub fn object(&self, key: &str) -> Object {
        Object {
            key: key.to_owned(),
            size_bytes: self.content_length.unwrap_or_default(),
            modified: self.upload_timestamp.map(|milliseconds| milliseconds / 1000),
            ..Object::default()
        }
    }
}

/// The mark as it is kept with a file.
pub fn marked(how: &How) -> String {
    format!("{}{}", how.mark, if how.if_absent { ALONE } else { "" })
}

/// An answer that is a document.
pub async fn read<T: DeserializeOwned>(answer: Answer) -> Result<T> {
    serde_json::from_str(&answer.text().await?)
        .map_err(|error| Error::failed("the service's answer can't be read").because(&error))
}
