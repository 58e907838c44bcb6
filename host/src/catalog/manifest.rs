//! The description of a snapshot, written last: no manifest, no snapshot.
//!
//! Stored as `{"manifest": …, "sha256": "<of exactly the bytes of manifest>"}`. What describes the content (table names,
//! hashes of plain bytes under encryption) isn't here but in `contents.json`, which passes through the filters.
//! Reading trusts nothing: names and suffixes that keys are made of are checked against their patterns.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use windlass_plugin_api::{Error, ErrorKind, Result};

use super::applied::AppliedFilter;
use super::hex;
use super::snapshot::{
    CONTENTS, SnapshotId, SnapshotKey, is_host_label, is_pipeline_name, is_stream_name, is_suffix,
};

/// The format that this version writes.
pub const FORMAT: u32 = 1;

/// Features of a snapshot that this version knows how to read.
const KNOWN_FEATURES: &[&str] = &[];

/// At the end of each block of so many stored bytes the state of their hash is recorded.
pub const BLOCK_BYTES: u64 = 16 << 20;

/// A manifest larger than this isn't one of ours: it would only fill the memory.
pub const MAX_BYTES: u64 = 256 << 20;

/// No sequence is larger. It leaves JSON's readers their precision, and room for more seconds than there will be.
pub const MAX_SEQUENCE: u64 = 1 << 53;

/// How many filters a stream may have: each one takes a thread and memory to read it.
pub const MOST_FILTERS: usize = 16;

/// A snapshot's description. Times are seconds-precise UTC; sizes are bytes; hashes are SHA-256 in hexadecimal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// Features without which a reader can't read it.
    #[serde(default)]
    pub requires: Vec<String>,
    /// Orders the runs of a pipeline, also when a clock goes back: the start in seconds since 1970, or more.
    pub sequence: u64,
    /// The host label of the machine that made it.
    pub host: String,
    /// The pipeline.
    pub pipeline: String,
    /// The snapshot's id.
    pub id: SnapshotId,
    /// When the run started.
    pub started: Timestamp,
    /// When the last stream was finished.
    pub finished: Timestamp,
    /// The user's own tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// What made the streams.
    pub source: SourceRecord,
    /// Versions of server, tools and library.
    #[serde(default)]
    pub versions: BTreeMap<String, String>,
    /// The point in time or log that it holds.
    #[serde(default)]
    pub consistency_point: Option<String>,
    /// How much was left out; the names are in `contents.json`.
    #[serde(default)]
    pub left_out: u64,
    /// The streams, in the order in which they were created.
    pub streams: Vec<StreamRecord>,
    /// The description of the content.
    pub contents: StreamRecord,
    /// The instructions for people.
    pub restore_txt: ObjectRecord,
    /// Room for an index of what is in the streams.
    #[serde(default)]
    pub index: Option<Value>,
    /// What a later version adds; ignored.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The source of a snapshot. A hint: any plugin that reads the stream format will do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// `windlass/sqlite`.
    pub plugin: String,
    /// The plugin's version.
    pub version: String,
}

/// One stored stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StreamRecord {
    /// Its name.
    pub name: String,
    /// The format of its plain bytes.
    pub stream_format: String,
    /// Its filters in the order in which they were applied.
    pub filters: Vec<AppliedFilter>,
    /// Bytes as stored.
    pub stored_bytes: u64,
    /// Of the stored bytes: what `sha256sum` says of the object.
    pub stored_sha256: String,
    /// The state of that hash after each full block of [`block_bytes`](Self::block_bytes).
    pub sha256_states: Vec<String>,
    /// The size of a block, a multiple of 64.
    pub block_bytes: u64,
    /// Bytes before the first filter.
    pub plain_bytes: u64,
    /// Of the plain bytes; absent where a filter encrypts: then it stands in `contents.json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plain_sha256: Option<String>,
}

/// An object that passes no filter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObjectRecord {
    /// Its name below the snapshot.
    pub name: String,
    /// Bytes.
    pub stored_bytes: u64,
    /// SHA-256.
    pub stored_sha256: String,
}

impl StreamRecord {
    /// The object's name below the snapshot: the stream's name with the suffixes of its filters.
    pub fn object_name(&self) -> String {
        object_name(&self.name, self.filters.iter().map(|filter| filter.suffix.as_str()))
    }

    /// Whether a key is needed to read it.
    pub fn is_encrypted(&self) -> bool {
        self.filters.iter().any(|filter| filter.encrypts)
    }
}

/// A stream's name with suffixes; the content's description keeps its own name.
pub fn object_name<'a>(stream: &str, suffixes: impl Iterator<Item = &'a str>) -> String {
    suffixes.fold(stream.to_owned(), |name, suffix| name + suffix)
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    manifest: &'a RawValue,
    sha256: String,
}

