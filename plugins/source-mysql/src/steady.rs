//! A context that isn't cancelled, for the few statements that must be finished once they were begun: the swap, what takes
//! it back, and clearing up. They are bounded by `lock_timeout` and `connect_timeout`.

use std::sync::Arc;

use windlass_plugin_api::{Context, Progress, Result, Secret, Services, Storage};

/// `cx` without its cancel.
pub(crate) fn steady(cx: &Context) -> Context {
    Context::new(Arc::new(Steady(cx.clone())))
}

struct Steady(Context);

impl Services for Steady {
    fn cancelled(&self) -> bool {
        false
    }

    fn on_cancel(&self, _: Box<dyn Fn() + Send + Sync>) -> u64 {
        0
    }

    fn forget(&self, _: u64) {}

    fn progress(&self, progress: &Progress) {
        self.0.progress(progress);
    }

    fn reveal(&self, name: &str) -> Result<String> {
        self.0.reveal(&Secret::named(name))
    }

    fn storage(&self, name: &str) -> Result<Arc<dyn Storage>> {
        self.0.storage(name)
    }

    fn run(&self) -> String {
        self.0.run()
    }
}
