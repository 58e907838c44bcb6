//! The documents of the protocol: what the service answers, and what it is asked.
//!
//! Keys come percent-encoded where the service does as it was asked (`encoding-type=url`): XML can't hold every character
//! of a key.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use windlass_plugin_api::{Error, Result};

/// Reads a document; elements that aren't known are skipped.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T> {
    quick_xml::de::from_str(text)
        .map_err(|error| Error::failed("the service's answer can't be read").because(&error))
}

/// An error. All fields are empty in any other document.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Refusal {
    pub code: String,
    pub message: String,
    pub region: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Initiated {
    pub upload_id: String,
}

/// The answer to the completion of an upload, which may be an error under a status of success.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Completed {
    #[serde(rename = "ETag")]
    pub etag: String,
    pub code: String,
    pub message: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Bucket {
    pub encoding_type: String,
    pub contents: Vec<Content>,
    pub common_prefixes: Vec<CommonPrefix>,
    pub is_truncated: bool,
    pub next_continuation_token: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Content {
    pub key: String,
    pub size: u64,
    pub last_modified: String,
    #[serde(rename = "ETag")]
    pub etag: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CommonPrefix {
    pub prefix: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Uploads {
    pub encoding_type: String,
    #[serde(rename = "Upload")]
    pub uploads: Vec<Unfinished>,
    pub is_truncated: bool,
    pub next_key_marker: String,
    pub next_upload_id_marker: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Unfinished {
    pub key: String,
    pub upload_id: String,
    pub initiated: String,
}

/// What became of the keys that were to be deleted; those that were aren't told (`Quiet`).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Deleted {
    #[serde(rename = "Error")]
    pub errors: Vec<Undeleted>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Undeleted {
    pub key: String,
    pub code: String,
    pub message: String,
}

/// A key as it was, of a document whose `EncodingType` is `encoding`.
pub fn decoded(key: &str, encoding: &str) -> String {
    if encoding != "url" {
        return key.to_owned();
    }
    let key = key.replace('+', " ");
    percent_encoding::percent_decode_str(&key).decode_utf8_lossy().into_owned()
}

/// The request that completes an upload.
pub fn completion(tags: &[String]) -> String {
    let mut text = "<CompleteMultipartUpload>".to_owned();
    for (at, tag) in tags.iter().enumerate() {
        let tag = quick_xml::escape::escape(tag.as_str());
        text.push_str(&format!("<Part><PartNumber>{}</PartNumber><ETag>{tag}</ETag></Part>", at + 1));
    }
    text + "</CompleteMultipartUpload>"
}

/// The request that deletes several objects.
pub fn deletion(keys: &[String]) -> String {
    let mut text = "<Delete><Quiet>true</Quiet>".to_owned();
    for key in keys {
        text.push_str(&format!("<Object><Key>{}</Key></Object>", quick_xml::escape::escape(key.as_str())));
    }
    text + "</Delete>"
}

/// Whether a document can hold the key: control characters it can't, whatever they are escaped as.
pub fn can_hold(key: &str) -> bool {
    key.chars().all(|character| !character.is_control() && character != '\u{fffe}' && character != '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_read_with_its_folded_prefixes() {
        let listed: Bucket = read(
            r#"<?xml version="1.0" encoding="UTF-8"?>
            <ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>acme</Name><Prefix>a</Prefix>
            <KeyCount>3</KeyCount><MaxKeys>3</MaxKeys><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>
            <Contents><Key>a%20b</Key><LastModified>2026-11-22T18:59:03.000Z</LastModified><ETag>&quot;9b2c&quot;</ETag><Size>434</Size></Contents>
            <CommonPrefixes><Prefix>a/</Prefix></CommonPrefixes>
            <Contents><Key>a+c%2B</Key><LastModified>2026-11-22T18:59:03Z</LastModified><ETag>"9b2d"</ETag><Size>0</Size></Contents>
            <NextContinuationToken>1ueGcxLPRx1Tr/XYExHnhbYLgveDs2J/wm36Hy4vbOwM=</NextContinuationToken></ListBucketResult>"#,
        )
        .unwrap();
        let keys: Vec<_> =
            listed.contents.iter().map(|content| decoded(&content.key, &listed.encoding_type)).collect();
        assert_eq!(keys, ["a b", "a c+"]);
        assert_eq!((listed.contents[0].size, listed.contents[0].etag.as_str()), (434, "\"9b2c\""));
        assert_eq!(listed.common_prefixes[0].prefix, "a/");
        assert!(listed.is_truncated && listed.next_continuation_token.is_some());
        assert_eq!(decoded("a+b%20", ""), "a+b%20", "what isn't encoded is as it stands");
    }

    #[test]
    fn an_empty_listing_and_an_empty_deletion_are_read() {
        let listed: Bucket =
            read("<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>").unwrap();
        assert!(listed.contents.is_empty() && !listed.is_truncated);
        assert!(read::<Deleted>("<DeleteResult/>").unwrap().errors.is_empty());
    }

    #[test]
    fn an_error_under_a_status_of_success_is_seen() {
        let told: Completed =
            read("<Error><Code>InternalError</Code><Message>We encountered…</Message></Error>").unwrap();
        assert_eq!((told.code.as_str(), told.etag.as_str()), ("InternalError", ""));
    }

    #[test]
    fn signs_of_xml_in_keys_and_tags_are_escaped() {
        assert!(deletion(&["a<b>&\"".to_owned()]).contains("<Key>a&lt;b&gt;&amp;&quot;</Key>"));
        assert!(
            completion(&["\"t\"".to_owned()])
                .contains("<PartNumber>1</PartNumber><ETag>&quot;t&quot;</ETag>")
        );
        assert!(can_hold("ü/日本語") && !can_hold("tab\t") && !can_hold("\u{1}"));
    }
}
