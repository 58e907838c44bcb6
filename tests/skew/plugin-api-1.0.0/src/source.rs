//! What is backed up, and what a restore writes to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::context::Context;
use crate::error::Result;
use crate::stream::{Inputs, Outputs};

/// A source: a database, a file tree, a command.
///
/// The host makes one instance for each run, calls it from one thread at a time, and calls nothing after an error
/// but the destructor. Every method may block; it must end soon after [`Context::cancelled`] turns true.
/// The calls of a backup are `probe`, `backup`; of a restore `target`, `preview`, `restore`; of `check` `probe` alone.
pub trait Source: Send {
    /// Looks without touching: versions, an estimate, what is missing. Called by `check` and before each backup.
    /// An error means that a backup can't work now.
    fn probe(&mut self, cx: &Context) -> Result<Probe>;

    /// The items of which each can be a snapshot of its own ("every database of this server"). None by default.
    fn discover(&mut self, cx: &Context) -> Result<Vec<Item>> {
        let _ = cx;
        Ok(Vec::new())
    }

    /// Writes every stream to `out`, finishes each, and returns what was written once the source's own verdict is good
    /// (exit status, trailer, row counts). Anything but `Ok` means that no snapshot comes to be, however many streams
    /// have finished. An error that a sink returned should be passed on as it came.
    fn backup(&mut self, cx: &Context, out: &dyn Outputs) -> Result<Contents>;

    /// What a restore would write to, and what it would overwrite. Reads only. Called before every restore.
    fn target(&mut self, cx: &Context, how: &RestoreOptions) -> Result<Target>;

    /// What a restore would do to what is there, as far as only the streams tell: "removes 3 files that aren't in the
    /// snapshot". One sentence each. Called after `target` and before the user is asked, where the target isn't empty and
    /// the mode would change it. May read the streams; one that is read to its end here is proved by that, and not read
    /// once more for it. Nothing by default.
    fn preview(&mut self, cx: &Context, input: &dyn Inputs, how: &RestoreOptions) -> Result<Vec<String>> {
        let _ = (cx, input, how);
        Ok(Vec::new())
    }

    /// Writes the streams of a snapshot to the target.
    ///
    /// Where [`Target::atomic`] was true, nothing may be committed before every stream that is used has been read to
    /// its end-of-file, and a failure leaves the target as it was. Where it was false, the host has proved every stream
    /// by a whole read before this is called.
    fn restore(&mut self, cx: &Context, input: &dyn Inputs, how: &RestoreOptions) -> Result<Restored>;

    /// The shell command that loads the decoded stream `stream` without Windlass, reading it from stdin; goes into
    /// RESTORE.txt behind the filters' commands. No secret and no host name in it.
    fn by_hand(&self, stream: &str, contents: &Contents) -> Option<String> {
        let _ = (stream, contents);
        None
    }
}

/// What [`Source::probe`] saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Probe {
    /// About how many plain bytes a backup will write, if that can be told cheaply.
    pub estimate_bytes: Option<u64>,
    /// Versions by name: `server`, `pg_dump`, `sqlite`.
    pub versions: BTreeMap<String, String>,
    /// What the user should know; a sentence each. Printed by `check` and `backup`.
    pub warnings: Vec<String>,
    /// What is only interesting; printed by `check`.
    pub notes: Vec<String>,
    /// Rights that are missing, and so what won't be in the backup.
    pub missing: Vec<String>,
    /// What a newer side adds.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// One thing that [`Source::discover`] found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Item {
    /// Its name.
    pub name: String,
    /// The options that select it, such as `database = "shop"`.
    pub options: Map<String, Value>,
    /// What a newer side adds.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What a backup wrote. Stored as `contents.json`, through the pipeline's own filters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Contents {
    /// The point in time or log that the snapshot holds: LSN, GTID, change counter. In words of the field.
    pub consistency_point: Option<String>,
    /// Versions by name: server, tools, library.
    pub versions: BTreeMap<String, String>,
    /// What was wanted and isn't in the snapshot (an unreadable file). Not empty: the run ends with exit code 3.
    pub left_out: Vec<String>,
    /// How many things were left out in all, where `left_out` names only the first ones.
    pub left_out_count: u64,
    /// What the user should know; a sentence each.
    pub warnings: Vec<String>,
    /// What is in the streams: tables, row counts, roots. The source's own shape; `restore` gets it back.
    pub details: Map<String, Value>,
    /// What a newer side adds.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What to do with what is already in the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RestoreMode {
    /// Refuse a target that isn't empty.
    #[default]
    Fail,
    /// Make the target equal to the snapshot.
    Replace,
    /// Add to what is there; the snapshot wins.
    Merge,
}

impl RestoreMode {
    /// As it is written on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Replace => "replace",
            Self::Merge => "merge",
        }
    }
}

/// How to restore.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RestoreOptions {
    /// What to do with what is there.
    pub mode: RestoreMode,
    /// Restore only these (table names, paths); empty: everything. A name that isn't in the snapshot is an error.
    pub only: Vec<RawName>,
    /// The snapshot's id, `restore` for a bare stream: for names of safety copies.
    pub snapshot: String,
    /// What the backup said it wrote, if that is known (a bare stream has none).
    pub contents: Option<Contents>,
    /// The formats of the streams by name.
    pub stream_formats: BTreeMap<String, String>,
    /// What a newer side adds.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A name as bytes: file names need not be UTF-8.
///
/// In documents it is a string where it is UTF-8 and an array of byte values where it isn't.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RawName {
    /// Valid UTF-8.
    Text(String),
    /// Anything else.
    Bytes(Vec<u8>),
}

impl RawName {
    /// The name's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl From<Vec<u8>> for RawName {
    fn from(bytes: Vec<u8>) -> Self {
        String::from_utf8(bytes).map_or_else(|error| Self::Bytes(error.into_bytes()), Self::Text)
    }
}

impl std::fmt::Display for RawName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}

/// What a restore would write to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Target {
    /// Where: a path, a server and database. Without secrets.
    pub place: String,
    /// Nothing there that a restore could overwrite. Not empty and mode `fail`: the host refuses (exit 12).
    pub empty: bool,
    /// Bytes that are there, if known.
    pub size_bytes: Option<u64>,
    /// When it last changed, seconds since 1970 UTC.
    pub modified: Option<i64>,
    /// Who is using it now, one line each.
    pub sessions: Vec<String>,
    /// What the restore would do, a sentence each: "replaces 3 files", "removes 2 files that aren't in the snapshot".
    pub effects: Vec<String>,
    /// A failure at any moment leaves the target as it was, and nothing is committed without end-of-file.
    pub atomic: bool,
    /// What a newer side adds.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What a restore did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Restored {
    /// Where it is now.
    pub place: String,
    /// What the user should know (a safety copy's path), a sentence each.
    pub notes: Vec<String>,
    /// What was in the snapshot and couldn't be put back. Not empty: exit code 3.
    pub left_out: Vec<String>,
    /// What a newer side adds.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}
