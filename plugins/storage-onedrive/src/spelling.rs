//! The service takes `Shop` and `shop` for one name, and keeps the spelling that came first. To Windlass they are two.
//!
//! So before anything is stored, and before anything is read or deleted, the spelling of what is there is compared: a key that differs
//! from another one only by case is refused, and isn't found under the other's name. Folders that were seen are remembered, for
//! a folder's name doesn't change while it is there.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::address::{name, parent};
use crate::documents::Item;
use crate::names::{escaped, of_parts};
use crate::service::Drive;

/// Folders that were seen under just these names.
#[derive(Debug, Default)]
pub struct Seen(Mutex<BTreeSet<String>>);

impl Seen {
    fn has(&self, folder: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(folder)
    }

    pub fn add(&self, folder: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned());
    }

    /// It is no longer there.
    pub fn forget(&self, folder: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(folder);
    }
}

/// What is there where a folder is looked for.
pub enum Folder {
    Absent,
    /// That folder.
    There,
    /// One whose name differs by case.
    Other(String),
}

/// An object in the two forms that it may have. Both are there only while one takes the other's place: the file counts.
#[derive(Debug, Default)]
pub struct Forms {
    pub file: Option<Item>,
    pub parts: Option<Item>,
}

impl Drive {
    /// Whether a folder is there, and it and those around it are spelled so. The prefix of the options may be spelled as one
    /// likes.
    pub async fn folder(&self, folder: &str) -> Result<Folder> {
        let ends = folder.match_indices('/').map(|(at, _)| at).chain([folder.len()]);
        for outer in ends.map(|end| &folder[..end]).filter(|outer| !outer.is_empty()) {
            if self.seen.has(outer) {
                continue;
            }
            match self.requests.item(&self.requests.address.path(outer)).await? {
                None => return Ok(Folder::Absent),
                Some(found) if found.name != escaped(name(outer)) => return Ok(Folder::Other(found.name)),
                Some(found) if found.folder.is_none() => return Ok(Folder::Absent),
                Some(_) => self.seen.add(outer),
            }
        }
        Ok(Folder::There)
    }

    /// The object of a key. One that differs by case is `Err` here: how that counts, the caller knows.
    pub async fn forms(&self, key: &str) -> Result<std::result::Result<Forms, String>> {
        match self.folder(parent(key)).await? {
            Folder::Other(other) => return Ok(Err(other)),
            Folder::Absent => return Ok(Ok(Forms::default())),
            Folder::There => {}
        }
        let path = self.requests.address.path(key);
        let file = self.requests.item(&path).await?;
        let parts = self.requests.item(&of_parts(&path)).await?;
        for (found, wanted) in [(&file, name(&path).to_owned()), (&parts, of_parts(name(&path)))] {
            if let Some(found) = found.as_ref().filter(|found| found.name != wanted) {
                return Ok(Err(found.name.clone()));
            }
        }
        Ok(Ok(Forms {
            file: file.filter(|item| item.file.is_some()),
            parts: parts.filter(|item| item.folder.is_some()),
        }))
    }

    /// What is there of an object that is to be stored.
    pub async fn judged(&self, key: &str, if_absent: bool) -> Result<Forms> {
        let forms = self.forms(key).await?.map_err(|other| clash(key, &other))?;
        if if_absent && (forms.file.is_some() || forms.parts.is_some()) {
            return Err(Error::new(ErrorKind::AlreadyExists, format!("there is an object `{key}` already")));
        }
        Ok(forms)
    }
}

/// Two keys that the service takes for one.
pub fn clash(key: &str, other: &str) -> Error {
    let message = format!("`{key}` differs only by case from `{other}`, which is there already");
    Error::new(ErrorKind::AlreadyExists, message).hint(
        "OneDrive takes them for one name: use another `prefix`, or another name for the host or pipeline.",
    )
}
