//! Listings: a walk in byte order of the keys, which isn't the order of folders.
//!
//! Within a folder, names are sorted as they stand in keys, folders with their `/`: then `a-b` comes before `a/c`, and what is
//! below a folder is one run. A page reads only the folders it needs. Of a folder it holds at most [`CHUNK`] names, about
//! 60 bytes each, and reads a larger one several times.

use std::collections::BinaryHeap;

use rustix::fd::OwnedFd;
use rustix::fs::{Dir, FileType};
use windlass_folder::key::{self, AREA};
use windlass_folder::page::Paging;
use windlass_plugin_api::{Context, ListOptions, Object, Page, Result};

use crate::failure::failed;
use crate::folder::{self, shown};
use crate::object::described;
use crate::root::Root;

/// Names held of one folder.
const CHUNK: usize = 4096;

/// One page of what `what` names.
pub fn page(root: &Root, cx: &Context, what: &ListOptions) -> Result<Page> {
    let mut walk = Walk { root, cx, page: Paging::new(what)? };
    // Straight to the folder of the prefix: what is beside it isn't read.
    let base = walk.page.base();
    let folder = match base.strip_suffix('/') {
        None => root.open()?,
        Some(path) if key::judge(path).is_ok() => match folder::find(root, path)? {
            Some(place) => folder::enter(&place.folder, place.name, &shown(root, path))?,
            None => None,
        },
        // No key begins like that.
        Some(_) => None,
    };
    if let Some(folder) = folder {
        walk.folder(&folder, base)?;
    }
    Ok(walk.page.end())
}

struct Walk<'a> {
    root: &'a Root,
    cx: &'a Context,
    page: Paging<'a>,
}

impl Walk<'_> {
    /// Lists what is in `folder`, whose keys begin with `base`. False once the page is full.
    fn folder(&mut self, folder: &OwnedFd, base: &str) -> Result<bool> {
        let mut after = None;
        loop {
            let (names, is_all) = self.names(folder, base, after.as_deref())?;
            for name in &names {
                self.cx.go_on()?;
                if !self.entry(folder, name, format!("{base}{name}"))? {
                    return Ok(false);
                }
            }
            after = match names.into_iter().next_back() {
                Some(last) if !is_all => Some(last),
                _ => return Ok(true),
            };
        }
    }

    /// Lists one name and what is below it. False once the page is full.
    fn entry(&mut self, parent: &OwnedFd, name: &str, key: String) -> Result<bool> {
        let path = shown(self.root, &key);
        let Some(name) = name.strip_suffix('/') else {
            // It may have gone since its name was read.
            let stat = folder::look(parent, name, &path)?.filter(folder::is_file);
            return Ok(stat.is_none_or(|stat| self.page.put(described(key, &stat))));
        };
        let Some(folder) = folder::enter(parent, name, &path)? else { return Ok(true) };
        if !self.page.folds(&key) {
            return self.folder(&folder, &key);
        }
        // A folder without an object in it is no prefix of any key.
        if holds_object(self.root, &folder, &key)? {
            Ok(self.page.put(Object { key, ..Object::default() }))
        } else {
            Ok(true)
        }
    }

    /// The first names in `folder` behind `after`, sorted, folders with a `/`; and whether these are all.
    fn names(&self, folder: &OwnedFd, base: &str, after: Option<&str>) -> Result<(Vec<String>, bool)> {
        let mut names = BinaryHeap::new();
        let mut is_all = true;
        each_name(self.root, folder, base, |name| {
            if after.is_none_or(|after| name.as_str() > after) && self.page.concerns(&format!("{base}{name}"))
            {
                names.push(name);
            }
            if names.len() > CHUNK {
                names.pop();
                is_all = false;
            }
            true
        })?;
        Ok((names.into_sorted_vec(), is_all))
    }
}

/// Whether any object is in `folder` or below: goes no further than to the first.
fn holds_object(root: &Root, folder: &OwnedFd, base: &str) -> Result<bool> {
    let (mut found, mut folders) = (false, Vec::new());
    each_name(root, folder, base, |name| {
        match name.strip_suffix('/') {
            Some(folder) => folders.push(folder.to_owned()),
            None => found = true,
        }
        !found
    })?;
    for name in folders {
        if found {
            break;
        }
        let key = format!("{base}{name}/");
        if let Some(child) = folder::enter(folder, &name, &shown(root, &key))? {
            found = holds_object(root, &child, &key)?;
        }
    }
    Ok(found)
}

/// Calls `take` with each name that is an object or, with a `/`, a folder, until it says false. Links, pipes and the like
/// are nothing; neither are names that aren't UTF-8, for no key is.
fn each_name(root: &Root, folder: &OwnedFd, base: &str, mut take: impl FnMut(String) -> bool) -> Result<()> {
    let list_failed = |error| failed("list", shown(root, base), error);
    for entry in Dir::read_from(folder).map_err(list_failed)? {
        let entry = entry.map_err(list_failed)?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        // Our own, and the one that a disk's own root has.
        if matches!(name, "." | "..") || (base.is_empty() && matches!(name, AREA | "lost+found")) {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => kind_of(folder, name),
            kind => kind,
        };
        let goes_on = match kind {
            FileType::RegularFile => take(name.to_owned()),
            FileType::Directory => take(format!("{name}/")),
            _ => true,
        };
        if !goes_on {
            break;
        }
    }
    Ok(())
}

/// Where the file system doesn't say it with the name.
fn kind_of(folder: &OwnedFd, name: &str) -> FileType {
    let stat = rustix::fs::statat(folder, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW);
    stat.map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode))
}
