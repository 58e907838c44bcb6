//! What the engine says. It prints nothing itself: it sends events to a [`Report`], and the printers are
//! [`text`](mod@text), [`json`] and [`progress`].

pub mod json;
pub mod progress;
mod rows;
pub mod text;
pub mod units;

use serde::Serialize;
use windlass_plugin_api::Progress;

use crate::exit::{Exit, Failure};
pub use rows::{
    Checked, ConfigRow, CopyRow, CopyView, Planned, PluginRow, PruneRow, Pruned, SnapshotRow, Stored,
    TargetView,
};

/// Takes events, from any thread.
pub trait Report: Send + Sync {
    /// Something happened.
    fn event(&self, event: &Event);

    /// The command is over and ends with `exit`.
    fn end(&self, exit: Exit) {
        let _ = exit;
    }
}

/// What can happen. As JSON each is one object with its `type`; keys are only ever added.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A run began.
    Started {
        /// `backup`, `restore`, `verify`, `copy`.
        command: &'static str,
        /// The pipeline or snapshot.
        name: String,
        /// The run's id.
        run: String,
        /// About how many plain bytes, if known.
        estimate_bytes: Option<u64>,
    },
    /// Bytes moved so far in a run. Often.
    Bytes {
        /// The run's id.
        run: String,
        /// Plain bytes.
        plain_bytes: u64,
        /// Stored bytes.
        stored_bytes: u64,
    },
    /// A plugin's own progress. Often.
    Progress {
        /// The run's id.
        run: String,
        /// What it says.
        #[serde(flatten)]
        progress: Progress,
    },
    /// A run ended, well or not: its progress can be taken away.
    Ended {
        /// The run's id.
        run: String,
    },
    /// Something the user should know; nothing failed.
    Warning {
        /// The pipeline, if one is concerned.
        pipeline: Option<String>,
        /// A sentence.
        message: String,
    },
    /// Something of interest.
    Note {
        /// The pipeline, if one is concerned.
        pipeline: Option<String>,
        /// A sentence.
        message: String,
    },
    /// Something failed.
    Error {
        /// The pipeline, if one is concerned.
        pipeline: Option<String>,
        /// The part of the run.
        stage: Option<String>,
        /// Its plugin and version.
        plugin: Option<String>,
        /// The kind, as [`windlass_plugin_api::ErrorKind`].
        kind: windlass_plugin_api::ErrorKind,
        /// What happened, in one line.
        message: String,
        /// What can be done.
        hint: Option<String>,
        /// What the process would end with, if this were all.
        exit: u8,
    },
    /// A backup is stored: the last line of a good run.
    Stored(Stored),
    /// A snapshot was copied from storage to storage, or would be.
    Copied(CopyView),
    /// A prune has removed this snapshot, or would.
    Removed(PruneRow),
    /// A prune keeps this snapshot; told if it was asked to explain.
    Kept(PruneRow),
    /// A prune of a pipeline in a storage is done.
    Pruned(Pruned),
    /// What a dry run would do.
    Planned(Planned),
    /// The snapshots that were asked for.
    Snapshots {
        /// Oldest first.
        snapshots: Vec<SnapshotRow>,
    },
    /// One snapshot in full.
    Shown {
        /// The manifest.
        manifest: Box<crate::catalog::Manifest>,
        /// Where it was read.
        storage: String,
        /// What each storage has of it.
        storages: Vec<CopyRow>,
    },
    /// A snapshot reference was resolved.
    Resolved {
        /// As the user wrote it.
        reference: String,
        /// What it names.
        snapshot: String,
        /// The host label.
        host: String,
        /// Where it was found.
        storage: String,
        /// When it was begun, UTC.
        time: String,
        /// Seconds since then.
        age_seconds: i64,
    },
    /// What a restore will write to.
    Target(TargetView),
    /// A restore is done.
    Restored {
        /// The snapshot or file.
        snapshot: String,
        /// Where it is now.
        place: String,
        /// Plain bytes that were read.
        plain_bytes: u64,
        /// How long it took.
        seconds: f64,
    },
    /// A file was written that is itself the result: a config, a decoded stream.
    Wrote {
        /// What is in it.
        what: String,
        /// The file.
        path: String,
        /// Its size.
        bytes: u64,
        /// How long it took.
        seconds: f64,
    },
    /// A snapshot was read back.
    Verified {
        /// The snapshot.
        snapshot: String,
        /// Where.
        storage: String,
        /// `quick`, `stored`, `full`.
        depth: &'static str,
        /// What is wrong, one line each; empty: nothing.
        damage: Vec<String>,
        /// What couldn't be proved.
        unproved: Vec<String>,
        /// Stored bytes that were read.
        stored_bytes: u64,
    },
    /// The answer of `check`.
    Checked(Checked),
    /// The plugins that were found.
    Plugins {
        /// In search order.
        plugins: Vec<PluginRow>,
    },
    /// Text that is itself the result: a schema, a config, a completion script.
    Text {
        /// The text.
        text: String,
    },
    /// A JSON document that is itself the result.
    Document {
        /// What it is.
        name: String,
        /// The document.
        document: serde_json::Value,
    },
    /// The values of a config.
    Config {
        /// In the order of their keys.
        values: Vec<ConfigRow>,
    },
}

/// `failure` as an event.
pub fn error_event(failure: &Failure) -> Event {
    Event::Error {
        pipeline: failure.pipeline.clone(),
        stage: failure.stage.as_ref().map(|stage| stage.name.clone()),
        plugin: failure.stage.as_ref().and_then(|stage| stage.plugin.clone()),
        kind: failure.error.kind,
        message: failure.error.one_line(),
        hint: failure.error.hint.clone(),
        exit: failure.exit as u8,
    }
}

/// Keeps every event: for tests, and for callers that want them all at once.
#[derive(Default)]
pub struct Kept(std::sync::Mutex<Vec<Event>>);

impl Kept {
    /// The events so far.
    pub fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

impl Report for Kept {
    fn event(&self, event: &Event) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(event.clone());
    }
}
