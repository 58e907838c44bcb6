//! The options of the storage. Their doc comments are the reference documentation.
//!
//! Whether the service answers isn't judged here: that belongs to the first call that needs it.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use windlass_object::{HttpOptions, Settings};
use windlass_plugin_api::{Error, ErrorKind, Result, Secret};

use crate::presets::Preset;

const MIB: u64 = 1024 * 1024;

/// Options of `s3`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The bucket, which must exist. With a `/` behind it also the beginning of `prefix`: `acme-backups/web`.
    pub bucket: String,
    /// A folder in the bucket that everything is kept in.
    #[serde(default)]
    pub prefix: Option<String>,
    /// Whose service it is: sets `endpoint`, `region` and `path_style` where these aren't set.
    #[serde(default)]
    pub preset: Preset,
    /// The service's address: `https://s3.example.org`, or `http://` in a network that is trusted: what isn't encrypted by
    /// a filter can be read on the way then. Default: the environment's `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL`, else the preset's.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// The bucket's region. Default: the environment's `AWS_REGION` or `AWS_DEFAULT_REGION`, else the preset's; AWS tells the right one.
    #[serde(default)]
    pub region: Option<String>,
    /// The account's number in the address of Cloudflare R2.
    #[serde(default)]
    pub account: Option<String>,
    /// The id of the access key. Without it what AWS's own tools use: the environment's `AWS_ACCESS_KEY_ID` and so on, the
    /// shared files with their profiles, a web identity, the role of a container or of an instance.
    #[serde(default)]
    pub access_key_id: Option<Secret>,
    /// The access key itself.
    #[serde(default)]
    pub secret_access_key: Option<Secret>,
    /// The token that belongs to temporary keys.
    #[serde(default)]
    pub session_token: Option<Secret>,
    /// The profile of the shared files. Default: `AWS_PROFILE`, else `default`.
    #[serde(default)]
    pub profile: Option<String>,
    /// Whether the bucket is a folder of the address (`https://host/bucket/…`) rather than a part of the host's name.
    /// Default: as the preset says; true where the bucket's name has a dot, or `endpoint` is an IP address.
    #[serde(default)]
    pub path_style: Option<bool>,
    /// The storage class of new objects: `STANDARD_IA`, `GLACIER_IR`, … Classes that must be thawed before they are read
    /// can't be restored from directly. Default: the bucket's.
    #[serde(default)]
    pub storage_class: Option<String>,
    /// Encryption by the service, with its key. That the service can't read it takes a filter. Default: the bucket's.
    #[serde(default)]
    pub encryption: Option<Encryption>,
    /// The key of the service's key management for `encryption = "aws:kms"`. Default: the bucket's.
    #[serde(default)]
    pub kms_key_id: Option<String>,
    /// Makes new objects undeletable for a time. The bucket must have object lock switched on.
    #[serde(default)]
    #[schemars(extend("format" = "lock"))]
    pub object_lock: Option<ObjectLock>,
    /// Requests with data in flight at the same time, of all uploads of a run together, and of each download.
    #[serde(default = "four")]
    #[schemars(range(min = 1, max = 64))]
    pub concurrency: u32,
    /// The size of a part in MiB. An upload takes `concurrency` + 1 of them in memory; parts become larger where 10,000 of
    /// them would not hold the stream.
    #[serde(default = "eight")]
    #[schemars(range(min = 5, max = 5120))]
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

/// Encryption by the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Encryption {
    /// With a key of S3's own.
    #[serde(rename = "AES256")]
    Aes256,
    /// With a key of AWS's key management.
    #[serde(rename = "aws:kms")]
    Kms,
    /// The same, in two layers.
    #[serde(rename = "aws:kms:dsse")]
    KmsTwice,
}

impl Encryption {
    /// As the protocol calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aes256 => "AES256",
            Self::Kms => "aws:kms",
            Self::KmsTwice => "aws:kms:dsse",
        }
    }
}

/// How new objects are made undeletable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectLock {
    /// Who may delete them nevertheless.
    pub mode: LockMode,
    /// For how many days.
    #[schemars(range(min = 1, max = 36500))]
    pub days: u32,
}

/// Who may delete a locked object nevertheless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LockMode {
    /// Who has the right to bypass governance.
    Governance,
    /// Nobody, the account's owner included.
    Compliance,
}

impl LockMode {
    /// As the protocol calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Governance => "GOVERNANCE",
            Self::Compliance => "COMPLIANCE",
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
        let wrong = |message: &str| Err(Error::new(ErrorKind::Config, message));
        if self.access_key_id.is_some() != self.secret_access_key.is_some() {
            return wrong("`access_key_id` and `secret_access_key` belong together, and one is missing");
        }
        if self.session_token.is_some() && self.access_key_id.is_none() {
            return wrong("`session_token` is given, but no `access_key_id`");
        }
        if self.profile.is_some() && self.access_key_id.is_some() {
            return wrong("`profile` and `access_key_id` both say who we are");
        }
        if self.kms_key_id.is_some()
            && !matches!(self.encryption, Some(Encryption::Kms | Encryption::KmsTwice))
        {
            return wrong("`kms_key_id` is given, but `encryption` isn't `aws:kms`");
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
