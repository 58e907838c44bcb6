//! The options of the storage. Their doc comments are the reference documentation.
//!
//! Whether the server answers isn't judged here: that belongs to the first call that needs it.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use windlass_object::{HttpOptions, Settings};
use windlass_plugin_api::{Error, ErrorKind, Result, Secret};

const MIB: u64 = 1024 * 1024;

/// Options of `webdav`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// A folder of the server, which must exist: `https://cloud.example/remote.php/dav/files/me/backups`. Without a scheme it
    /// is `https://`; with `http://` passwords and what no filter has encrypted can be read on the way.
    pub url: String,
    /// A folder below it that everything is kept in. It is made.
    #[serde(default)]
    pub prefix: Option<String>,
    /// Who logs in with `password`.
    #[serde(default)]
    pub user: Option<String>,
    /// The password. Many services want one that is made for this use alone, an app password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// A token in place of user and password. It is asked for again when it expires.
    #[serde(default)]
    pub bearer_token: Option<Secret>,
    /// Ranges of a download that are asked for at the same time. An upload goes over one connection.
    #[serde(default = "four")]
    #[schemars(range(min = 1, max = 64))]
    pub concurrency: u32,
    /// How many MiB of a stream are held in memory while those before are sent. An object that is no larger is sent with its
    /// length; a larger one is sent chunked, for its length isn't known before.
    #[serde(default = "four")]
    #[schemars(range(min = 1, max = 1024))]
    pub part_size: u32,
    /// Certificates in PEM form that the server's is judged by: that of an authority, or a self-signed one itself. Default:
    /// the system's.
    #[serde(default)]
    #[schemars(extend("format" = "path"))]
    pub ca_file: Option<PathBuf>,
    /// How many seconds connecting may take.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 3600))]
    pub connect_timeout: u32,
    /// How many seconds the server may be silent. A request without a stream is tried again then.
    #[serde(default = "sixty")]
    #[schemars(range(min = 1, max = 86400))]
    pub timeout: u32,
}

fn four() -> u32 {
    4
}

fn ten() -> u32 {
    10
}

fn sixty() -> u32 {
    60
}

impl Options {
    /// What the types can't say.
    pub(crate) fn judge(&self) -> Result<()> {
        let wrong = |message: &str| Err(Error::new(ErrorKind::Config, message));
        if self.user.is_some() != self.password.is_some() {
            return wrong("`user` and `password` belong together, and one is missing");
        }
        if self.user.as_ref().is_some_and(|user| user.contains(':')) {
            return wrong("`user` has a colon, which the protocol has no room for");
        }
        if self.bearer_token.is_some() && self.password.is_some() {
            return wrong("`password` and `bearer_token` both say who we are");
        }
        Ok(())
    }

    /// How much is done at the same time.
    pub(crate) fn settings(&self) -> Settings {
        Settings { concurrency: self.concurrency, part_bytes: u64::from(self.part_size) * MIB }
    }

    /// How requests are made.
    pub(crate) fn http(&self, plain: bool) -> HttpOptions {
        HttpOptions {
            ca_file: self.ca_file.clone(),
            connect_timeout: Duration::from_secs(self.connect_timeout.into()),
            timeout: self.patience(),
            plain,
        }
    }

    /// How long the server may be silent.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(self.timeout.into())
    }
}
