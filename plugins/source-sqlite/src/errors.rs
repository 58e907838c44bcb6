//! SQLite's errors as ours: the kind decides the exit code and the hint, so it is taken from the code, never the text.

use rusqlite::ErrorCode;
use windlass_plugin_api::{Error, ErrorKind, Result};

/// Turns SQLite's error into ours and says what was being done.
pub trait Sql<T> {
    /// `doing` becomes the headline, SQLite's words the cause.
    fn sql(self, doing: &str) -> Result<T>;
}

impl<T> Sql<T> for rusqlite::Result<T> {
    fn sql(self, doing: &str) -> Result<T> {
        self.map_err(|error| ours(&error).during(doing))
    }
}

/// The error with its kind and, where there is something to do about it, a hint.
pub fn ours(error: &rusqlite::Error) -> Error {
    let text = words(error);
    match raw(error).map(|inner| inner.code) {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
            Error::new(ErrorKind::Unavailable, text)
                .hint("Another program holds a lock; wait for it, or raise `busy_timeout`.")
        }
        Some(ErrorCode::NotADatabase) => {
            Error::damaged(text).hint("It is another kind of file, or encrypted by an extension of SQLite.")
        }
        Some(ErrorCode::DatabaseCorrupt) => Error::damaged(text),
        Some(ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => Error::new(ErrorKind::Denied, text),
        Some(ErrorCode::DiskFull) => Error::new(ErrorKind::Full, text),
        // The only thing that interrupts a statement of ours is the run's cancelling.
        Some(ErrorCode::OperationInterrupted) => Error::cancelled(),
        _ => Error::failed(text),
    }
}

/// The extended result code, 0 if the error isn't SQLite's.
pub fn extended(error: &rusqlite::Error) -> i32 {
    raw(error).map_or(0, |inner| inner.extended_code)
}

fn raw(error: &rusqlite::Error) -> Option<&rusqlite::ffi::Error> {
    match error {
        rusqlite::Error::SqliteFailure(inner, _) | rusqlite::Error::SqlInputError { error: inner, .. } => {
            Some(inner)
        }
        _ => None,
    }
}

/// SQLite's words in one line, without the statement, which may hold the user's data.
pub fn words(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg.replace('\n', " "),
        _ => error.to_string().replace('\n', " "),
    }
}
