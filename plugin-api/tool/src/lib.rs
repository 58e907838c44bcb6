//! Runs dump and restore programs for Windlass plugins.
//!
//! A plugin that wraps `pg_dump` or any other program says what to run ([`Tool`]) and where its bytes go; this crate sees
//! to the rest:
//!
//! - Both pipes are emptied at all times. stderr is bounded and redacted, and goes into the error.
//! - A dump is good only if the program exited well, its output was read to the end, and the writer took all of it.
//! - A load's stdin ends only when the input did: on an error, a cancel or the death of the host the program is killed
//!   and awaited first, so that it can't take a failure for the end of the input and commit.
//! - The program has a session and process group of its own under a small supervisor. When it is cancelled, or the host
//!   dies (also by `kill -9`), all that descends from it dies, also what a shell started in the background.
//! - Secrets go by descriptor, by private file or by environment, never by argument.
//!
//! ```no_run
//! # fn backup(cx: &windlass_plugin_api::Context, sink: &mut dyn windlass_plugin_api::Sink) -> windlass_plugin_api::Result<()> {
//! use windlass_tool::Tool;
//!
//! let tool = Tool::new("pg_dump").args(["--format=custom", "shop"]).bin_dirs(["/usr/lib/postgresql/17/bin"]);
//! tool.dump(cx, &mut *sink)?;
//! sink.finish()?;
//! # Ok(()) }
//! ```
//!
//! # What it can't do
//!
//! - When a program ends *well*, what it left in its process group is killed; what made a session of its own (a daemon)
//!   lives on. Whatever keeps the program's stdout open must end within [`Tool::drain_limit`], or the run has failed.
//! - Processes that run as another user (`sudo`) can't be killed. After 5 s that is told, and stdin stays open
//!   until the host ends.
//! - When host and supervisor are killed at the same moment (`kill -9` on both), only the direct child dies with them.
//! - What runs elsewhere (`ssh`, `docker exec`) ends when its local end does, or doesn't: that is theirs to decide.
//! - The program has no terminal: one that asks for a password there fails at once.
//!
//! Linux only. `unsafe` lives in the module `sys`.

mod environment;
mod find;
mod flow;
mod pump;
mod redact;
mod running;
mod said;
mod secret;
pub mod shell;
mod sys;
mod tool;
mod verdict;
mod version;

pub use environment::{Inherit, looks_secret};
pub use flow::Outcome;
pub use tool::Tool;
pub use verdict::Verdict;
pub use version::Version;

/// The system takes no zero byte in arguments and environments.
fn refuse_nul(what: &str) -> windlass_plugin_api::Error {
    let message = format!("{what} holds a zero byte");
    windlass_plugin_api::Error::new(windlass_plugin_api::ErrorKind::Config, message)
}
