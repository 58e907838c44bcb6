//! The service takes `Shop` and `shop` for one name, and keeps the spelling that came first. To Windlass they are two.
//!
//! So before anything is stored, and where an answer is spelled in another way, the spelling of what is there is compared: a key
//! that differs from another one only by case is refused, and isn't found under the other's name. What was seen is remembered,
//! for a folder's name doesn't change while it is there.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::address::{name, parent};
use crate::documents::Metadata;
use crate::service::Account;

/// Folders that were seen under just these names.
#[derive(Debug, Default)]
pub struct Seen(Mutex<BTreeSet<String>>);

impl Seen {
    fn has(&self, folder: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(folder)
    }

    fn add(&self, folder: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned());
    }

    /// It is no longer there.
    pub fn forget(&self, folder: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(folder);
    }
}

/// What is there where a folder is looked for.
pub enum Folder {
    /// Nothing, or nothing that could hold a file.
    Absent,
    /// That folder.
    There,
    /// One whose name differs by case.
    Other(String),
}

impl Account {
    /// Whether a folder is there, and it and those around it are spelled so. The prefix of the options may be spelled as one
    /// likes.
    pub async fn folder(&self, folder: &str) -> Result<Folder> {
        let ends = folder.match_indices('/').map(|(at, _)| at).chain([folder.len()]);
        for outer in ends.map(|end| &folder[..end]).filter(|outer| !outer.is_empty()) {
            if self.seen.has(outer) {
                continue;
            }
            match self.metadata(outer).await? {
                None => return Ok(Folder::Absent),
                Some(found) if found.name != name(outer) => return Ok(Folder::Other(found.name)),
                Some(_) => self.seen.add(outer),
            }
        }
        Ok(Folder::There)
    }

    /// Whether what the service told of `key` is that key, not one that differs by case.
    pub async fn is_spelled(&self, key: &str, found: &Metadata) -> Result<bool> {
        if found.name != name(key) {
            return Ok(false);
        }
        // Of the folders the service doesn't always show the spelling that they have.
        let is_shown = found.path_display.ends_with(&format!("/{key}"));
        Ok(is_shown || !matches!(self.folder(parent(key)).await?, Folder::Other(_)))
    }

    /// Refuses a key that would be taken for another one.
    pub async fn judge_spelling(&self, key: &str, if_absent: bool) -> Result<()> {
        if let Folder::Other(other) = self.folder(parent(key)).await? {
            return Err(clash(key, &other));
        }
        // The service itself refuses to store what is to be absent.
        if !if_absent
            && let Some(found) = self.metadata(key).await?
            && found.name != name(key)
        {
            return Err(clash(key, &found.name));
        }
        Ok(())
    }
}

/// Two keys that the service takes for one.
pub fn clash(key: &str, other: &str) -> Error {
    let message = format!("`{key}` differs only by case from `{other}`, which is there already");
    Error::new(ErrorKind::AlreadyExists, message).hint(
        "Dropbox takes them for one name: use another `prefix`, or another name for the host or pipeline.",
    )
}
