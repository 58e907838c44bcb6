//! What the service refuses, in our words.
//!
//! The kind is chosen by the service's code, else by the status, never by a text. The service's own words are repeated,
//! cut.

use http::StatusCode;
use windlass_plugin_api::{Error, ErrorKind};

/// The detail that holds the service's code.
pub const CODE: &str = "code";

/// Of the service's words so many are repeated.
const WORDS: usize = 300;

/// An error for an answer that refuses.
pub fn refused(status: StatusCode, code: &str, message: &str, retry_after: Option<u64>) -> Error {
    let code = if code.is_empty() { by_status(status) } else { code };
    let kind = kind(status, code);
    // The lines behind the first name the request and the time.
    let said: String = message.trim().lines().next().unwrap_or_default().chars().take(WORDS).collect();
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

/// The service's code in an error of ours.
pub fn code(error: &Error) -> &str {
    error.details.get(CODE).and_then(|code| code.as_str()).unwrap_or_default()
}

/// Answers without a code have only a status.
fn by_status(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "NoAuthenticationInformation",
        403 => "AuthorizationFailure",
        404 => "ResourceNotFound",
        409 => "Conflict",
        412 => "ConditionNotMet",
        416 => "InvalidRange",
        503 => "ServerBusy",
        500..=599 => "InternalError",
        _ => "an error",
    }
}

fn kind(status: StatusCode, code: &str) -> ErrorKind {
    match code {
        "BlobNotFound" | "ResourceNotFound" => ErrorKind::NotFound,
        "ContainerNotFound"
        | "ContainerBeingDeleted"
        | "ContainerDisabled"
        | "InvalidResourceName"
        | "InvalidUri"
        | "FeatureVersionMismatch" => ErrorKind::Config,
        "BlobAlreadyExists" => ErrorKind::AlreadyExists,
        "ServerBusy" | "InternalError" | "OperationTimedOut" | "Md5Mismatch" | "AccountBeingCreated" => {
            ErrorKind::Unavailable
        }
        "BlobImmutableDueToPolicy" | "BlobImmutableDueToLegalHold" | "AccountIsDisabled" => ErrorKind::Denied,
        "RequestBodyTooLarge" | "BlockCountExceedsLimit" | "UnsupportedHeader" => ErrorKind::Unsupported,
        "InsufficientStorage" | "AccountLimitExceeded" => ErrorKind::Full,
        _ => match status.as_u16() {
            401 | 403 => ErrorKind::Denied,
            404 => ErrorKind::NotFound,
            412 => ErrorKind::AlreadyExists,
            408 | 425 | 429 | 500 | 502 | 503 | 504 => ErrorKind::Unavailable,
            501 => ErrorKind::Unsupported,
            507 => ErrorKind::Full,
            _ => ErrorKind::Failed,
        },
    }
}

/// Whether another key or token, if there is one by now, may be accepted where this wasn't.
pub fn may_be_expired(error: &Error) -> bool {
    matches!(
        code(error),
        "AuthenticationFailed"
            | "InvalidAuthenticationInfo"
            | "AuthorizationFailure"
            | "NoAuthenticationInformation"
    )
}

fn hint(code: &str, kind: ErrorKind) -> Option<&'static str> {
    Some(match code {
        "ContainerNotFound" => "Create the container, or correct `container`, `account` and `endpoint`.",
        "AuthenticationFailed" | "InvalidAuthenticationInfo" => {
            "Look at `account_key` or `sas_token`: is it of this account, and not expired? Also at this machine's clock."
        }
        "AuthorizationFailure" => {
            "Look at `account_key` or `sas_token`, and at the account's firewall; docs/storages/azblob.md names the rights that suffice."
        }
        "UnauthorizedBlobOverwrite" => {
            "The token may create blobs and not replace them: another run may have stored this one."
        }
        "BlobImmutableDueToPolicy" | "BlobImmutableDueToLegalHold" => {
            "It is kept by an immutability policy or a legal hold: `prune` gets it when that has ended."
        }
        "BlobArchived" | "BlobBeingRehydrated" => {
            "Thaw the blob first: set its access tier to `Cool` or `Hot`."
        }
        "InvalidBlockList" => {
            "Something else has stored this blob meanwhile, which discards the blocks of this upload."
        }
        "KeyBasedAuthenticationNotPermitted" => "The account allows no keys: use an identity.",
        _ if kind == ErrorKind::Denied => {
            "The key, token or identity lacks a right: docs/storages/azblob.md names those that suffice."
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, code: &str) -> Error {
        refused(
            StatusCode::from_u16(status).unwrap(),
            code,
            "the service's words.\nRequestId:7\nTime:now",
            None,
        )
    }

    #[test]
    fn the_code_decides_the_kind_and_without_one_the_status() {
        for (status, code, kind) in [
            (404, "BlobNotFound", ErrorKind::NotFound),
            (404, "ContainerNotFound", ErrorKind::Config),
            (404, "", ErrorKind::NotFound),
            (403, "AuthenticationFailed", ErrorKind::Denied),
            (403, "", ErrorKind::Denied),
            (401, "NoAuthenticationInformation", ErrorKind::Denied),
            (409, "BlobAlreadyExists", ErrorKind::AlreadyExists),
            (409, "BlobImmutableDueToPolicy", ErrorKind::Denied),
            (412, "ConditionNotMet", ErrorKind::AlreadyExists),
            (400, "Md5Mismatch", ErrorKind::Unavailable),
            (400, "InvalidBlockList", ErrorKind::Failed),
            (503, "ServerBusy", ErrorKind::Unavailable),
            (500, "", ErrorKind::Unavailable),
            (413, "RequestBodyTooLarge", ErrorKind::Unsupported),
        ] {
            assert_eq!(of(status, code).kind, kind, "{status} {code}");
        }
    }

    #[test]
    fn what_can_be_done_is_told_and_what_nobody_can_use_is_not() {
        for (code, hint) in [
            ("ContainerNotFound", "Create the container"),
            ("AuthenticationFailed", "account_key"),
            ("AuthorizationPermissionMismatch", "lacks a right"),
            ("BlobArchived", "Thaw"),
        ] {
            let error = of(403, code);
            assert!(error.hint.as_ref().unwrap().contains(hint), "{error:?}");
            assert_eq!(error.to_string(), format!("the service says {code}: the service's words"));
        }
    }

    #[test]
    fn a_service_that_asks_to_wait_is_heard() {
        let error = refused(StatusCode::SERVICE_UNAVAILABLE, "ServerBusy", "", Some(7));
        assert_eq!(error.details[windlass_object::RETRY_AFTER], 7);
    }
}
