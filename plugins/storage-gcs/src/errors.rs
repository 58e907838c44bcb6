//! What the service refuses, in our words.
//!
//! The kind is chosen by the status and the service's reason, never by a text. The service's own words are repeated, cut.

use http::StatusCode;
use serde::Deserialize;
use windlass_plugin_api::{Error, ErrorKind};

/// The detail that holds the service's reason.
pub const REASON: &str = "reason";

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
    // Downloads are refused in plain text.
    let said = if told.message.is_empty() && !body.starts_with(['{', '<']) { body } else { &told.message };
    let said: String = said.trim().chars().take(WORDS).collect::<String>().replace('\n', " ");
    let text = match (said.trim_end_matches('.'), reason.as_str()) {
        ("", "") => format!("the service says status {}", status.as_u16()),
        ("", reason) => format!("the service says {reason} (status {})", status.as_u16()),
        (said, _) => format!("the service says: {said} (status {})", status.as_u16()),
    };
    let kind = kind(status, &reason);
    let error = match kind {
        ErrorKind::Unavailable => {
            windlass_object::http::passing(StatusCode::SERVICE_UNAVAILABLE, retry_after, text.clone())
                .unwrap_or_else(|| Error::new(kind, text))
        }
        _ => Error::new(kind, text),
    };
    let error = error.detail(REASON, reason.as_str());
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
        "quotaExceeded" | "dailyLimitExceeded" => return ErrorKind::Full,
        _ => {}
    }
    match status.as_u16() {
        401 | 403 => ErrorKind::Denied,
        404 => ErrorKind::NotFound,
        412 => ErrorKind::AlreadyExists,
        408 | 425 | 429 | 500 | 502 | 503 | 504 => ErrorKind::Unavailable,
        501 => ErrorKind::Unsupported,
        _ => ErrorKind::Failed,
    }
}

/// Whether another token, if there is one by now, may be accepted where this wasn't.
pub fn may_be_expired(status: StatusCode) -> bool {
    status == StatusCode::UNAUTHORIZED
}

fn hint(status: StatusCode, reason: &str, kind: ErrorKind) -> Option<&'static str> {
    Some(match (reason, status.as_u16()) {
        ("retentionPolicyNotMet" | "objectUnderActiveHold", _) => {
            "It is kept by a retention or a hold: `prune` gets it when that has ended."
        }
        (_, 401) => {
            "Look at `service_account_key` or `access_token`: is the account there, and the token not expired?"
        }
        _ if kind == ErrorKind::Denied => {
            "The account lacks a right: docs/storages/gcs.md names the roles that suffice."
        }
        (_, 410) => "The service has given this upload up, as it does after a week: start the run again.",
        _ if kind == ErrorKind::Full => "Raise the project's quota.",
        _ => return None,
    })
}

/// What it means that there is nothing where the bucket should be.
pub fn no_bucket(place: &str) -> Error {
    Error::new(ErrorKind::Config, format!("there is no bucket for `{place}`"))
        .hint("Create the bucket, or correct `bucket` and `endpoint`.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, reason: &str) -> Error {
        let body = format!(
            r#"{{"error":{{"code":{status},"message":"The service's words.","errors":[{{"message":"x","domain":"global","reason":"{reason}"}}]}}}}"#
        );
        refused(StatusCode::from_u16(status).unwrap(), &body, Some(7))
    }

    #[test]
    fn status_and_reason_decide_the_kind() {
        for (status, reason, kind) in [
            (401, "authError", ErrorKind::Denied),
            (403, "forbidden", ErrorKind::Denied),
            (403, "retentionPolicyNotMet", ErrorKind::Denied),
            (403, "rateLimitExceeded", ErrorKind::Unavailable),
            (403, "quotaExceeded", ErrorKind::Full),
            (404, "notFound", ErrorKind::NotFound),
            (412, "conditionNotMet", ErrorKind::AlreadyExists),
            (429, "rateLimitExceeded", ErrorKind::Unavailable),
            (503, "backendError", ErrorKind::Unavailable),
            (410, "uploadSessionGone", ErrorKind::Failed),
            (400, "invalid", ErrorKind::Failed),
        ] {
            assert_eq!(of(status, reason).kind, kind, "{status} {reason}");
        }
    }

    #[test]
    fn what_can_be_done_is_told_and_a_service_that_asks_to_wait_is_heard() {
        for (status, reason, hint) in [
            (401, "authError", "service_account_key"),
            (403, "forbidden", "roles"),
            (403, "retentionPolicyNotMet", "retention"),
        ] {
            let error = of(status, reason);
            assert!(error.hint.as_ref().unwrap().contains(hint), "{error:?}");
            assert_eq!(error.to_string(), format!("the service says: The service's words (status {status})"));
        }
        assert_eq!(of(503, "").details[windlass_object::RETRY_AFTER], 7);
    }

    #[test]
    fn an_answer_in_plain_text_and_an_empty_one_are_told() {
        let of = |body: &str| refused(StatusCode::NOT_FOUND, body, None).to_string();
        assert_eq!(of("No such object: acme/a"), "the service says: No such object: acme/a (status 404)");
        assert_eq!(of(""), "the service says status 404");
        assert_eq!(of("<html>"), "the service says status 404");
    }
}
