//! The options of the storage. Their doc comments are the reference documentation.
//!
//! Whether a server answers isn't judged here: that belongs to the first call that needs it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use windlass_plugin_api::{Error, ErrorKind, Result, Secret};

use crate::address;

/// Options of `ftp`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// All of it in one: `ftp://user@host:port/path`, in place of `host`, `port`, `user` and `path`; `ftps://` for
    /// `tls = "implicit"`. The path is absolute; `/~/path` begins in the folder that the server signs the user in to. Options
    /// that hold no secret may follow: `?ca_file=/etc/windlass/nas.pem`.
    pub url: Option<Url>,
    /// The server's name or address. With TLS its certificate must have it.
    pub host: Option<String>,
    /// The server's port. Default: 21, and 990 with `tls = "implicit"`.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// The user to sign in as.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
    /// The folder on the server that objects are kept in: absolute (`/srv/backups`), or below the folder that the server signs
    /// the user in to (`backups`).
    pub path: Option<String>,
    /// Makes the folder (not those above it) when the first backup finds it missing. Off by default, for a missing folder
    /// mostly means a disk that isn't mounted, and a backup must not go below its mount point instead.
    pub create_root: bool,
    /// `explicit`: TLS begins on a plain connection (`AUTH TLS`), before the password. `implicit`: the whole port speaks TLS.
    /// `off`: the password and what no filter has encrypted can be read on the way. Default: `explicit`.
    pub tls: Option<Security>,
    /// Certificates in PEM form that the server's is judged by: that of an authority, or a self-signed one itself. Default:
    /// the system's.
    #[schemars(extend("format" = "path"))]
    pub ca_file: Option<PathBuf>,
    /// How many connections to the server there may be. Each stream of a backup wants its own; with fewer they take turns.
    #[schemars(range(min = 1, max = 64))]
    pub connections: u32,
    /// How many seconds connecting and signing in may take.
    #[schemars(range(min = 1, max = 3600))]
    pub connect_timeout: u32,
    /// For how many seconds nothing may come or go while something is awaited.
    #[schemars(range(min = 1, max = 86400))]
    pub timeout: u32,
    /// After how many seconds of silence the system asks whether the server is still there, so that a firewall doesn't forget
    /// the connection during a long transfer. 0: never.
    #[schemars(range(min = 0, max = 3600))]
    pub keepalive: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            url: None,
            host: None,
            port: None,
            user: None,
            password: None,
            path: None,
            create_root: false,
            tls: None,
            ca_file: None,
            connections: 4,
            connect_timeout: 20,
            timeout: 60,
            keepalive: 30,
        }
    }
}

/// What is encrypted on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// Everything, from `AUTH TLS` on.
    Explicit,
    /// Everything.
    Implicit,
    /// Nothing.
    Off,
}

impl Security {
    pub(crate) fn read(text: &str) -> Result<Self> {
        match text {
            "explicit" => Ok(Self::Explicit),
            "implicit" => Ok(Self::Implicit),
            "off" => Ok(Self::Off),
            _ => Err(wrong("`tls` in the URL is neither `explicit`, `implicit` nor `off`")),
        }
    }
}

/// A URL, which may hold a password.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Url(pub(crate) String);

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Url(…)")
    }
}

/// Options that fit together, with their defaults.
#[derive(Clone, Debug)]
pub struct Settings {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: Option<Secret>,
    /// As it is sent: absolute, or relative to where the server begins.
    pub path: String,
    pub create_root: bool,
    pub tls: Security,
    pub ca_file: Option<PathBuf>,
    pub connections: usize,
    pub connect_timeout: Duration,
    pub timeout: Duration,
    pub keepalive: Option<Duration>,
}

