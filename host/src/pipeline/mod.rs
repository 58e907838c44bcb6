//! Plans and runs: source → filters → storages, and back.
//!
//! [`plan`] resolves a pipeline; [`backup`] and [`restore`] are the two directions, [`verify`] reads back without a target.
//! The parts of a chain are [`chain`] (filters around each other), [`meter`] (counts and hashes), [`hop`] (a
//! thread and a few buffers between stages), [`landing`] (uploads that only the host publishes) and [`tail`] (the end of a
//! stream, held back until it is proved).

pub mod backup;
pub mod bare;
pub mod chain;
pub mod check;
pub mod decode;
pub mod each;
pub mod faults;
pub mod guide;
pub mod hop;
pub mod inputs;
pub mod landing;
pub mod leftovers;
pub mod meter;
pub mod outputs;
pub mod plan;
pub mod restore;
pub mod run;
pub mod sense;
pub mod stored;
pub mod tail;
pub mod verify;
pub mod watch;

pub use plan::{Engine, Opened, Plan};