impl Manifest {
    /// Where it lies.
    pub fn key(&self) -> SnapshotKey {
        SnapshotKey { host: self.host.clone(), pipeline: self.pipeline.clone(), id: self.id.clone() }
    }

    /// The bytes of its object.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let manifest = serde_json::to_string(self)
            .map_err(|error| Error::failed("the manifest can't be written").because(&error))?;
        let sha256 = hex(&Sha256::digest(manifest.as_bytes()));
        Ok(format!("{{\"manifest\":{manifest},\"sha256\":\"{sha256}\"}}\n").into_bytes())
    }

    /// Reads the manifest that was found under `key`.
    pub fn from_bytes(bytes: &[u8], key: &SnapshotKey) -> Result<Self> {
        let damaged = |why: String| Error::damaged(format!("the manifest of `{key}` is damaged: {why}"));
        let envelope: Envelope<'_> =
            serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        let text = envelope.manifest.get();
        if hex(&Sha256::digest(text.as_bytes())) != envelope.sha256 {
            return Err(damaged("its checksum differs".to_owned()).hint(
                "It was cut short or changed after the backup; another storage may hold a good copy.",
            ));
        }
        // Before anything else: a later format may look entirely different.
        #[derive(Deserialize)]
        struct Head {
            format: u32,
            #[serde(default)]
            requires: Vec<String>,
        }
        let head: Head = serde_json::from_str(text).map_err(|error| damaged(error.to_string()))?;
        check_readable(key, head.format, &head.requires)?;
        let manifest: Self = serde_json::from_str(text).map_err(|error| damaged(error.to_string()))?;
        manifest.check_names().map_err(damaged)?;
        if manifest.key() != *key {
            return Err(damaged(format!("it says that it is `{}/{}`", manifest.host, manifest.key()))
                .hint("Somebody moved or copied it here."));
        }
        Ok(manifest)
    }

    /// Keys are made of these: what doesn't match its pattern could point outside of the snapshot.
    fn check_names(&self) -> Result<(), String> {
        if !is_host_label(&self.host) || !is_pipeline_name(&self.pipeline) {
            return Err("host or pipeline isn't a valid name".to_owned());
        }
        if self.sequence > MAX_SEQUENCE {
            return Err(format!("its sequence is {}", self.sequence));
        }
        if self.contents.name != CONTENTS {
            return Err("the description of the content has a wrong name".to_owned());
        }
        if self.restore_txt.name != super::snapshot::RESTORE_TXT {
            return Err("the instructions have a wrong name".to_owned());
        }
        let mut seen = BTreeSet::new();
        for stream in &self.streams {
            if !is_stream_name(&stream.name) {
                return Err(format!("`{}` isn't a stream name", stream.name));
            }
            if !seen.insert(&stream.name) {
                return Err(format!("stream `{}` stands there twice", stream.name));
            }
        }
        for stream in self.streams.iter().chain([&self.contents]) {
            if stream.filters.len() > MOST_FILTERS {
                return Err(format!("`{}` has more than {MOST_FILTERS} filters", stream.name));
            }
            for filter in &stream.filters {
                if !filter.suffix.is_empty() && !is_suffix(&filter.suffix) {
                    return Err(format!("`{}` isn't a suffix", filter.suffix));
                }
            }
            if stream.block_bytes == 0
                || !stream.block_bytes.is_multiple_of(64)
                || stream.sha256_states.len() as u64 != stream.stored_bytes / stream.block_bytes
            {
                return Err(format!("the blocks of `{}` don't add up", stream.name));
            }
        }
        Ok(())
    }

    /// Bytes before the first filter, all streams.
    pub fn plain_bytes(&self) -> u64 {
        self.streams.iter().map(|stream| stream.plain_bytes).sum()
    }

    /// Bytes as stored, all streams.
    pub fn stored_bytes(&self) -> u64 {
        self.streams.iter().map(|stream| stream.stored_bytes).sum()
    }

    /// Whether a key is needed to read it.
    pub fn is_encrypted(&self) -> bool {
        self.streams.iter().any(StreamRecord::is_encrypted)
    }

    /// Every object but the manifest: key, bytes, SHA-256.
    pub fn objects(&self) -> Vec<(String, u64, &str)> {
        let key = self.key();
        let streams = self.streams.iter().chain([&self.contents]);
        let mut objects: Vec<_> = streams
            .map(|s| (key.object(&s.object_name()), s.stored_bytes, s.stored_sha256.as_str()))
            .collect();
        let text = &self.restore_txt;
        objects.push((key.object(&text.name), text.stored_bytes, text.stored_sha256.as_str()));
        objects
    }
}

