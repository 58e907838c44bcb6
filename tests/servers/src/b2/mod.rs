//! A double of Backblaze B2, written from the documentation of its native API, version 3. It keeps files in memory and refuses
//! what the service refuses: tokens that are over, missing capabilities, wrong checksums, parts that are too small, names that
//! may not be, files that are locked.
//!
//! It isn't the service: what the documentation leaves open is decided here, mostly against the client.

mod files;
mod listings;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value, json};
use sha1::{Digest, Sha1};

use crate::double::{Asked, Double, Said};
use crate::trouble::{Trouble, Troubles};

use files::{begun, cancel, delete, door, download, finish, hide, start, upload};
use listings::{list_buckets, list_names, list_unfinished, list_versions};

/// The smallest part of a large file but its last.
const PART_MIN: usize = 5_000_000;

/// What the service keeps, for tests to look into and to change.
#[derive(Debug)]
pub struct B2State {
    /// What the key may do.
    pub capabilities: Vec<String>,
    /// The bucket that the key is for, alone.
    pub only_bucket: Option<String>,
    /// What the names that the key is for begin with.
    pub only_prefix: Option<String>,
    /// How many bytes may be stored.
    pub cap_bytes: usize,
    /// At most so many entries in one page.
    pub page: usize,
    /// Object lock is switched on.
    pub has_lock: bool,
    tokens: Vec<String>,
    doors: BTreeMap<String, Option<String>>,
    versions: Vec<Version>,
    clock: i64,
    endpoint: String,
}

#[derive(Clone, Debug, Default)]
struct Version {
    id: String,
    name: String,
    action: &'static str,
    time: i64,
    bytes: Vec<u8>,
    sum: Option<String>,
    info: Map<String, Value>,
    parts: BTreeMap<u32, (Vec<u8>, String)>,
    locked_until: i64,
    lock_mode: String,
}

/// The service, with one bucket and one key.
pub struct B2Double {
    double: Double,
    state: Arc<Mutex<B2State>>,
    /// What goes wrong, by the name of the call; a download is `file` or `b2_download_file_by_id`.
    pub troubles: Arc<Troubles>,
}

impl B2Double {
    /// The only bucket.
    pub const BUCKET: &str = "acme-backups";
    /// The ID of the key.
    pub const KEY_ID: &str = "0012345678abcdef0000000001";
    /// The key.
    pub const KEY: &str = "K001-hunter2-application-key";

    /// Starts one whose key may do everything in the bucket.
    pub fn start() -> Self {
        let all =
            ["listBuckets", "listFiles", "readFiles", "writeFiles", "deleteFiles", "writeFileRetentions"];
        let state = Arc::new(Mutex::new(B2State {
            capabilities: all.map(str::to_owned).to_vec(),
            only_bucket: None,
            only_prefix: None,
            cap_bytes: usize::MAX,
            page: 10_000,
            has_lock: true,
            tokens: Vec::new(),
            doors: BTreeMap::new(),
            versions: Vec::new(),
            clock: 1_700_000_000_000,
            endpoint: String::new(),
        }));
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

    /// Everything that it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.double.asked()
    }

    /// How often a call was made.
    pub fn count(&self, name: &str) -> usize {
        self.asked().iter().filter(|asked| named(&asked.path) == name).count()
    }

    /// What it keeps.
    pub fn state(&self) -> MutexGuard<'_, B2State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A refusal as the service words it.
    pub fn refusal(status: u16, code: &str) -> Said {
        refuse(status, code, "no")
    }
}

impl B2State {
    /// All tokens are over: that of the session and those of uploads.
    pub fn expire(&mut self) {
        self.tokens.clear();
        self.doors.clear();
    }

    /// The tokens of uploads are over.
    pub fn close_doors(&mut self) {
        self.doors.clear();
    }

    /// What is visible under a name.
    pub fn object(&self, name: &str) -> Option<Vec<u8>> {
        self.visible(name).map(|version| version.bytes.clone())
    }

    /// Stores a file as another client does.
    pub fn put(&mut self, name: &str, bytes: &[u8]) {
        let mut version = self.new_version(name, "upload");
        version.sum = Some(sum(bytes));
        version.bytes = bytes.to_vec();
        self.versions.push(version);
    }

