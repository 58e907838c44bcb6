//! A filter as a manifest records it, and whom it encrypted to.
//!
//! It knows no filter: fingerprints are what the encoder said they are.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Manifest;

/// A filter as it was applied to a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AppliedFilter {
    /// `windlass/zstd`.
    pub plugin: String,
    /// The plugin's version.
    pub version: String,
    /// What it appended to the object's name.
    #[serde(default)]
    pub suffix: String,
    /// Whether it makes the bytes unreadable without a key.
    #[serde(default)]
    pub encrypts: bool,
    /// Short fingerprints of whom it was encrypted to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
    /// What its encoder wants its decoder to know.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub params: Map<String, Value>,
}

/// Under this name an encoder that encrypts says to whom.
const RECIPIENTS: &str = "recipients";

impl AppliedFilter {
    /// With what the encoder of a stream recorded: `recipients` of one that encrypts have a place of their own.
    #[must_use]
    pub fn recorded(mut self, mut params: Map<String, Value>) -> Self {
        if self.encrypts
            && let Some(Value::Array(recipients)) = params.remove(RECIPIENTS)
        {
            self.recipients = recipients.iter().filter_map(|text| text.as_str().map(str::to_owned)).collect();
        }
        Self { params, ..self }
    }

    /// What its decoder gets: all that the encoder recorded.
    pub fn decoder_params(&self) -> Map<String, Value> {
        let mut params = self.params.clone();
        if !self.recipients.is_empty() {
            params.insert(RECIPIENTS.to_owned(), self.recipients.clone().into());
        }
        params
    }
}

impl Manifest {
    /// Fingerprints of whom its streams were encrypted to, each once.
    pub fn recipients(&self) -> BTreeSet<String> {
        let filters = self.streams.iter().flat_map(|stream| &stream.filters);
        filters.flat_map(|filter| filter.recipients.iter().cloned()).collect()
    }

    /// Whether one of the fingerprints begins like `recipient`, or is the beginning of it: a whole public key names it too.
    pub fn is_encrypted_to(&self, recipient: &str) -> bool {
        let wanted = recipient.to_ascii_lowercase();
        self.recipients()
            .iter()
            .map(|known| known.to_ascii_lowercase())
            .any(|known| !known.is_empty() && (known.starts_with(&wanted) || wanted.starts_with(&known)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::manifest::tests::example;
    use super::*;

    #[test]
    fn recipients_have_a_place_of_their_own_and_go_back_to_the_decoder() {
        let params: Map<_, _> =
            serde_json::from_str(r#"{ "recipients": ["key1qwertz", "FINGER"], "level": 3 }"#).unwrap();
        let mut manifest = example();
        let filter = AppliedFilter { encrypts: true, ..manifest.streams[0].filters[0].clone() };
        let filter = filter.recorded(params.clone());
        assert_eq!((filter.recipients.len(), filter.params.len()), (2, 1));
        assert_eq!(filter.decoder_params(), params);
        manifest.streams[0].filters[0] = filter;
        for known in ["key1qwertz", "key1qw", "key1qwertzuiop", "finger"] {
            assert!(manifest.is_encrypted_to(known), "{known}");
        }
        assert!(!manifest.is_encrypted_to("key1qwertx"));
        // Of a filter that encrypts nothing it is a parameter like another.
        let plain = example().streams[0].filters[0].clone().recorded(params.clone());
        assert_eq!((plain.recipients.len(), plain.decoder_params()), (0, params));
    }
}
