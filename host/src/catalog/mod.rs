//! The snapshots of a storage, read from their manifests.
//!
//! It loads no plugin but the storage's, writes nothing but what it remembers, and believes nothing that it hasn't checked: keys are computed
//! from names that match a pattern, never read from a manifest.

mod abreast;
mod applied;
pub mod item;
pub mod level;
pub mod list;
pub mod manifest;
mod recall;
pub mod reference;
pub mod snapshot;

pub use applied::AppliedFilter;
pub use list::{Catalog, Found};
pub use manifest::{Manifest, SourceRecord, StreamRecord};
pub use recall::Recall;
pub use reference::{Reference, When};
pub use snapshot::{SnapshotId, SnapshotKey};

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