    /// The actions of all versions of a name, newest first.
    pub fn actions(&self, name: &str) -> Vec<&'static str> {
        self.ordered(name, true)
            .into_iter()
            .filter(|version| version.name == name)
            .map(|v| v.action)
            .collect()
    }

    /// Until when the visible version is locked, in milliseconds, and how.
    pub fn lock(&self, name: &str) -> Option<(i64, String)> {
        self.visible(name).map(|version| (version.locked_until, version.lock_mode.clone()))
    }

    /// Time passes until nothing is locked any more.
    pub fn end_locks(&mut self) {
        self.versions.iter_mut().for_each(|version| version.locked_until = 0);
    }

    /// How many versions of files there are, whatever they are called.
    pub fn files(&self) -> usize {
        self.versions.iter().filter(|version| version.action != "start").count()
    }

    /// Large files that are begun.
    pub fn unfinished(&self) -> usize {
        self.versions.iter().filter(|version| version.action == "start").count()
    }

    fn new_version(&mut self, name: &str, action: &'static str) -> Version {
        self.clock += 1;
        let id = format!("4_z8d625eb63be2775577c70e1a_f{:08}", self.clock % 100_000_000);
        Version { id, name: name.to_owned(), action, time: self.clock, ..Version::default() }
    }

    /// All versions below a prefix: names in the order of their bytes, and of each the newest first.
    fn ordered(&self, prefix: &str, with_begun: bool) -> Vec<&Version> {
        let mut found: Vec<&Version> = self.versions.iter().filter(|v| v.name.starts_with(prefix)).collect();
        found.retain(|version| with_begun || version.action != "start");
        found.sort_by(|one, other| (&one.name, -one.time).cmp(&(&other.name, -other.time)));
        found
    }

    fn visible(&self, name: &str) -> Option<&Version> {
        let newest = self.ordered(name, false).into_iter().find(|version| version.name == name)?;
        Some(newest).filter(|version| version.action == "upload")
    }

    /// How many bytes are stored, of all versions.
    pub fn stored_bytes(&self) -> usize {
        let of = |version: &Version| {
            version.bytes.len() + version.parts.values().map(|(bytes, _)| bytes.len()).sum::<usize>()
        };
        self.versions.iter().map(of).sum()
    }
}

