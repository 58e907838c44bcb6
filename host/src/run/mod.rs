//! What surrounds a run and knows nothing of pipelines: cancelling, signals, locks, the local state folder, and what the
//! host does for plugins.

pub mod cancel;
pub mod lock;
pub mod services;
pub mod signals;
pub mod state;
