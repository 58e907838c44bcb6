//! What a plugin author tests with.
//!
//! - [`conformance!`] is one suite for each kind of plugin. It goes through the same boundary as the host does, inside the
//!   test's own process: a file of a few lines proves what every plugin must stand.
//! - [`storage::PROOFS`] are those that may be tried on a storage that is in use, [`Below`] a prefix of its own: the host's
//!   `plugins test storage`.
//! - [`Memory`] is the reference storage; [`Faulty`] makes any storage fail on request.
//! - [`codec`] is for filters: the codec's own program on the other side, and the peak of memory.
//! - [`host`], [`streams`], [`noise`] and [`until`] are what the suites are built of, for a plugin's own tests: a host whose run
//!   can be cancelled, places to back up to and to restore from that fail where they are told to, bytes that don't compress,
//!   and waiting without sleeping.
//!
//! No plugin links it but in its tests.

pub mod below;
pub mod codec;
pub mod conformance;
pub mod description;
pub mod faulty;
pub mod filter;
pub mod host;
pub mod memory;
pub mod noise;
pub mod notifier;
pub mod source;
pub mod storage;
pub mod streams;
pub mod wait;

pub use below::Below;
pub use faulty::{Failure, Faulty, Operation};
pub use host::TestHost;
pub use memory::Memory;
pub use notifier::NotifierFixture;
pub use source::SourceFixture;
pub use storage::StorageFixture;
pub use wait::until;

#[doc(hidden)]
pub use serde_json::Value as __Value;
