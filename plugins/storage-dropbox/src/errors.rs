//! What the service refuses, in our words.
//!
//! The kind is chosen by the status and the tags of the error, never by a text for humans. Of answers without tags the
//! service's own words are repeated, cut.

use http::StatusCode;
use serde_json::Value;
use windlass_object::unavailable;
use windlass_plugin_api::{Error, ErrorKind};

/// The detail that holds the error's tags: `path/conflict/file`.
pub const TAGS: &str = "tags";

/// The detail that says where the session of an upload goes on.
pub const OFFSET: &str = "correct_offset";

/// Of the service's words so many are repeated.
const WORDS: usize = 300;

/// An error for an answer that refuses, of its body.
pub fn refused(status: StatusCode, body: &str, retry_after: Option<u64>) -> Error {
    let document: Value = serde_json::from_str(body).unwrap_or_default();
    let told = &document["error"];
    if told.is_null() {
        let said: String = body.trim().chars().take(WORDS).collect::<String>().replace('\n', " ");
        let said = if said.starts_with('<') { String::new() } else { format!(": {said}") };
        let text =
            format!("the service says status {}{}", status.as_u16(), said.trim_end_matches([':', ' ']));
        return of(status, "", told, retry_after, text);
    }
    of_tags(status, told, retry_after)
}

/// An error for an entry of an answer about several files.
pub fn entry(told: &Value) -> Error {
    of_tags(StatusCode::CONFLICT, told, None)
}

fn of_tags(status: StatusCode, told: &Value, retry_after: Option<u64>) -> Error {
    let tags = tags(told);
    let text = format!("the service says `{tags}` (status {})", status.as_u16());
    let retry_after = retry_after.or(told["retry_after"].as_u64());
    of(status, &tags, told, retry_after, text).detail(TAGS, tags)
}

