//! The options of the storage. Their doc comments are the reference documentation.
//!
//! Whether the service answers isn't judged here: that belongs to the first call that needs it.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use windlass_object::{HttpOptions, Settings};
use windlass_plugin_api::{Error, ErrorKind, Result, Secret};

const MIB: u64 = 1024 * 1024;

/// Options of `gcs`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The bucket, which must exist. With a `/` behind it also the beginning of `prefix`: `acme-backups/web`.
    pub bucket: String,
    /// A folder in the bucket that everything is kept in.
    #[serde(default)]
    pub prefix: Option<String>,
    /// The service's address: a private or a regional endpoint, or that of an emulator (`http://127.0.0.1:4443`).
    #[serde(default = "google")]
    pub endpoint: String,
    /// The key of a service account: the whole JSON document. `{ file = "key.json" }` reads it from a file. Without it what
    /// Google's own tools use: the file that `GOOGLE_APPLICATION_CREDENTIALS` names (a key, or a federated identity), the
    /// login of `gcloud auth application-default login`, the machine's service account.
    #[serde(default)]
    pub service_account_key: Option<Secret>,
    /// A token in place of all that. It is asked for again when it expires: `{ command = ["gcloud", "auth", "print-access-token"] }`.
    #[serde(default)]
    pub access_token: Option<Secret>,
    /// Don't say who we are. For emulators, and for reading what is public.
    #[serde(default)]
    pub anonymous: bool,
    /// The storage class of new objects: `NEARLINE`, `COLDLINE`, `ARCHIVE`, … All can be read at once. Default: the bucket's.
    #[serde(default)]
    pub storage_class: Option<String>,
    /// The key of Cloud KMS that the service encrypts new objects with: `projects/…/cryptoKeys/…`. Default: the bucket's.
    #[serde(default)]
    pub kms_key: Option<String>,
    /// Makes new objects undeletable for a time. The bucket must have object retention switched on.
    #[serde(default)]
    #[schemars(extend("format" = "lock"))]
    pub retention: Option<Retention>,
    /// Ranges of a download that are asked for at the same time. An upload goes over one connection.
    #[serde(default = "four")]
    #[schemars(range(min = 1, max = 64))]
    pub concurrency: u32,
    /// How many MiB one request of an upload or a download takes. An upload holds two of them in memory; a larger one spares
    /// time on distant lines.
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

/// How new objects are made undeletable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Whether the time can be shortened.
    pub mode: RetentionMode,
    /// For how many days.
    #[schemars(range(min = 1, max = 36500))]
    pub days: u32,
}

/// Whether retention can be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RetentionMode {
    /// By who has the right to it.
    Unlocked,
    /// By nobody.
    Locked,
}

impl RetentionMode {
    /// As the service calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unlocked => "Unlocked",
            Self::Locked => "Locked",
        }
    }
}

fn google() -> String {
    "https://storage.googleapis.com".to_owned()
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
    /// What the types can't say.
    pub(crate) fn judge(&self) -> Result<()> {
        let said = [self.service_account_key.is_some(), self.access_token.is_some(), self.anonymous];
        if said.iter().filter(|said| **said).count() > 1 {
            return Err(Error::new(
                ErrorKind::Config,
                "more than one of `service_account_key`, `access_token` and `anonymous` says who we are",
            ));
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
            timeout: Duration::from_secs(self.timeout.into()),
            plain,
        }
    }
}
