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

const MIB: u64 = 1024 * 1024;

/// Options of `onedrive`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// A folder that everything is kept in. It is made.
    #[serde(default)]
    pub prefix: Option<String>,
    /// Keep everything in the folder of the application (`Apps/<its name>`), not in the whole drive: the right
    /// `Files.ReadWrite.AppFolder` is enough then.
    #[serde(default)]
    pub app_folder: bool,
    /// Another drive than one's own, by its id: a document library of SharePoint, a group's drive.
    #[serde(default)]
    pub drive_id: Option<String>,
    /// The application's id, as it is registered in Entra. With `refresh_token`.
    #[serde(default)]
    pub client_id: Option<String>,
    /// The application's secret. A public client has none.
    #[serde(default)]
    pub client_secret: Option<Secret>,
    /// The account's word that the application may. Tokens are had for it again and again, so that a run of days goes on.
    #[serde(default)]
    pub refresh_token: Option<Secret>,
    /// Who judges the account: the company's tenant, `consumers` for personal accounts, `common` for both.
    #[serde(default = "common")]
    pub tenant: String,
    /// A token in place of all that. Those of the service last about an hour: it is asked for again when it has expired.
    #[serde(default)]
    pub access_token: Option<Secret>,
    /// The address of Graph: that of a national cloud, or of a test.
    #[serde(default = "graph")]
    pub endpoint: String,
    /// Where tokens are had: of a national cloud, or of a test.
    #[serde(default = "login")]
    pub login_endpoint: String,
    /// Parts of an upload, and ranges of a download, that are under way at the same time.
    #[serde(default = "four")]
    #[schemars(range(min = 1, max = 64))]
    pub concurrency: u32,
    /// How many MiB a part has. An object that is no larger is one file; a larger one is a folder of parts, of which as many as
    /// `concurrency` says are in memory.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 200))]
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

fn common() -> String {
    "common".to_owned()
}

fn graph() -> String {
    "https://graph.microsoft.com".to_owned()
}

fn login() -> String {
    "https://login.microsoftonline.com".to_owned()
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
    /// Who we are. Judges what the types can't say.
    pub(crate) fn grant(&self) -> Result<Grant> {
        let wrong = |message: &str, hint: &str| Err(Error::new(ErrorKind::Config, message).hint(hint));
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
        if self.tenant.is_empty() || !self.tenant.bytes().all(is_word) {
            return wrong(
                "`tenant` isn't the name of one",
                "Write its id, its domain, `consumers` or `common`.",
            );
        }
        if self.app_folder && self.drive_id.is_some() {
            return wrong("`app_folder` and `drive_id` are two places", "Keep one of them.");
        }
        match (&self.access_token, &self.refresh_token, &self.client_id) {
            (Some(token), None, None) => Ok(Grant::Access(token.clone())),
            (None, Some(refresh_token), Some(client_id)) => Ok(Grant::Refresh {
                token_url: format!(
                    "{}/{}/oauth2/v2.0/token",
                    self.login_endpoint.trim_end_matches('/'),
                    self.tenant
                ),
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
                "Set `refresh_token` and `client_id`; docs/storages/onedrive.md says how to come by them.",
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
