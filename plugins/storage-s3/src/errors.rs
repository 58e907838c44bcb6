//! What the service refuses, in our words.
//!
//! The kind is chosen by S3's code, else by the status, never by a text. The service's own words are repeated, cut.

use http::StatusCode;
use windlass_plugin_api::{Error, ErrorKind};

/// The detail that holds S3's code.
pub const CODE: &str = "code";

/// Of the service's words so many are repeated.
const WORDS: usize = 300;

/// An error for an answer that refuses.
pub fn refused(status: StatusCode, code: &str, message: &str, retry_after: Option<u64>) -> Error {
    let code = if code.is_empty() { by_status(status) } else { code };
    let kind = kind(status, code);
    let said = message.trim().chars().take(WORDS).collect::<String>().replace('\n', " ");
    let text = match said.as_str() {
        "" => format!("the service says {code} (status {})", status.as_u16()),
        said => format!("the service says {code}: {}", said.trim_end_matches('.')),
    };
    let error = match kind {
        ErrorKind::Unavailable => {
            windlass_object::http::passing(StatusCode::SERVICE_UNAVAILABLE, retry_after, text.clone())
                .unwrap_or_else(|| Error::new(kind, text))
        }
        _ => Error::new(kind, text),
    };
    let error = error.detail(CODE, code);
    match hint(code, kind) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// S3's code in an error of ours.
pub fn code(error: &Error) -> &str {
    error.details.get(CODE).and_then(|code| code.as_str()).unwrap_or_default()
}

/// Answers without a body, to HEAD, have only a status.
fn by_status(status: StatusCode) -> &'static str {
    match status.as_u16() {
        301 => "PermanentRedirect",
        400 => "BadRequest",
        401 | 403 => "AccessDenied",
        404 => "NotFound",
        409 => "OperationAborted",
        412 => "PreconditionFailed",
        416 => "InvalidRange",
        501 => "NotImplemented",
        503 => "SlowDown",
        507 => "InsufficientStorage",
        500..=599 => "InternalError",
        _ => "an error",
    }
}

fn kind(status: StatusCode, code: &str) -> ErrorKind {
    match code {
        "NoSuchKey" | "NoSuchUpload" | "NoSuchVersion" | "NotFound" => ErrorKind::NotFound,
        "NoSuchBucket"
        | "InvalidBucketName"
        | "PermanentRedirect"
        | "AuthorizationHeaderMalformed"
        | "TemporaryRedirect"
        | "InvalidStorageClass"
        | "InvalidEncryptionAlgorithmError" => ErrorKind::Config,
        "AccessDenied"
        | "AllAccessDisabled"
        | "AccountProblem"
        | "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "InvalidToken"
        | "ExpiredToken"
        | "RequestTimeTooSkewed"
        | "InvalidSecurity"
        | "RequestExpired"
        | "UnauthorizedAccess"
        | "NotSignedUp" => ErrorKind::Denied,
        "PreconditionFailed" => ErrorKind::AlreadyExists,
        "ConditionalRequestConflict"
        | "OperationAborted"
        | "SlowDown"
        | "InternalError"
        | "ServiceUnavailable"
        | "RequestTimeout"
        | "BadDigest"
        | "XAmzContentSHA256Mismatch"
        | "XAmzContentChecksumMismatch"
        | "IncompleteBody"
        | "Throttling"
        | "ThrottlingException"
        | "RequestThrottled"
        | "TooManyRequests"
        | "RequestLimitExceeded"
        | "BandwidthLimitExceeded" => ErrorKind::Unavailable,
        "QuotaExceeded"
        | "XMinioStorageFull"
        | "InsufficientStorage"
        | "InsufficientCapacity"
        | "XMinioAdminBucketQuotaExceeded" => ErrorKind::Full,
        "NotImplemented" | "MethodNotAllowed" | "EntityTooLarge" => ErrorKind::Unsupported,
        _ => match status.as_u16() {
            401 | 403 => ErrorKind::Denied,
            404 => ErrorKind::NotFound,
            408 | 425 | 429 | 500 | 502 | 503 | 504 => ErrorKind::Unavailable,
            507 => ErrorKind::Full,
            501 => ErrorKind::Unsupported,
            _ => ErrorKind::Failed,
        },
    }
}

