//! Where objects are: the drive, URLs of Graph for paths and ids, and how long a path may be.
//!
//! Nothing here asks the service.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::names::{escaped, hidden, of_parts};
use crate::options::Options;

/// All but what every part of a URL takes as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The longest path that the service takes, in characters, is 400, and that of a library stands before ours.
const PATH_CHARACTERS: usize = 400 - 60;

const NAME_CHARACTERS: usize = 255;

/// Where the files are.
#[derive(Clone, Debug, PartialEq)]
pub struct Address {
    endpoint: String,
    /// The path of the drive.
    drive: String,
    /// The path of the folder that paths begin at.
    root: String,
    /// Before every key, in names of the drive: empty, or ending in `/`.
    prefix: String,
    is_app_folder: bool,
}

impl Address {
    pub fn new(options: &Options) -> Result<Self> {
        let endpoint = judged(&options.endpoint, "endpoint")?;
        judged(&options.login_endpoint, "login_endpoint")?;
        let drive = match &options.drive_id {
            Some(id) => format!("/v1.0/drives/{}", utf8_percent_encode(id, ENCODED)),
            None => "/v1.0/me/drive".to_owned(),
        };
        let root = drive.clone() + if options.app_folder { "/special/approot" } else { "/root" };
        let mut prefix = String::new();
        let folder = options.prefix.as_deref().unwrap_or_default();
        for name in folder.split('/').filter(|name| !name.is_empty()) {
            if matches!(name, "." | "..") {
                return Err(Error::new(ErrorKind::Config, format!("`{name}` can't be a folder of a drive")));
            }
            prefix.push_str(&escaped(name));
            prefix.push('/');
        }
        if prefix.chars().count() > 100 {
            return Err(Error::new(ErrorKind::Config, "`prefix` leaves no room for keys")
                .hint("A path of the service has at most 400 characters: shorten it."));
        }
        Ok(Self { endpoint, drive, root, prefix, is_app_folder: options.app_folder })
    }

    /// Whether no TLS is needed.
    pub fn is_plain(&self) -> bool {
        self.endpoint.starts_with("http://")
    }

    /// The path of a key or a folder, in names of the drive. That of the top is the prefix.
    pub fn path(&self, key: &str) -> String {
        let names: Vec<String> = key.split('/').map(escaped).collect();
        format!("{}{}", self.prefix, names.join("/")).trim_end_matches('/').to_owned()
    }

    /// The URL of a path, and of something of it (`/content`, `/children`).
    pub fn url(&self, path: &str, of: &str) -> String {
        if path.is_empty() {
            return format!("{}{}{of}", self.endpoint, self.root);
        }
        let names: Vec<String> =
            path.split('/').map(|name| utf8_percent_encode(name, ENCODED).to_string()).collect();
        let colon = if of.is_empty() { "" } else { ":" };
        format!("{}{}:/{}{colon}{of}", self.endpoint, self.root, names.join("/"))
    }

    /// The URL of what has this id.
    pub fn item(&self, id: &str, of: &str) -> String {
        format!("{}{}/items/{}{of}", self.endpoint, self.drive, utf8_percent_encode(id, ENCODED))
    }

    /// Whether an address that the service named may be asked: the next page with a token, a download without.
    pub fn may_ask(&self, url: &str, with_token: bool) -> bool {
        match with_token {
            true => url.strip_prefix(&self.endpoint).is_some_and(|rest| rest.starts_with('/')),
            false => url.starts_with("https://") || self.is_plain() && url.starts_with("http://"),
        }
    }

    /// Refuses a key whose path would be too long, while it comes or as a large object.
    pub fn judge(&self, key: &str) -> Result<()> {
        let path = self.path(key);
        let longest = format!("{}/00000", hidden(&of_parts(&path), "0123456789abcdef"));
        let name = hidden(&of_parts(name(&path)), "0123456789abcdef");
        let is_long = |name: &str| name.chars().count() > NAME_CHARACTERS;
        if longest.chars().count() > PATH_CHARACTERS || path.split('/').any(is_long) || is_long(&name) {
            let message = format!("the key `{}` is longer than the service takes", key.escape_debug());
            return Err(Error::new(ErrorKind::Config, message)
                .hint("A path has at most 400 characters, and a name 255: shorten `prefix`, or a name."));
        }
        Ok(())
    }

    /// For messages.
    pub fn shown(&self) -> String {
        let top = if self.is_app_folder { "onedrive:(app folder)/" } else { "onedrive:" };
        format!("{top}{}", self.prefix.trim_end_matches('/'))
    }

