//! SFTP version 3 over one SSH channel: `wire` is its bytes, `channel` moves them, `session` has the
//! requests and `answers` who waits for which answer.
//!
//! Our own, because a request has to be sent before the one ahead of it is answered, handles have to stay the bytes that they
//! are, and a server's unknown status must not end the session. It knows nothing of objects, keys or folders.

mod answers;
mod channel;
mod session;
mod wire;

pub use answers::{Fault, Pending};
pub use session::Session;
pub use wire::{Attrs, Kind, Name, flags, status};
