//! SFTP version 3 over one SSH channel: `wire` is its bytes, `session` sends requests and finds the answer of each.
//!
//! Our own, because a request has to be sent before the one ahead of it is answered, handles have to stay the bytes that they
//! are, and a server's unknown status must not end the session. It knows nothing of objects, keys or folders.

mod session;
mod wire;

pub use session::{Fault, Pending, Session};
pub use wire::{Attrs, Kind, Name, flags, status};
