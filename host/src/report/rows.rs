//! What the larger events carry. As JSON, keys are only ever added.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use windlass_plugin_api::{Error, ErrorKind};

/// A stored snapshot.
#[derive(Clone, Debug, Serialize)]
pub struct Stored {
    /// The pipeline.
    pub pipeline: String,
    /// `shop@20261122T185903Z-k3f9`.
    pub snapshot: String,
    /// Where it was stored.
    pub storages: Vec<String>,
    /// Storages that it went on without.
    pub storages_left_out: Vec<String>,
    /// Plain bytes.
    pub plain_bytes: u64,
    /// Stored bytes.
    pub stored_bytes: u64,
    /// How long it took.
    pub seconds: f64,
    /// How much was left out.
    pub left_out: u64,
}

/// A copy of a snapshot.
#[derive(Clone, Debug, Serialize)]
pub struct CopyView {
    /// `shop@20261122T185903Z-k3f9`.
    pub snapshot: String,
    /// The host label.
    pub host: String,
    /// The storages that have it.
    pub from: Vec<String>,
    /// Where it was copied to.
    pub to: String,
    /// How many objects that lacked.
    pub objects: usize,
    /// Bytes of its streams and of what describes them.
    pub stored_bytes: u64,
    /// How long it took.
    pub seconds: f64,
    /// It was only looked at.
    pub dry_run: bool,
}

/// A snapshot that a prune has judged.
#[derive(Clone, Debug, Serialize)]
pub struct PruneRow {
    /// `shop@20261122T185903Z-k3f9`.
    pub snapshot: String,
    /// The host label.
    pub host: String,
    /// The pipeline.
    pub pipeline: String,
    /// Where.
    pub storage: String,
    /// When it was begun, UTC.
    pub time: String,
    /// Bytes of all its objects there.
    pub stored_bytes: u64,
    /// What keeps it, such as `keep_daily 2026-11-22`; nothing keeps what is removed.
    pub why: Vec<String>,
    /// It was only looked at.
    pub dry_run: bool,
}

/// What a prune has done to a pipeline in a storage.
#[derive(Clone, Debug, Serialize)]
pub struct Pruned {
    /// The pipeline.
    pub pipeline: String,
    /// The host label.
    pub host: String,
    /// Where.
    pub storage: String,
    /// How many snapshots were removed, or would be.
    pub removed: usize,
    /// How many bytes those had.
    pub removed_bytes: u64,
    /// How many stay, the damaged ones and those that couldn't be removed too.
    pub kept: usize,
    /// It was only looked at.
    pub dry_run: bool,
}

/// What a backup would do.
#[derive(Clone, Debug, Serialize)]
pub struct Planned {
    /// The pipeline.
    pub pipeline: String,
    /// The host label.
    pub host: String,
    /// The source, with its plugin.
    pub source: String,
    /// The filters with their plugins, in the order in which they are applied.
    pub filters: Vec<String>,
    /// The storages with their plugins.
    pub storages: Vec<String>,
    /// So many of them must have the snapshot.
    pub least_storages: usize,
    /// Storages that it would go on without.
    pub storages_left_out: Vec<String>,
    /// About how many plain bytes.
    pub estimate_bytes: Option<u64>,
    /// Where its objects would lie.
    pub prefix: String,
}

/// What a storage has of a snapshot.
#[derive(Clone, Debug, Serialize)]
pub struct CopyRow {
    /// The storage.
    pub storage: String,
    /// `ok`, `damaged`, `unreadable`, `missing`.
    pub state: &'static str,
    /// Why it isn't `ok`.
    pub problem: Option<String>,
}

impl CopyRow {
    /// Of a manifest as it was found; not found: it is missing.
    pub fn of<T>(storage: &str, manifest: &Result<T, Error>) -> Self {
        let (state, problem) = match manifest {
            Ok(_) => ("ok", None),
            Err(error) if error.kind == ErrorKind::NotFound => ("missing", None),
            Err(error) if error.kind == ErrorKind::Damaged => ("damaged", Some(error.one_line())),
            Err(error) => ("unreadable", Some(error.one_line())),
        };
        Self { storage: storage.to_owned(), state, problem }
    }

    /// What is wrong with it, in words.
    pub fn told(&self) -> Option<String> {
        let problem = self.problem.as_ref().map(|problem| format!(": {problem}")).unwrap_or_default();
        (self.state != "ok").then(|| format!("{} in {}{problem}", self.state, self.storage))
    }
}

/// A snapshot in a list.
#[derive(Clone, Debug, Serialize)]
pub struct SnapshotRow {
    /// `shop@20261122T185903Z-k3f9`.
    pub snapshot: String,
    /// The host label.
    pub host: String,
    /// The pipeline.
    pub pipeline: String,
    /// The id.
    pub id: String,
    /// When it was begun, UTC.
    pub time: String,
    /// The first storage that it was found in.
    pub storage: String,
    /// What each storage has of it.
    pub storages: Vec<CopyRow>,
    /// `ok` if it can be read from one of them, `damaged`, `unreadable`.
    pub state: &'static str,
    /// Why it isn't `ok`.
    pub problem: Option<String>,
    /// Plain bytes.
    pub plain_bytes: Option<u64>,
    /// Stored bytes.
    pub stored_bytes: Option<u64>,
    /// Full names of the filters of its streams.
    pub filters: Vec<String>,
    /// Full name of the source's plugin.
    pub source: Option<String>,
    /// Whether a key is needed to read it.
    pub encrypted: Option<bool>,
    /// Fingerprints of whom it was encrypted to.
    pub recipients: BTreeSet<String>,
    /// How much was left out.
    pub left_out: u64,
    /// The user's tags.
    pub tags: BTreeMap<String, String>,
}

/// What a restore will write to.
#[derive(Clone, Debug, Serialize)]
pub struct TargetView {
    /// What is restored.
    pub snapshot: String,
    /// Where to.
    pub place: String,
    /// Nothing is there.
    pub empty: bool,
    /// What is there, in bytes.
    pub size_bytes: Option<u64>,
    /// When that last changed, UTC.
    pub modified: Option<String>,
    /// Who uses it.
    pub sessions: Vec<String>,
    /// What will happen to it.
    pub effects: Vec<String>,
    /// `fail`, `replace`, `merge`.
    pub mode: &'static str,
    /// Whether a failure leaves it as it was.
    pub atomic: bool,
}

/// What `check` found of one thing.
#[derive(Clone, Debug, Serialize)]
pub struct Checked {
    /// `pipeline shop`, `source shop`, `storage nas`, `config`.
    pub what: String,
    /// It works.
    pub ok: bool,
    /// What there is to say, a sentence each.
    pub details: Vec<String>,
}

/// A plugin file.
#[derive(Clone, Debug, Serialize)]
pub struct PluginRow {
    /// `source`, `filter`, …
    pub kind: String,
    /// As a config names it.
    pub name: String,
    /// Its version, if it could be read.
    pub version: Option<String>,
    /// What it does.
    pub summary: String,
    /// The file.
    pub path: String,
    /// The file that is found before it.
    pub shadowed_by: Option<String>,
    /// Why it can't be used.
    pub problem: Option<String>,
}

/// A value of the config.
#[derive(Clone, Debug, Serialize)]
pub struct ConfigRow {
    /// Its dotted key.
    pub key: String,
    /// Its value, secrets hidden.
    pub value: String,
    /// Where it comes from.
    pub origin: String,
}
