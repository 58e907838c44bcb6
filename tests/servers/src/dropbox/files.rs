//! The files of the double, and each call on them.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::refusal;
use crate::double::{Asked, Said};

/// A folder, or a file with its bytes.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    pub name: String,
    pub path: String,
    pub rev: String,
    pub time: String,
    pub bytes: Option<Vec<u8>>,
}

/// What the service keeps, for tests to look into and to change.
pub struct DropboxState {
    /// By their paths in lower case.
    pub entries: BTreeMap<String, Entry>,
    revs: BTreeMap<String, Entry>,
    /// By their names: what was sent.
    pub sessions: BTreeMap<String, Vec<u8>>,
    jobs: BTreeMap<String, (u32, Value)>,
    cursors: Vec<Vec<Value>>,
    /// The one that is good.
    pub token: String,
    /// How many were given.
    pub tokens: u32,
    /// Entries a page.
    pub page: usize,
    /// How many bytes may be stored.
    pub space: usize,
    /// Folders of paths are shown in lower case.
    pub is_careless: bool,
    last: u32,
}

type Answer = Result<Said, Said>;

pub fn content_hash(bytes: &[u8]) -> String {
    let all: Vec<u8> = bytes.chunks(4 << 20).flat_map(|block| Sha256::digest(block).to_vec()).collect();
    Sha256::digest(all).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn parent(path: &str) -> &str {
    path.rfind('/').map_or("", |end| &path[..end])
}

fn path_error(tag: &str) -> Said {
    refusal(409, json!({ ".tag": "path", "path": { ".tag": tag } }))
}

fn said(document: &Value) -> Said {
    Said::status(200).header("content-type", "application/json").body(document.to_string())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl DropboxState {
    pub(super) fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
            revs: BTreeMap::new(),
            sessions: BTreeMap::new(),
            jobs: BTreeMap::new(),
            cursors: Vec::new(),
            token: "none yet".to_owned(),
            tokens: 0,
            page: 5,
            space: usize::MAX,
            is_careless: false,
            last: 0,
        }
    }

    fn next(&mut self) -> u32 {
        self.last += 1;
        self.last
    }

    /// Paths of files, sorted.
    pub fn paths(&self) -> Vec<&str> {
        self.entries.values().filter(|entry| entry.bytes.is_some()).map(|entry| entry.path.as_str()).collect()
    }

    /// The bytes of a file, where there is one.
    pub fn object(&self, path: &str) -> Option<Vec<u8>> {
        self.entries.get(&path.to_lowercase())?.bytes.clone()
    }

    /// The bytes of a file that is there.
    pub fn bytes(&self, path: &str) -> &[u8] {
        self.entries[&path.to_lowercase()].bytes.as_deref().unwrap()
    }

    /// Stores a file by another door.
    pub fn put(&mut self, path: &str, bytes: &[u8]) {
        let commit = json!({ "path": path, "mode": "overwrite", "client_modified": "2026-01-02T03:04:05Z" });
        assert!(self.commit(&commit, bytes.to_vec()).is_ok());
    }

    fn metadata(&self, entry: &Entry) -> Value {
        let shown = match self.is_careless {
            true => format!("{}/{}", parent(&entry.path).to_lowercase(), entry.name),
            false => entry.path.clone(),
        };
        let mut told =
            json!({ "name": entry.name, "path_lower": entry.path.to_lowercase(), "path_display": shown });
        match &entry.bytes {
            None => told[".tag"] = "folder".into(),
            Some(bytes) => {
                told[".tag"] = "file".into();
                told["rev"] = entry.rev.as_str().into();
                told["size"] = bytes.len().into();
                told["client_modified"] = entry.time.as_str().into();
                told["server_modified"] = "2026-01-02T03:04:05Z".into();
                told["content_hash"] = content_hash(bytes).into();
                told["is_downloadable"] = true.into();
            }
        }
        told
    }

    fn find(&self, path: &str) -> Result<&Entry, Said> {
        if let Some(rev) = path.strip_prefix("rev:") {
            return self.revs.get(rev).ok_or_else(|| path_error("not_found"));
        }
        if !path.starts_with('/') || path.ends_with('/') {
            return Err(Said::status(400).body("Error in call: path: did not match pattern"));
        }
        self.entries.get(&path.to_lowercase()).ok_or_else(|| path_error("not_found"))
    }

    /// What `upload` and `finish` do.
    fn commit(&mut self, commit: &Value, bytes: Vec<u8>) -> Result<Value, Value> {
        let conflict = |what: &str| json!({ ".tag": "conflict", "conflict": { ".tag": what } });
        let path = text(&commit["path"]);
        let names: Vec<String> = path.split('/').skip(1).map(str::to_owned).collect();
        let is_bad = |name: &String| {
            name.is_empty() || name.len() > 255 || name.contains('\\') || name.to_lowercase() == "desktop.ini"
        };
        let time = text(&commit["client_modified"]);
        if !path.starts_with('/') || time.len() != 20 {
            return Err(json!({ ".tag": "malformed_path" }));
        }
        if names.iter().any(is_bad) {
            return Err(json!({ ".tag": "disallowed_name" }));
        }
        let mut real = String::new();
        let mut made = Vec::new();
        for name in &names[..names.len() - 1] {
            let wanted = format!("{real}/{name}");
            match self.entries.get(&wanted.to_lowercase()) {
                Some(there) if there.bytes.is_some() => return Err(conflict("file_ancestor")),
                Some(there) => real = there.path.clone(),
                None => {
                    made.push(Entry { name: name.clone(), path: wanted.clone(), ..Entry::default() });
                    real = wanted;
                }
            }
        }
        let name = names.last().unwrap().clone();
        let mut entry = Entry { path: format!("{real}/{name}"), name, time, ..Entry::default() };
        let lower = entry.path.to_lowercase();
        if let Some(there) = self.entries.get(&lower) {
            let Some(old) = &there.bytes else { return Err(conflict("folder")) };
            let is_strict = commit["strict_conflict"] == true;
            if commit["mode"] == "add" && (is_strict || *old != bytes) {
                return Err(conflict("file"));
            }
            // The spelling that came first stays.
            (entry.name, entry.path) = (there.name.clone(), there.path.clone());
        }
        let used: usize = self.entries.values().filter_map(|entry| entry.bytes.as_ref()).map(Vec::len).sum();
        if used.saturating_add(bytes.len()) > self.space {
            return Err(json!({ ".tag": "insufficient_space" }));
        }
        for folder in made {
            self.entries.insert(folder.path.to_lowercase(), folder);
        }
        entry.rev = format!("{:09x}", self.next());
        entry.bytes = Some(bytes);
        self.revs.insert(entry.rev.clone(), entry.clone());
        let mut told = self.metadata(&entry);
        self.entries.insert(lower, entry);
        told.as_object_mut().unwrap().remove(".tag");
        Ok(told)
    }

    pub(super) fn answer(&mut self, call: &str, argument: &Value, asked: &Asked) -> Answer {
        if asked.body.len() > 150 << 20 {
            return Err(refusal(409, json!({ ".tag": "payload_too_large" })));
        }
        let claimed = &argument["content_hash"];
        if !claimed.is_null() && *claimed != content_hash(&asked.body) {
            return Err(refusal(409, json!({ ".tag": "content_hash_mismatch" })));
        }
        match call {
            "upload" => {
                let told = self.commit(argument, asked.body.clone());
                let wrong = |reason| json!({ ".tag": "path", "reason": reason, "upload_session_id": "x" });
                told.map(|told| said(&told)).map_err(|reason| refusal(409, wrong(reason)))
            }
            "upload_session/start" => {
                let session = format!("session-{}", self.next());
                self.sessions.insert(session.clone(), asked.body.clone());
                Ok(said(&json!({ "session_id": session })))
            }
            "upload_session/append_v2" => {
                let cursor = self.cursor(argument).map_err(|error| refusal(409, error))?;
                self.sessions.get_mut(&cursor).unwrap().extend_from_slice(&asked.body);
                Ok(said(&Value::Null))
            }
            "upload_session/finish" => {
                let failed = |error| refusal(409, json!({ ".tag": "lookup_failed", "lookup_failed": error }));
                let cursor = self.cursor(argument).map_err(failed)?;
                let mut bytes = self.sessions[&cursor].clone();
                bytes.extend_from_slice(&asked.body);
                let told = self.commit(&argument["commit"], bytes);
                let told = told.map_err(|error| refusal(409, json!({ ".tag": "path", "path": error })))?;
                self.sessions.remove(&cursor);
                Ok(said(&told))
            }
            "download" => self.download(argument, asked.header("range")),
            "get_metadata" => Ok(said(&self.metadata(self.find(&text(&argument["path"]))?))),
            "list_folder" => self.list(argument),
            "list_folder/continue" => self.page(text(&argument["cursor"]).parse().unwrap_or(usize::MAX)),
            "delete_v2" => match self.delete(argument) {
                Ok(told) => Ok(said(&json!({ "metadata": told }))),
                Err(error) => Err(refusal(409, error)),
            },
            "delete_batch" => Ok(self.delete_batch(argument)),
            "delete_batch/check" => {
                let (left, told) = self.jobs.get_mut(&text(&argument["async_job_id"])).unwrap();
                *left = left.saturating_sub(1);
                Ok(said(&if *left > 0 { json!({ ".tag": "in_progress" }) } else { told.clone() }))
            }
            _ => Err(Said::status(404)),
        }
    }

    fn cursor(&self, argument: &Value) -> Result<String, Value> {
        let session = text(&argument["cursor"]["session_id"]);
        let kept = self.sessions.get(&session).ok_or_else(|| json!({ ".tag": "not_found" }))?.len();
        match argument["cursor"]["offset"] == kept {
            true => Ok(session),
            false => Err(json!({ ".tag": "incorrect_offset", "correct_offset": kept })),
        }
    }

    fn download(&self, argument: &Value, range: &str) -> Answer {
        let entry = self.find(&text(&argument["path"]))?;
        let bytes = entry.bytes.as_ref().ok_or_else(|| path_error("not_file"))?;
        let mut told = self.metadata(entry);
        told.as_object_mut().unwrap().remove(".tag");
        let ascii =
            told.to_string().encode_utf16().fold(String::new(), |text, unit| match u8::try_from(unit) {
                Ok(byte) if byte.is_ascii() => text + &char::from(byte).to_string(),
                _ => text + &format!("\\u{unit:04x}"),
            });
        let mut numbers =
            range.trim_start_matches("bytes=").split('-').filter_map(|number| number.parse().ok());
        let (from, last): (usize, usize) = (
            numbers.next().unwrap_or(0),
            numbers.next().unwrap_or(usize::MAX).min(bytes.len().saturating_sub(1)),
        );
        if from >= bytes.len() {
            return Err(Said::status(416).header("content-range", format!("bytes */{}", bytes.len())));
        }
        let range = format!("bytes {from}-{last}/{}", bytes.len());
        Ok(Said::status(206)
            .header("content-range", range)
            .header("dropbox-api-result", ascii)
            .body(&bytes[from..=last]))
    }

    fn list(&mut self, argument: &Value) -> Answer {
        let path = text(&argument["path"]);
        if path == "/" || !(1..=2000).contains(&argument["limit"].as_u64().unwrap_or(1)) {
            return Err(Said::status(400).body("Error in call: bad path or limit"));
        }
        if !path.is_empty() && self.find(&path)?.bytes.is_some() {
            return Err(path_error("not_folder"));
        }
        let (path, recursive) = (path.to_lowercase(), argument["recursive"] == true);
        let inside = |lower: &str| {
            let is_below = lower.strip_prefix(path.as_str()).is_some_and(|rest| rest.starts_with('/'));
            if recursive { is_below || lower == path } else { is_below && parent(lower) == path }
        };
        // Not in any order that somebody could rely on.
        let found = self.entries.iter().rev().filter(|(lower, _)| inside(lower));
        let found: Vec<Value> = found.map(|(_, entry)| self.metadata(entry)).collect();
        self.cursors.push(found);
        self.page(self.cursors.len() - 1)
    }

    fn page(&mut self, cursor: usize) -> Answer {
        let reset = || refusal(409, json!({ ".tag": "reset" }));
        let left = self.cursors.get_mut(cursor).ok_or_else(reset)?;
        let page: Vec<Value> = left.drain(..self.page.min(left.len())).collect();
        let has_more = !left.is_empty();
        Ok(said(&json!({ "entries": page, "cursor": cursor.to_string(), "has_more": has_more })))
    }

    fn delete(&mut self, argument: &Value) -> Result<Value, Value> {
        let lookup = |tag: &str| json!({ ".tag": "path_lookup", "path_lookup": { ".tag": tag } });
        let lower = text(&argument["path"]).to_lowercase();
        let entry = self.entries.get(&lower).ok_or_else(|| lookup("not_found"))?;
        let rev = &argument["parent_rev"];
        if !rev.is_null() && *rev != entry.rev.as_str() {
            let conflict = json!({ ".tag": "conflict", "conflict": { ".tag": "file" } });
            return Err(json!({ ".tag": "path_write", "path_write": conflict }));
        }
        let told = self.metadata(entry);
        // A folder goes with all that is in it.
        self.entries.retain(|path, _| *path != lower && !path.starts_with(&format!("{lower}/")));
        Ok(told)
    }

    fn delete_batch(&mut self, argument: &Value) -> Said {
        let entries = argument["entries"].as_array().unwrap().clone();
        let told = entries.iter().map(|entry| match self.delete(entry) {
            Ok(told) => json!({ ".tag": "success", "metadata": told }),
            Err(error) => json!({ ".tag": "failure", "failure": error }),
        });
        let told = json!({ ".tag": "complete", "entries": told.collect::<Vec<_>>() });
        let job = format!("job-{}", self.next());
        self.jobs.insert(job.clone(), (2, told));
        said(&json!({ ".tag": "async_job_id", "async_job_id": job }))
    }
}