fn of(status: StatusCode, tags: &str, told: &Value, retry_after: Option<u64>, text: String) -> Error {
    let kind = kind(status, tags);
    let error = match kind {
        ErrorKind::Unavailable => {
            windlass_object::http::passing(StatusCode::SERVICE_UNAVAILABLE, retry_after, text.clone())
                .unwrap_or_else(|| unavailable(text))
        }
        _ => Error::new(kind, text),
    };
    let error = match correct_offset(told) {
        Some(offset) => error.detail(OFFSET, offset),
        None => error,
    };
    match hint(tags, kind, told) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// The tags of a union in a union, from the outermost in.
fn tags(told: &Value) -> String {
    let mut tags = Vec::new();
    let mut next = if told[".tag"].is_null() && !told["reason"].is_null() { &told["reason"] } else { told };
    while let Some(tag) = next[".tag"].as_str() {
        tags.push(tag);
        // Fields of a struct stand beside the tag, and one of them says why.
        next = if next[tag].is_null() { &next["reason"] } else { &next[tag] };
    }
    tags.join("/")
}

fn correct_offset(told: &Value) -> Option<u64> {
    told["correct_offset"].as_u64().or_else(|| told["lookup_failed"]["correct_offset"].as_u64())
}

fn kind(status: StatusCode, tags: &str) -> ErrorKind {
    let last = tags.rsplit('/').next().unwrap_or_default();
    match (status.as_u16(), last) {
        (401 | 403, _) => ErrorKind::Denied,
        (408 | 429 | 500..=599, _) => ErrorKind::Unavailable,
        // Sent again, the bytes may arrive as they are.
        (
            _,
            "too_many_write_operations" | "too_many_requests" | "internal_error" | "content_hash_mismatch",
        ) => ErrorKind::Unavailable,
        // A listing whose cursor is gone begins anew.
        (_, "reset") => ErrorKind::Unavailable,
        (_, "insufficient_space" | "insufficient_quota" | "too_many_files") => ErrorKind::Full,
        _ if tags.contains("/conflict") => ErrorKind::AlreadyExists,
        // Of an upload it is the session that isn't there.
        (_, "not_found") if !tags.starts_with("path") => ErrorKind::Failed,
        (_, "not_found" | "not_file" | "not_folder") => ErrorKind::NotFound,
        (_, "disallowed_name" | "malformed_path") => ErrorKind::Config,
        (_, "unsupported_file" | "payload_too_large" | "too_large") => ErrorKind::Unsupported,
        (_, "no_write_permission" | "no_permission" | "team_folder" | "operation_suppressed") => {
            ErrorKind::Denied
        }
        (_, "restricted_content" | "access_restricted" | "email_not_verified" | "locked") => {
            ErrorKind::Denied
        }
        _ => ErrorKind::Failed,
    }
}

/// Whether another token, if there is one by now, may be accepted where this wasn't.
pub fn may_be_expired(error: &Error) -> bool {
    let tags = error.details.get(TAGS).and_then(Value::as_str).unwrap_or_default();
    matches!(tags, "expired_access_token" | "invalid_access_token")
}

fn hint(tags: &str, kind: ErrorKind, told: &Value) -> Option<String> {
    let hint = match tags {
        "expired_access_token" => {
            "Tokens last four hours: set `refresh_token` and `client_id` in place of `access_token`."
        }
        "invalid_access_token" => {
            "Look at `refresh_token` or `access_token`: was it revoked, or is it of another application?"
        }
        "missing_scope" => {
            let scope = told["required_scope"].as_str().unwrap_or("of docs/storages/dropbox.md");
            return Some(format!(
                "Tick the permission `{scope}` of the application, then make a new refresh token: an older one lacks it."
            ));
        }
        "lookup_failed/not_found" | "not_found" => {
            "The service has given this upload up, as it does after a week: start the run again."
        }
        _ if kind == ErrorKind::Denied => {
            "The application or the account lacks a right: docs/storages/dropbox.md names those that are needed."
        }
        _ if kind == ErrorKind::Full => {
            "The account's space is used up: prune snapshots, empty the list of deleted files, or get more."
        }
        _ if tags.ends_with("too_large") => "Set a smaller `part_size`.",
        _ => return None,
    };
    Some(hint.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(status: u16, error: Value) -> Error {
        let body = json!({ "error_summary": "for humans/..", "error": error }).to_string();
        refused(StatusCode::from_u16(status).unwrap(), &body, None)
    }

    #[test]
    fn status_and_tags_decide_the_kind() {
        let write = |reason: Value| json!({ ".tag": "path", "path": reason });
        let upload = |reason: Value| json!({ ".tag": "path", "reason": reason, "upload_session_id": "s" });
        let conflict = json!({ ".tag": "conflict", "conflict": { ".tag": "file" } });
        for (status, error, tags, kind) in [
            (401, json!({ ".tag": "expired_access_token" }), "expired_access_token", ErrorKind::Denied),
            (409, write(conflict.clone()), "path/conflict/file", ErrorKind::AlreadyExists),
            (409, upload(conflict), "path/conflict/file", ErrorKind::AlreadyExists),
            (409, write(json!({ ".tag": "insufficient_space" })), "path/insufficient_space", ErrorKind::Full),
            (409, write(json!({ ".tag": "not_found" })), "path/not_found", ErrorKind::NotFound),
            (409, write(json!({ ".tag": "disallowed_name" })), "path/disallowed_name", ErrorKind::Config),
            (
                409,
                write(json!({ ".tag": "no_write_permission" })),
                "path/no_write_permission",
                ErrorKind::Denied,
            ),
            (
                409,
                json!({ ".tag": "too_many_write_operations" }),
                "too_many_write_operations",
                ErrorKind::Unavailable,
            ),
            (
                409,
                json!({ ".tag": "content_hash_mismatch" }),
                "content_hash_mismatch",
                ErrorKind::Unavailable,
            ),
            (409, json!({ ".tag": "not_found" }), "not_found", ErrorKind::Failed),
            (
                429,
                json!({ "reason": { ".tag": "too_many_requests" } }),
                "too_many_requests",
                ErrorKind::Unavailable,
            ),
        ] {
            let error = of(status, error);
            assert_eq!((error.kind, &error.details[TAGS]), (kind, &json!(tags)), "{error:?}");
        }
    }

    #[test]
    fn what_the_service_asks_for_is_heard() {
        let busy = json!({ "reason": { ".tag": "too_many_write_operations" }, "retry_after": 7 });
        assert_eq!(of(429, busy).details[windlass_object::RETRY_AFTER], 7);
        let session = json!({ ".tag": "incorrect_offset", "correct_offset": 9 });
        assert_eq!(of(409, session.clone()).details[OFFSET], 9);
        assert_eq!(of(409, json!({ ".tag": "lookup_failed", "lookup_failed": session })).details[OFFSET], 9);
        let scope = of(401, json!({ ".tag": "missing_scope", "required_scope": "files.content.write" }));
        assert!(scope.hint.as_ref().unwrap().contains("`files.content.write`"));
        assert!(!may_be_expired(&scope));
    }

    #[test]
    fn an_answer_in_plain_text_and_an_empty_one_are_told() {
        let of = |body: &str| refused(StatusCode::BAD_REQUEST, body, None).to_string();
        assert_eq!(
            of("Error in call: no such app"),
            "the service says status 400: Error in call: no such app"
        );
        assert_eq!(of(""), "the service says status 400");
        assert_eq!(of("<html>"), "the service says status 400");
    }
}
