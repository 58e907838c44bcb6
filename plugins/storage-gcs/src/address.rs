//! Where the bucket is, and the URLs of the JSON API.
//!
//! Nothing here asks the service.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::options::Options;

/// All but what every part of a URL takes as it is. An object's name is one part of the path, its slashes included.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where the bucket is.
#[derive(Clone, Debug, PartialEq)]
pub struct Address {
    endpoint: String,
    bucket: String,
    /// Before every key: empty, or ending in `/`.
    pub prefix: String,
}

impl Address {
    pub fn new(options: &Options) -> Result<Self> {
        let (bucket, prefix) = place(options)?;
        Ok(Self { endpoint: judged(&options.endpoint)?, bucket, prefix })
    }

    /// Whether no TLS is needed.
    pub fn is_plain(&self) -> bool {
        self.endpoint.starts_with("http://")
    }

    /// The name in the bucket.
    pub fn name(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// The URL of an object, or of all of them.
    pub fn url(&self, key: Option<&str>, query: &[(&str, &str)]) -> String {
        let mut url = format!("{}/storage/v1/b/{}/o", self.endpoint, self.bucket);
        if let Some(key) = key {
            url.push('/');
            url.extend(utf8_percent_encode(&self.name(key), ENCODED));
        }
        with(url, query)
    }

    /// The URL that takes new objects.
    pub fn upload(&self, query: &[(&str, &str)]) -> String {
        with(format!("{}/upload/storage/v1/b/{}/o", self.endpoint, self.bucket), query)
    }

    /// Whether bytes may be sent there: the service names the place of an upload itself.
    pub fn may_send_to(&self, place: &str) -> bool {
        place.starts_with("https://") || self.is_plain() && place.starts_with("http://")
    }

    /// For messages.
    pub fn shown(&self) -> String {
        format!("gs://{}/{}", self.bucket, self.prefix)
    }

    /// The command of Google's own tool that writes the object to stdout.
    pub fn by_hand(&self, key: &str) -> String {
        let url = format!("gs://{}/{}", self.bucket, self.name(key));
        format!("gcloud storage cat '{}'", url.replace('\'', r"'\''"))
    }
}

fn with(mut url: String, query: &[(&str, &str)]) -> String {
    for (at, (name, value)) in query.iter().enumerate() {
        url.push(if at == 0 { '?' } else { '&' });
        url.extend(utf8_percent_encode(name, ENCODED));
        url.push('=');
        url.extend(utf8_percent_encode(value, ENCODED));
    }
    url
}

/// The bucket, and what stands before every key.
fn place(options: &Options) -> Result<(String, String)> {
    let wrong = |message: String| Err(Error::new(ErrorKind::Config, message));
    let (bucket, folder) = options.bucket.split_once('/').unwrap_or((&options.bucket, ""));
    let is_sign = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    if !(3..=222).contains(&bucket.len()) || !bucket.bytes().all(is_sign) {
        return wrong(format!("`{bucket}` can't be the name of a bucket"));
    }
    let folders = [folder, options.prefix.as_deref().unwrap_or_default()];
    let mut prefix = String::new();
    for segment in folders.iter().flat_map(|folder| folder.split('/')).filter(|segment| !segment.is_empty()) {
        if matches!(segment, "." | "..") {
            return wrong(format!("`{segment}` can't be a folder in a bucket"));
        }
        prefix.push_str(segment);
        prefix.push('/');
    }
    if prefix.len() > 700 {
        return wrong("`prefix` leaves no room for keys: an object's name has at most 1024 bytes".to_owned());
    }
    Ok((bucket.to_owned(), prefix))
}

/// The endpoint without a slash behind it.
fn judged(endpoint: &str) -> Result<String> {
    let trimmed = endpoint.trim_end_matches('/');
    let rest = trimmed.strip_prefix("https://").or_else(|| trimmed.strip_prefix("http://"));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.contains(['@', '?', '#', ' ']) => Ok(trimmed.to_owned()),
        // It may hold a password: it isn't repeated.
        _ => Err(Error::new(ErrorKind::Config, "`endpoint` isn't the address of a service")
            .hint("Write `https://storage.googleapis.com`, without user, password and query.")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn address(options: serde_json::Value) -> Result<Address> {
        Address::new(&serde_json::from_value(options).unwrap())
    }

    #[test]
    fn a_name_is_one_part_of_the_path_and_the_prefix_belongs_to_it() {
        let address = address(json!({ "bucket": "acme-backups/web", "prefix": "/db/" })).unwrap();
        assert_eq!(
            address.url(Some("a/b c+ü"), &[("alt", "media")]),
            "https://storage.googleapis.com/storage/v1/b/acme-backups/o/web%2Fdb%2Fa%2Fb%20c%2B%C3%BC?alt=media"
        );
        assert_eq!(address.shown(), "gs://acme-backups/web/db/");
        assert_eq!(address.by_hand("it's"), r"gcloud storage cat 'gs://acme-backups/web/db/it'\''s'");
    }

    #[test]
    fn what_can_be_no_place_is_told_and_a_password_in_it_is_not_repeated() {
        for (options, named) in [
            (json!({ "bucket": "a" }), "`a`"),
            (json!({ "bucket": "Acme" }), "`Acme`"),
            (json!({ "bucket": "acme", "prefix": "a/../b" }), "`..`"),
            (json!({ "bucket": "acme", "endpoint": "storage.example" }), "`endpoint`"),
            (json!({ "bucket": "acme", "endpoint": "https://user:hunter2@storage.example" }), "`endpoint`"),
        ] {
            let error = address(options.clone()).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Config, "{options}");
            assert!(error.message.contains(named), "{options}: {error}");
            assert!(!format!("{error:?}").contains("hunter2"));
        }
    }

    #[test]
    fn bytes_that_go_encrypted_are_not_sent_to_a_place_in_the_clear() {
        let secure = address(json!({ "bucket": "acme" })).unwrap();
        assert!(secure.may_send_to("https://storage.googleapis.com/upload?upload_id=7"));
        assert!(!secure.may_send_to("http://storage.googleapis.com/upload?upload_id=7"));
        let plain = address(json!({ "bucket": "acme", "endpoint": "http://127.0.0.1:4443" })).unwrap();
        assert!(plain.may_send_to("http://127.0.0.1:4443/upload?upload_id=7"));
    }
}
