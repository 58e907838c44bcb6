//! Where objects are: paths of the service, its hosts, and the names that it doesn't take.
//!
//! Nothing here asks the service.

use serde_json::{Value, json};
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::limits;
use crate::options::Options;

const API: &str = "https://api.dropboxapi.com";
const CONTENT: &str = "https://content.dropboxapi.com";

/// Where the files are.
#[derive(Clone, Debug, PartialEq)]
pub struct Address {
    api: String,
    content: String,
    /// Before every key: empty, or beginning with `/`.
    prefix: String,
}

impl Address {
    pub fn new(options: &Options) -> Result<Self> {
        let (api, content) = match &options.endpoint {
            None => (API.to_owned(), CONTENT.to_owned()),
            Some(endpoint) => {
                let endpoint = judged(endpoint)?;
                (endpoint.clone(), endpoint)
            }
        };
        let mut prefix = String::new();
        let folder = options.prefix.as_deref().unwrap_or_default();
        for name in folder.split('/').filter(|name| !name.is_empty()) {
            if matches!(name, "." | "..") {
                return Err(Error::new(
                    ErrorKind::Config,
                    format!("`{name}` can't be a folder of a Dropbox"),
                ));
            }
            limits::judge(name)?;
            prefix.push('/');
            prefix.push_str(name);
        }
        Ok(Self { api, content, prefix })
    }

    /// Whether no TLS is needed.
    pub fn is_plain(&self) -> bool {
        self.api.starts_with("http://")
    }

    /// The URL of a call whose argument is its body.
    pub fn api(&self, call: &str) -> String {
        format!("{}/2/files/{call}", self.api)
    }

    /// The URL of a call whose body is bytes of a file.
    pub fn content(&self, call: &str) -> String {
        format!("{}/2/files/{call}", self.content)
    }

    /// The path of a key or a folder. That of the top is empty where there is no prefix, as the service wants it.
    pub fn path(&self, key: &str) -> String {
        if key.is_empty() { self.prefix.clone() } else { format!("{}/{key}", self.prefix) }
    }

    /// For messages.
    pub fn shown(&self) -> String {
        format!("dropbox:{}", self.prefix.trim_start_matches('/'))
    }

    /// A command that writes the object to stdout; the token is taken from the environment.
    pub fn by_hand(&self, key: &str) -> String {
        let argument = header_safe(&json!({ "path": self.path(key) })).replace('\'', r"'\''");
        format!(
            "curl --fail --silent --show-error --request POST --header \"Authorization: Bearer $DROPBOX_TOKEN\" \
             --header 'Dropbox-API-Arg: {argument}' '{}'",
            self.content("download")
        )
    }
}

/// Where tokens are had.
pub fn token_url(endpoint: Option<&str>) -> String {
    format!("{}/oauth2/token", endpoint.unwrap_or(API).trim_end_matches('/'))
}

/// The folder that something is in; empty for the top.
pub fn parent(key: &str) -> &str {
    key.rfind('/').map_or("", |end| &key[..end])
}

/// Without the folder.
pub fn name(key: &str) -> &str {
    key.rfind('/').map_or(key, |end| &key[end + 1..])
}

/// A document as a header may hold it: in ASCII.
pub fn header_safe(document: &Value) -> String {
    let mut safe = String::new();
    for unit in document.to_string().encode_utf16() {
        match u8::try_from(unit).ok().filter(|byte| (b' '..=b'~').contains(byte)) {
            Some(byte) => safe.push(byte.into()),
            None => safe.push_str(&format!("\\u{unit:04x}")),
        }
    }
    safe
}

/// The endpoint without a slash behind it.
fn judged(endpoint: &str) -> Result<String> {
    let trimmed = endpoint.trim_end_matches('/');
    let rest = trimmed.strip_prefix("https://").or_else(|| trimmed.strip_prefix("http://"));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.contains(['@', '?', '#', ' ']) => Ok(trimmed.to_owned()),
        // It may hold a password: it isn't repeated.
        _ => Err(Error::new(ErrorKind::Config, "`endpoint` isn't the address of a service")
            .hint("Write `https://gateway.example`, without user, password and query.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(options: Value) -> Result<Address> {
        Address::new(&serde_json::from_value(options).unwrap())
    }

    #[test]
    fn the_prefix_stands_before_every_key_and_the_top_has_an_empty_path() {
        let below = address(json!({ "prefix": "/Backups/web/" })).unwrap();
        assert_eq!(
            (below.path("a/b").as_str(), below.path("").as_str()),
            ("/Backups/web/a/b", "/Backups/web")
        );
        assert_eq!(below.shown(), "dropbox:Backups/web");
        let top = address(json!({})).unwrap();
        assert_eq!((top.path("a/b").as_str(), top.path("").as_str()), ("/a/b", ""));
        assert_eq!(top.api("list_folder"), "https://api.dropboxapi.com/2/files/list_folder");
        assert_eq!(top.content("download"), "https://content.dropboxapi.com/2/files/download");
    }

    #[test]
    fn a_header_holds_every_name_in_ascii() {
        assert_eq!(
            header_safe(&json!({ "path": "/ü🙂\u{7f}a" })),
            r#"{"path":"/\u00fc\ud83d\ude42\u007fa"}"#
        );
        let command = address(json!({})).unwrap().by_hand("it's");
        assert!(command.contains(r#"'Dropbox-API-Arg: {"path":"/it'\''s"}'"#), "{command}");
    }

    #[test]
    fn what_can_be_no_place_is_told_and_a_password_in_it_is_not_repeated() {
        for options in [
            json!({ "prefix": "a/../b" }),
            json!({ "prefix": "desktop.ini" }),
            json!({ "endpoint": "gateway.example" }),
            json!({ "endpoint": "https://user:hunter2@gateway.example" }),
        ] {
            let error = address(options.clone()).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Config, "{options}");
            assert!(!format!("{error:?}").contains("hunter2"));
        }
    }
}