/// Whether other keys, if there are any by now, may be accepted where these weren't.
pub fn may_be_expired(error: &Error) -> bool {
    matches!(
        code(error),
        "ExpiredToken" | "InvalidToken" | "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "RequestExpired"
    )
}

/// Of an answer to HEAD, which has no body: whether it would have held the reason. Keys that have expired are answered so.
pub fn says_nothing(error: &Error) -> bool {
    matches!(code(error), "BadRequest" | "AccessDenied")
}

fn hint(code: &str, kind: ErrorKind) -> Option<&'static str> {
    Some(match code {
        "NoSuchBucket" => "Create the bucket, or correct `bucket`, `endpoint` and `region`.",
        "InvalidAccessKeyId" => "Look at `access_key_id`, and whether it is a key of this service.",
        "SignatureDoesNotMatch" => {
            "Look at `secret_access_key`; behind a proxy also whether it passes the host's name on."
        }
        "ExpiredToken" | "InvalidToken" | "RequestExpired" => {
            "The temporary keys are no longer good, and asking for them again gave the same: renew them."
        }
        "BadRequest" => {
            "The answer holds no reason. Temporary keys that have expired are answered so, and asking for them again gave the same."
        }
        "RequestTimeTooSkewed" => "This machine's clock is wrong: set it by NTP.",
        "PermanentRedirect" | "AuthorizationHeaderMalformed" | "TemporaryRedirect" => {
            "The bucket is in another region: set `region`."
        }
        "NotImplemented" => "This service lacks what was asked for: see its limits in the documentation.",
        _ => match kind {
            ErrorKind::Denied => {
                "The key lacks a right: docs/storages/s3.md has a policy that suffices, for backups alone and for everything."
            }
            ErrorKind::Full => "Raise the quota, or keep fewer snapshots.",
            _ => return None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, code: &str) -> Error {
        refused(StatusCode::from_u16(status).unwrap(), code, "the service's words.", None)
    }

    #[test]
    fn the_code_decides_the_kind_and_without_one_the_status() {
        for (status, code, kind) in [
            (404, "NoSuchKey", ErrorKind::NotFound),
            (404, "NoSuchBucket", ErrorKind::Config),
            (404, "", ErrorKind::NotFound),
            (403, "SignatureDoesNotMatch", ErrorKind::Denied),
            (403, "", ErrorKind::Denied),
            (412, "PreconditionFailed", ErrorKind::AlreadyExists),
            (503, "SlowDown", ErrorKind::Unavailable),
            (500, "", ErrorKind::Unavailable),
            (400, "BadDigest", ErrorKind::Unavailable),
            (429, "", ErrorKind::Unavailable),
            (507, "", ErrorKind::Full),
            (501, "NotImplemented", ErrorKind::Unsupported),
            (400, "InvalidArgument", ErrorKind::Failed),
            (400, "", ErrorKind::Failed),
        ] {
            assert_eq!(of(status, code).kind, kind, "{status} {code}");
        }
    }

    #[test]
    fn what_can_be_done_is_told() {
        for (code, hint) in [
            ("NoSuchBucket", "Create the bucket"),
            ("InvalidAccessKeyId", "access_key_id"),
            ("SignatureDoesNotMatch", "secret_access_key"),
            ("RequestTimeTooSkewed", "clock"),
            ("AccessDenied", "policy"),
            ("AuthorizationHeaderMalformed", "region"),
        ] {
            let error = of(403, code);
            assert!(error.hint.as_ref().unwrap().contains(hint), "{error:?}");
            assert_eq!(error.to_string(), format!("the service says {code}: the service's words"));
        }
    }

    #[test]
    fn a_service_that_asks_to_wait_is_heard() {
        let error = refused(StatusCode::SERVICE_UNAVAILABLE, "SlowDown", "", Some(7));
        assert_eq!(error.details[windlass_object::RETRY_AFTER], 7);
    }
}
