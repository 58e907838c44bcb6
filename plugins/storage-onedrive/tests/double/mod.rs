//! A double of the service that keeps a drive in memory and refuses what the service refuses, written from its public API
//! documentation: tokens, names, conflicts, paths that are too long, space; downloads at an address of their own that take no token.
//! Its pages are small, its names have no case.
#![allow(dead_code, reason = "each test file uses its own part")]

mod drive;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};
use windlass_plugin_api::{Context, Plugin};
use windlass_storage_onedrive::OneDrive;
use windlass_test_servers::{Asked, Double, Said};
use windlass_testkit::TestHost;

pub use drive::State;

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

    /// The calls so far.
    pub fn calls(&self) -> Vec<&'static str> {
        self.double.asked().iter().map(call).collect()
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.double.asked()
    }

    pub fn endpoint(&self) -> &str {
        self.double.endpoint()
    }

    /// Options that open a folder of it with a refresh token.
    pub fn options(&self, prefix: &str) -> Value {
        json!({
            "prefix": prefix,
            "endpoint": self.endpoint(),
            "login_endpoint": self.endpoint(),
            "client_id": "app-id",
            "refresh_token": { "$secret": "refresh" },
            "part_size": 1,
        })
    }

    /// A storage in the folder `Top`.
    pub fn storage(&self) -> (OneDrive, Context) {
        self.storage_with(self.options("Top"))
    }

    pub fn storage_with(&self, options: Value) -> (OneDrive, Context) {
        let cx = host().context();
        (OneDrive::new(serde_json::from_value(options).unwrap(), &cx).unwrap(), cx)
    }
}

pub fn host() -> TestHost {
    TestHost::new().secret("refresh", "hunter2-refresh")
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
    let body = json!({ "error": { "code": code, "message": "for humans" } });
    Said::status(status).header("content-type", "application/json").body(body.to_string())
}

fn answered(asked: &Asked, state: &mut State) -> Said {
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
fn token(path: &str, asked: &Asked, state: &mut State) -> Said {
    let form: BTreeMap<String, String> = String::from_utf8_lossy(&asked.body)
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let says = |name: &str, value: &str| form.get(name).is_some_and(|said| said == value);
    if path != "/common/oauth2/v2.0/token"
        || !says("client_id", "app-id")
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
