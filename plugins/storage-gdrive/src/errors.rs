//! What the service refuses, in our words.
//!
//! The kind is chosen by the status and the service's reason, never by a text. The service's own words are repeated, cut.

use http::StatusCode;
use serde::Deserialize;
use windlass_object::http::passing;
use windlass_plugin_api::{Error, ErrorKind};

/// The detail that holds the service's reason.
pub const REASON: &str = "reason";

/// The detail that holds the status.
const STATUS: &str = "status";

/// Of the service's words so many are repeated.
const WORDS: usize = 300;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Refusal {
    error: Told,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Told {
    message: String,
    errors: Vec<Reason>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Reason {
    reason: String,
}

/// An error for an answer that refuses, of its body.
pub fn refused(status: StatusCode, body: &str, retry_after: Option<u64>) -> Error {
    let told = serde_json::from_str::<Refusal>(body).unwrap_or_default().error;
    let reason = told.errors.into_iter().next().unwrap_or_default().reason;
    let said: String = told.message.trim().chars().take(WORDS).collect::<String>().replace('\n', " ");
    let number = status.as_u16();
    let text = match (said.trim_end_matches('.'), reason.as_str()) {
        ("", "") => format!("the service says status {number}"),
        ("", reason) => format!("the service says `{reason}` (status {number})"),
        (said, "") => format!("the service says: {said} (status {number})"),
        (said, reason) => format!("the service says: {said} (`{reason}`, status {number})"),
    };
    let kind = kind(status, &reason);
    let error = match kind {
        ErrorKind::Unavailable => passing(StatusCode::SERVICE_UNAVAILABLE, retry_after, text.clone()),
        _ => None,
    };
    let error = error
        .unwrap_or_else(|| Error::new(kind, text))
        .detail(REASON, reason.as_str())
        .detail(STATUS, number);
    match hint(status, &reason, kind) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn kind(status: StatusCode, reason: &str) -> ErrorKind {
    match reason {
        "rateLimitExceeded" | "userRateLimitExceeded" | "backendError" | "internalError" => {
            return ErrorKind::Unavailable;
        }
        "storageQuotaExceeded"
        | "quotaExceeded"
        | "dailyLimitExceeded"
        | "teamDriveFileLimitExceeded"
        | "numChildrenInNonRootLimitExceeded"
        | "activeItemCreationLimitExceeded" => return ErrorKind::Full,
        _ => {}
    }
    match status.as_u16() {
        401 | 403 => ErrorKind::Denied,
        404 => ErrorKind::NotFound,
        408 | 425 | 429 | 500..=599 => ErrorKind::Unavailable,
        _ => ErrorKind::Failed,
    }
}

/// Whether what was asked for is there no more.
pub fn is_gone(error: &Error) -> bool {
    error.kind == ErrorKind::NotFound || error.details.get(STATUS).is_some_and(|status| *status == 410)
}

/// Whether another token, if there is one by now, may be accepted where this wasn't.
pub fn may_be_expired(status: StatusCode) -> bool {
    status == StatusCode::UNAUTHORIZED
}

fn hint(status: StatusCode, reason: &str, kind: ErrorKind) -> Option<&'static str> {
    Some(match (reason, status.as_u16()) {
        ("storageQuotaExceeded" | "quotaExceeded", _) => "The drive is full: make room, empty its bin too.",
        ("dailyLimitExceeded", _) => {
            "The client's requests of this day are used up: raise its quota, or go on tomorrow."
        }
        ("insufficientFilePermissions", _) => {
            "The user may not do that there: a shared drive needs the role Manager to delete, Contributor to store."
        }
        ("accessNotConfigured", _) => "Switch the Google Drive API on in the client's project.",
        (_, 401) => "Look at `refresh_token` or `access_token`: was it revoked, has it expired?",
        _ if kind == ErrorKind::Denied => {
            "Does the token have the scope `drive.file`, and may the user do that there?"
        }
        _ if kind == ErrorKind::Full => "The service keeps no more files there: use another folder or drive.",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, reason: &str) -> Error {
        let body = format!(
            r#"{{"error":{{"code":{status},"message":"The service's words.","errors":[{{"domain":"global","reason":"{reason}"}}]}}}}"#
        );
        refused(StatusCode::from_u16(status).unwrap(), &body, Some(7))
    }

    #[test]
    fn status_and_reason_decide_the_kind_and_what_can_be_done_is_told() {
        for (status, reason, kind, hint) in [
            (401, "authError", ErrorKind::Denied, "refresh_token"),
            (403, "insufficientFilePermissions", ErrorKind::Denied, "role"),
            (403, "insufficientPermissions", ErrorKind::Denied, "scope"),
            (403, "rateLimitExceeded", ErrorKind::Unavailable, ""),
            (403, "userRateLimitExceeded", ErrorKind::Unavailable, ""),
            (403, "storageQuotaExceeded", ErrorKind::Full, "make room"),
            (404, "notFound", ErrorKind::NotFound, ""),
            (429, "rateLimitExceeded", ErrorKind::Unavailable, ""),
            (503, "backendError", ErrorKind::Unavailable, ""),
            (400, "invalid", ErrorKind::Failed, ""),
        ] {
            let error = of(status, reason);
            assert_eq!(error.kind, kind, "{status} {reason}");
            assert!(error.hint.as_deref().unwrap_or_default().contains(hint), "{error:?}");
            assert_eq!(
                error.to_string(),
                format!("the service says: The service's words (`{reason}`, status {status})")
            );
        }
        assert_eq!(of(503, "").details[windlass_object::RETRY_AFTER], 7);
        assert!(is_gone(&of(410, "")) && is_gone(&of(404, "notFound")) && !is_gone(&of(403, "")));
    }
}
