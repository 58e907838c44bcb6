//! What a config says once it is understood: entries and pipelines. Plain data; [`super::read`] makes it.

use std::collections::BTreeMap;
use std::time::Duration;

use semver::VersionReq;
use windlass_plugin_api::Kind;

use super::each::Each;
use super::fan::StorageUse;
use super::priority::Priority;
use super::retention::Retention;
use super::schedule::Schedule;
use super::value::{Located, Origin, Table};

/// A plugin with its options: a `[source.X]`, a `[storage.X]`, one of a pipeline's filters, a `[decode.X]`, or what a
/// URL stands for.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// What sort of plugin.
    pub kind: Kind,
    /// The plugin, as it was named: `zstd`, `vendor/name`, an alias.
    pub plugin: Located<String>,
    /// Which versions of it will do.
    pub version: Option<Located<VersionReq>>,
    /// At most so many runs read a source at once.
    pub max_runs: Option<Located<u32>>,
    /// The options as written: references unresolved, old names unchanged.
    pub options: Table,
    /// Its dotted path: `source.shop`, `pipeline.shop.filters[0]`; of a URL the URL, without its password.
    pub key: String,
    /// Where it stands.
    pub origin: Origin,
}

/// One source, its filters, one or more storages, and policies.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    /// Its name.
    pub name: String,
    /// The name of a `[source.X]`, or a URL.
    pub source: Located<String>,
    /// Each of these items of the source is backed up by itself.
    pub each: Option<Each>,
    /// In the order in which a backup passes through them.
    pub filters: Vec<Entry>,
    /// Where snapshots are kept; at least one.
    pub storages: Vec<StorageUse>,
    /// At least so many of them must have a snapshot.
    pub quorum: Option<Located<u32>>,
    /// When it should run. Nothing acts on it yet.
    pub schedule: Option<Schedule>,
    /// What should be kept. Nothing acts on it yet.
    pub retention: Option<Retention>,
    /// How long a run may take in all.
    pub timeout: Option<Duration>,
    /// How long a run may go on without a byte being moved.
    pub stall_timeout: Option<Duration>,
    /// How much its runs give way to others.
    pub priority: Priority,
    /// Labels that each snapshot gets.
    pub tags: BTreeMap<String, String>,
    /// Where it stands.
    pub origin: Origin,
    /// The keys as written, those of `[defaults.pipeline]` among them.
    pub(super) written: Table,
}
