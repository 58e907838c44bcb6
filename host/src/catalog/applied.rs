//! A filter as a manifest records it, and whom it encrypted to.
//!
//! It knows no filter: fingerprints are what the encoder said they are.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

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

    /// Whether one of the fingerprints is that of `recipient`: its beginning, or of hexadecimal digits its end, or what it is
    /// the beginning of. A whole public key names it too, also as a line of ssh.
    pub fn is_encrypted_to(&self, recipient: &str) -> bool {
        let digits = digits(recipient);
        let wanted = [Some(recipient.trim().to_owned()), digits.clone(), ssh_fingerprint(recipient)];
        let wanted: Vec<String> =
            wanted.into_iter().flatten().map(|form| form.to_ascii_lowercase()).collect();
        let is_it = |known: &str| {
            let begins = |form: &String| known.starts_with(form.as_str()) || form.starts_with(known);
            let ends = |end: &String| end.len() >= SHORTEST_END && known.ends_with(end.as_str());
            !known.is_empty() && (wanted.iter().any(begins) || digits.iter().any(ends))
        };
        self.recipients().iter().any(|known| is_it(&known.to_ascii_lowercase()))
    }
}

/// An end of fewer digits could be anybody's.
const SHORTEST_END: usize = 8;

/// The digits of a hexadecimal fingerprint or key id as programs print it: in groups, or behind `0x`.
fn digits(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let digits = digits.strip_prefix("0x").unwrap_or(&digits).to_ascii_lowercase();
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(digits)
}

/// The fingerprint of an ssh key, as `ssh-keygen -l` prints it, if `line` is one: `ssh-ed25519 AAAA… comment`.
fn ssh_fingerprint(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    words.next().filter(|kind| kind.starts_with("ssh-"))?;
    let blob = BASE64_STANDARD.decode(words.next()?).ok()?;
    Some(format!("SHA256:{}", BASE64_STANDARD_NO_PAD.encode(Sha256::digest(blob))))
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
        // A line of ssh, by what `ssh-keygen -l` says of it; digits by their end too, as key ids are.
        let blob = "AAAAC3NzaC1lZDI1NTE5AAAAIGfPoCRHiSTeLJFZjmZQWQQqHXkOzjmL4BeA3oHkGm5u";
        let ssh = ssh_fingerprint(&format!("ssh-ed25519 {blob}")).unwrap();
        manifest.streams[0].filters[0].recipients = vec![ssh[..23].to_owned(), "0123456789ABCDEF".to_owned()];
        for known in [
            &*format!("ssh-ed25519 {blob}"),
            &format!(" ssh-ed25519 {blob} alice@example.org\n"),
            &ssh,
            "89ABCDEF",
            "0x456789abcdef",
            "0123 4567 89AB CDEF 0000 1111 2222",
        ] {
            assert!(manifest.is_encrypted_to(known), "{known}");
        }
        let other = blob.replace("IGfP", "IGfQ");
        for unknown in
            [&*format!("ssh-ed25519 {other}"), "ABCDEF", "89ABCDEE", "ssh-ed25519", "alice@example.org"]
        {
            assert!(!manifest.is_encrypted_to(unknown), "{unknown}");
        }
        // Of a filter that encrypts nothing it is a parameter like another.
        let plain = example().streams[0].filters[0].clone().recorded(params.clone());
        assert_eq!((plain.recipients.len(), plain.decoder_params()), (0, params));
    }
}
