//! What storages on object services have in common.
//!
//! A plugin for such a service brings a [`Service`]: one method for each request. This crate makes a
//! [`Storage`](windlass_plugin_api::Storage) of it:
//!
//! - uploads in parallel parts within bounded memory, durable at `finish`, visible at `publish`, aborted when dropped;
//! - downloads in parallel ranges that go on where a line broke;
//! - retries with back-off, jitter, what the service asks for and a budget for the run ([`Retry`]);
//! - part sizes that fit the service's limits ([`Limits`]);
//! - the check with its probe object, cancelling, and listings as the contract wants them;
//! - the HTTP client ([`Http`]), tokens by OAuth ([`oauth`]) and what reqsign needs ([`signing`]).
//!
//! # Adding a service
//!
//! 1. A crate `plugins/storage-<name>` with its options, and a type that implements [`Service`]: what the service says is
//!    mapped to [`ErrorKind`](windlass_plugin_api::ErrorKind) there, once, and tested on recorded answers.
//! 2. The plugin's type holds `objects: Objects<ThatService>`, has a method `by_hand`, and
//!    `storage_of_objects!(ThatType)` does the rest.
//! 3. [`Limits`] say what is particular: `in_order` where parts must follow each other (upload sessions, files that are
//!    appended to), `equal_parts` where they must be of one size, `put_bytes: 0` where nothing can be stored in one request.
//! 4. Where a service has no uploads in parts, `begin` makes a half upload under a name that isn't listed, `part` appends,
//!    `complete` renames and `unfinished` lists that place. `opendal`'s operators do for those.
//! 5. Its tests run `windlass_testkit::conformance!` on a real server of `tests/servers`.
//!
//! Nothing here knows a service. Nothing starts before the first request.

mod chance;
mod check;
mod core;
mod delegate;
mod download;
pub mod http;
mod key;
pub mod oauth;
mod plan;
mod receive;
mod retry;
mod runtime;
mod service;
pub mod signing;
mod storage;
mod upload;

pub use http::{Answer, Flow, FlowEnd, Http, HttpOptions};
pub use retry::{RETRY_AFTER, Retry, is_passing};
pub use service::{Begun, How, Limits, Listed, Listing, Part, Received, Service, replaced, unavailable};
pub use storage::{Objects, Settings};
