//! The log, on standard error: the host's own, and what plugins send.

use std::sync::Arc;

use tracing_subscriber::EnvFilter;
use windlass_plugin_api::ffi::logging::LogLines;

use super::args::Global;
use crate::config::Secrets;

/// Starts logging: warnings, or more with `-v`, but of libraries never more than warnings: what they tell on their way isn't
/// for users, and may hold secrets. `WINDLASS_LOG` filters by target (`windlass_host=trace`).
pub fn install(global: &Global, secrets: &Arc<Secrets>) {
    let default = match (global.quiet, global.verbose) {
        (true, _) => "error",
        (_, 0) => "warn",
        (_, 1) => "info",
        (_, 2) => "debug",
        (_, _) => "trace",
    };
    let filter = std::env::var("WINDLASS_LOG").ok().and_then(|text| EnvFilter::try_new(text).ok());
    let secrets = secrets.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|| EnvFilter::new(own(default))))
        .with_writer(move || Redacting { secrets: secrets.clone() })
        .with_target(global.verbose > 1)
        .with_ansi(false);
    // Only the first counts; a second `main` in one process is a test's.
    let _ = subscriber.try_init();
}

/// Everything of the house and of plugins at that level: see [`PluginLog`] for their target.
fn own(level: &str) -> String {
    match level {
        "error" => level.to_owned(),
        _ => format!("warn,windlass={level},plugin={level}"),
    }
}

/// The level for plugins: as [`windlass_plugin_api::ffi::logging`] counts.
pub fn level(global: &Global) -> u8 {
    if global.quiet { 1 } else { (2 + global.verbose).min(5) }
}

/// A writer that hides secrets: each write is one whole line.
struct Redacting {
    secrets: Arc<Secrets>,
}

impl std::io::Write for Redacting {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = self.secrets.redact(&String::from_utf8_lossy(bytes));
        std::io::stderr().lock().write_all(text.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().lock().flush()
    }
}

/// What plugins log becomes the host's log.
pub struct PluginLog;

impl LogLines for PluginLog {
    fn line(&self, level: u8, target: &str, message: &str, fields: &str) {
        // tracing wants levels and targets at compile time: the plugin's target becomes a field.
        match level {
            1 => tracing::error!(target: "plugin", from = target, fields, "{message}"),
            2 => tracing::warn!(target: "plugin", from = target, fields, "{message}"),
            3 => tracing::info!(target: "plugin", from = target, fields, "{message}"),
            4 => tracing::debug!(target: "plugin", from = target, fields, "{message}"),
            _ => tracing::trace!(target: "plugin", from = target, fields, "{message}"),
        }
    }
}
