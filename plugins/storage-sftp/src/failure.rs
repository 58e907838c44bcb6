//! What the server refused, in words: the deed, the place, the cause and what can be done.
//!
//! Version 3 has one status for most failures. Whether the disk is full is therefore asked for (`Folder::refused`).

use std::fmt::Display;

use windlass_plugin_api::{Error, ErrorKind};

use crate::protocol::{Fault, status};

/// An error that says `deed` couldn't be done to `place`: `can't write `nas:/srv/a`: …`.
pub fn failed(deed: &str, place: impl Display, fault: &Fault) -> Error {
    let (kind, cause) = match fault {
        Fault::Status { code, message } => of_status(*code, message),
        Fault::Lost(why) if why.is_empty() => (ErrorKind::Unavailable, "the connection ended".to_owned()),
        Fault::Lost(why) => (ErrorKind::Unavailable, format!("the connection ended: {why}")),
        Fault::Silent(limit) => {
            (ErrorKind::TimedOut, format!("the server said nothing for {} seconds", limit.as_secs()))
        }
        Fault::Odd(what) => (ErrorKind::Failed, format!("the server breaks the protocol: {what}")),
    };
    let error = Error::new(kind, cause).during(format!("can't {deed} `{place}`"));
    match kind {
        ErrorKind::Full => full(error),
        ErrorKind::Denied => {
            error.hint("See who owns the folder, with which rights, and whether it is mounted read-only.")
        }
        ErrorKind::TimedOut => error.hint("The option `timeout` says how long to wait."),
        _ => error,
    }
}

pub fn full(error: Error) -> Error {
    Error { kind: ErrorKind::Full, ..error }.hint("Free some space there, or keep fewer snapshots.")
}

fn of_status(code: u32, message: &str) -> (ErrorKind, String) {
    let (kind, meaning) = match code {
        status::NO_SUCH_FILE | status::NO_SUCH_PATH => (ErrorKind::NotFound, "no such file"),
        status::PERMISSION_DENIED | status::WRITE_PROTECT => (ErrorKind::Denied, "permission denied"),
        status::OP_UNSUPPORTED => (ErrorKind::Unsupported, "the server can't do that"),
        status::FILE_ALREADY_EXISTS => (ErrorKind::AlreadyExists, "it exists already"),
        status::NO_SPACE => (ErrorKind::Full, "no space left"),
        status::QUOTA_EXCEEDED => (ErrorKind::Full, "the quota is used up"),
        _ => (ErrorKind::Failed, "failure"),
    };
    // Most servers only repeat what the code means.
    let is_news = !message.is_empty() && !message.to_lowercase().trim_end_matches('.').contains(meaning);
    let cause = match (is_news, kind) {
        (false, ErrorKind::Failed) => format!("the server says only that it failed (status {code})"),
        (false, _) => meaning.to_owned(),
        (true, _) => format!("{meaning} (the server says: {message})"),
    };
    (kind, cause)
}

/// An error for a symbolic link below the root.
pub fn is_a_link(place: impl Display) -> Error {
    Error::new(
        ErrorKind::Denied,
        format!("`{place}` is a symbolic link, which isn't followed below the root"),
    )
    .hint("Put the objects themselves there, or make the root that folder.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_decides_the_kind() {
        for (code, kind) in [
            (2, ErrorKind::NotFound),
            (3, ErrorKind::Denied),
            (4, ErrorKind::Failed),
            (8, ErrorKind::Unsupported),
            (14, ErrorKind::Full),
            (15, ErrorKind::Full),
            (99, ErrorKind::Failed),
        ] {
            let error = failed("write", "nas:/a", &Fault::Status { code, message: String::new() });
            assert_eq!(error.kind, kind, "status {code}");
            assert!(error.to_string().starts_with("can't write `nas:/a`: "), "{error}");
        }
        let said = Fault::Status { code: 4, message: "no inodes left".to_owned() };
        assert!(failed("write", "a", &said).to_string().contains("no inodes left"));
    }
}
