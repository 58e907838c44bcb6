//! Verify: reads stored bytes back and proves them.

use windlass_plugin_api::{Contents, Error, ErrorKind};

use super::copies::Copies;
use super::outputs::OpenStorage;
use super::plan::Engine;
use super::run::{Run, Ticker};
use super::stored::{Reading, StoredStream};
use crate::catalog::snapshot::SnapshotKey;
use crate::catalog::{Found, Manifest, StreamRecord};
use crate::exit::{Exit, Failure, Outcome};
use crate::report::Event;

/// How much is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The manifest; presence and size of every object.
    Quick,
    /// Every stored byte.
    Stored,
    /// Every stored byte, decoded, against the hash of the plain bytes.
    Full,
}

impl Depth {
    fn as_str(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Stored => "stored",
            Self::Full => "full",
        }
    }
}

/// What a verify found; told as [`Event::Verified`] already.
pub fn verify(engine: &Engine, storage: &OpenStorage, found: &Found, depth: Depth) -> Outcome<Exit> {
    let run = Run::new(engine, found.key.id.clone());
    let mut findings = Findings::default();
    match &found.manifest {
        // Made by a later version: that is no damage.
        Err(error) if error.kind == ErrorKind::Unsupported => findings.unproved.push(error.one_line()),
        Err(error) => findings.damage.push(error.one_line()),
        Ok(manifest) => {
            let _ticker = Ticker::start(
                engine,
                &run,
                "verify",
                &found.key.to_string(),
                Some(read_bytes(manifest, depth)),
            );
            let looked = look(engine, storage, manifest, depth, &run.reading(), &mut findings);
            // What a cancelled read fails with says nothing of the snapshot.
            run.cancel.reason().map_or(looked, |reason| Err(reason.failure()))?;
        }
    }
    let exit = findings.exit();
    engine.report.event(&Event::Verified {
        snapshot: found.key.to_string(),
        storage: storage.name.clone(),
        depth: depth.as_str(),
        damage: findings.damage,
        unproved: findings.unproved,
        stored_bytes: run.moved.stored_bytes.load(std::sync::atomic::Ordering::Relaxed),
    });
    Ok(exit)
}

fn read_bytes(manifest: &Manifest, depth: Depth) -> u64 {
    if depth == Depth::Quick { 0 } else { manifest.stored_bytes() }
}

#[derive(Default)]
struct Findings {
    damage: Vec<String>,
    unproved: Vec<String>,
}

impl Findings {
    fn exit(&self) -> Exit {
        match (self.damage.is_empty(), self.unproved.is_empty()) {
            (false, _) => Exit::Damaged,
            (true, false) => Exit::Incomplete,
            (true, true) => Exit::Ok,
        }
    }

    /// Damage is noted and the next object looked at; anything else ends the verify.
    fn note(&mut self, result: Result<(), Failure>) -> Outcome<bool> {
        match result {
            Ok(()) => Ok(true),
            Err(failure) if matches!(failure.error.kind, ErrorKind::Damaged | ErrorKind::NotFound) => {
                self.damage.push(failure.to_string());
                Ok(false)
            }
            Err(failure) => Err(failure),
        }
    }
}

fn look(
    engine: &Engine,
    storage: &OpenStorage,
    manifest: &Manifest,
    depth: Depth,
    reading: &Reading,
    findings: &mut Findings,
) -> Outcome<()> {
    let mut present = Vec::new();
    for (key, bytes, _) in manifest.objects() {
        if findings.note(presence(storage, &key, bytes, reading))? {
            present.push(key);
        }
    }
    if depth == Depth::Quick {
        return Ok(());
    }
    let key = manifest.key();
    let is_present = |object: &str| present.contains(&key.object(object));
    if is_present(&manifest.restore_txt.name) {
        findings.note(check_text(storage, manifest, reading).map_err(Failure::from))?;
    }
    let mut description = None;
    if is_present(&manifest.contents.object_name()) {
        let result = check_description(engine, storage, manifest, depth, reading);
        let result = result.map(|(contents, unproved)| {
            description = contents;
            unproved
        });
        note_or_unproved(&manifest.contents, result, findings)?;
    }
    for record in manifest.streams.iter().filter(|record| is_present(&record.object_name())) {
        let plain = plain_sha256(record, description.as_ref());
        let is_known = plain.is_some();
        let result = check_stream(engine, storage, &key, record, depth, plain, reading);
        let is_decoded = note_or_unproved(record, result, findings)?;
        if depth == Depth::Full && is_decoded && !is_known {
            findings.unproved.push(format!("`{}`: the hash of its plain bytes can't be read", record.name));
        }
    }
    Ok(())
}

/// Why no more than the stored bytes could be proved; nothing if all was.
type Unproved = Option<Failure>;

/// A missing plugin or key doesn't mean damage: what was stored is proved as far as it can be. Whether all of it was.
fn note_or_unproved(
    record: &StreamRecord,
    result: Outcome<Unproved>,
    findings: &mut Findings,
) -> Outcome<bool> {
    match result {
        Ok(Some(failure)) => {
            let why = format!("`{}`: only the stored bytes could be proved: {failure}", record.name);
            findings.unproved.push(why);
            Ok(false)
        }
        result => findings.note(result.map(drop)),
    }
}

/// Whether an error of this kind, of a decoder, says that a plugin or a key is missing.
fn lacks_means(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Unsupported | ErrorKind::Config | ErrorKind::Denied)
}

