//! A double of the service that keeps files in memory and refuses what the service refuses, written from its public API
//! documentation: tokens, arguments that it doesn't know, offsets, checksums, conflicts, names, space. Its pages are small, its
//! names have no case.

mod files;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::double::{Asked, Said};
use crate::faulty::Faulty;

pub use files::DropboxState;

/// The service, with one user.
pub type DropboxDouble = Faulty<DropboxState>;

impl DropboxDouble {
    /// The application.
    pub const CLIENT_ID: &str = "app-key";
    /// The user's word.
    pub const REFRESH_TOKEN: &str = "hunter2-refresh";

    /// Starts one with nothing in it.
    pub fn start() -> Self {
        Self::begin(DropboxState::new(), answered)
    }

    /// The calls so far, by their names.
    pub fn calls(&self) -> Vec<String> {
        self.asked().iter().map(|asked| Self::call(asked).to_owned()).collect()
    }

    /// The last part of the path.
    pub fn call(asked: &Asked) -> &str {
        asked.path.trim_start_matches("/2/files/")
    }

    /// An error of a call.
    pub fn refusal(status: u16, error: Value) -> Said {
        refusal(status, error)
    }

    /// As the service says that it is asked too much.
    pub fn busy(status: u16, seconds: u32) -> Said {
        let reason = if status == 429 { json!({ ".tag": "too_many_requests" }) } else { Value::Null };
        refusal(status, json!({ "reason": reason, "retry_after": seconds }))
            .header("retry-after", seconds.to_string())
    }
}

/// An error of a call.
fn refusal(status: u16, error: Value) -> Said {
    let body = json!({ "error_summary": "for humans/...", "error": error });
    Said::status(status).header("content-type", "application/json").body(body.to_string())
}

fn answered(asked: &Asked, state: &mut DropboxState) -> Said {
    if asked.path == "/oauth2/token" {
        return token(asked, state);
    }
    if asked.method != "POST" {
        return Said::status(405);
    }
    let token = asked.header("authorization").trim_start_matches("Bearer ").to_owned();
    if token != state.token {
        let tag = if token.starts_with("token-") { "expired_access_token" } else { "invalid_access_token" };
        return refusal(401, json!({ ".tag": tag }));
    }
    let is_content = ["upload", "download"].contains(&DropboxDouble::call(asked))
        || DropboxDouble::call(asked).starts_with("upload_session/");
    let argument = if is_content {
        let header = asked.header("dropbox-api-arg");
        if !header.is_ascii() || asked.header("content-type") != "application/octet-stream" {
            return Said::status(400).body("Error in call: bad header");
        }
        serde_json::from_str(header)
    } else if asked.header("content-type") == "application/json" {
        serde_json::from_slice(&asked.body)
    } else {
        return Said::status(400).body("Error in call: bad content type");
    };
    let Ok(argument) = argument else { return Said::status(400).body("Error in call: no JSON") };
    if let Some(wrong) = unknown_argument(DropboxDouble::call(asked), &argument) {
        return Said::status(400).body(format!("Error in call: unknown field '{wrong}'"));
    }
    match state.answer(DropboxDouble::call(asked), &argument, asked) {
        Ok(said) => said,
        Err(said) => said,
    }
}

fn unknown_argument(call: &str, argument: &Value) -> Option<String> {
    let known: &[&str] = match call {
        "upload" => {
            &["path", "mode", "autorename", "client_modified", "mute", "strict_conflict", "content_hash"]
        }
        "upload_session/start" => &["close", "session_type", "content_hash"],
        "upload_session/append_v2" => &["cursor", "close", "content_hash"],
        "upload_session/finish" => &["cursor", "commit", "content_hash"],
        "download" => &["path"],
        "get_metadata" => &["path"],
        "list_folder" => &["path", "recursive", "limit"],
        "list_folder/continue" => &["cursor"],
        "delete_v2" => &["path", "parent_rev"],
        "delete_batch" => &["entries"],
        "delete_batch/check" => &["async_job_id"],
        _ => &[],
    };
    argument.as_object()?.keys().find(|key| !known.contains(&key.as_str())).cloned()
}

/// Each refresh gives another token; the one before is no longer good.
fn token(asked: &Asked, state: &mut DropboxState) -> Said {
    let form: BTreeMap<String, String> = String::from_utf8_lossy(&asked.body)
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let says = |name: &str, value: &str| form.get(name).is_some_and(|said| said == value);
    if !says("grant_type", "refresh_token") || !says("client_id", DropboxDouble::CLIENT_ID) {
        return Said::status(400).body(json!({ "error": "invalid_client" }).to_string());
    }
    if !says("refresh_token", DropboxDouble::REFRESH_TOKEN) {
        return Said::status(400).body(json!({ "error": "invalid_grant" }).to_string());
    }
    state.tokens += 1;
    state.token = format!("token-{}", state.tokens);
    let told = json!({ "access_token": state.token, "token_type": "bearer", "expires_in": 14400 });
    Said::status(200).body(told.to_string())
}
