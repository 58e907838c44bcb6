//! A double of Google Drive, written from the documentation of its API, version 3. It keeps files in memory and refuses what the
//! service refuses: tokens that are over, parents that aren't there, bytes that don't go on where the last ended, steps that are
//! none of 256 KiB, requests that are too large. As with the service, several files may have one name.
//!
//! It isn't the service: what the documentation leaves open is decided here, mostly against the client.

mod files;
mod query;
mod sessions;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::double::{Asked, Double, Said};
use crate::trouble::{Trouble, Troubles, parameter};

/// What the service calls a folder.
const FOLDER: &str = "application/vnd.google-apps.folder";

/// What the service keeps, for tests to look into and to change.
#[derive(Debug, Default)]
pub struct DriveState {
    /// How many bytes may be stored.
    pub quota: Option<usize>,
    /// At most so many files in one page.
    pub page: Option<usize>,
    /// Everything is in this shared drive.
    pub shared: Option<String>,
    /// Of each request a session keeps so many bytes at most.
    pub keeps: Option<usize>,
    /// A new file is listed only after so many other requests.
    pub lag: usize,
    /// How many requests there were.
    requests: usize,
    tokens: Vec<String>,
    files: Vec<Stored>,
    sessions: BTreeMap<String, Session>,
    clock: u64,
    endpoint: String,
}

#[derive(Clone, Debug, Default)]
struct Stored {
    id: String,
    name: String,
    parent: String,
    mime: String,
    created: u64,
    bytes: Vec<u8>,
    sum: String,
    properties: Value,
    listed_from: usize,
    is_rotten: bool,
}

#[derive(Clone, Debug, Default)]
struct Session {
    file: Stored,
    is_done: bool,
}

/// The service, with one user.
pub struct DriveDouble {
    double: Double,
    state: Arc<Mutex<DriveState>>,
    /// What goes wrong, by the name of the request: `token`, `list`, `create`, `multipart`, `resumable`, `session`, `cancel`,
    /// `media`, `delete`.
    pub troubles: Arc<Troubles>,
}

impl DriveDouble {
    /// The OAuth client.
    pub const CLIENT_ID: &str = "7.apps.googleusercontent.com";
    /// Its secret.
    pub const CLIENT_SECRET: &str = "GOCSPX-hunter2-client";
    /// The user's word.
    pub const REFRESH_TOKEN: &str = "1//hunter2-refresh";

    /// Starts one with nothing in it.
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(DriveState::default()));
        let troubles = Arc::new(Troubles::default());
        let (known, coming) = (state.clone(), troubles.clone());
        let double = Double::start(move |asked| {
            answer(&mut known.lock().unwrap_or_else(PoisonError::into_inner), &coming, asked)
        });
        let this = Self { double, state, troubles };
        this.state().endpoint = this.endpoint().to_owned();
        this
    }

    /// Its address.
    pub fn endpoint(&self) -> &str {
        self.double.endpoint()
    }

    /// It stands behind this address, and sends clients there.
    pub fn stand_behind(&self, endpoint: &str) {
        endpoint.clone_into(&mut self.state().endpoint);
    }

    /// Where tokens are had.
    pub fn token_url(&self) -> String {
        format!("{}/token", self.endpoint())
    }

    /// Everything that it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.double.asked()
    }

    /// How often something was asked, by the names of [`troubles`](Self::troubles).
    pub fn count(&self, name: &str) -> usize {
        self.asked().iter().filter(|asked| named(asked) == name).count()
    }

    /// What it keeps.
    pub fn state(&self) -> MutexGuard<'_, DriveState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A refusal as the service words it.
    pub fn refusal(status: u16, reason: &str) -> Said {
        refuse(status, reason)
    }
}

impl DriveState {
    /// All tokens are over.
    pub fn expire(&mut self) {
        self.tokens.clear();
    }

    /// All sessions are over, as they are after a week.
    pub fn end_sessions(&mut self) {
        self.sessions.clear();
    }

    /// How many uploads are under way.
    pub fn open_sessions(&self) -> usize {
        self.sessions.values().filter(|session| !session.is_done).count()
    }

    /// The bytes of all files of a name, the oldest first.
    pub fn objects(&self, name: &str) -> Vec<Vec<u8>> {
        self.files.iter().filter(|file| file.name == name).map(|file| file.bytes.clone()).collect()
    }

    /// The only file of a name.
    pub fn object(&self, name: &str) -> Option<Vec<u8>> {
        let mut found = self.objects(name);
        assert!(found.len() < 2, "several files are called `{name}`");
        found.pop()
    }

    /// Stores a file as another client does, beside those of that name. Its folder is named by its last name.
    pub fn put(&mut self, folder: &str, name: &str, bytes: &[u8]) {
        let parent = self.files.iter().find(|file| file.mime == FOLDER && file.name == folder);
        let parent = parent.map_or("root".to_owned(), |folder| folder.id.clone());
        let mut file = self.new_file(name, &parent, "application/octet-stream");
        file.bytes = bytes.to_vec();
        file.sum = sum(bytes);
        self.files.push(file);
    }

    /// Makes a folder as another client does.
    pub fn put_folder(&mut self, parent: &str, name: &str) -> String {
        let file = self.new_file(name, parent, FOLDER);
        let id = file.id.clone();
        self.files.push(file);
        id
    }

    fn new_file(&mut self, name: &str, parent: &str, mime: &str) -> Stored {
        self.clock += 1;
        Stored {
            id: format!("1file{:06}", self.clock),
            name: name.to_owned(),
            parent: parent.to_owned(),
            mime: mime.to_owned(),
            created: self.clock,
            properties: json!({}),
            listed_from: self.requests + self.lag,
            ..Stored::default()
        }
    }