fn check_readable(key: &SnapshotKey, format: u32, requires: &[String]) -> Result<()> {
    let unknown: Vec<&str> =
        requires.iter().map(String::as_str).filter(|feature| !KNOWN_FEATURES.contains(feature)).collect();
    if format <= FORMAT && unknown.is_empty() {
        return Ok(());
    }
    let why = if format > FORMAT {
        format!("snapshot format {format}, this version reads up to {FORMAT}")
    } else {
        format!("it needs {}", unknown.join(", "))
    };
    Err(Error::new(ErrorKind::Unsupported, format!("`{key}` was made by a later version: {why}"))
        .hint("Update windlass on this machine."))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn example() -> Manifest {
        let stream = StreamRecord {
            name: "data".into(),
            stream_format: "sqlite/1".into(),
            filters: vec![AppliedFilter {
                plugin: "windlass/zstd".into(),
                version: "0.1.0".into(),
                suffix: ".zst".into(),
                encrypts: false,
                recipients: Vec::new(),
                params: Map::new(),
            }],
            stored_bytes: 3,
            stored_sha256: hex(&Sha256::digest(b"abc")),
            sha256_states: Vec::new(),
            block_bytes: BLOCK_BYTES,
            plain_bytes: 9,
            plain_sha256: Some(hex(&Sha256::digest(b"plain"))),
        };
        Manifest {
            format: FORMAT,
            requires: Vec::new(),
            sequence: 7,
            host: "web1".into(),
            pipeline: "shop".into(),
            id: "20261122T185903Z-k3f9".parse().unwrap(),
            started: "2026-11-22T18:59:03Z".parse().unwrap(),
            finished: "2026-11-22T18:59:45Z".parse().unwrap(),
            tags: BTreeMap::new(),
            source: SourceRecord { plugin: "windlass/sqlite".into(), version: "0.1.0".into() },
            versions: BTreeMap::new(),
            consistency_point: None,
            left_out: 0,
            contents: StreamRecord {
                name: CONTENTS.into(),
                stream_format: "contents/1".into(),
                ..stream.clone()
            },
            streams: vec![stream],
            restore_txt: ObjectRecord {
                name: "RESTORE.txt".into(),
                stored_bytes: 1,
                stored_sha256: hex(&Sha256::digest(b"x")),
            },
            index: None,
            extra: Map::new(),
        }
    }

    #[test]
    fn a_manifest_comes_back_and_names_its_objects() {
        let manifest = example();
        let again = Manifest::from_bytes(&manifest.to_bytes().unwrap(), &manifest.key()).unwrap();
        assert_eq!(again, manifest);
        assert_eq!(again.objects()[0].0, "web1/shop/20261122T185903Z-k3f9/data.zst");
        assert_eq!(again.objects()[1].0, "web1/shop/20261122T185903Z-k3f9/contents.json.zst");
    }

    #[test]
    fn an_edited_manifest_without_its_checksum_is_damaged() {
        let manifest = example();
        let text = String::from_utf8(manifest.to_bytes().unwrap()).unwrap();
        let edited = text.replace("\"sequence\":7", "\"sequence\":8");
        assert_ne!(text, edited);
        let error = Manifest::from_bytes(edited.as_bytes(), &manifest.key()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Damaged);
        assert!(error.message.contains("checksum differs"), "{error}");
    }

    #[test]
    fn a_manifest_with_names_that_leave_the_snapshot_is_refused() {
        type Edit = fn(&mut Manifest);
        let edits: [Edit; 5] = [
            |m| m.streams[0].name = "../../etc/passwd".into(),
            |m| m.streams[0].filters[0].suffix = "/../x".into(),
            |m| m.contents.name = "data".into(),
            |m| m.restore_txt.name = "../x".into(),
            |m| m.streams.push(m.streams[0].clone()),
        ];
        for edit in edits {
            let mut manifest = example();
            let key = manifest.key();
            edit(&mut manifest);
            let error = Manifest::from_bytes(&manifest.to_bytes().unwrap(), &key).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Damaged, "{error}");
        }
    }

    #[test]
    fn a_manifest_at_another_place_is_refused() {
        let manifest = example();
        let elsewhere = SnapshotKey { host: "web2".into(), ..manifest.key() };
        let error = Manifest::from_bytes(&manifest.to_bytes().unwrap(), &elsewhere).unwrap_err();
        assert!(error.message.contains("web1/shop@"), "{error}");
    }

    #[test]
    fn a_later_format_and_an_unknown_feature_are_told_in_one_line() {
        let mut manifest = example();
        manifest.requires = vec!["dedup".into()];
        let error = Manifest::from_bytes(&manifest.to_bytes().unwrap(), &manifest.key()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported);
        assert!(error.message.contains("dedup"), "{error}");
        let mut manifest = example();
        manifest.format = 2;
        let error = Manifest::from_bytes(&manifest.to_bytes().unwrap(), &manifest.key()).unwrap_err();
        assert!(error.message.contains("format 2"), "{error}");
    }
}
