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

/// Options of `sftp`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// All of it in one: `sftp://user@host:port/path`, in place of `host`, `port`, `user` and `path`. The path is absolute;
    /// `/~/path` begins in the folder that the server signs the user in to. Options that hold no secret may follow:
    /// `?key_file=/etc/windlass/id_ed25519`.
    pub url: Option<Url>,
    /// The server's name or address.
    pub host: Option<String>,
    /// The server's port. Default: 22.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// The user to sign in as. Default: the one who runs this, by `USER` or `LOGNAME`.
    pub user: Option<String>,
    /// The folder on the server that objects are kept in: absolute (`/srv/backups`), or below the folder that the server signs
    /// the user in to (`backups`). It may be a symbolic link; nothing below it may.
    pub path: Option<String>,
    /// Makes the folder (not those above it) when the first backup finds it missing. Off by default, for a missing folder
    /// mostly means a disk that isn't mounted, and a backup must not go below its mount point instead.
    pub create_root: bool,
    /// The private key itself, in the form that `ssh-keygen` writes.
    pub private_key: Option<Secret>,
    /// The file with the private key. With a public key in it, the agent is asked for the private one.
    #[schemars(extend("format" = "path"))]
    pub key_file: Option<PathBuf>,
    /// What the private key is locked with.
    pub key_passphrase: Option<Secret>,
    /// Offer the keys of the agent that `SSH_AUTH_SOCK` names, if no key is given.
    pub agent: bool,
    /// The user's password. It is sent where the server takes no key, or asks for both.
    pub password: Option<Secret>,
    /// The files with the keys of known servers, in place of `~/.ssh/known_hosts` and `/etc/ssh/ssh_known_hosts`.
    pub known_hosts: Option<Vec<File>>,
    /// The server's public key (`ssh-ed25519 AAAA…`) or its fingerprint (`SHA256:…`), in place of all files.
    pub host_key: Option<String>,
    /// How many seconds connecting and signing in may take.
    #[schemars(range(min = 1, max = 3600))]
    pub connect_timeout: u32,
    /// For how many seconds nothing may come or go while an answer is awaited.
    #[schemars(range(min = 1, max = 86400))]
    pub timeout: u32,
    /// After how many seconds of silence the server is asked whether it is still there; three questions without an answer
    /// end the connection. 0: never.
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
            path: None,
            create_root: false,
            private_key: None,
            key_file: None,
            key_passphrase: None,
            agent: true,
            password: None,
            known_hosts: None,
            host_key: None,
            connect_timeout: 20,
            timeout: 60,
            keepalive: 15,
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

/// A file on this machine.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct File(#[schemars(extend("format" = "path"))] pub PathBuf);

/// Options that fit together, with their defaults.
#[derive(Clone, Debug)]
pub struct Settings {
    pub host: String,
    pub port: u16,
    pub user: String,
    /// As it is sent: absolute, or relative to where the server begins.
    pub path: String,
    pub create_root: bool,
    pub private_key: Option<Secret>,
    pub key_file: Option<PathBuf>,
    pub key_passphrase: Option<Secret>,
    pub agent: bool,
    pub password: Option<Secret>,
    pub known_hosts: Option<Vec<PathBuf>>,
    pub host_key: Option<String>,
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
        let user = self.user.or_else(|| ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok()));
        let user = user.filter(|user| !user.is_empty());
        let user = user.ok_or_else(|| wrong("no user is named").hint("Set `user`."))?;
        if self.private_key.is_some() && self.key_file.is_some() {
            return Err(wrong("`private_key` and `key_file` both name the key"));
        }
        if let Some(pinned) = &self.host_key {
            crate::connect::hosts::Pinned::read(pinned)?;
        }
        Ok(Settings {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: self.port.unwrap_or(22),
            user,
            path,
            create_root: self.create_root,
            private_key: self.private_key,
            key_file: self.key_file,
            key_passphrase: self.key_passphrase,
            agent: self.agent,
            password: self.password,
            known_hosts: self.known_hosts.map(|files| files.into_iter().map(|file| file.0).collect()),
            host_key: self.host_key,
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
            json!({ "url": "sftp://me%40x@[::1]:2222/srv/my%20backups/?create_root=true&timeout=7" }),
        );
        let url = url.unwrap();
        assert_eq!((url.host.as_str(), url.port, url.user.as_str()), ("::1", 2222, "me@x"));
        assert_eq!((url.path.as_str(), url.create_root), ("/srv/my backups", true));
        assert_eq!((url.timeout, url.password.is_some()), (Duration::from_secs(7), false));
        let home = settled(json!({ "url": "sftp://me:pass@nas/~/backups" })).unwrap();
        assert_eq!((home.path.as_str(), home.port, home.password.is_some()), ("backups", 22, true));
    }

    #[test]
    fn what_does_not_fit_together_is_refused_without_a_secret() {
        for options in [
            json!({ "host": "nas" }),
            json!({ "path": "/srv" }),
            json!({ "host": "nas", "path": "" }),
            json!({ "url": "sftp://me:Geheim@nas/srv", "host": "nas" }),
            json!({ "url": "sftp://me:Geheim@nas/srv?pasword=x" }),
            json!({ "url": "sftp://me:Geheim@nas:port/srv" }),
            json!({ "url": "http://me:Geheim@nas/srv" }),
            json!({ "host": "nas", "path": "/srv", "host_key": "Geheim" }),
            json!({ "host": "nas", "path": "/srv", "key_file": "/k", "private_key": "Geheim" }),
        ] {
            let error = settled(options.clone()).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Config, "{options}: {error}");
            assert!(!format!("{error:?}").contains("Geheim") || options["host_key"].is_string(), "{error:?}");
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
