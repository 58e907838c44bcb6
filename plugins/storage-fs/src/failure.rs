//! What the system refused, in words: the deed, the path, the cause and what can be done.

use std::fmt::Display;
use std::io;

use windlass_plugin_api::{Error, ErrorKind};

/// An error that says `deed` couldn't be done to `path`: `can't write `/mnt/nas/a`: …`.
pub fn failed(deed: &str, path: impl Display, cause: impl Into<io::Error>) -> Error {
    let error = Error::from(cause.into()).during(format!("can't {deed} `{path}`"));
    match error.kind {
        ErrorKind::Full => error.hint("Free some space there, or keep fewer snapshots."),
        ErrorKind::Denied => {
            error.hint("See who owns the folder, with which rights, and whether it is mounted read-only.")
        }
        _ => error,
    }
}

/// An error for a symbolic link below the root.
pub fn is_a_link(path: impl Display) -> Error {
    Error::new(ErrorKind::Denied, format!("`{path}` is a symbolic link, which isn't followed below the root"))
        .hint("Put the objects themselves there, or make the root that folder.")
}
