//! Where the storage's folder is, the URLs of what is in it, and which key a name in an answer stands for.
//!
//! A *place* is a path below the folder of the option `url`: that of a file, or of a folder, which ends in `/`. The top
//! folder itself is the empty place. Nothing here asks the server.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::options::Options;

/// All but what every part of a path takes as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// What the name of a file begins with that isn't an object yet.
const HIDDEN: &str = ".windlass-upload-";
/// How long the word of an upload is.
const MARK_LENGTH: usize = 16;

/// Where the storage's folder is.
#[derive(Clone, Debug, PartialEq)]
pub struct Address {
    /// Scheme and host: `https://cloud.example`.
    origin: String,
    /// The path of the top folder, decoded, with a slash at both ends.
    path: String,
    /// Before every key: empty, or ending in `/`.
    pub prefix: String,
}

impl Address {
    pub fn new(options: &Options) -> Result<Self> {
        let wrong = || {
            // It may hold a password: it isn't repeated.
            Error::new(ErrorKind::Config, "`url` isn't the address of a folder").hint(
                "Write `https://cloud.example/dav/backups`; user and password are options of their own.",
            )
        };
        let (scheme, rest) = options.url.split_once("://").unwrap_or(("https", &options.url));
        if !matches!(scheme, "https" | "http") {
            return Err(wrong());
        }
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        if host.is_empty() || host.contains(['@', '?', '#', ' ', '%']) || path.contains(['?', '#']) {
            return Err(wrong());
        }
        let path = percent_decode_str(path).decode_utf8().map_err(|_| wrong())?;
        let path = folder(&path)?;
        let prefix = folder(options.prefix.as_deref().unwrap_or_default())?;
        Ok(Self { origin: format!("{scheme}://{host}"), path: format!("/{path}"), prefix })
    }

    /// Whether no TLS is needed.
    pub fn is_plain(&self) -> bool {
        self.origin.starts_with("http://")
    }

    /// The place of a key.
    pub fn place(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// The URL of a place.
    pub fn url(&self, place: &str) -> String {
        let path = format!("{}{place}", self.path);
        format!("{}{}", self.origin, utf8_percent_encode(&path, ENCODED))
    }

    /// The place that an answer names: by a path, or by a whole URL.
    pub fn named(&self, href: &str) -> Option<String> {
        let href = href.trim();
        let path = match href.split_once("://") {
            Some((_, rest)) => &rest[rest.find('/')?..],
            None => href,
        };
        let path = percent_decode_str(path).decode_utf8().ok()?;
        path.strip_prefix(self.path.as_str()).map(str::to_owned)
    }

    /// The key of a place. `None`: it lies outside of our prefix.
    pub fn key(&self, place: &str) -> Option<String> {
        place.strip_prefix(&self.prefix).filter(|key| !key.is_empty()).map(str::to_owned)
    }

    /// For messages.
    pub fn shown(&self) -> String {
        self.url(&self.prefix)
    }

    /// The command that writes the object to stdout. It asks for the password.
    pub fn by_hand(&self, key: &str, user: Option<&str>) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
        let user = user.map(|user| format!(" --user {}", quoted(user))).unwrap_or_default();
        format!("curl --fail --silent --show-error{user} {}", quoted(&self.url(&self.place(key))))
    }
}

/// A path without a slash before it, and with one behind it unless it is empty.
fn folder(path: &str) -> Result<String> {
    let mut folder = String::new();
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        if matches!(segment, "." | "..") {
            return Err(Error::new(ErrorKind::Config, format!("`{segment}` can't be a folder here")));
        }
        folder.push_str(segment);
        folder.push('/');
    }
    Ok(folder)
}

/// The folder that a place is in: empty for the top one.
pub fn parent(place: &str) -> &str {
    let end = place.trim_end_matches('/').rfind('/');
    end.map_or("", |end| &place[..=end])
}

/// Where the object of a place is before it is published: beside it, so that it has only to be renamed.
pub fn hidden(place: &str, mark: &str) -> String {
    let folder = parent(place);
    format!("{folder}{HIDDEN}{mark}-{}", &place[folder.len()..])
}

/// The place that a hidden file is meant for; `None` for any other file.
pub fn meant_for(place: &str) -> Option<String> {
    let folder = parent(place);
    let rest = place[folder.len()..].strip_prefix(HIDDEN)?;
    let name = rest.get(MARK_LENGTH..)?.strip_prefix('-').filter(|name| !name.is_empty())?;
    Some(format!("{folder}{name}"))
}

/// Whether a name is one that [`hidden`] gives.
pub fn is_hidden(place: &str) -> bool {
    place[parent(place).len()..].starts_with(HIDDEN)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn address(options: serde_json::Value) -> Result<Address> {
        Address::new(&serde_json::from_value(options).unwrap())
    }

    #[test]
    fn a_place_has_a_url_and_an_answer_names_it() {
        for (url, wanted) in [
            (
                "https://cloud.example/dav/my%20files/",
                "https://cloud.example/dav/my%20files/web/a/b%20c%2B%C3%BC",
            ),
            ("cloud.example:8443", "https://cloud.example:8443/web/a/b%20c%2B%C3%BC"),
            ("http://[::1]:8080/dav", "http://[::1]:8080/dav/web/a/b%20c%2B%C3%BC"),
        ] {
            let address = address(json!({ "url": url, "prefix": "/web/" })).unwrap();
            let place = address.place("a/b c+ü");
            assert_eq!(address.url(&place), wanted);
            assert_eq!(address.named(wanted).as_deref(), Some(place.as_str()), "a whole URL");
            let path = &wanted[wanted.find("//").unwrap() + 2..];
            let path = &path[path.find('/').unwrap()..];
            assert_eq!(address.named(path).as_deref(), Some(place.as_str()), "a path");
            assert_eq!(address.key(&place).as_deref(), Some("a/b c+ü"));
            assert_eq!(address.key("other/a"), None, "outside of the prefix");
        }
    }

    #[test]
    fn what_can_be_no_folder_is_told_and_a_password_in_it_is_not_repeated() {
        for options in [
            json!({ "url": "/srv/backups" }),
            json!({ "url": "ftp://cloud.example" }),
            json!({ "url": "https://me:hunter2@cloud.example/dav" }),
            json!({ "url": "https://cloud.example/dav?token=hunter2" }),
            json!({ "url": "https://cloud.example/dav", "prefix": "a/../b" }),
        ] {
            let error = address(options.clone()).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Config, "{options}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn a_hidden_file_says_what_it_is_meant_for_and_no_other_does() {
        let mark = "0123456789abcdef";
        for place in ["a/b/data-1.zst", "manifest.json"] {
            let hidden = hidden(place, mark);
            assert_eq!(parent(&hidden), parent(place));
            assert!(is_hidden(&hidden) && !is_hidden(place));
            assert_eq!(meant_for(&hidden).as_deref(), Some(place));
        }
        for other in
            ["a/data", "a/.windlass-upload-", "a/.windlass-upload-short-data", ".windlass-check-0123"]
        {
            assert_eq!(meant_for(other), None, "{other}");
        }
    }

    #[test]
    fn the_command_by_hand_asks_for_the_password() {
        let address = address(json!({ "url": "https://cloud.example/dav" })).unwrap();
        assert_eq!(
            address.by_hand("it's", Some("me")),
            "curl --fail --silent --show-error --user 'me' 'https://cloud.example/dav/it%27s'"
        );
    }
}
