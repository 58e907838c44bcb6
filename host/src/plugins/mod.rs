//! From a name to a running plugin: [`discover`] finds files, [`inspect`] reads what they say of themselves without
//! running them, [`load`] makes them run, [`registry`] answers by name. No plugin is known here by name.

pub mod discover;
pub mod inspect;
pub mod load;
pub mod registry;

pub use registry::{Listed, Registry};
