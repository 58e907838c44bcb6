//! The host as a plugin sees it during a run.

use std::sync::{Arc, Weak};

use windlass_plugin_api::{Context, Error, Progress, Result, Services, Storage};

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
    /// Where the storages are that plugins ask for by name.
    pub storage: Box<OpensStorage>,
    /// The run's id.
    pub run: String,
}

/// Opens the storage of a name, with the context of who asks.
pub type OpensStorage = dyn Fn(&str, &Context) -> Result<Arc<dyn Storage>> + Send + Sync;

impl HostServices {
    /// The context over it.
    pub fn context(self) -> Context {
        Context::new(Arc::new_cyclic(|me| Served { host: self, me: me.clone() }))
    }
}

/// Services that can make a context of themselves.
struct Served {
    host: HostServices,
    me: Weak<Served>,
}

impl Services for Served {
    fn cancelled(&self) -> bool {
        self.host.cancel.cancelled()
    }

    fn on_cancel(&self, callback: Box<dyn Fn() + Send + Sync>) -> u64 {
        self.host.cancel.on_cancel(Arc::from(callback))
    }

    fn forget(&self, callback: u64) {
        self.host.cancel.forget(callback);
    }

    fn progress(&self, progress: &Progress) {
        self.host.report.event(&Event::Progress { run: self.host.run.clone(), progress: progress.clone() });
    }

    fn reveal(&self, name: &str) -> Result<String> {
        self.host.secrets.reveal(name)
    }

    fn storage(&self, name: &str) -> Result<Arc<dyn Storage>> {
        let me = self.me.upgrade().ok_or_else(Error::cancelled)?;
        (self.host.storage)(name, &Context::new(me))
    }

    fn run(&self) -> String {
        self.host.run.clone()
    }
}
