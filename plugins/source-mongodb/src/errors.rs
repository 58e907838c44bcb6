//! The driver's errors in our words.
//!
//! The kind is chosen by the server's codes and the driver's kinds, never by a text.

use mongodb::error::{Error as Driver, ErrorKind as DriverKind, WriteFailure};
use windlass_plugin_api::{Error, ErrorKind};

/// The snapshot's moment is older than what the server keeps.
const SNAPSHOT_TOO_OLD: i32 = 239;

/// The server's code for what went wrong, if it was the server that said so.
pub(crate) fn code(error: &Driver) -> Option<i32> {
    match error.kind.as_ref() {
        DriverKind::Command(command) => Some(command.code),
        DriverKind::Write(WriteFailure::WriteError(write)) => Some(write.code),
        DriverKind::Write(WriteFailure::WriteConcernError(write)) => Some(write.code),
        // Signing in packs the server's answer away.
        DriverKind::Authentication { .. } => Some(18),
        _ => None,
    }
}

/// What was being done, and why it didn't work.
pub(crate) fn told(error: &Driver, what: &str) -> Error {
    let kind = match error.kind.as_ref() {
        DriverKind::ServerSelection { .. }
        | DriverKind::Io(_)
        | DriverKind::ConnectionPoolCleared { .. }
        | DriverKind::DnsResolve { .. } => ErrorKind::Unavailable,
        DriverKind::InvalidArgument { .. } | DriverKind::InvalidTlsConfig { .. } => ErrorKind::Config,
        _ => kind_of(code(error).unwrap_or(0)),
    };
    let told = Error::new(kind, format!("can't {what}"));
    let told = match error.kind.as_ref() {
        DriverKind::Command(command) => {
            because(told, &said(command.code, &command.code_name, &command.message))
        }
        DriverKind::Authentication { .. } => because(told, "the server doesn't accept user and password"),
        kind => because(told, &kind.to_string()),
    };
    hinted(told, code(error), kind)
}

/// As [`told`], of a write error in a reply.
pub(crate) fn refused_write(code: i32, message: &str, what: &str) -> Error {
    let kind = kind_of(code);
    hinted(because(Error::new(kind, format!("can't {what}")), &said(code, "", message)), Some(code), kind)
}

/// Of a refusal, what it takes to be allowed: more than the hint that every refusal has.
pub(crate) fn needs(mut error: Error, hint: &str) -> Error {
    if error.kind == ErrorKind::Denied {
        error.hint = Some(hint.to_owned());
    }
    error
}

fn hinted(error: Error, code: Option<i32>, kind: ErrorKind) -> Error {
    match (code, kind) {
        (Some(SNAPSHOT_TOO_OLD), _) => error.hint(
            "The run took longer than the server keeps its history: set `consistency = \"oplog\"`, or raise \
             `minSnapshotHistoryWindowInSeconds` on the server.",
        ),
        (Some(18), _) => error.hint("Look at `user`, `password` and `auth_source`."),
        (_, ErrorKind::Denied) => error.hint(
            "The role `read` suffices for a backup of a database, `readWrite` and `dbAdmin` for a restore.",
        ),
        _ => error,
    }
}

fn kind_of(code: i32) -> ErrorKind {
    match code {
        13 | 18 | 8000 => ErrorKind::Denied,
        26 => ErrorKind::NotFound,
        48 => ErrorKind::AlreadyExists,
        50 | 262 => ErrorKind::TimedOut,
        59 | 115 | 166 | 246 => ErrorKind::Unsupported,
        6 | 7 | 89 | 91 | 136 | 189 | 9001 | 10107 | 11600 | 11602 | 13435 | 13436 => ErrorKind::Unavailable,
        14031 => ErrorKind::Full,
        _ => ErrorKind::Failed,
    }
}

fn said(code: i32, name: &str, message: &str) -> String {
    let name = if name.is_empty() { String::new() } else { format!(" {name}") };
    format!("the server says: {message} (code {code}{name})")
}

fn because(mut error: Error, cause: &str) -> Error {
    error.causes.push(cause.to_owned());
    error
}

#[cfg(test)]
mod tests {
    use bson::doc;
    use mongodb::error::CommandError;

    use super::*;

    fn answered(code: i32, name: &str) -> Error {
        let reply = doc! { "code": code, "codeName": name, "errmsg": "the server's words" };
        let reply: CommandError = bson::deserialize_from_document(reply).unwrap();
        told(&DriverKind::Command(reply).into(), "read `shop.orders`")
    }

    #[test]
    fn a_snapshot_that_is_too_old_fails_with_what_to_do() {
        let error = answered(239, "SnapshotTooOld");
        assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Failed, "can't read `shop.orders`"));
        assert!(error.hint.as_ref().unwrap().contains("minSnapshotHistoryWindowInSeconds"), "{error:?}");
        assert!(error.to_string().contains("the server's words (code 239 SnapshotTooOld)"), "{error}");
    }

    #[test]
    fn what_the_server_says_decides_the_kind() {
        for (code, kind) in [
            (13, ErrorKind::Denied),
            (50, ErrorKind::TimedOut),
            (11600, ErrorKind::Unavailable),
            (2, ErrorKind::Failed),
        ] {
            assert_eq!(answered(code, "").kind, kind, "code {code}");
        }
    }
}
