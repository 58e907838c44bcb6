//! One descriptor of a database for the whole process, closed only after the last connection to it.
//!
//! Closing *any* descriptor of a file drops *all* POSIX locks that the process holds on it. SQLite takes care of that among
//! its own connections, but it can't know of a descriptor that we open for a reflink. So whoever connects to a database
//! first makes a [`Claim`] and keeps it longer than the connection; the descriptor, if one is needed, belongs to all claims
//! of that inode together, in every thread. Nothing else in this crate opens a database file.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use windlass_plugin_api::{During, Error, ErrorKind, Result};

use crate::place::Place;

type Inode = (u64, u64);

#[derive(Default)]
struct Shared {
    claims: usize,
    file: Option<Arc<File>>,
}

static SHARED: Mutex<BTreeMap<Inode, Shared>> = Mutex::new(BTreeMap::new());

fn shared() -> MutexGuard<'static, BTreeMap<Inode, Shared>> {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says that this process has, or is about to have, a connection to a database. Drop it after the connection.
#[derive(Debug)]
pub struct Claim(Inode);

impl Claim {
    /// Claims the database at `place`, which must be there.
    pub fn new(place: &Place) -> Result<Self> {
        let found = place.stat()?.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("no database at `{}`", place.path.display()))
        })?;
        let inode = (found.dev(), found.ino());
        shared().entry(inode).or_default().claims += 1;
        Ok(Self(inode))
    }

    /// The process's descriptor of the database, for reading. It may be used only as long as the claim lives.
    pub fn file(&self, place: &Place) -> Result<Arc<File>> {
        let mut all = shared();
        let entry = all.entry(self.0).or_default();
        if let Some(file) = &entry.file {
            return Ok(file.clone());
        }
        let file = Arc::new(File::open(&place.path).during("can't open the database")?);
        let found = file.metadata()?;
        if (found.dev(), found.ino()) != self.0 {
            let text = format!("`{}` was replaced meanwhile", place.path.display());
            return Err(Error::new(ErrorKind::Unavailable, text));
        }
        entry.file = Some(file.clone());
        Ok(file)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut all = shared();
        if let Some(entry) = all.get_mut(&self.0) {
            entry.claims -= 1;
            if entry.claims == 0 {
                all.remove(&self.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_descriptor_lives_until_the_last_claim_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.db"), b"x").unwrap();
        let place = Place::existing(&folder.path().join("a.db")).unwrap();
        let (first, second) = (Claim::new(&place).unwrap(), Claim::new(&place).unwrap());
        let file = Arc::downgrade(&first.file(&place).unwrap());
        drop(first);
        assert!(file.upgrade().is_some());
        drop(second);
        assert!(file.upgrade().is_none());
    }
}
