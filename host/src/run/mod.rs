//! What surrounds a run and knows nothing of pipelines: cancelling, signals, locks, the local state folder, priorities, and
//! what the host does for plugins.

pub mod cancel;
mod ioprio;
pub mod lock;
pub mod priority;
pub mod services;
pub mod signals;
pub mod state;
