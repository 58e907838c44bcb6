//! What surrounds a run: cancelling, the host's services for plugins, locks, the local state folder, leftovers.

pub mod cancel;
pub mod leftovers;
pub mod lock;
pub mod services;
pub mod signals;
pub mod state;
pub mod ticker;
