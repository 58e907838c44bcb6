//! What the tools' messages mean.

use windlass_plugin_api::{Error, ErrorKind};

/// An error of a tool, of the kind that the server's number in it tells.
pub(crate) fn explained(mut error: Error) -> Error {
    if error.kind != ErrorKind::Failed {
        return error;
    }
    let said = error.details.get("stderr").and_then(|text| text.as_str()).unwrap_or_default().to_owned();
    let Some((kind, hint)) = numbers(&said).into_iter().find_map(meaning) else { return error };
    error.kind = kind;
    if hint.is_empty() { error } else { error.hint(hint) }
}

fn meaning(number: u32) -> Option<(ErrorKind, &'static str)> {
    Some(match number {
        1044 | 1045 | 1142 | 1143 | 1370 | 1698 => {
            (ErrorKind::Denied, "Check `user`, `password` and what that account was granted.")
        }
        1227 => (
            ErrorKind::Denied,
            "To make views and code of other definers takes the right `SET USER`: grant it, or restore with `--set definer=drop`.",
        ),
        1049 => (ErrorKind::NotFound, "List the databases with `SHOW DATABASES`."),
        2002 | 2003 | 2005 => {
            (ErrorKind::Unavailable, "Check `host`, `port` or `socket`, and whether the server runs.")
        }
        2006 | 2013 | 1053 | 1927 => (
            ErrorKind::Unavailable,
            "The connection was lost: the server was stopped, it ended the session, or a row was larger than its `max_allowed_packet`.",
        ),
        2026 => {
            (ErrorKind::Unavailable, "Check `tls` and the certificates, and whether the server speaks TLS.")
        }
        1153 | 2020 => (
            ErrorKind::Failed,
            "A row is larger than the server's `max_allowed_packet`: raise it with `SET GLOBAL max_allowed_packet = 1073741824`.",
        ),
        1205 | 1213 => (ErrorKind::TimedOut, "Another session holds a lock: see `SHOW PROCESSLIST`."),
        1412 => (
            ErrorKind::Failed,
            "A table was changed with `ALTER TABLE` while it was read: run the backup again.",
        ),
        1969 | 3024 => (ErrorKind::TimedOut, "A statement took longer than `statement_timeout`."),
        1449 => (
            ErrorKind::Failed,
            "A definer's account isn't there any more: make it again, or restore with `--set definer=drop`.",
        ),
        _ => return None,
    })
}

/// The server's and the client's error numbers in a text: `ERROR 1045 (28000)`, `Got error: 1045:`, `(2013)`.
fn numbers(said: &str) -> Vec<u32> {
    let words = said.split(|c: char| !c.is_ascii_digit());
    words.filter(|word| word.len() == 4).filter_map(|word| word.parse().ok()).collect()
}
