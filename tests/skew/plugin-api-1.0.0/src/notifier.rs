//! Where events are told.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::context::Context;
use crate::error::Result;

/// A notifier: e-mail, a webhook. One instance serves a run, from several threads; a call may block for a while.
pub trait Notifier: Send + Sync {
    /// Tells `event`. An error is reported and never changes the fate of the run.
    fn notify(&self, cx: &Context, event: &Event) -> Result<()>;
}

/// Something that happened.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    /// `start`, `success`, `failure`, `skipped`, `missed`, `damaged`.
    pub event: String,
    /// `backup`, `restore`, `verify`, `prune`.
    pub command: String,
    /// The pipeline, if there is one.
    pub pipeline: Option<String>,
    /// The snapshot's id, if there is one.
    pub snapshot: Option<String>,
    /// The host label.
    pub host: String,
    /// Seconds since 1970 UTC.
    pub time: i64,
    /// One line for people.
    pub message: String,
    /// What a newer side adds, and numbers of the run.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}
