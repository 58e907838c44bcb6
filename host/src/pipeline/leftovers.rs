//! What a run that died has left in the storages.
//!
//! A run writes its id and its storages to the state folder before it writes anything else, and holds an OS lock on that
//! record. A record whose lock is free is of a run that is no more: the next run on this host removes what it names.
//! What no record names is never deleted here; `check` tells of it.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use windlass_plugin_api::{Context, During, Error, ErrorKind, Leftover, Result, Storage};

use super::fan::{Fan, Member};
use super::landed;
use super::outputs::OpenStorage;
use super::plan::Engine;
use super::watch::GRACE;
use crate::catalog::SnapshotKey;
use crate::catalog::snapshot::{MANIFEST, SnapshotId};
use crate::run::cancel::Cancel;
use crate::run::state::{StateDir, open_lock_file, try_lock};

#[derive(Serialize, Deserialize)]
struct Named {
    host: String,
    pipeline: String,
    id: SnapshotId,
    storages: Vec<String>,
}

impl Named {
    fn key(&self) -> SnapshotKey {
        SnapshotKey { host: self.host.clone(), pipeline: self.pipeline.clone(), id: self.id.clone() }
    }
}

/// The record of a run under way. It stays, unlocked, if the process dies.
pub struct Record {
    path: PathBuf,
    file: File,
    named: Named,
    /// Storages that the record of an earlier run on this snapshot names.
    others: Vec<String>,
}

impl Record {
    /// Writes down what this run may leave behind, before it does.
    pub fn begin<'a>(
        state: &StateDir,
        key: &SnapshotKey,
        storages: impl Iterator<Item = &'a OpenStorage>,
    ) -> Result<Self> {
        let path = state.runs().join(format!("{}.json", key.id));
        let mut named = Named {
            host: key.host.clone(),
            pipeline: key.pipeline.clone(),
            id: key.id.clone(),
            storages: storages.map(|open| open.identity.clone()).collect(),
        };
        let mut others = Vec::new();
        let mut write = || -> Result<File> {
            let mut file = locked(&path)?;
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            let earlier =
                serde_json::from_str::<Named>(&text).map(|named| named.storages).unwrap_or_default();
            others.extend(earlier.into_iter().filter(|other| !named.storages.contains(other)));
            named.storages.extend(others.iter().cloned());
            rewrite(&mut file, &named)?;
            file.sync_all()?;
            Ok(file)
        };
        let file = write().during_with(|| format!("can't write the record `{}`", path.display()))?;
        Ok(Self { path, file, named, others })
    }

    /// Something may have been left in the storages of these identities; in none: the record isn't needed any more.
    pub fn end(mut self, mut unclean: Vec<String>) {
        unclean.append(&mut self.others);
        if unclean.is_empty() {
            let _ = fs::remove_file(&self.path);
            return;
        }
        self.named.storages = unclean;
        // As it was it names more storages than are left, which does no harm.
        let _ = rewrite(&mut self.file, &self.named);
    }
}

fn rewrite(file: &mut File, named: &Named) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(serde_json::to_string(named).unwrap_or_default().as_bytes())
}

/// A new file at `path`, locked. Between its creation and the lock the sweep of another run may take it for that of a dead one.
fn locked(path: &Path) -> std::io::Result<File> {
    loop {
        let file = open_lock_file(path)?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
        if file.metadata()?.nlink() > 0 {
            return Ok(file);
        }
    }
}

/// Removes what dead runs of this host have left in the storages. Failing at it is told and doesn't fail the run.
pub fn remove(engine: &Engine, pipeline: &str, fan: &Fan) -> Result<()> {
    let members: Vec<&Arc<Member>> = fan.in_it().collect();
    let storages: Vec<&OpenStorage> = members.iter().map(|member| &member.open).collect();
    sweep(engine, pipeline, &storages, |at, key| {
        let (member, key) = (members[at], key.clone());
        let cleared = member.within(move |open, cx| clear(open.storage.as_ref(), &key, &cx));
        match cleared {
            // It doesn't answer: the run needn't ask it again.
            Err(error) if error.kind == ErrorKind::TimedOut && !member.is_required() => {
                fan.leave_out(member, error)?;
                Ok(None)
            }
            cleared => cleared.map(Some),
        }
    });
    fan.go_on()
}

/// The same, for one storage alone.
pub fn remove_from(engine: &Engine, pipeline: &str, open: &OpenStorage, cx: &Context) {
    sweep(engine, pipeline, &[open], |_, key| clear(open.storage.as_ref(), key, cx).map(Some));
}

/// Goes through the records of dead runs; `clear` removes what one has left in one of `storages`, or can't (`None`).
fn sweep(
    engine: &Engine,
    pipeline: &str,
    storages: &[&OpenStorage],
    mut clear: impl FnMut(usize, &SnapshotKey) -> Result<Option<u64>>,
) {
    let Ok(state) = engine.state.get() else { return };
    let Ok(records) = fs::read_dir(state.runs()) else { return };
    for path in records.filter_map(|entry| Some(entry.ok()?.path())) {
        match sweep_one(&path, storages, &mut clear) {
            Ok(0) => {}
            Ok(count) => {
                let what = format!("removed {count} leftover objects of a run that had died");
                engine.note(pipeline, what);
            }
            Err(error) if error.kind == ErrorKind::Cancelled => return,
            Err(error) => engine.warn(pipeline, format!("leftovers of a dead run stay: {error}")),
        }
    }
}

