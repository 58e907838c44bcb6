//! The host as a plugin sees it during a run.

use std::sync::Arc;

use windlass_plugin_api::{Context, Error, ErrorKind, Progress, Result, Services, Storage};

use super::cancel::Cancel;
use crate::config::Secrets;
use crate::report::{Event, Report};

/// What stands behind the [`Context`] that plugins get.
pub struct HostServices {
    /// The run's switch.
    pub cancel: Arc<Cancel>,
    /// Where secrets are asked for, at each use.
    pub secrets: Arc<Secrets>,
    /// Where progress goes.
    pub report: Arc<dyn Report>,
    /// The run's id.
    pub run: String,
}

impl HostServices {
    /// The context over it.
    pub fn context(self) -> Context {
        Context::new(Arc::new(self))
    }
}

impl Services for HostServices {
    fn cancelled(&self) -> bool {
        self.cancel.cancelled()
    }

    fn on_cancel(&self, callback: Box<dyn Fn() + Send + Sync>) -> u64 {
        self.cancel.on_cancel(Arc::from(callback))
    }

    fn forget(&self, callback: u64) {
        self.cancel.forget(callback);
    }

    fn progress(&self, progress: &Progress) {
        self.report.event(&Event::Progress { run: self.run.clone(), progress: progress.clone() });
    }

    fn reveal(&self, name: &str) -> Result<String> {
        self.secrets.reveal(name)
    }

    fn storage(&self, name: &str) -> Result<Arc<dyn Storage>> {
        Err(Error::new(ErrorKind::Unsupported, format!("no storage `{name}` is offered to plugins")))
    }

    fn run(&self) -> String {
        self.run.clone()
    }
}
