//! The documents of the JSON API: what the service answers, and the body that holds a description beside an object's bytes.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use reqsign_core::time::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use windlass_object::Answer;
use windlass_plugin_api::{Error, Object, Result, Stored};

/// An object, as the service describes it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Resource {
    pub name: String,
    pub size: String,
    pub updated: String,
    pub generation: String,
    pub crc32c: String,
    pub metadata: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Page {
    pub items: Vec<Resource>,
    pub prefixes: Vec<String>,
    pub next_page_token: Option<String>,
}

impl Resource {
    pub fn stored(self) -> Stored {
        Stored {
            version: Some(self.generation).filter(|generation| !generation.is_empty()),
            ..Stored::default()
        }
    }

    pub fn object(&self, key: String) -> Object {
        let modified = self.updated.parse::<Timestamp>().ok().map(Timestamp::as_second);
        let version = Some(self.generation.clone()).filter(|generation| !generation.is_empty());
        Object {
            key,
            size_bytes: self.size.parse().unwrap_or_default(),
            modified,
            version,
            ..Object::default()
        }
    }
}

/// An answer that is a document.
pub async fn read<T: DeserializeOwned>(answer: Answer) -> Result<T> {
    serde_json::from_str(&answer.text().await?)
        .map_err(|error| Error::failed("the service's answer can't be read").because(&error))
}

/// Description and bytes in one body (RFC 2387). The boundary is a random word that the bytes can't be expected to hold.
pub fn related(boundary: &str, described: &Value, bytes: &Bytes) -> Bytes {
    let head = format!(
        "--{boundary}\r\ncontent-type: application/json; charset=utf-8\r\n\r\n{described}\r\n\
         --{boundary}\r\ncontent-type: application/octet-stream\r\n\r\n"
    );
    let mut body = BytesMut::with_capacity(head.len() + bytes.len() + boundary.len() + 8);
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(bytes);
    body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    body.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_told_with_its_size_time_and_generation() {
        let told =
            r#"{"name":"a","size":"7","updated":"2026-11-22T18:59:03.120Z","generation":"1732301943000"}"#;
        let object = serde_json::from_str::<Resource>(told).unwrap().object("a".to_owned());
        assert_eq!((object.size_bytes, object.modified), (7, Some(1_795_373_943)));
        assert_eq!(object.version.as_deref(), Some("1732301943000"));
    }
}
