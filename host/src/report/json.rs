//! One JSON object a line on standard output. Keys are only ever added.

use std::io::Write;
use std::sync::Arc;

use super::{Event, Report};
use crate::config::Secrets;

/// Prints events as JSON.
pub struct Json {
    secrets: Arc<Secrets>,
}

impl Json {
    /// Hides what `secrets` knows.
    pub fn new(secrets: Arc<Secrets>) -> Self {
        Self { secrets }
    }

    fn line(&self, value: &serde_json::Value) {
        let text = self.secrets.redact(&value.to_string());
        // Whoever reads may have gone; the run goes on.
        let _ = writeln!(std::io::stdout().lock(), "{text}");
    }
}

impl Report for Json {
    fn event(&self, event: &Event) {
        match event {
            Event::Bytes { .. } | Event::Progress { .. } | Event::Ended { .. } => {}
            Event::Snapshots { snapshots } => {
                snapshots.iter().for_each(|row| self.line(&typed("snapshot", row)));
            }
            Event::Plugins { plugins } => plugins.iter().for_each(|row| self.line(&typed("plugin", row))),
            Event::Config { values } => values.iter().for_each(|row| self.line(&typed("value", row))),
            event => self.line(&serde_json::to_value(event).unwrap_or_default()),
        }
    }
}

fn typed(name: &str, row: &impl serde::Serialize) -> serde_json::Value {
    let mut value = serde_json::to_value(row).unwrap_or_default();
    if let Some(object) = value.as_object_mut() {
        object.insert("type".to_owned(), name.into());
    }
    value
}