impl Options {
    /// What the types can't say is judged.
    pub(crate) fn settle(mut self) -> Result<Settings> {
        if let Some(url) = self.url.take() {
            address::merge(&url.0, &mut self)?;
        }
        let host = self.host.filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| wrong("no server is named").hint("Set `host`, or a `url`."))?;
        let path = self.path.as_deref().and_then(cleaned);
        let path = path.ok_or_else(|| {
            wrong("no folder is named")
                .hint("Set `path`: `/srv/backups`, or `backups` below the user's folder.")
        })?;
        let user = self.user.filter(|user| !user.is_empty());
        let user = user.ok_or_else(|| {
            wrong("no user is named").hint("Set `user`; where anybody may sign in, that is `anonymous`.")
        })?;
        if [&user, &path, &host].iter().any(|text| text.contains(char::is_control)) {
            return Err(wrong("`host`, `user` or `path` has a sign that can't be sent"));
        }
        let tls = self.tls.unwrap_or(Security::Explicit);
        if tls == Security::Off && self.ca_file.is_some() {
            return Err(wrong("`ca_file` judges nobody with `tls = \"off\"`"));
        }
        Ok(Settings {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: self.port.unwrap_or(if tls == Security::Implicit { 990 } else { 21 }),
            user,
            password: self.password,
            path,
            create_root: self.create_root,
            tls,
            ca_file: self.ca_file,
            connections: self.connections.max(1) as usize,
            connect_timeout: seconds(self.connect_timeout.max(1)),
            timeout: seconds(self.timeout.max(1)),
            keepalive: (self.keepalive > 0).then(|| seconds(self.keepalive)),
        })
    }
}

pub(crate) fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, message)
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

/// A folder's path without a `/` at its end and without `~/`, which the server wouldn't understand: paths begin there anyway.
fn cleaned(path: &str) -> Option<String> {
    let path = path.strip_prefix("~/").unwrap_or(path);
    if path.is_empty() || path.contains('\0') {
        return None;
    }
    let cut = path.trim_end_matches('/');
    Some(if cut.is_empty() { "/" } else { cut }.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn settled(options: Value) -> Result<Settings> {
        serde_json::from_value::<Options>(options).unwrap().settle()
    }

    #[test]
    fn a_url_says_what_single_options_say() {
        let url = settled(
            json!({ "url": "ftp://me%40x@[::1]:2121/srv/my%20backups/?create_root=true&timeout=7&tls=off" }),
        );
        let url = url.unwrap();
        assert_eq!((url.host.as_str(), url.port, url.user.as_str()), ("::1", 2121, "me@x"));
        assert_eq!((url.path.as_str(), url.create_root, url.tls), ("/srv/my backups", true, Security::Off));
        assert_eq!((url.timeout, url.password.is_some()), (Duration::from_secs(7), false));
        let home = settled(json!({ "url": "ftp://me:pass@nas/~/backups" })).unwrap();
        assert_eq!((home.path.as_str(), home.port, home.password.is_some()), ("backups", 21, true));
        assert_eq!(home.tls, Security::Explicit);
        let implicit = settled(json!({ "url": "ftps://me@nas/backups" })).unwrap();
        assert_eq!((implicit.tls, implicit.port), (Security::Implicit, 990));
        let explicit = settled(json!({ "url": "ftps://me@nas/backups?tls=explicit" })).unwrap();
        assert_eq!((explicit.tls, explicit.port), (Security::Explicit, 21));
    }

    #[test]
    fn what_does_not_fit_together_is_refused_without_a_secret() {
        for options in [
            json!({ "host": "nas", "user": "me" }),
            json!({ "path": "/srv", "user": "me" }),
            json!({ "host": "nas", "path": "/srv" }),
            json!({ "host": "nas", "user": "me", "path": "" }),
            json!({ "host": "nas", "user": "me\r\nDELE a", "path": "/srv" }),
            json!({ "host": "nas", "user": "me", "path": "/srv", "tls": "off", "ca_file": "/ca" }),
            json!({ "url": "ftp://me:Geheim@nas/srv", "host": "nas" }),
            json!({ "url": "ftp://me:Geheim@nas/srv?pasword=x" }),
            json!({ "url": "ftp://me:Geheim@nas/srv?tls=maybe" }),
            json!({ "url": "ftp://me:Geheim@nas:port/srv" }),
            json!({ "url": "http://me:Geheim@nas/srv" }),
        ] {
            let error = settled(options.clone()).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Config, "{options}: {error}");
            assert!(!format!("{error:?}").contains("Geheim"), "{error:?}");
        }
    }

    #[test]
    fn a_path_is_taken_as_the_server_takes_it() {
        for (given, sent) in
            [("/srv/x/", "/srv/x"), ("/", "/"), ("~/x", "x"), ("x//", "x"), (".", "."), ("/~x", "/~x")]
        {
            assert_eq!(cleaned(given).as_deref(), Some(sent));
        }
    }
}
