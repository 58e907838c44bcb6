//! The options of the source. Their doc comments are the reference documentation.
//!
//! Whether a server answers isn't judged here: that belongs to the first call that needs it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use windlass_plugin_api::{Error, ErrorKind, Result, Secret};

use crate::address::Address;

/// Options of `redis`.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The server as a URL: `redis://user@host:6379`, `rediss://…` with TLS, `redis+unix:///run/redis.sock`. `valkey` and
    /// `valkeys` are the same. In place of `host`, `port`, `socket` and `user`. It names no database: an RDB holds all.
    pub url: Option<String>,
    /// The server's name or address. Default: `127.0.0.1`.
    pub host: Option<String>,
    /// The server's port. Default: 6379.
    pub port: Option<u16>,
    /// A Unix socket, in place of `host` and `port`.
    #[schemars(extend("format" = "path"))]
    pub socket: Option<PathBuf>,
    /// The ACL user. Without it, a password is the one of the user `default`.
    pub user: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// Use TLS; the same as a URL that begins with `rediss`.
    pub tls: bool,
    /// Certificates in PEM form that the server's is judged by. Default: those that the system trusts.
    #[schemars(extend("format" = "path"))]
    pub ca_file: Option<PathBuf>,
    /// Our own certificate in PEM form, for a server that asks for one. Needs `key_file`.
    #[schemars(extend("format" = "path"))]
    pub cert_file: Option<PathBuf>,
    /// The key of `cert_file` in PEM form.
    #[schemars(extend("format" = "path"))]
    pub key_file: Option<PathBuf>,
    /// The name that the server's certificate must hold. Default: `host`.
    pub tls_server_name: Option<String>,
    /// How many seconds connecting and signing in may take.
    #[schemars(range(min = 1, max = 86400))]
    pub connect_timeout: u32,
    /// How many seconds the server may be silent, or take no bytes, before a run gives up. A server that prepares an RDB
    /// isn't silent: it sends a sign of life every ten seconds.
    #[schemars(range(min = 1, max = 86400))]
    pub timeout: u32,
    /// Let the server send the RDB as it writes it, if its `repl-diskless-sync` says so. With `false` it first writes
    /// a file of its own and then sends that: its forked process ends earlier, a slow storage can't meet `repl-timeout`,
    /// and `repl-diskless-sync-delay` isn't waited for, but its disk needs the room.
    pub diskless: bool,
    /// Restore where the keys belong, not beside what is there: needs no memory for both, but a `replace` that fails leaves a
    /// part of the new keys and none of the old.
    pub in_place: bool,
    /// Restore to this RDB file, for a server that is stopped, in place of a running one.
    #[schemars(extend("format" = "path"))]
    pub rdb_file: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            url: None,
            host: None,
            port: None,
            socket: None,
            user: None,
            password: None,
            tls: false,
            ca_file: None,
            cert_file: None,
            key_file: None,
            tls_server_name: None,
            connect_timeout: 10,
            timeout: 60,
            diskless: true,
            in_place: false,
            rdb_file: None,
        }
    }
}

/// By hand: the URL may hold a password.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = Address::of(self).map(|address| address.to_string());
        f.debug_struct("Options").field("server", &place.ok()).field("rdb_file", &self.rdb_file).finish()
    }
}

impl Options {
    /// How long connecting may take.
    pub fn connect_patience(&self) -> Duration {
        Duration::from_secs(self.connect_timeout.max(1).into())
    }

    /// How long the server may be silent.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.timeout.max(1).into())
    }

    /// What the types can't say.
    pub(crate) fn judge(&self) -> Result<()> {
        let address = Address::of(self)?;
        let wrong = |message: &str| Err(Error::new(ErrorKind::Config, message));
        if self.cert_file.is_some() != self.key_file.is_some() {
            return wrong("`cert_file` and `key_file` belong together, and one of them is missing");
        }
        let for_tls = [
            ("ca_file", self.ca_file.is_some()),
            ("cert_file", self.cert_file.is_some()),
            ("tls_server_name", self.tls_server_name.is_some()),
        ];
        if let Some((name, _)) = for_tls.iter().find(|(_, given)| *given && !address.tls) {
            let error = Error::new(ErrorKind::Config, format!("`{name}` is given, but TLS isn't used"));
            return Err(error.hint("Set `tls = true`, or begin the URL with `rediss`."));
        }
        Ok(())
    }
}
