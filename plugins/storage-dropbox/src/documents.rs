//! What the service answers.

use reqsign_core::time::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use windlass_object::Answer;
use windlass_plugin_api::{Error, Object, Result, Stored};

/// A file or a folder, as the service describes it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Metadata {
    /// `file`, `folder` or `deleted`; empty where only a file can be meant.
    #[serde(rename = ".tag")]
    pub tag: String,
    /// In its own case.
    pub name: String,
    /// By which the service knows it.
    pub path_lower: String,
    /// Whose last name alone is sure to have its own case.
    pub path_display: String,
    pub rev: String,
    pub size: u64,
    pub server_modified: String,
    pub client_modified: String,
    pub content_hash: String,
    /// `false` for documents of the service that are no files.
    pub is_downloadable: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Page {
    pub entries: Vec<Metadata>,
    pub cursor: String,
    pub has_more: bool,
}

/// What became of a deletion of several files.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Job {
    #[serde(rename = ".tag")]
    pub tag: String,
    pub async_job_id: String,
    pub entries: Vec<Value>,
    pub failed: Value,
}

impl Metadata {
    pub fn is_file(&self) -> bool {
        matches!(self.tag.as_str(), "" | "file") && self.is_downloadable != Some(false)
    }

    pub fn stored(&self) -> Stored {
        Stored { version: Some(self.rev.clone()).filter(|rev| !rev.is_empty()), ..Stored::default() }
    }

    pub fn object(&self, key: String) -> Object {
        let modified = Timestamp::parse_datetime_utc(&self.server_modified).ok().map(Timestamp::as_second);
        Object { key, size_bytes: self.size, modified, ..Object::default() }
    }
}

/// An answer that is a document.
pub async fn read<T: DeserializeOwned>(answer: Answer) -> Result<T> {
    serde_json::from_str(&answer.text().await?)
        .map_err(|error| Error::failed("the service's answer can't be read").because(&error))
}