fn sum(bytes: &[u8]) -> String {
    Sha1::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn refuse(status: u16, code: &str, message: &str) -> Said {
    Said::status(status).body(json!({ "status": status, "code": code, "message": message }).to_string())
}

fn ok(document: Value) -> Said {
    Said::status(200).header("content-type", "application/json").body(document.to_string())
}

/// The call that a path is of.
fn named(path: &str) -> &str {
    let path = path.split('?').next().unwrap_or_default().trim_start_matches('/');
    path.strip_prefix("b2api/v3/").unwrap_or(path).split('/').next().unwrap_or_default()
}

type Answered = Result<Said, Said>;

fn answer(state: &mut B2State, troubles: &Troubles, asked: &Asked) -> Said {
    let name = named(&asked.path).to_owned();
    let trouble = troubles.next(&name);
    if let Some(Trouble::Say(said)) = trouble {
        return said;
    }
    let mut garbled = asked.clone();
    if matches!(trouble, Some(Trouble::Garble)) {
        garbled.body.reverse();
    }
    let said = judged(state, &name, &garbled).unwrap_or_else(|refused| refused);
    match trouble {
        Some(Trouble::Lose) => Said::lost(),
        Some(Trouble::Cut) => said.cut_in_half(&asked.method),
        Some(Trouble::Rot) => {
            ok(json!({ "fileId": "4_z", "action": "upload", "contentSha1": sum(b"other") }))
        }
        _ => said,
    }
}

fn judged(state: &mut B2State, name: &str, asked: &Asked) -> Answered {
    if name == "b2_authorize_account" {
        return log_in(state, asked);
    }
    if matches!(name, "b2_upload_file" | "b2_upload_part") {
        return upload(state, name, asked);
    }
    let needed = match name {
        "b2_list_buckets" => "listBuckets",
        "b2_list_file_names" | "b2_list_file_versions" | "b2_list_unfinished_large_files" => "listFiles",
        "file" | "b2_download_file_by_id" => "readFiles",
        "b2_delete_file_version" => "deleteFiles",
        "b2_get_upload_url"
        | "b2_get_upload_part_url"
        | "b2_start_large_file"
        | "b2_finish_large_file"
        | "b2_cancel_large_file"
        | "b2_hide_file" => "writeFiles",
        _ => return Err(refuse(404, "not_found", "no such call")),
    };
    if !state.tokens.iter().any(|token| token == asked.header("authorization")) {
        return Err(refuse(401, "expired_auth_token", "Authorization token has expired"));
    }
    may(state, needed)?;
    if matches!(name, "file" | "b2_download_file_by_id") {
        return download(state, name, asked);
    }
    let body: Value = serde_json::from_slice(&asked.body).map_err(|_| refuse(400, "bad_json", "no JSON"))?;
    if body.get("bucketId").is_some_and(|id| id != "bucket-1") {
        return Err(refuse(400, "bad_bucket_id", "no such bucket"));
    }
    match name {
        "b2_list_buckets" => list_buckets(state, &body),
        "b2_list_file_names" => Ok(list_names(state, &body)?),
        "b2_list_file_versions" => list_versions(state, &body),
        "b2_list_unfinished_large_files" => list_unfinished(state, &body),
        "b2_get_upload_url" => Ok(door(state, None)),
        "b2_get_upload_part_url" => {
            let id = text(&body, "fileId")?;
            begun(state, &id)?;
            Ok(door(state, Some(id)))
        }
        "b2_start_large_file" => start(state, &body),
        "b2_finish_large_file" => finish(state, &body),
        "b2_cancel_large_file" => cancel(state, &body),
        "b2_hide_file" => hide(state, &body),
        _ => delete(state, &body),
    }
}

fn may(state: &B2State, capability: &str) -> Result<(), Said> {
    match state.capabilities.iter().any(|own| own == capability) {
        true => Ok(()),
        false => Err(refuse(401, "unauthorized", "unauthorized")),
    }
}

fn text(body: &Value, name: &str) -> Result<String, Said> {
    let value = body[name].as_str().map(str::to_owned);
    value.ok_or_else(|| refuse(400, "bad_request", &format!("{name} is missing")))
}

/// Names that the service forbids, and those that the key isn't for.
fn judge_name(state: &B2State, name: &str) -> Result<(), Said> {
    let is_wrong = name.is_empty()
        || name.len() > 1024
        || name.starts_with('/')
        || name.ends_with('/')
        || name.contains("//")
        || name.split('/').any(|segment| segment.len() > 250)
        || name.bytes().any(|byte| byte < 32 || byte == 127 || byte == b'\\');
    if is_wrong {
        return Err(refuse(400, "bad_request", "File names must be …"));
    }
    judge_prefix(state, name)
}

fn judge_prefix(state: &B2State, name: &str) -> Result<(), Said> {
    match state.only_prefix.as_deref().is_none_or(|prefix| name.starts_with(prefix)) {
        true => Ok(()),
        false => Err(refuse(401, "unauthorized", "the key is for another prefix")),
    }
}

fn log_in(state: &mut B2State, asked: &Asked) -> Answered {
    use base64::Engine;
    let key = format!("{}:{}", B2Double::KEY_ID, B2Double::KEY);
    let wanted = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(key));
    if asked.header("authorization") != wanted {
        return Err(refuse(401, "unauthorized", "invalid application key"));
    }
    state.clock += 1;
    let token = format!("session-{}", state.clock);
    state.tokens.push(token.clone());
    Ok(ok(json!({
        "accountId": "account-1",
        "authorizationToken": token,
        "applicationKeyExpirationTimestamp": null,
        "apiInfo": { "storageApi": {
            "infoType": "storageApi",
            "absoluteMinimumPartSize": PART_MIN,
            "recommendedPartSize": 100_000_000,
            "apiUrl": state.endpoint,
            "downloadUrl": state.endpoint,
            "s3ApiUrl": state.endpoint,
            "capabilities": state.capabilities,
            "bucketId": state.only_bucket.as_ref().map(|name| if name == B2Double::BUCKET { "bucket-1" } else { "bucket-2" }),
            "bucketName": state.only_bucket,
            "namePrefix": state.only_prefix,
        } },
    })))
}

fn described(version: &Version) -> Value {
    json!({
        "fileId": version.id,
        "fileName": version.name,
        "action": version.action,
        "contentLength": version.bytes.len(),
        "contentSha1": version.sum.as_deref().unwrap_or("none"),
        "uploadTimestamp": version.time,
        "fileInfo": version.info,
    })
}
