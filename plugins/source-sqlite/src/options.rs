//! The options of the source. Their doc comments are the reference documentation.
//!
//! Whether a path exists or a database can be read isn't judged here: that belongs to the first call that needs it.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use windlass_plugin_api::{Error, ErrorKind, Result};

/// Options of `sqlite`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The database file. A symbolic link is followed. A backup needs it to exist; a restore makes it if it is missing.
    #[schemars(extend("format" = "path"))]
    pub path: PathBuf,
    /// What a backup writes: the pages of the file, or SQL text.
    #[serde(default)]
    pub mode: Mode,
    /// What a backup does with a database in rollback-journal mode, where whoever reads blocks whoever writes. A database
    /// in WAL mode has no such conflict and ignores this.
    #[serde(default)]
    pub when_locked: WhenLocked,
    /// How many seconds to wait for another program's lock before giving up.
    #[serde(default = "default_busy_timeout")]
    #[schemars(range(min = 0, max = 86400))]
    pub busy_timeout: f64,
    /// Keep what a restore replaces as `<path>.before-<snapshot id>`, taken in the same transaction that replaces it.
    #[serde(default)]
    pub safety_copy: bool,
}

/// What a backup writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The database file as it would be after a checkpoint, byte for byte. Fast, and exact in everything.
    #[default]
    Pages,
    /// SQL text that makes the database anew: smaller, readable, for moving to another version or page size.
    Sql,
}

/// How a backup reads a database in rollback-journal mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WhenLocked {
    /// Writers wait about as long as copying the file takes, and a second at most more: what isn't uploaded by then is
    /// copied to a hidden sibling (0600), and the upload goes on from there. Needs as much room beside the database as it
    /// has, or none on a file system with reflinks.
    #[default]
    Copy,
    /// Hold the read lock for the whole upload: no room needed, but every writer waits until the upload has ended.
    Hold,
}

fn default_busy_timeout() -> f64 {
    30.0
}

impl Options {
    /// [`busy_timeout`](Self::busy_timeout) as a duration; an error of kind `Config` if it isn't one.
    pub fn patience(&self) -> Result<Duration> {
        Duration::try_from_secs_f64(self.busy_timeout).map_err(|error| {
            Error::new(ErrorKind::Config, format!("`busy_timeout` can't be `{}`", self.busy_timeout))
                .because(&error)
                .hint("Give seconds, such as `busy_timeout = 30`.")
        })
    }
}
