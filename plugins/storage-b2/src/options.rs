//! The options of the storage. Their doc comments are the reference documentation.
//!
//! Whether the service answers isn't judged here: that belongs to the first call that needs it.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use windlass_object::{HttpOptions, Settings};
use windlass_plugin_api::{Error, ErrorKind, Result, Secret};

const MIB: u64 = 1024 * 1024;

/// Options of `b2`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The bucket, which must exist. With a `/` behind it also the beginning of `prefix`: `acme-backups/web`.
    pub bucket: String,
    /// A folder in the bucket that everything is kept in.
    #[serde(default)]
    pub prefix: Option<String>,
    /// The ID of the application key. Default: the environment's `B2_APPLICATION_KEY_ID`.
    #[serde(default)]
    pub key_id: Option<String>,
    /// The application key itself. Default: the environment's `B2_APPLICATION_KEY`.
    #[serde(default)]
    pub application_key: Option<Secret>,
    /// What deleting means. Nothing is ever replaced in a bucket: a file has versions.
    #[serde(default)]
    pub delete: Delete,
    /// Makes new files undeletable for a time. The bucket must have object lock switched on.
    #[serde(default)]
    #[schemars(extend("format" = "lock"))]
    pub retention: Option<Retention>,
    /// The address where one logs in. All others the service names itself.
    #[serde(default = "backblaze")]
    pub endpoint: String,
    /// Parts of an upload, or ranges of a download, that are on their way at the same time.
    #[serde(default = "four")]
    #[schemars(range(min = 1, max = 64))]
    pub concurrency: u32,
    /// How many MiB a part of an upload has. It grows by itself where 10,000 parts wouldn't hold the stream. A smaller object
    /// is stored in one request. An upload holds up to `concurrency` parts in memory.
    #[serde(default = "eight")]
    #[schemars(range(min = 5, max = 4096))]
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

/// What deleting means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Delete {
    /// All versions of the file are deleted.
    #[default]
    Versions,
    /// The file is hidden, and its versions stay until a lifecycle rule of the bucket removes them. The key needs no right to delete.
    Hide,
}

/// How new files are made undeletable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Who can shorten the time.
    pub mode: RetentionMode,
    /// For how many days.
    #[schemars(range(min = 1, max = 3000))]
    pub days: u32,
}

/// Whether retention can be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RetentionMode {
    /// By a key with the capability `bypassGovernance`.
    Governance,
    /// By nobody.
    Compliance,
}

impl RetentionMode {
    /// As the service calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Governance => "governance",
            Self::Compliance => "compliance",
        }
    }
}

fn backblaze() -> String {
    "https://api.backblazeb2.com".to_owned()
}

fn four() -> u32 {
    4
}

fn eight() -> u32 {
    8
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
        // An ID of the options and a key of the environment would be those of two keys.
        if self.key_id.is_some() != self.application_key.is_some() {
            return Err(Error::new(
                ErrorKind::Config,
                "`key_id` and `application_key` go together: one of them is missing",
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
