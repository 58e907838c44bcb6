//! What a plugin says of itself, readable without running it.
//!
//! [`export_plugin!`](crate::export_plugin) puts it as a document into a section of the shared library. The host reads that
//! section before it loads the file, so that a plugin for another version, or one that would abort the process on a
//! panic, is refused in one clear line and never run.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::context::Context;
use crate::error::Result;

/// The version of this crate: what a plugin was built against.
pub const API_VERSION: &str = env!("CARGO_PKG_VERSION");

/// The name of the section and of the exported symbol that hold the description.
pub const SECTION: &str = ".windlass.plugin";

/// What the section begins with; the document follows, up to the section's end.
pub const MAGIC: &str = "windlass-plugin-1\n";

/// What kinds of plugins there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// [`Source`](crate::Source).
    Source,
    /// [`Filter`](crate::Filter).
    Filter,
    /// [`Storage`](crate::Storage).
    Storage,
    /// [`Notifier`](crate::Notifier).
    Notifier,
}

impl Kind {
    /// All of them, in the order in which data flows.
    pub const ALL: [Self; 4] = [Self::Source, Self::Filter, Self::Storage, Self::Notifier];

    /// As it stands in file names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Filter => "filter",
            Self::Storage => "storage",
            Self::Notifier => "notifier",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a plugin says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PluginInfo {
    /// What it is.
    pub kind: Kind,
    /// Its name without the vendor: `zstd`.
    pub name: String,
    /// Who makes it: `windlass` for ours.
    #[serde(default = "windlass")]
    pub vendor: String,
    /// Its own version (semver).
    pub version: String,
    /// The version of windlass-plugin-api that it was built against (semver).
    pub api: String,
    /// `unwind`, or `abort`: such a plugin would take the host down with it and is refused.
    pub panic: String,
    /// What it does, in one line.
    #[serde(default)]
    pub summary: String,
    /// Of a filter: what it appends to a stream's name (`.zst`).
    #[serde(default)]
    pub suffix: Option<String>,
    /// URL schemes that name this plugin: `sqlite`, `fs`.
    #[serde(default)]
    pub schemes: Vec<String>,
    /// The option that a URL's part behind the scheme and colon goes to; without it the whole URL goes to `url`.
    #[serde(default)]
    pub url_option: Option<String>,
    /// Of a source: the stream formats that it can restore; `*` stands for any.
    #[serde(default)]
    pub reads: Vec<String>,
    /// Of a source: the stream formats that it writes.
    #[serde(default)]
    pub writes: Vec<String>,
    /// What it asks of the host beyond the usual: `storage`.
    #[serde(default)]
    pub needs: Vec<String>,
    /// Other names that a config may call it by.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Old option names and what they are called now: still accepted, with a warning.
    #[serde(default)]
    pub renamed_options: BTreeMap<String, String>,
    /// What `windlass init` writes where the user names nothing: of a source or a storage a URL, of a filter its name.
    #[serde(default)]
    pub starter: Option<String>,
    /// Of a filter: it makes the bytes unreadable without a key.
    #[serde(default)]
    pub encrypts: bool,
    /// Of a filter: it makes the bytes fewer.
    #[serde(default)]
    pub compresses: bool,
    /// Of a storage: it keeps keys outside `[A-Za-z0-9._-]` too.
    #[serde(default)]
    pub odd_keys: bool,
    /// Of a storage: it can be read only.
    #[serde(default)]
    pub read_only: bool,
    /// The JSON schema of its options.
    #[serde(default)]
    pub options: Value,
    /// What a newer api adds.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

fn windlass() -> String {
    "windlass".to_owned()
}

impl PluginInfo {
    /// `zstd` for ours, `vendor/name` for others': how a config names it.
    pub fn short_name(&self) -> String {
        if self.vendor == "windlass" { self.name.clone() } else { self.full_name() }
    }

    /// Whether it, a source, can restore streams of `stream_format`.
    pub fn can_read(&self, stream_format: &str) -> bool {
        self.reads.iter().any(|format| format == stream_format || format == "*")
    }

    /// `windlass/zstd`: how a manifest names it.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.vendor, self.name)
    }
}

/// What every plugin is: something that is made out of its options.
pub trait Plugin: Sized {
    /// The options, as the config gives them. Unknown keys should be denied (`#[serde(deny_unknown_fields)]`).
    type Options: serde::de::DeserializeOwned;

    /// Makes an instance. Cheap: no connection, no file; those belong to the first call that needs them.
    fn new(options: Self::Options, cx: &Context) -> Result<Self>;
}
