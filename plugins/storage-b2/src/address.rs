//! Where the bucket is, and how the names of files are written in URLs and headers.
//!
//! Nothing here asks the service: the addresses of its API and of its downloads are known only once somebody has logged in.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::limits::{self, SEGMENT_BYTES};
use crate::options::Options;

/// All but what is the same in URLs and headers everywhere. The slashes of a name stay.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// Where the bucket is.
#[derive(Clone, Debug, PartialEq)]
pub struct Address {
    /// Where one logs in.
    pub endpoint: String,
    pub bucket: String,
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

    /// Whether a token may be sent there: the service names all addresses but the first itself.
    pub fn may_send_to(&self, place: &str) -> bool {
        place.starts_with("https://") || self.is_plain() && place.starts_with("http://")
    }

    /// The name of a file, beginning with the prefix.
    pub fn start(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// The name of the file for a key. Refuses what the service would.
    pub fn name(&self, key: &str) -> Result<String> {
        limits::judge(key)?;
        Ok(self.start(key))
    }

    /// A key of the storage, of a file's name. `None`: it lies outside of our prefix, or is what the service's console keeps
    /// for a folder.
    pub fn key<'n>(&self, name: &'n str) -> Option<&'n str> {
        let key = name.strip_prefix(&self.prefix)?;
        let last = key.rsplit('/').next().unwrap_or_default();
        Some(key).filter(|_| !matches!(last, "" | ".bzEmpty"))
    }

    /// For messages.
    pub fn shown(&self) -> String {
        format!("b2://{}/{}", self.bucket, self.prefix)
    }

    /// The command of the service's own tool that writes the object to stdout.
    pub fn by_hand(&self, key: &str) -> String {
        let url = format!("b2://{}/{}", self.bucket, self.start(key));
        format!("b2 file cat '{}'", url.replace('\'', r"'\''"))
    }
}

/// A name as headers and URLs have it.
pub fn encoded(name: &str) -> String {
    utf8_percent_encode(name, ENCODED).to_string()
}

/// The bucket, and what stands before every key.
fn place(options: &Options) -> Result<(String, String)> {
    let wrong = |message: String| Err(Error::new(ErrorKind::Config, message));
    let (bucket, folder) = options.bucket.split_once('/').unwrap_or((&options.bucket, ""));
    let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if !(6..=63).contains(&bucket.len()) || !bucket.bytes().all(is_sign) || bucket.starts_with("b2-") {
        return wrong(format!("`{bucket}` can't be the name of a bucket"));
    }
    let folders = [folder, options.prefix.as_deref().unwrap_or_default()];
    let mut prefix = String::new();
    for segment in folders.iter().flat_map(|folder| folder.split('/')).filter(|segment| !segment.is_empty()) {
        if matches!(segment, "." | "..") || segment.len() > SEGMENT_BYTES {
            return wrong(format!("`{segment}` can't be a folder in a bucket"));
        }
        prefix.push_str(segment);
        prefix.push('/');
    }
    if prefix.len() > 700 {
        return wrong("`prefix` leaves no room for keys: a file's name has at most 1024 bytes".to_owned());
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
            .hint("Write `https://api.backblazeb2.com`, without user, password and query.")),
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
    fn a_key_is_a_name_below_the_prefix_and_back() {
        let address = address(json!({ "bucket": "acme-backups/web", "prefix": "/db/" })).unwrap();
        assert_eq!(address.name("a/b").unwrap(), "web/db/a/b");
        assert_eq!(address.key("web/db/a/b"), Some("a/b"));
        for name in ["web/a", "web/db/", "web/db/a/", "web/db/a/.bzEmpty"] {
            assert_eq!(address.key(name), None, "{name}");
        }
        assert_eq!(encoded("a b/ü+%"), "a%20b/%C3%BC%2B%25");
        assert_eq!(address.by_hand("it's"), r"b2 file cat 'b2://acme-backups/web/db/it'\''s'");
    }

    #[test]
    fn what_can_be_no_place_is_told_and_a_password_in_it_is_not_repeated() {
        for (options, named) in [
            (json!({ "bucket": "short" }), "`short`"),
            (json!({ "bucket": "b2-acme-backups" }), "`b2-acme-backups`"),
            (json!({ "bucket": "acme_backups" }), "`acme_backups`"),
            (json!({ "bucket": "acme-backups", "prefix": "a/../b" }), "`..`"),
            (json!({ "bucket": "acme-backups", "endpoint": "api.example" }), "`endpoint`"),
            (
                json!({ "bucket": "acme-backups", "endpoint": "https://user:hunter2@api.example" }),
                "`endpoint`",
            ),
        ] {
            let error = address(options.clone()).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Config, "{options}");
            assert!(error.message.contains(named), "{options}: {error}");
            assert!(!format!("{error:?}").contains("hunter2"));
        }
    }

    #[test]
    fn a_token_is_not_sent_in_the_clear_to_where_a_secure_service_points() {
        let secure = address(json!({ "bucket": "acme-backups" })).unwrap();
        assert!(secure.may_send_to("https://pod-000-1.backblaze.com/b2api/v3/b2_upload_file/7"));
        assert!(!secure.may_send_to("http://pod-000-1.backblaze.com/b2api/v3/b2_upload_file/7"));
    }
}
