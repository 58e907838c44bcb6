//! What the service answers.

use reqsign_core::time::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use windlass_object::Answer;
use windlass_plugin_api::{Error, Object, Result};

/// A file or a folder, as the service describes it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Item {
    pub id: String,
    pub name: String,
    pub size: u64,
    pub e_tag: String,
    /// Changes with the bytes alone.
    pub c_tag: String,
    pub last_modified_date_time: String,
    pub file: Option<File>,
    pub folder: Option<Value>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct File {
    pub hashes: Hashes,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Hashes {
    pub quick_xor_hash: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Page {
    pub value: Vec<Item>,
    #[serde(rename = "@odata.nextLink")]
    pub next: Option<String>,
}

impl Item {
    /// Whether it holds other bytes than those of that length and checksum, as far as the service tells.
    pub fn is_other(&self, length: usize, quick_xor: &str) -> bool {
        let told = self.file.as_ref().and_then(|file| file.hashes.quick_xor_hash.as_deref());
        self.size != length as u64 || told.is_some_and(|told| told != quick_xor)
    }

    pub fn object(&self, key: String, size_bytes: u64) -> Object {
        let modified = self.last_modified_date_time.parse::<Timestamp>().ok().map(Timestamp::as_second);
        Object { key, size_bytes, modified, ..Object::default() }
    }
}

/// An answer that is a document.
pub async fn read<T: DeserializeOwned>(answer: Answer) -> Result<T> {
    serde_json::from_str(&answer.text().await?)
        .map_err(|error| Error::failed("the service's answer can't be read").because(&error))
}
