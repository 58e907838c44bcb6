//! What the service refuses, in our words.
//!
//! The kind is chosen by the status and the service's code, never by a text. The service's own words are repeated, cut.

use http::StatusCode;
use serde_json::Value;
use windlass_object::unavailable;
use windlass_plugin_api::{Error, ErrorKind};

/// The detail that holds the service's code.
pub const CODE: &str = "code";

/// Of the service's words so many are repeated.
const WORDS: usize = 300;

/// An error for an answer that refuses, of its body.
pub fn refused(status: StatusCode, body: &str, retry_after: Option<u64>) -> Error {
    let told = &serde_json::from_str::<Value>(body).unwrap_or_default()["error"];
    let code = told["code"].as_str().unwrap_or_default();
    let said: String = told["message"].as_str().unwrap_or_default().trim().chars().take(WORDS).collect();
    let text = match (said.trim_end_matches('.').replace('\n', " "), code) {
        (said, "") if said.is_empty() => format!("the service says status {}", status.as_u16()),
        (said, code) if said.is_empty() => format!("the service says `{code}` (status {})", status.as_u16()),
        (said, _) => format!("the service says: {said} (status {})", status.as_u16()),
    };
    let kind = kind(status, code);
    let error = match kind {
        ErrorKind::Unavailable => {
            windlass_object::http::passing(StatusCode::SERVICE_UNAVAILABLE, retry_after, text.clone())
                .unwrap_or_else(|| unavailable(text))
        }
        _ => Error::new(kind, text),
    };
    let error = error.detail(CODE, code);
    match hint(status, kind) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn kind(status: StatusCode, code: &str) -> ErrorKind {
    match (status.as_u16(), code) {
        (507, _) | (_, "quotaLimitReached" | "insufficientStorage") => ErrorKind::Full,
        (_, "activityLimitReached" | "serviceNotAvailable" | "tooManyRequests") => ErrorKind::Unavailable,
        (401 | 403, _) => ErrorKind::Denied,
        (404, _) => ErrorKind::NotFound,
        (409, "nameAlreadyExists") => ErrorKind::AlreadyExists,
        // Somebody else changes the same folder, or has the file open.
        (408 | 409 | 423 | 429 | 500 | 502 | 503 | 504 | 509, _) => ErrorKind::Unavailable,
        (413 | 501, _) => ErrorKind::Unsupported,
        _ => ErrorKind::Failed,
    }
}

/// Whether another token, if there is one by now, may be accepted where this wasn't.
pub fn may_be_expired(status: StatusCode) -> bool {
    status == StatusCode::UNAUTHORIZED
}

fn hint(status: StatusCode, kind: ErrorKind) -> Option<&'static str> {
    Some(match (status.as_u16(), kind) {
        (401, _) => {
            "Look at `refresh_token` or `access_token`: was it revoked, or has it expired? Tokens last about an hour."
        }
        (_, ErrorKind::Denied) => {
            "The application or the account lacks a right: docs/storages/onedrive.md names those that are needed."
        }
        (_, ErrorKind::Full) => {
            "The drive's space is used up: prune snapshots, empty the recycle bin, or get more."
        }
        (413, _) => "Set a smaller `part_size`.",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(status: u16, code: &str) -> Error {
        let body = json!({ "error": { "code": code, "message": "The service's words." } }).to_string();
        refused(StatusCode::from_u16(status).unwrap(), &body, Some(7))
    }

    #[test]
    fn status_and_code_decide_the_kind() {
        for (status, code, kind) in [
            (401, "InvalidAuthenticationToken", ErrorKind::Denied),
            (403, "accessDenied", ErrorKind::Denied),
            (403, "quotaLimitReached", ErrorKind::Full),
            (404, "itemNotFound", ErrorKind::NotFound),
            (409, "nameAlreadyExists", ErrorKind::AlreadyExists),
            (409, "conflict", ErrorKind::Unavailable),
            (412, "resourceModified", ErrorKind::Failed),
            (413, "", ErrorKind::Unsupported),
            (423, "resourceLocked", ErrorKind::Unavailable),
            (429, "activityLimitReached", ErrorKind::Unavailable),
            (503, "serviceNotAvailable", ErrorKind::Unavailable),
            (507, "insufficientStorage", ErrorKind::Full),
            (400, "invalidRequest", ErrorKind::Failed),
        ] {
            assert_eq!(of(status, code).kind, kind, "{status} {code}");
        }
    }

    #[test]
    fn what_can_be_done_is_told_and_a_service_that_asks_to_wait_is_heard() {
        for (status, hint) in [(401, "refresh_token"), (403, "lacks a right"), (507, "recycle bin")] {
            let error = of(status, "x");
            assert!(error.hint.as_ref().unwrap().contains(hint), "{error:?}");
            assert_eq!(error.to_string(), format!("the service says: The service's words (status {status})"));
        }
        assert_eq!(of(429, "").details[windlass_object::RETRY_AFTER], 7);
        assert_eq!(refused(StatusCode::NOT_FOUND, "<html>", None).to_string(), "the service says status 404");
    }
}