fn sweep_one(
    path: &Path,
    storages: &[&OpenStorage],
    clear: &mut impl FnMut(usize, &SnapshotKey) -> Result<Option<u64>>,
) -> Result<u64> {
    let mut file = open_lock_file(path)?;
    if !try_lock(&file)? {
        return Ok(0);
    }
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let Ok(mut named) = serde_json::from_str::<Named>(&text) else {
        // Its maker died while writing it, so before writing anything else.
        fs::remove_file(path)?;
        return Ok(0);
    };
    let (mut count, key) = (0, named.key());
    for (at, open) in storages.iter().enumerate() {
        if !named.storages.contains(&open.identity) {
            continue;
        }
        if let Some(cleared) = clear(at, &key)? {
            count += cleared;
            named.storages.retain(|identity| *identity != open.identity);
        }
    }
    if named.storages.is_empty() {
        fs::remove_file(path)?;
    }
    Ok(count)
}

/// Removes the objects and half uploads of a snapshot that never came to be.
fn clear(storage: &dyn Storage, key: &SnapshotKey, cx: &Context) -> Result<u64> {
    let half = half_uploads(storage, key, cx)?;
    discard(storage, &half, cx)?;
    if storage.stat(cx, &key.object(MANIFEST))?.is_some() {
        // It died after its last step: the snapshot is whole.
        return Ok(0);
    }
    let keys = objects_below(storage, &key.prefix(), cx)?;
    delete(storage, &keys, cx)?;
    Ok((half.len() + keys.len()) as u64)
}

/// The half uploads of a snapshot.
fn half_uploads(storage: &dyn Storage, key: &SnapshotKey, cx: &Context) -> Result<Vec<Leftover>> {
    let mut half = storage.leftovers(cx, &key.prefix())?;
    half.retain(|leftover| leftover.run.is_empty() || leftover.run == key.id.as_str());
    Ok(half)
}

/// Removes half uploads. For none the storage isn't asked.
pub(super) fn discard(storage: &dyn Storage, half: &[Leftover], cx: &Context) -> Result<()> {
    if half.is_empty() { Ok(()) } else { storage.discard(cx, half) }
}

/// Removes objects; the first that can't be is the error. For none the storage isn't asked.
pub(super) fn delete(storage: &dyn Storage, keys: &[String], cx: &Context) -> Result<()> {
    if keys.is_empty() { Ok(()) } else { storage.delete(cx, keys)?.into_iter().collect() }
}

fn objects_below(storage: &dyn Storage, prefix: &str, cx: &Context) -> Result<Vec<String>> {
    Ok(landed::below(storage, prefix, cx)?.into_iter().map(|object| object.key).collect())
}

/// Takes back what a run has begun in `members` and can't end, and where something may be visible (`is_shown`) what it has
/// published: the manifest first, so that it is no snapshot at any moment. Gives the identities of those in which something
/// may be left.
///
/// Aborting was tried before; whether it was done is only known by asking. It is done under a switch of its own: the run may
/// have failed by being cancelled.
pub fn withdraw<'a>(
    engine: &Engine,
    key: &SnapshotKey,
    is_shown: bool,
    members: impl Iterator<Item = &'a Arc<Member>>,
) -> Vec<String> {
    let cx = engine.context(key.id.as_str(), &Cancel::new());
    let mut unclean = Vec::new();
    for member in members.filter(|member| member.may_hold()) {
        let (own, cx) = (key.clone(), cx.clone());
        // What an optional one has done by itself isn't known.
        let is_shown = is_shown || !member.is_required();
        let work = move |open: OpenStorage| {
            abort(open.storage.as_ref(), &own, &cx)?;
            if is_shown { withdraw_one(open.storage.as_ref(), &own, &cx) } else { Ok(()) }
        };
        // Of a required one what is visible must go, however long that takes.
        let limit = if is_shown && member.is_required() { Duration::MAX } else { GRACE / 2 };
        let result = if member.settle() { member.aside(limit, work) } else { Err(stays_away()) };
        if let Err(error) = result {
            let what = format!("what this run has stored in {} stays for now: {error}", member.open.stage);
            engine.warn(&key.pipeline, what);
            unclean.push(member.open.identity.clone());
        }
    }
    unclean
}

/// Removes the half uploads that an abort has left. Who may not even ask for them has done what it could.
fn abort(storage: &dyn Storage, key: &SnapshotKey, cx: &Context) -> Result<()> {
    match half_uploads(storage, key, cx) {
        Err(error) if error.kind == ErrorKind::Denied => Ok(()),
        half => discard(storage, &half?, cx),
    }
}

/// Takes back what a copy has published in `open`, and nothing else: the manifest first. Gives the storage's identity if
/// something may be left.
pub fn take_back(
    engine: &Engine,
    key: &SnapshotKey,
    open: &OpenStorage,
    mut published: Vec<String>,
) -> Vec<String> {
    let cx = engine.context(key.id.as_str(), &Cancel::new());
    published.reverse();
    let taken = published.chunks(1).map(|key| delete(open.storage.as_ref(), key, &cx));
    let mut results = taken.chain(std::iter::once_with(|| abort(open.storage.as_ref(), key, &cx)));
    let Some(error) = results.find_map(Result::err) else { return Vec::new() };
    engine.warn(&key.pipeline, format!("what was copied to {} stays for now: {error}", open.stage));
    vec![open.identity.clone()]
}

fn stays_away() -> Error {
    Error::new(ErrorKind::TimedOut, "it doesn't come back")
}

fn withdraw_one(storage: &dyn Storage, key: &SnapshotKey, cx: &Context) -> Result<()> {
    let keys = objects_below(storage, &key.prefix(), cx)?;
    let (manifest, others): (Vec<String>, Vec<String>) =
        keys.into_iter().partition(|key| key.ends_with(MANIFEST));
    delete(storage, &manifest, cx)?;
    delete(storage, &others, cx)
}