fn presence(storage: &OpenStorage, key: &str, bytes: u64, reading: &Reading) -> Outcome<()> {
    let stat = storage
        .storage
        .stat(&reading.cx, key)
        .map_err(|error| Failure::from(error).at(storage.stage.clone()))?;
    match stat {
        None => Err(Error::damaged(format!("`{key}` is missing")).into()),
        Some(object) if object.size_bytes != bytes => {
            Err(Error::damaged(format!("`{key}` has {} bytes instead of {bytes}", object.size_bytes)).into())
        }
        Some(_) => Ok(()),
    }
}

fn check_text(
    storage: &OpenStorage,
    manifest: &Manifest,
    reading: &Reading,
) -> windlass_plugin_api::Result<()> {
    use sha2::{Digest, Sha256};
    use std::io::Read;
    let (text, key) = (&manifest.restore_txt, manifest.key().object(&manifest.restore_txt.name));
    let mut bytes = Vec::new();
    storage.storage.open(&reading.cx, &key, None)?.take(text.stored_bytes + 1).read_to_end(&mut bytes)?;
    if crate::catalog::hex(&Sha256::digest(&bytes)) == text.stored_sha256 {
        return Ok(());
    }
    Err(Error::damaged(format!("`{key}` is damaged")))
}

/// The description of the content, proved; decoded where the depth asks for it.
fn check_description(
    engine: &Engine,
    storage: &OpenStorage,
    manifest: &Manifest,
    depth: Depth,
    reading: &Reading,
) -> Outcome<(Option<Description>, Unproved)> {
    stored_stream(Copies::one(storage), &manifest.key(), &manifest.contents, None)
        .check_stored(reading)
        .map_err(clean)?;
    if depth != Depth::Full {
        return Ok((None, None));
    }
    match read_description(engine, Copies::one(storage), manifest, reading) {
        Ok(description) => Ok((Some(description), None)),
        Err(failure) if lacks_means(failure.error.kind) => Ok((None, Some(failure))),
        Err(failure) => Err(failure),
    }
}

fn check_stream(
    engine: &Engine,
    storage: &OpenStorage,
    key: &SnapshotKey,
    record: &StreamRecord,
    depth: Depth,
    plain: Option<String>,
    reading: &Reading,
) -> Outcome<Unproved> {
    let mut stream = stored_stream(Copies::one(storage), key, record, plain);
    if depth != Depth::Full {
        return stream.check_stored(reading).map(|()| None).map_err(clean);
    }
    let decoded = engine.open_decoders(&record.filters, &reading.cx).and_then(|filters| {
        stream.filters = filters;
        stream.check_plain(reading).map_err(clean)
    });
    match decoded {
        Ok(()) => Ok(None),
        Err(failure) if lacks_means(failure.error.kind) => {
            stream.check_stored(reading).map_err(clean)?;
            Ok(Some(failure))
        }
        Err(failure) => Err(Failure { error: located(&stream, failure.error, reading), ..failure }),
    }
}

/// A codec knows neither the object nor the place in it: whether the stored bytes are what they were tells both.
fn located(stream: &StoredStream, error: Error, reading: &Reading) -> Error {
    if error.kind != ErrorKind::Damaged || error.message.contains(&stream.key) {
        return error;
    }
    match stream.check_stored(reading) {
        Err(stored) => stored,
        Ok(()) => error.during(format!("`{}` can't be decoded", stream.key)),
    }
}

/// The message already names the object; the layers above it say nothing new.
fn clean(error: Error) -> Failure {
    Failure::from(error)
}

/// A stream of a snapshot in these storages, without filters yet.
pub fn stored_stream(
    copies: Copies,
    key: &SnapshotKey,
    record: &StreamRecord,
    plain_sha256: Option<String>,
) -> StoredStream {
    StoredStream {
        copies,
        key: key.object(&record.object_name()),
        record: record.clone(),
        filters: Vec::new(),
        plain_sha256,
    }
}

/// What `contents.json` says.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct Description {
    /// Hashes of the plain bytes by stream.
    pub plain_sha256: std::collections::BTreeMap<String, String>,
    /// What the source said.
    pub contents: Contents,
}

/// A description larger than this, in bytes, would only fill the memory: it is neither written nor read.
pub const DESCRIPTION_BYTES: u64 = 32 << 20;

/// Decodes and reads `contents.json`; nothing of it is believed before all of it is proved.
pub fn read_description(
    engine: &Engine,
    copies: Copies,
    manifest: &Manifest,
    reading: &Reading,
) -> Outcome<Description> {
    use std::io::Read;
    let record = &manifest.contents;
    let mut stream = stored_stream(copies, &manifest.key(), record, record.plain_sha256.clone());
    stream.filters = engine.open_decoders(&record.filters, &reading.cx)?;
    let mut bytes = Vec::new();
    if record.plain_bytes > DESCRIPTION_BYTES {
        let message = format!("`{}` has {} bytes, more than any description", stream.key, record.plain_bytes);
        return Err(Error::damaged(message).into());
    }
    // A stream that decodes to more than its record says is refused at its end, which `+ 1` doesn't reach.
    stream.open(reading)?.take(DESCRIPTION_BYTES + 1).read_to_end(&mut bytes).map_err(Error::from)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Error::damaged(format!("`{}` can't be read", stream.key)).because(&error).into())
}

/// The hash of a stream's plain bytes, wherever it stands.
pub fn plain_sha256(record: &StreamRecord, description: Option<&Description>) -> Option<String> {
    record.plain_sha256.clone().or_else(|| description?.plain_sha256.get(&record.name).cloned())
}
