//! A double of the service that keeps files in memory and refuses what the service refuses, written from its public API
//! documentation: tokens, arguments that it doesn't know, offsets, checksums, conflicts, names, space. Its pages are small, its
//! names have no case.
#![allow(dead_code, reason = "each test file uses its own part")]

mod files;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};
use windlass_plugin_api::{Context, Plugin};
use windlass_storage_dropbox::Dropbox;
use windlass_test_servers::{Asked, Double, Said};
use windlass_testkit::TestHost;

pub use files::State;

/// What goes wrong with a request.
pub enum Fault {
    /// Nothing.
    No,
    /// It is answered so, and nothing happens.
    Instead(Said),
    /// It happens, and the answer is lost.
    Unheard,
    /// It happens, and the answer's body breaks off in the middle.
    Cut,
}

type Faults = Box<dyn FnMut(&Asked, &mut State) -> Fault + Send>;

/// The service.
pub struct Service {
    double: Double,
    state: Arc<Mutex<State>>,
    faults: Arc<Mutex<Faults>>,
}

impl Service {
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State::new()));
        let faults: Arc<Mutex<Faults>> = Arc::new(Mutex::new(Box::new(|_, _| Fault::No)));
        let (known, wrong) = (state.clone(), faults.clone());
        let double = Double::start(move |asked| {
            let mut state = known.lock().unwrap();
            let fault = (wrong.lock().unwrap())(asked, &mut state);
            if let Fault::Instead(said) = fault {
                return said;
            }
            let said = answered(asked, &mut state);
            match fault {
                Fault::Unheard => Said::lost(),
                Fault::Cut => said.cut_in_half("GET"),
                _ => said,
            }
        });
        Self { double, state, faults }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// From now on `faults` says what goes wrong.
    pub fn fail(&self, faults: impl FnMut(&Asked, &mut State) -> Fault + Send + 'static) {
        *self.faults.lock().unwrap() = Box::new(faults);
    }

    /// The calls so far, by their names.
    pub fn calls(&self) -> Vec<String> {
        self.double.asked().iter().map(|asked| call(asked).to_owned()).collect()
    }

    pub fn endpoint(&self) -> &str {
        self.double.endpoint()
    }

    /// Options that open a folder of it with a refresh token.
    pub fn options(&self, prefix: &str) -> Value {
        json!({
            "prefix": prefix,
            "endpoint": self.endpoint(),
            "client_id": "app-key",
            "refresh_token": { "$secret": "refresh" },
            "part_size": 4,
        })
    }

    /// A storage in the folder `Top`.
    pub fn storage(&self) -> (Dropbox, Context) {
        let cx = host().context();
        (Dropbox::new(serde_json::from_value(self.options("Top")).unwrap(), &cx).unwrap(), cx)
    }
}

pub fn host() -> TestHost {
    TestHost::new().secret("refresh", "hunter2-refresh")
}

/// The last part of the path.
pub fn call(asked: &Asked) -> &str {
    asked.path.trim_start_matches("/2/files/")
}

/// An error of a call.
pub fn refusal(status: u16, error: Value) -> Said {
    let body = json!({ "error_summary": "for humans/...", "error": error });
    Said::status(status).header("content-type", "application/json").body(body.to_string())
}

/// As the service says that it is asked too much.
pub fn busy(status: u16, seconds: u32) -> Said {
    let reason = if status == 429 { json!({ ".tag": "too_many_requests" }) } else { Value::Null };
    refusal(status, json!({ "reason": reason, "retry_after": seconds }))
        .header("retry-after", seconds.to_string())
}

fn answered(asked: &Asked, state: &mut State) -> Said {
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
    let is_content =
        ["upload", "download"].contains(&call(asked)) || call(asked).starts_with("upload_session/");
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
    if let Some(wrong) = unknown_argument(call(asked), &argument) {
        return Said::status(400).body(format!("Error in call: unknown field '{wrong}'"));
    }
    match state.answer(call(asked), &argument, asked) {
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
fn token(asked: &Asked, state: &mut State) -> Said {
    let form: BTreeMap<String, String> = String::from_utf8_lossy(&asked.body)
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let says = |name: &str, value: &str| form.get(name).is_some_and(|said| said == value);
    if !says("grant_type", "refresh_token") || !says("client_id", "app-key") {
        return Said::status(400).body(json!({ "error": "invalid_client" }).to_string());
    }
    if !says("refresh_token", "hunter2-refresh") {
        return Said::status(400).body(json!({ "error": "invalid_grant" }).to_string());
    }
    static LAST: AtomicU32 = AtomicU32::new(0);
    state.token = format!("token-{}", LAST.fetch_add(1, Ordering::Relaxed));
    state.tokens += 1;
    let told = json!({ "access_token": state.token, "token_type": "bearer", "expires_in": 14400 });
    Said::status(200).body(told.to_string())
}
