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

/// Options of `gdrive`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The folder that everything is kept in, as a path below the root: `Backups/web1`. The first backup makes what is missing of it.
    #[serde(default)]
    pub folder: Option<String>,
    /// The folder by its ID in place of its path: the last part of its address in a browser. It must exist.
    #[serde(default)]
    pub folder_id: Option<String>,
    /// The ID of a shared drive whose root `folder` is below. Default: the user's own drive.
    #[serde(default)]
    pub drive_id: Option<String>,
    /// The ID of the OAuth client that `refresh_token` was made for.
    #[serde(default)]
    pub client_id: Option<String>,
    /// The secret of that client.
    #[serde(default)]
    pub client_secret: Option<Secret>,
    /// What tokens are had for: the user's word that the client may. The scope `drive.file` is enough.
    #[serde(default)]
    pub refresh_token: Option<Secret>,
    /// A token in place of all that. It is asked for again when it expires, so a command may make it.
    #[serde(default)]
    pub access_token: Option<Secret>,
    /// Where tokens are had.
    #[serde(default = "tokens")]
    pub login_url: String,
    /// The service's address.
    #[serde(default = "google")]
    pub endpoint: String,
    /// Ranges of a download that are asked for at the same time. An upload goes over one connection.
    #[serde(default = "four")]
    #[schemars(range(min = 1, max = 64))]
    pub concurrency: u32,
    /// How many MiB one request of an upload takes. An upload holds two of them in memory; a larger one spares time on distant
    /// lines.
    #[serde(default = "sixteen")]
    #[schemars(range(min = 1, max = 1024))]
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

fn tokens() -> String {
    "https://oauth2.googleapis.com/token".to_owned()
}

fn google() -> String {
    "https://www.googleapis.com".to_owned()
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

fn wrong(message: &str, hint: &str) -> Error {
    Error::new(ErrorKind::Config, message).hint(hint)
}

impl Options {
    /// What the types can't say.
    pub(crate) fn judge(&self) -> Result<()> {
        match (&self.folder, &self.folder_id) {
            (Some(_), Some(_)) => {
                return Err(wrong("`folder` and `folder_id` both say where", "Leave one of them out."));
            }
            (None, None) => {
                return Err(wrong("`folder` is missing", "Write `folder = \"Backups\"`, or the ID of one."));
            }
            (Some(folder), None) if self.segments().is_empty() || folder.contains("//") => {
                return Err(wrong(
                    "`folder` names no folder",
                    "Write a path below the root: `Backups/web1`.",
                ));
            }
            _ => {}
        }
        for (name, url) in [("endpoint", &self.endpoint), ("login_url", &self.login_url)] {
            let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
            if rest.is_none_or(|rest| rest.is_empty() || rest.contains(['@', '?', '#', ' '])) {
                // It may hold a password: it isn't repeated.
                let message = format!("`{name}` isn't the address of a service");
                return Err(wrong(&message, "Write `https://…`, without user, password and query."));
            }
        }
        Ok(())
    }

    /// The names of the folders from the root on.
    pub(crate) fn segments(&self) -> Vec<String> {
        let path = self.folder.as_deref().unwrap_or_default();
        path.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect()
    }

    /// Who we are.
    pub(crate) fn grant(&self) -> Result<Grant> {
        match (&self.access_token, &self.client_id, &self.refresh_token) {
            (Some(_), _, Some(_)) => {
                Err(wrong("both `access_token` and `refresh_token` say who we are", "Leave one of them out."))
            }
            (Some(token), _, None) => Ok(Grant::Access(token.clone())),
            (None, Some(client_id), Some(refresh_token)) => Ok(Grant::Refresh {
                token_url: self.login_url.clone(),
                client_id: client_id.clone(),
                client_secret: self.client_secret.clone(),
                refresh_token: refresh_token.clone(),
            }),
            (None, _, _) => Err(wrong(
                "`client_id` and `refresh_token`, or `access_token`, are missing",
                "docs/storages/gdrive.md says how they are had.",
            )),
        }
    }

    /// Whether no TLS is needed.
    pub(crate) fn is_plain(&self) -> bool {
        self.endpoint.starts_with("http://") && self.login_url.starts_with("http://")
    }

    /// How much is done at the same time.
    pub(crate) fn settings(&self) -> Settings {
        Settings { concurrency: self.concurrency, part_bytes: u64::from(self.part_size) * MIB }
    }

    /// How requests are made.
    pub(crate) fn http(&self) -> HttpOptions {
        HttpOptions {
            ca_file: self.ca_file.clone(),
            connect_timeout: Duration::from_secs(self.connect_timeout.into()),
            timeout: Duration::from_secs(self.timeout.into()),
            plain: self.is_plain(),
        }
    }
}
