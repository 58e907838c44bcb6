//! The options of the storage. Their doc comments are the reference documentation.
//!
//! Whether the service answers isn't judged here: that belongs to the first call that needs it.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use windlass_object::oauth::Grant;
use windlass_object::{HttpOptions, Settings};
use windlass_plugin_api::{Error, ErrorKind, Result, Secret};

use crate::address;

const MIB: u64 = 1024 * 1024;

/// Options of `dropbox`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// A folder that everything is kept in: of the application's own folder, or of the whole Dropbox, as the application was
    /// registered. It is made.
    #[serde(default)]
    pub prefix: Option<String>,
    /// The application's key, as the App Console shows it. With `refresh_token`.
    #[serde(default)]
    pub client_id: Option<String>,
    /// The application's secret. Not needed where the refresh token was made with PKCE.
    #[serde(default)]
    pub client_secret: Option<Secret>,
    /// The account's word that the application may. Tokens are had for it again and again, so that a run of days goes on.
    #[serde(default)]
    pub refresh_token: Option<Secret>,
    /// A token in place of all that. Those of the service last four hours: it is asked for again when it has expired.
    #[serde(default)]
    pub access_token: Option<Secret>,
    /// One address in place of the service's own: that of a gateway or of a test.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Ranges of a download that are asked for at the same time. The parts of an upload follow each other.
    #[serde(default = "four")]
    #[schemars(range(min = 1, max = 64))]
    pub concurrency: u32,
    /// How many MiB one request of an upload takes: a multiple of 4. An upload holds two of them in memory; a larger one spares
    /// time on distant lines.
    #[serde(default = "sixteen")]
    #[schemars(range(min = 4, max = 140))]
    pub part_size: u32,
    /// Certificates in PEM form that the service's is judged by. Default: the system's.
    #[serde(default)]
    #[schemars(extend("format" = "path"))]
    pub ca_file: Option<PathBuf>,
    /// How many seconds connecting may take.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 3600))]
    pub connect_timeout: u32,
    /// How many seconds the service may be silent before a request is given up and tried again.
    #[serde(default = "sixty")]
    #[schemars(range(min = 1, max = 86400))]
    pub timeout: u32,
}

fn four() -> u32 {
    4
}

fn sixteen() -> u32 {
    16
}

fn ten() -> u32 {
    10
}

fn sixty() -> u32 {
    60
}

impl Options {
    /// Who we are. Judges what the types can't say.
    pub(crate) fn grant(&self) -> Result<Grant> {
        let wrong = |message: &str, hint: &str| Err(Error::new(ErrorKind::Config, message).hint(hint));
        if !self.part_size.is_multiple_of(4) {
            return wrong(
                "`part_size` isn't a multiple of 4",
                "The service proves blocks of 4 MiB: write 16 or 32.",
            );
        }
        match (&self.access_token, &self.refresh_token, &self.client_id) {
            (Some(token), None, None) => Ok(Grant::Access(token.clone())),
            (None, Some(refresh_token), Some(client_id)) => Ok(Grant::Refresh {
                token_url: address::token_url(self.endpoint.as_deref()),
                client_id: client_id.clone(),
                client_secret: self.client_secret.clone(),
                refresh_token: refresh_token.clone(),
            }),
            (Some(_), ..) => wrong(
                "more than one of `access_token` and `refresh_token` with `client_id` says who we are",
                "Keep `refresh_token` and `client_id`: they outlast a long run.",
            ),
            (None, ..) => wrong(
                "nothing says who we are",
                "Set `refresh_token` and `client_id`; docs/storages/dropbox.md says how to come by them.",
            ),
        }
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
            timeout: Duration::from_secs(self.timeout.into()),
            plain,
        }
    }
}
