//! What a run that died has left in the storages.
//!
//! A run writes its id and its storages to the state folder before it writes anything else, and holds an OS lock on that
//! record. A record whose lock is free is of a run that is no more: the next run on this host removes what it names.
//! What no record names is never deleted here; `check` tells of it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use windlass_plugin_api::{Context, During, ListOptions, Result, Storage};

use super::outputs::{OpenStorage, Writing};
use super::plan::Engine;
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
    _file: File,
}

impl Record {
    /// Writes down what this run may leave behind, before it does.
    pub fn begin(state: &StateDir, key: &SnapshotKey, storages: &[OpenStorage]) -> Result<Self> {
        let path = state.runs().join(format!("{}.json", key.id));
        let named = Named {
            host: key.host.clone(),
            pipeline: key.pipeline.clone(),
            id: key.id.clone(),
            storages: storages.iter().map(|open| open.identity.clone()).collect(),
        };
        let write = || -> Result<File> {
            let mut file = locked(&path)?;
            file.write_all(serde_json::to_string(&named).unwrap_or_default().as_bytes())?;
            file.sync_all()?;
            Ok(file)
        };
        let file = write().during_with(|| format!("can't write the record `{}`", path.display()))?;
        Ok(Self { path, _file: file })
    }

    /// Nothing was left behind.
    pub fn end(self) {
        let _ = fs::remove_file(&self.path);
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

/// Removes what dead runs of this host have left in `storages`. Failing at it is told and doesn't fail the run.
pub fn remove(engine: &Engine, pipeline: &str, storages: &[OpenStorage], cx: &Context) {
    let Ok(state) = engine.state.get() else { return };
    let Ok(records) = fs::read_dir(state.runs()) else { return };
    for path in records.filter_map(|entry| Some(entry.ok()?.path())) {
        match remove_one(&path, storages, cx) {
            Ok(0) => {}
            Ok(count) => {
                let what = format!("removed {count} leftover objects of a run that had died");
                engine.note(pipeline, what);
            }
            Err(error) => engine.warn(pipeline, format!("leftovers of a dead run stay: {error}")),
        }
    }
}

fn remove_one(path: &Path, storages: &[OpenStorage], cx: &Context) -> Result<u64> {
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
    for open in storages {
        if named.storages.contains(&open.identity) {
            count += clear(open.storage.as_ref(), &named.key(), cx)?;
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
    let half: Vec<_> = storage
        .leftovers(cx, &key.prefix())?
        .into_iter()
        .filter(|leftover| leftover.run.is_empty() || leftover.run == key.id.as_str())
        .collect();
    storage.discard(cx, &half)?;
    if storage.stat(cx, &key.object(MANIFEST))?.is_some() {
        // It died after its last step: the snapshot is whole.
        return Ok(0);
    }
    let keys = objects_below(storage, &key.prefix(), cx)?;
    for deleted in storage.delete(cx, &keys)? {
        deleted?;
    }
    Ok((half.len() + keys.len()) as u64)
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

/// Takes back what a failed run has already published: the manifest first, so that it is no snapshot at any moment.
/// True if nothing is left. It is done under a switch of its own: the run may have failed by being cancelled.
pub fn withdraw(engine: &Engine, writing: &Writing) -> bool {
    let cx = engine.context(writing.key.id.as_str(), &Cancel::new());
    let withdraw_one = |open: &OpenStorage| -> Result<()> {
        let storage = open.storage.as_ref();
        let keys = objects_below(storage, &writing.key.prefix(), &cx)?;
        if keys.is_empty() {
            return Ok(());
        }
        let (manifest, others): (Vec<String>, Vec<String>) =
            keys.into_iter().partition(|key| key.ends_with(MANIFEST));
        for keys in [manifest, others] {
            storage.delete(&cx, &keys)?.into_iter().collect::<Result<Vec<()>>>()?;
        }
        Ok(())
    };
    let mut clean = true;
    for open in &writing.storages {
        if let Err(error) = withdraw_one(open) {
            let what = format!("what this run has stored in {} stays for now: {error}", open.stage);
            engine.warn(&writing.key.pipeline, what);
            clean = false;
        }
    }
    clean
}
