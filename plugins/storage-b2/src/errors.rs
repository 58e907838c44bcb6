//! What the service refuses, in our words.
//!
//! The kind is chosen by the status and the service's code, never by a text. The service's own words are repeated, cut.

use http::StatusCode;
use serde::Deserialize;
use windlass_object::http::passing;
use windlass_plugin_api::{Error, ErrorKind};

/// The detail that holds the service's code.
pub const CODE: &str = "code";

/// Of the service's words so many are repeated.
const WORDS: usize = 300;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Refusal {
    code: String,
    message: String,
}

/// An error for an answer that refuses, of its body.
pub fn refused(status: StatusCode, body: &str, retry_after: Option<u64>) -> Error {
    let told: Refusal = serde_json::from_str(body).unwrap_or_default();
    let said: String = told.message.trim().chars().take(WORDS).collect::<String>().replace('\n', " ");
    let number = status.as_u16();
    let text = match (said.trim_end_matches('.'), told.code.as_str()) {
        ("", "") => format!("the service says status {number}"),
        ("", code) => format!("the service says `{code}` (status {number})"),
        (said, "") => format!("the service says: {said} (status {number})"),
        (said, code) => format!("the service says: {said} (`{code}`, status {number})"),
    };
    let kind = kind(status, &told.code);
    let error = match kind {
        ErrorKind::Unavailable => passing(StatusCode::SERVICE_UNAVAILABLE, retry_after, text.clone()),
        _ => None,
    };
    let error = error.unwrap_or_else(|| Error::new(kind, text)).detail(CODE, told.code.as_str());
    match hint(&told.code, kind) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn kind(status: StatusCode, code: &str) -> ErrorKind {
    match code {
        "cap_exceeded" | "storage_cap_exceeded" | "transaction_cap_exceeded" | "download_cap_exceeded" => {
            return ErrorKind::Full;
        }
        "no_such_file" | "file_not_present" => return ErrorKind::NotFound,
        _ => {}
    }
    match status.as_u16() {
        401 | 403 => ErrorKind::Denied,
        404 => ErrorKind::NotFound,
        408 | 425 | 429 | 500..=599 => ErrorKind::Unavailable,
        _ => ErrorKind::Failed,
    }
}

/// Whether the token was refused, and another one may be accepted.
pub fn is_expired(error: &Error) -> bool {
    is_code(error, "expired_auth_token") || is_code(error, "bad_auth_token")
}

/// Whether the service gave this code.
pub fn is_code(error: &Error, code: &str) -> bool {
    error.details.get(CODE).is_some_and(|own| own == code)
}

fn hint(code: &str, kind: ErrorKind) -> Option<&'static str> {
    Some(match code {
        "storage_cap_exceeded" | "cap_exceeded" => {
            "Raise the storage cap in the account's settings (Caps & Alerts), or make room."
        }
        "transaction_cap_exceeded" | "download_cap_exceeded" => {
            "Raise the caps of transactions and downloads in the account's settings (Caps & Alerts)."
        }
        "access_denied" => "It is kept by object lock or a legal hold: `prune` gets it when that has ended.",
        _ if kind == ErrorKind::Denied => {
            "Are `key_id` and `application_key` those of one key that still exists? docs/storages/b2.md names its capabilities."
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, code: &str) -> Error {
        let body = format!(r#"{{"code":"{code}","message":"The service's words.","status":{status}}}"#);
        refused(StatusCode::from_u16(status).unwrap(), &body, Some(7))
    }

    #[test]
    fn status_and_code_decide_the_kind() {
        for (status, code, kind) in [
            (400, "bad_request", ErrorKind::Failed),
            (400, "file_not_present", ErrorKind::NotFound),
            (401, "unauthorized", ErrorKind::Denied),
            (401, "expired_auth_token", ErrorKind::Denied),
            (403, "access_denied", ErrorKind::Denied),
            (403, "storage_cap_exceeded", ErrorKind::Full),
            (404, "not_found", ErrorKind::NotFound),
            (408, "request_timeout", ErrorKind::Unavailable),
            (429, "too_many_requests", ErrorKind::Unavailable),
            (500, "internal_error", ErrorKind::Unavailable),
            (503, "service_unavailable", ErrorKind::Unavailable),
        ] {
            assert_eq!(of(status, code).kind, kind, "{status} {code}");
        }
    }

    #[test]
    fn what_can_be_done_is_told_and_a_service_that_asks_to_wait_is_heard() {
        for (status, code, hint) in [
            (401, "unauthorized", "application_key"),
            (403, "access_denied", "object lock"),
            (403, "storage_cap_exceeded", "storage cap"),
        ] {
            let error = of(status, code);
            assert!(error.hint.as_ref().unwrap().contains(hint), "{error:?}");
            let told = format!("the service says: The service's words (`{code}`, status {status})");
            assert_eq!(error.to_string(), told);
        }
        assert_eq!(of(503, "").details[windlass_object::RETRY_AFTER], 7);
        assert_eq!(refused(StatusCode::NOT_FOUND, "<html>", None).to_string(), "the service says status 404");
    }

    #[test]
    fn only_a_token_that_is_no_longer_good_is_renewed() {
        assert!(is_expired(&of(401, "expired_auth_token")) && is_expired(&of(401, "bad_auth_token")));
        assert!(!is_expired(&of(401, "unauthorized")));
    }
}
