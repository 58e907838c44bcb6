//! A double of the service that keeps a drive in memory and refuses what the service refuses, written from its public API
//! documentation: tokens, names, conflicts, paths that are too long, space; downloads at an address of their own that take no token.
//! Its pages are small, its names have no case.

mod drive;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::double::{Asked, Said};
use crate::faulty::Faulty;

pub use drive::OneDriveState;

/// The service, with one user.
pub type OneDriveDouble = Faulty<OneDriveState>;

impl OneDriveDouble {
    /// The application.
    pub const CLIENT_ID: &str = "app-id";
    /// The user's first word; those that come with tokens are good as well.
    pub const REFRESH_TOKEN: &str = "hunter2-refresh";

    /// Starts one with nothing in it.
    pub fn start() -> Self {
        Self::begin(OneDriveState::new(), answered)
    }

    /// The calls so far.
    pub fn calls(&self) -> Vec<&'static str> {
        self.asked().iter().map(Self::call).collect()
    }

    /// What is asked, in a word.
    pub fn call(asked: &Asked) -> &'static str {
        let path = asked.path.split('?').next().unwrap_or_default();
        match asked.method.as_str() {
            "PUT" => "store",
            "POST" if path.ends_with("/token") => "token",
            "POST" => "make",
            "PATCH" => "rename",
            "DELETE" => "delete",
            _ if path.ends_with("/children") => "children",
            _ if path.ends_with("/content") => "content",
            _ if path.starts_with("/download/") => "download",
            _ => "look",
        }
    }

    /// A refusal with the service's code.
    pub fn refusal(status: u16, code: &str) -> Said {
        refusal(status, code)
    }
}

/// A refusal with the service's code.
fn refusal(status: u16, code: &str) -> Said {
    let body = json!({ "error": { "code": code, "message": "for humans" } });
    Said::status(status).header("content-type", "application/json").body(body.to_string())
}

fn answered(asked: &Asked, state: &mut OneDriveState) -> Said {
    let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
    if path.ends_with("/oauth2/v2.0/token") {
        return token(path, asked, state);
    }
    let token = asked.header("authorization");
    if let Some(id) = path.strip_prefix("/download/") {
        // The address is enough; with a token it is refused.
        return if token.is_empty() { state.download(id, query, asked) } else { Said::status(401) };
    }
    if !state.access.contains(token.trim_start_matches("Bearer ")) {
        return refusal(401, "InvalidAuthenticationToken");
    }
    let document: Value = match asked.header("content-type") {
        "application/json" => serde_json::from_slice(&asked.body).unwrap_or_default(),
        _ => Value::Null,
    };
    let host = asked.header("host").to_owned();
    state.answer(asked, path, query, &document, &host).unwrap_or_else(|refused| refused)
}

/// Each refresh gives another token, and another refresh token; those before stay good.
fn token(path: &str, asked: &Asked, state: &mut OneDriveState) -> Said {
    let form: BTreeMap<String, String> = String::from_utf8_lossy(&asked.body)
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let says = |name: &str, value: &str| form.get(name).is_some_and(|said| said == value);
    if path != "/common/oauth2/v2.0/token"
        || !says("client_id", OneDriveDouble::CLIENT_ID)
        || form.contains_key("client_secret")
    {
        return Said::status(400).body(json!({ "error": "invalid_client" }).to_string());
    }
    if !says("grant_type", "refresh_token")
        || !form.get("refresh_token").is_some_and(|token| state.refresh.contains(token))
    {
        return Said::status(400).body(json!({ "error": "invalid_grant" }).to_string());
    }
    state.tokens += 1;
    let (token, refresh) = (format!("token-{}", state.tokens), format!("refresh-{}", state.tokens));
    state.access.insert(token.clone());
    state.refresh.insert(refresh.clone());
    let told = json!({
        "access_token": token,
        "refresh_token": refresh,
        "token_type": "Bearer",
        "expires_in": 3600,
    });
    Said::status(200).body(told.to_string())
}
