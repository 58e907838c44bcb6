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

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use windlass_plugin_api::{Context, During, Error, ErrorKind, ListOptions, Result, Storage};

use super::fan::{Fan, Member};
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
}

impl Record {
    /// Writes down what this run may leave behind, before it does.
    pub fn begin(state: &StateDir, key: &SnapshotKey, fan: &Fan) -> Result<Self> {
        let path = state.runs().join(format!("{}.json", key.id));
        let named = Named {
            host: key.host.clone(),
            pipeline: key.pipeline.clone(),
            id: key.id.clone(),
            storages: fan.members.iter().map(|member| member.open.identity.clone()).collect(),
        };
        let write = || -> Result<File> {
            let mut file = locked(&path)?;
            file.write_all(serde_json::to_string(&named).unwrap_or_default().as_bytes())?;
            file.sync_all()?;
            Ok(file)
        };
        let file = write().during_with(|| format!("can't write the record `{}`", path.display()))?;
        Ok(Self { path, file, named })
    }

    /// Something may have been left in the storages of these identities; in none: the record isn't needed any more.
    pub fn end(mut self, unclean: Vec<String>) {
        if unclean.is_empty() {
            let _ = fs::remove_file(&self.path);
            return;
        }
        self.named.storages = unclean;
        let text = serde_json::to_string(&self.named).unwrap_or_default();
        // As it is it names more storages than are left, which does no harm.
        let _ = self.file.set_len(0).and_then(|()| self.file.rewind());
        let _ = self.file.write_all(text.as_bytes());
    }
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
    let Ok(state) = engine.state.get() else { return Ok(()) };
    let Ok(records) = fs::read_dir(state.runs()) else { return Ok(()) };
    for path in records.filter_map(|entry| Some(entry.ok()?.path())) {
        match remove_one(&path, fan) {
            Ok(0) => {}
            Ok(count) => {
                let what = format!("removed {count} leftover objects of a run that had died");
                engine.note(pipeline, what);
            }
            Err(error) => {
                fan.go_on()?;
                engine.warn(pipeline, format!("leftovers of a dead run stay: {error}"));
            }
        }
    }
    Ok(())
}

fn remove_one(path: &Path, fan: &Fan) -> Result<u64> {
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
    let mut count = 0;
    let mine: Vec<_> = fan.in_it().filter(|member| named.storages.contains(&member.open.identity)).collect();
    for member in mine {
        let key = named.key();
        match member.within(move |open, cx| clear(open.storage.as_ref(), &key, &cx)) {
            Ok(cleared) => count += cleared,
            // It doesn't answer: the run needn't ask it again.
            Err(error) if error.kind == ErrorKind::TimedOut && !member.is_required() => {
                fan.leave_out(member, error)?;
                continue;
            }
            Err(error) => return Err(error),
        }
        named.storages.retain(|identity| *identity != member.open.identity);
    }
    if named.storages.is_empty() {
        fs::remove_file(path)?;
    }
    Ok(count)
}

/// Removes the objects and half uploads of a snapshot that never came to be.
fn clear(storage: &dyn Storage, key: &SnapshotKey, cx: &Context) -> Result<u64> {
    let count = discard(storage, key, cx)?;
    if storage.stat(cx, &key.object(MANIFEST))?.is_some() {
        // It died after its last step: the snapshot is whole.
        return Ok(0);
    }
    let keys = objects_below(storage, &key.prefix(), cx)?;
    for deleted in storage.delete(cx, &keys)? {
        deleted?;
    }
    Ok((count + keys.len()) as u64)
}

/// Removes the half uploads of a snapshot.
fn discard(storage: &dyn Storage, key: &SnapshotKey, cx: &Context) -> Result<usize> {
    let half: Vec<_> = storage
        .leftovers(cx, &key.prefix())?
        .into_iter()
        .filter(|leftover| leftover.run.is_empty() || leftover.run == key.id.as_str())
        .collect();
    if !half.is_empty() {
        storage.discard(cx, &half)?;
    }
    Ok(half.len())
}

fn objects_below(storage: &dyn Storage, prefix: &str, cx: &Context) -> Result<Vec<String>> {
    let mut keys: Vec<String> = Vec::new();
    let mut what = ListOptions { prefix: prefix.to_owned(), ..ListOptions::default() };
    loop {
        let page = storage.list(cx, &what)?;
        keys.extend(page.entries.into_iter().map(|object| object.key));
        if !page.more || keys.last() == what.after.as_ref() {
            return Ok(keys);
        }
        what.after = keys.last().cloned();
    }
}

/// Takes back what a run has begun in `members` and can't end, or has already published: the manifest first, so that it is
/// no snapshot at any moment. Gives the identities of those in which something may be left.
///
/// It is done under a switch of its own: the run may have failed by being cancelled.
pub fn withdraw<'a>(
    engine: &Engine,
    key: &SnapshotKey,
    members: impl Iterator<Item = &'a Arc<Member>>,
) -> Vec<String> {
    let cx = engine.context(key.id.as_str(), &Cancel::new());
    let mut unclean = Vec::new();
    for member in members.filter(|member| member.may_hold()) {
        let (own, cx) = (key.clone(), cx.clone());
        let by_itself = !member.is_required();
        let work = move |open: OpenStorage| {
            if by_itself {
                discard(open.storage.as_ref(), &own, &cx)?;
            }
            withdraw_one(open.storage.as_ref(), &own, &cx)
        };
        let result = if member.settle() { member.aside(GRACE, work) } else { Err(stays_away()) };
        if let Err(error) = result {
            let what = format!("what this run has stored in {} stays for now: {error}", member.open.stage);
            engine.warn(&key.pipeline, what);
            unclean.push(member.open.identity.clone());
        }
    }
    unclean
}

fn stays_away() -> Error {
    Error::new(ErrorKind::TimedOut, "it doesn't come back")
}

fn withdraw_one(storage: &dyn Storage, key: &SnapshotKey, cx: &Context) -> Result<()> {
    let keys = objects_below(storage, &key.prefix(), cx)?;
    let (manifest, others): (Vec<String>, Vec<String>) =
        keys.into_iter().partition(|key| key.ends_with(MANIFEST));
    for keys in [manifest, others].iter().filter(|keys| !keys.is_empty()) {
        storage.delete(cx, keys)?.into_iter().collect::<Result<Vec<()>>>()?;
    }
    Ok(())
}
