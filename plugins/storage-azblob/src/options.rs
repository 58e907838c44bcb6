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

/// Options of `azblob`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The container, which must exist. With a `/` behind it also the beginning of `prefix`: `backups/web`.
    pub container: String,
    /// A folder in the container that everything is kept in.
    #[serde(default)]
    pub prefix: Option<String>,
    /// The storage account. Default: the environment's `AZURE_STORAGE_ACCOUNT`, else the one of its
    /// `AZURE_STORAGE_CONNECTION_STRING`.
    #[serde(default)]
    pub account: Option<String>,
    /// The account's blob endpoint: `https://acme.blob.core.chinacloudapi.cn`, or `http://127.0.0.1:10000/acme` for an
    /// emulator. Default: that of the environment's connection string, else `https://<account>.blob.core.windows.net`.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// A key of the account. Without key and token: the environment's `AZURE_STORAGE_KEY`, `AZURE_STORAGE_SAS_TOKEN` or
    /// `AZURE_STORAGE_CONNECTION_STRING`, else a service principal or a workload identity of the environment
    /// (`AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and so on), else the managed identity of the machine.
    #[serde(default)]
    pub account_key: Option<Secret>,
    /// A shared access signature, in place of the key: it can be good for one container, for creating alone, and for a time.
    #[serde(default)]
    pub sas_token: Option<Secret>,
    /// The access tier of new blobs. What is archived must be thawed before it is read. Default: the account's.
    #[serde(default)]
    pub access_tier: Option<AccessTier>,
    /// The encryption scope of new blobs. Default: the container's.
    #[serde(default)]
    pub encryption_scope: Option<String>,
    /// Makes new blobs undeletable for a time. The container must support version-level immutability.
    #[serde(default)]
    #[schemars(extend("format" = "lock"))]
    pub immutability: Option<Immutability>,
    /// Requests with data in flight at the same time, of all uploads of a run together, and of each download.
    #[serde(default = "four")]
    #[schemars(range(min = 1, max = 64))]
    pub concurrency: u32,
    /// The size of a block in MiB. An upload takes `concurrency` + 1 of them in memory; blocks become larger where 50,000 of
    /// them would not hold the stream.
    #[serde(default = "eight")]
    #[schemars(range(min = 1, max = 4000))]
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

/// What storing and reading cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AccessTier {
    /// Storing costs most, reading least.
    Hot,
    /// For what stays at least 30 days.
    Cool,
    /// For what stays at least 90 days.
    Cold,
    /// For what stays at least 180 days. Thawing takes hours.
    Archive,
}

impl AccessTier {
    /// As the service calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hot => "Hot",
            Self::Cool => "Cool",
            Self::Cold => "Cold",
            Self::Archive => "Archive",
        }
    }
}

/// How new blobs are made undeletable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Immutability {
    /// Whether the time can be shortened.
    pub mode: ImmutabilityMode,
    /// For how many days.
    #[schemars(range(min = 1, max = 36500))]
    pub days: u32,
}

/// Whether an immutability policy can be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ImmutabilityMode {
    /// By who has the right to it.
    Unlocked,
    /// By nobody.
    Locked,
}

impl ImmutabilityMode {
    /// As the service calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unlocked => "unlocked",
            Self::Locked => "locked",
        }
    }
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
        if self.account_key.is_some() && self.sas_token.is_some() {
            return Err(Error::new(ErrorKind::Config, "`account_key` and `sas_token` both say who we are"));
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
