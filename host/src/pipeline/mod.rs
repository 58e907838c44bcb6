//! Plans and runs: source → filters → storages, and back.
//!
//! [`plan`] resolves a pipeline; [`backup`] and [`restore`] are the two directions, [`verify`] reads back without a target, [`copy`]
//! goes from storage to storage, [`prune`] removes what is no longer kept.
//! The parts of a chain are [`chain`] (filters around each other), [`meter`] (counts and hashes), [`hop`] (a
//! thread and a few buffers between stages), [`fan_out`] (one stream into several storages), [`landing`] and [`lane`] (uploads that
//! only the host publishes) and [`tail`] (the end of a stream, held back until it is proved).

pub mod abandoned;
pub mod backup;
pub mod bare;
pub mod busy;
pub mod chain;
pub mod check;
pub mod copies;
pub mod copy;
pub mod decode;
pub mod describe;
pub mod each;
pub mod failover;
pub mod fan;
pub mod fan_out;
pub mod faults;
pub mod guide;
pub mod hop;
pub mod inputs;
pub mod landed;
pub mod landing;
pub mod lane;
pub mod leftovers;
pub mod meter;
pub mod outputs;
pub mod plan;
pub mod prune;
pub mod restore;
pub mod run;
pub mod sense;
pub mod sequence;
pub mod stored;
pub mod tail;
pub mod verify;
pub mod watch;

pub use plan::{Engine, Opened, Plan};