    /// A command that writes the object to stdout; the token is taken from the environment.
    pub fn by_hand(&self, key: &str) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
        let path = self.path(key);
        let parts = self.url(&joined(&of_parts(&path), "NUMBER"), "/content");
        let (before, after) = parts.rsplit_once("NUMBER").unwrap_or((&parts, ""));
        let part = format!("{}$(printf %05d $i){}", quoted(before), quoted(after));
        let small = quoted(&self.url(&path, "/content"));
        // A small object, or the parts of a large one up to the first number that isn't there.
        format!(
            "{{ get() {{ curl --fail --silent --location --retry 5 --header \"Authorization: Bearer $GRAPH_TOKEN\" \"$@\"; }}; \
             get {small} || {{ i=1; while get {part}; do i=$((i+1)); done; \
             test $i -gt 1 && test \"$(get --output /dev/null --write-out '%{{http_code}}' {part})\" = 404; }}; }}"
        )
    }
}

/// The folder that something is in; empty for the top.
pub fn parent(path: &str) -> &str {
    path.rfind('/').map_or("", |end| &path[..end])
}

/// Without the folder.
pub fn name(path: &str) -> &str {
    path.rfind('/').map_or(path, |end| &path[end + 1..])
}

/// A folder and a name in it.
pub fn joined(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// The endpoint without a slash behind it.
fn judged(endpoint: &str, option: &str) -> Result<String> {
    let trimmed = endpoint.trim_end_matches('/');
    let rest = trimmed.strip_prefix("https://").or_else(|| trimmed.strip_prefix("http://"));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.contains(['@', '?', '#', ' ']) => Ok(trimmed.to_owned()),
        // It may hold a password: it isn't repeated.
        _ => Err(Error::new(ErrorKind::Config, format!("`{option}` isn't the address of a service"))
            .hint("Write `https://graph.microsoft.com`, without user, password and query.")),
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
    fn paths_lie_in_the_drive_the_app_folder_or_another_drive() {
        let graph = "https://graph.microsoft.com/v1.0";
        let own = address(json!({ "prefix": "/Backups/web/" })).unwrap();
        assert_eq!(own.path("a/CON"), "Backups/web/a/%43ON");
        assert_eq!(own.url("a b/%43", "/content"), format!("{graph}/me/drive/root:/a%20b/%2543:/content"));
        assert_eq!((own.path("").as_str(), own.shown().as_str()), ("Backups/web", "onedrive:Backups/web"));
        let app = address(json!({ "app_folder": true })).unwrap();
        assert_eq!(app.url("", "/children"), format!("{graph}/me/drive/special/approot/children"));
        let other = address(json!({ "drive_id": "b!x/y" })).unwrap();
        assert_eq!(other.url("a", ""), format!("{graph}/drives/b%21x%2Fy/root:/a"));
        assert_eq!(other.item("7!8", "/content"), format!("{graph}/drives/b%21x%2Fy/items/7%218/content"));
    }

    #[test]
    fn a_token_goes_to_the_service_alone() {
        let own = address(json!({})).unwrap();
        assert!(own.may_ask("https://graph.microsoft.com/v1.0/next", true));
        assert!(!own.may_ask("https://graph.microsoft.com.evil.example/v1.0/next", true));
        assert!(
            own.may_ask("https://storage.example/x", false)
                && !own.may_ask("http://storage.example/x", false)
        );
    }

    #[test]
    fn what_is_too_long_is_refused() {
        let own = address(json!({ "prefix": "x".repeat(60) })).unwrap();
        for key in ["k".repeat(200), "d/".repeat(99) + "dd"] {
            own.judge(&key).unwrap();
        }
        for key in ["k".repeat(250), "d/".repeat(150) + "d", "?".repeat(90)] {
            assert_eq!(own.judge(&key).unwrap_err().kind, ErrorKind::Config, "{key}");
        }
    }

    #[test]
    fn what_can_be_no_place_is_told_and_a_password_in_it_is_not_repeated() {
        for options in [
            json!({ "prefix": "a/../b" }),
            json!({ "prefix": "x".repeat(101) }),
            json!({ "endpoint": "graph.example" }),
            json!({ "login_endpoint": "https://user:hunter2@login.example" }),
        ] {
            let error = address(options.clone()).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Config, "{options}");
            assert!(!format!("{error:?}").contains("hunter2"));
        }
    }
}
