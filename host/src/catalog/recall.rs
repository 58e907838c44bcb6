//! Manifests that this machine has read before.
//!
//! A storage far away takes tens of milliseconds for each manifest, and a listing wants all of them. A manifest is written once
//! and never changed; whether it is still there, and still the one that was read, a listing of the objects says: by size, time and
//! version, in a thousandth of the requests. What is recalled is only shown: what is restored or proved is read anew.
//!
//! The file can be lost at any time. What stands in it is judged like what comes from the storage.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use windlass_plugin_api::Object;

use super::manifest::Manifest;
use super::snapshot::{MANIFEST, SnapshotKey};
use crate::run::state::{StateDir, replace};

/// For fewer snapshots it isn't worth a file.
pub const WORTH: usize = 16;

/// How many snapshots one request asks for the objects of, at most: a page of most services holds 1000 keys.
const TOGETHER: usize = 250;

/// What was read of one storage.
#[derive(Clone, Debug)]
pub struct Recall {
    state: StateDir,
    identity: String,
}

/// What tells an object from another one of the same key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Stamp {
    size_bytes: u64,
    modified: Option<i64>,
    version: Option<String>,
}

/// A line of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Line {
    id: String,
    stamp: Stamp,
    manifest: String,
}

/// The manifests of one pipeline.
pub struct Recalled {
    file: PathBuf,
    known: HashMap<String, Line>,
    /// What the storage has now, by the key of the object.
    present: BTreeMap<String, Stamp>,
}

impl Recall {
    /// What `state` knows of the storage `identity`.
    pub fn new(state: &StateDir, identity: &str) -> Self {
        Self { state: state.clone(), identity: identity.to_owned() }
    }

    /// What is known of a pipeline whose objects are `present` now.
    pub fn open(&self, host: &str, pipeline: &str, present: Vec<Object>) -> Recalled {
        let file = self.state.manifests(&format!("{} {host}/{pipeline}", self.identity));
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
        let known = lines.map(|line| (line.id.clone(), line)).collect();
        let stamp = |object: Object| {
            let Object { key, size_bytes, modified, version, .. } = object;
            (key, Stamp { size_bytes, modified, version })
        };
        Recalled { file, known, present: present.into_iter().map(stamp).collect() }
    }
}

impl Recalled {
    /// Whether the storage has a manifest there.
    pub fn is_there(&self, key: &SnapshotKey) -> bool {
        self.present.contains_key(&key.object(MANIFEST))
    }

    /// The manifest, if it is the one that was read.
    pub fn manifest(&self, key: &SnapshotKey) -> Option<Manifest> {
        let line = self.known.get(key.id.as_str())?;
        let is_same = self.present.get(&key.object(MANIFEST)) == Some(&line.stamp);
        Manifest::from_bytes(line.manifest.as_bytes(), key).ok().filter(|_| is_same)
    }

    /// Keeps what was read just now, and forgets what isn't there any more. Unless `are_all` that there are were asked about, nothing
    /// is said of the others.
    pub fn keep(mut self, read: Vec<(SnapshotKey, Vec<u8>)>, are_all: bool) -> io::Result<()> {
        let ids: HashMap<&str, &Stamp> = self
            .present
            .iter()
            .filter_map(|(key, stamp)| {
                Some((key.strip_suffix(MANIFEST)?.trim_end_matches('/').rsplit('/').next()?, stamp))
            })
            .collect();
        let before = self.known.len();
        self.known.retain(|id, line| ids.get(id.as_str()).map_or(!are_all, |&stamp| *stamp == line.stamp));
        if read.is_empty() && self.known.len() == before {
            return Ok(());
        }
        for (key, bytes) in read {
            // Without a sign of change there would be no telling whether it is still the same.
            let stamp =
                ids.get(key.id.as_str()).filter(|stamp| stamp.modified.is_some() || stamp.version.is_some());
            if let (Some(stamp), Ok(manifest)) = (stamp, String::from_utf8(bytes)) {
                let line = Line { id: key.id.to_string(), stamp: (*stamp).clone(), manifest };
                self.known.insert(line.id.clone(), line);
            }
        }
        let lines = self.known.values().filter_map(|line| serde_json::to_string(line).ok());
        let text: String = lines.map(|line| line + "\n").collect();
        replace(&self.file, text.as_bytes())
    }
}

/// Prefixes that together cover `names`, which are sorted, each for no more than a page's worth of them. No order of the service is
/// relied on, and no place to begin at.
pub fn prefixes(names: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    split(names, 0, &mut found);
    found
}

fn split(names: &[&str], length: usize, found: &mut Vec<String>) {
    let (Some(first), Some(last)) = (names.first(), names.last()) else { return };
    let shared = first.bytes().zip(last.bytes()).take_while(|(one, other)| one == other).count().max(length);
    if names.len() <= TOGETHER || shared >= first.len() {
        found.push(first[..shared].to_owned());
        return;
    }
    for group in names.chunk_by(|one, other| one.as_bytes()[shared] == other.as_bytes()[shared]) {
        split(group, shared + 1, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_cover_every_name_once_and_no_page_of_them_is_too_long() {
        let names: Vec<String> = (0..5000)
            .map(|hour| {
                format!("2026{:02}{:02}T{:02}0000Z-abcd", 1 + hour / 720, 1 + hour / 24 % 30, hour % 24)
            })
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let found = prefixes(&names);
        assert!(found.len() < 40, "{} requests", found.len());
        for name in &names {
            assert_eq!(found.iter().filter(|prefix| name.starts_with(prefix.as_str())).count(), 1, "{name}");
        }
        let most =
            found.iter().map(|prefix| names.iter().filter(|name| name.starts_with(prefix.as_str())).count());
        assert!(most.max().unwrap() <= TOGETHER);
        assert_eq!(prefixes(&[]), Vec::<String>::new());
        assert_eq!(prefixes(&["20260101T000000Z-abcd"]), ["20260101T000000Z-abcd"]);
    }
}
