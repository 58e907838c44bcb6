//! What is known of the services that speak S3's protocol: their addresses, and where they differ.
//!
//! From the services' own documentation. Which of them were tested how, docs/storages/s3.md says.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A service that speaks S3's protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Amazon S3.
    #[default]
    Aws,
    /// Cloudflare R2. Needs `account`.
    R2,
    /// Backblaze B2, by its S3 protocol.
    B2,
    /// DigitalOcean Spaces.
    Spaces,
    /// Wasabi.
    Wasabi,
    /// MinIO. Needs `endpoint`.
    Minio,
    /// Garage. Needs `endpoint`.
    Garage,
    /// SeaweedFS. Needs `endpoint`.
    Seaweedfs,
    /// Scaleway Object Storage.
    Scaleway,
    /// Hetzner Object Storage.
    Hetzner,
    /// OVHcloud Object Storage.
    Ovh,
    /// Alibaba Cloud OSS.
    Alibaba,
    /// Tencent Cloud COS.
    Tencent,
    /// Huawei Cloud OBS.
    Huawei,
}

/// A service's particulars.
pub struct Facts {
    /// Its address, with `{region}` and `{account}`; `None`: everybody runs their own.
    pub endpoint: Option<&'static str>,
    /// The region where none is set; `None`: it must be.
    pub region: Option<&'static str>,
    /// The bucket is a folder of the address rather than a part of the host's name.
    pub path_style: bool,
    /// All parts of an upload but the last must be of one size.
    pub equal_parts: bool,
}

impl Preset {
    /// What is known of it.
    pub fn facts(self) -> Facts {
        let (endpoint, region, path_style) = match self {
            Self::Aws => (Some("https://s3.{region}.amazonaws.com"), Some("us-east-1"), false),
            Self::R2 => (Some("https://{account}.r2.cloudflarestorage.com"), Some("auto"), true),
            Self::B2 => (Some("https://s3.{region}.backblazeb2.com"), None, true),
            Self::Spaces => (Some("https://{region}.digitaloceanspaces.com"), None, false),
            Self::Wasabi => (Some("https://s3.{region}.wasabisys.com"), Some("us-east-1"), true),
            Self::Minio | Self::Seaweedfs => (None, Some("us-east-1"), true),
            Self::Garage => (None, Some("garage"), true),
            Self::Scaleway => (Some("https://s3.{region}.scw.cloud"), None, true),
            Self::Hetzner => (Some("https://{region}.your-objectstorage.com"), None, true),
            Self::Ovh => (Some("https://s3.{region}.io.cloud.ovh.net"), None, true),
            Self::Alibaba => (Some("https://s3.oss-{region}.aliyuncs.com"), None, false),
            Self::Tencent => (Some("https://cos.{region}.myqcloud.com"), None, false),
            Self::Huawei => (Some("https://obs.{region}.myhuaweicloud.com"), None, false),
        };
        Facts { endpoint, region, path_style, equal_parts: self == Self::R2 }
    }
}
