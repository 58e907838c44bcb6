//! What the server refused, in words: the deed, the place, the cause and what can be done.
//!
//! FTP's codes say little: 550 is a missing file, a missing right and a full disk. What is missing has been looked for by whoever
//! made the error; for the rest the server's text decides.

use std::fmt::Display;

use windlass_plugin_api::{Error, ErrorKind};

use crate::protocol::Fault;

/// An error that says `deed` couldn't be done to `place`: `can't write `nas:/srv/a`: …`.
pub fn failed(deed: &str, place: impl Display, fault: &Fault) -> Error {
    told(fault).during(format!("can't {deed} `{place}`"))
}

/// An error for what went wrong, without a place.
pub fn told(fault: &Fault) -> Error {
    match fault {
        Fault::Reply { code, text } => of_reply(*code, text),
        Fault::Lost(why) => Error::new(ErrorKind::Unavailable, format!("the connection ended: {why}")),
        Fault::Silent(limit) => {
            Error::new(ErrorKind::TimedOut, format!("the server said nothing for {} seconds", limit.as_secs()))
                .hint("The option `timeout` says how long to wait.")
        }
        Fault::Odd(what) => {
            Error::new(ErrorKind::Unsupported, format!("the server isn't understood: {what}"))
        }
        Fault::Version => Error::new(ErrorKind::Unsupported, "the server and we have no version of TLS and no cipher in common")
            .hint("Have it speak TLS 1.3, or 1.2 with `ECDHE` and `GCM`."),
        Fault::Untrusted(why) => {
            Error::new(ErrorKind::Denied, format!("the server doesn't prove who it is: {why}")).hint(
                "Is `ca_file` the authority of the server's certificate, and `host` the name in it? A certificate that signs \
                 itself goes into `ca_file` too.",
            )
        }
    }
}

fn of_reply(code: u16, text: &str) -> Error {
    let lower = text.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let kind = match code {
        421 | 425 | 426 => ErrorKind::Unavailable,
        452 | 552 => ErrorKind::Full,
        430 | 530 | 532 => ErrorKind::Denied,
        _ if has(&["no space", "space left", "disk full", "quota", "insufficient", "out of space"]) => {
            ErrorKind::Full
        }
        // It failed there while it wrote: mostly for want of room.
        451 if has(&["writing", "write"]) => ErrorKind::Full,
        450 | 451 => ErrorKind::Unavailable,
        500..=504 => ErrorKind::Unsupported,
        521 | 522 | 533 | 534 | 536 => ErrorKind::Config,
        550 | 553 => ErrorKind::Denied,
        _ => ErrorKind::Failed,
    };
    let text = if text.trim().is_empty() { String::new() } else { format!(": {}", text.trim()) };
    // A full disk may also break the data connection.
    let is_broken_write = code == 426 && has(&["writing", "write"]);
    let kind = if is_broken_write { ErrorKind::Full } else { kind };
    let error = Error::new(kind, format!("the server refuses it ({code}{text})"));
    match hint(kind, code) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn hint(kind: ErrorKind, code: u16) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::Full => "Free some space there, or keep fewer snapshots.",
        ErrorKind::Denied => {
            "See who owns the folder, with which rights, and whether the user may write there by FTP."
        }
        ErrorKind::Config => {
            "The server wants TLS, or data connections that resume its session: see `tls` and the server's log."
        }
        ErrorKind::Unavailable if code == 425 => {
            "Data connections go to ports of their own: are the server's passive ports open in the firewall?"
        }
        _ => return None,
    })
}

/// An error for a symbolic link in the place of an object.
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
    fn code_and_text_decide_the_kind() {
        for (code, text, kind) in [
            (421, "Timeout.", ErrorKind::Unavailable),
            (425, "Can't open data connection.", ErrorKind::Unavailable),
            (426, "Connection closed; transfer aborted.", ErrorKind::Unavailable),
            (426, "Failure writing to local file.", ErrorKind::Full),
            (451, "Requested action aborted.", ErrorKind::Unavailable),
            (451, "Failure writing to local file.", ErrorKind::Full),
            (452, "", ErrorKind::Full),
            (552, "Exceeded storage allocation.", ErrorKind::Full),
            (550, "No space left on device", ErrorKind::Full),
            (553, "Disk quota exceeded", ErrorKind::Full),
            (550, "Permission denied.", ErrorKind::Denied),
            (553, "Could not create file.", ErrorKind::Denied),
            (530, "Please login with USER and PASS.", ErrorKind::Denied),
            (502, "Command not implemented.", ErrorKind::Unsupported),
            (522, "SSL connection failed: session reuse required", ErrorKind::Config),
            (599, "", ErrorKind::Failed),
        ] {
            let error = failed("write", "nas:/a", &Fault::Reply { code, text: text.to_owned() });
            assert_eq!(error.kind, kind, "{code} {text}");
            let told = error.to_string();
            assert!(told.starts_with("can't write `nas:/a`: ") && told.contains(text), "{told}");
            let has_hint =
                matches!(kind, ErrorKind::Full | ErrorKind::Denied | ErrorKind::Config) || code == 425;
            assert_eq!(error.hint.is_some(), has_hint, "{code} {text}");
        }
    }
}