    fn stored_bytes(&self) -> usize {
        let open = self.sessions.values().filter(|session| !session.is_done).map(|session| &session.file);
        self.files.iter().chain(open).map(|file| file.bytes.len()).sum()
    }

    /// A place that files can be in.
    fn judge_parent(&self, parent: &str) -> Result<(), Said> {
        let is_root = match &self.shared {
            Some(drive) => drive == parent,
            None => parent == "root",
        };
        match is_root || self.files.iter().any(|file| file.id == parent && file.mime == FOLDER) {
            true => Ok(()),
            false => Err(refuse(404, "notFound")),
        }
    }
}

fn refuse(status: u16, reason: &str) -> Said {
    let errors = json!([{ "domain": "global", "reason": reason, "message": "no" }]);
    let body = json!({ "error": { "code": status, "message": "no", "errors": errors } });
    Said::status(status).body(body.to_string())
}

fn ok(document: &Value) -> Said {
    Said::status(200).header("content-type", "application/json; charset=UTF-8").body(document.to_string())
}

fn time(milliseconds: u64) -> String {
    format!(
        "2026-01-01T{:02}:{:02}:{:02}.{:03}Z",
        milliseconds / 3_600_000,
        milliseconds / 60_000 % 60,
        milliseconds / 1000 % 60,
        milliseconds % 1000
    )
}

fn sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn described(file: &Stored) -> Value {
    json!({
        "id": file.id,
        "name": file.name,
        "size": file.bytes.len().to_string(),
        "createdTime": time(file.created),
        "modifiedTime": time(file.created),
        "sha256Checksum": if file.is_rotten { sum(b"other bytes") } else { file.sum.clone() },
        "appProperties": file.properties,
    })
}

/// What is asked.
fn named(asked: &Asked) -> &'static str {
    let path = asked.path.split('?').next().unwrap_or_default();
    let kind = parameter(&asked.path, "uploadType").unwrap_or_default();
    match (asked.method.as_str(), path) {
        ("POST", "/token") => "token",
        ("GET", "/drive/v3/files") => "list",
        ("POST", "/drive/v3/files") => "create",
        ("POST", "/upload/drive/v3/files") if kind == "multipart" => "multipart",
        ("POST", "/upload/drive/v3/files") if kind == "resumable" => "resumable",
        ("PUT", "/upload/drive/v3/files") => "session",
        ("DELETE", "/upload/drive/v3/files") => "cancel",
        ("GET", path) if path.starts_with("/drive/v3/files/") => "media",
        ("DELETE", path) if path.starts_with("/drive/v3/files/") => "delete",
        _ => "",
    }
}

type Answered = Result<Said, Said>;

fn answer(state: &mut DriveState, troubles: &Troubles, asked: &Asked) -> Said {
    state.requests += 1;
    let name = named(asked);
    let trouble = troubles.next(name);
    if let Some(Trouble::Say(said)) = trouble {
        return said;
    }
    let is_cut = matches!(trouble, Some(Trouble::Cut));
    let keeps = state.keeps;
    if is_cut && name == "session" {
        state.keeps = Some(asked.body.len() / 2 / sessions::STEP * sessions::STEP);
    }
    let said = judged(state, name, asked).unwrap_or_else(|refused| refused);
    state.keeps = keeps;
    match trouble {
        Some(Trouble::Lose) => Said::lost(),
        Some(Trouble::Cut) if name == "session" => Said::lost(),
        Some(Trouble::Cut) => said.cut_in_half(&asked.method),
        Some(Trouble::Rot) => {
            if let Some(newest) = state.files.last_mut() {
                newest.is_rotten = true;
            }
            state.files.last().map_or(said, |newest| ok(&described(newest)))
        }
        _ => said,
    }
}

fn judged(state: &mut DriveState, name: &str, asked: &Asked) -> Answered {
    if name == "token" {
        return token(state, asked);
    }
    let is_known = asked
        .header("authorization")
        .strip_prefix("Bearer ")
        .is_some_and(|own| state.tokens.iter().any(|token| token == own));
    if !is_known {
        return Err(refuse(401, "authError"));
    }
    let knows_shared = parameter(&asked.path, "supportsAllDrives").as_deref() == Some("true");
    if state.shared.is_some() && !knows_shared && !matches!(name, "session" | "cancel") {
        return Err(refuse(404, "notFound"));
    }
    match name {
        "list" => query::list(state, asked),
        "create" => files::create(state, asked),
        "multipart" => files::multipart(state, asked),
        "resumable" => sessions::begin(state, asked),
        "session" => sessions::send(state, asked),
        "cancel" => sessions::cancel(state, asked),
        "media" => files::media(state, asked),
        "delete" => files::delete(state, asked),
        _ => Err(refuse(404, "notFound")),
    }
}

fn token(state: &mut DriveState, asked: &Asked) -> Answered {
    let form = format!("?{}", String::from_utf8_lossy(&asked.body));
    let said = |name: &str| parameter(&form, name).unwrap_or_default();
    let oauth = |error: &str| Err(Said::status(400).body(json!({ "error": error }).to_string()));
    if said("client_id") != DriveDouble::CLIENT_ID || said("client_secret") != DriveDouble::CLIENT_SECRET {
        return oauth("invalid_client");
    }
    if said("grant_type") != "refresh_token" || said("refresh_token") != DriveDouble::REFRESH_TOKEN {
        return oauth("invalid_grant");
    }
    state.clock += 1;
    let token = format!("ya29.hunter2-{}", state.clock);
    state.tokens.push(token.clone());
    Ok(ok(&json!({ "access_token": token, "expires_in": 3599, "token_type": "Bearer" })))
}
