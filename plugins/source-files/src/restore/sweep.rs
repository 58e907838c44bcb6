//! What is in a target already: counted before a restore, and removed where it must go.
//!
//! Symlinks are removed as links and never followed.

use std::ffi::CStr;
use std::io;

use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{AtFlags, FileType, Mode, openat, statat, unlinkat};
use rustix::io::Errno;
use windlass_plugin_api::{Context, Result};

use super::only::{Only, Selected};
use super::place::TEMPORARY_END;
use super::seen::Seen;
use crate::walk::{FOLDER, Listing, TEMPORARY};

/// Whether `name` is that of a temporary file of a restore.
pub fn is_leftover(name: &[u8]) -> bool {
    name.starts_with(TEMPORARY) && name.ends_with(TEMPORARY_END)
}

/// What is in a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measure {
    /// Everything that isn't a folder.
    pub files: u64,
    /// Folders, without the outermost.
    pub folders: u64,
    /// The sizes of the files.
    pub bytes: u64,
    /// When the newest of it changed, seconds since 1970.
    pub newest: Option<i64>,
}

/// Adds what is in `folder`, leftovers aside, to `measure`. What can't be looked at isn't counted.
pub fn measure(cx: &Context, folder: impl AsFd, measure: &mut Measure) -> Result<()> {
    cx.go_on()?;
    let folder = folder.as_fd();
    for (name, file_type) in Listing::read(folder)?.iter().filter(|(name, _)| !is_leftover(name.to_bytes())) {
        if let Ok(stat) = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            measure.newest = measure.newest.max(Some(stat.st_mtime));
            if file_type != FileType::Directory {
                measure.bytes += stat.st_size as u64;
            }
        }
        if file_type == FileType::Directory {
            measure.folders += 1;
            if let Ok(below) = openat(folder, name, FOLDER, Mode::empty()) {
                self::measure(cx, below, measure)?;
            }
        } else {
            measure.files += 1;
        }
    }
    Ok(())
}

/// Removes the temporary files that a restore which was killed has left in `folder` and below.
pub fn leftovers(cx: &Context, folder: impl AsFd) -> Result<()> {
    cx.go_on()?;
    let folder = folder.as_fd();
    for (name, file_type) in Listing::read(folder)?.iter() {
        if file_type == FileType::Directory {
            if let Ok(below) = openat(folder, name, FOLDER, Mode::empty()) {
                leftovers(cx, below)?;
            }
        } else if is_leftover(name.to_bytes()) {
            unlinkat(folder, name, AtFlags::empty()).map_err(io::Error::from)?;
        }
    }
    Ok(())
}

/// Removes `name` from `folder`, with everything in it. Returns how many files and folders that were.
pub fn remove(cx: &Context, folder: impl AsFd, name: &CStr) -> Result<u64> {
    cx.go_on()?;
    let folder = folder.as_fd();
    match unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) => return Ok(1),
        Err(Errno::NOENT) => return Ok(0),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(io::Error::from(error).into()),
    }
    let below = openat(folder, name, FOLDER, Mode::empty()).map_err(io::Error::from)?;
    let mut count = 1;
    for (name, _) in Listing::read(&below)?.iter() {
        count += remove(cx, &below, name)?;
    }
    unlinkat(folder, name, AtFlags::REMOVEDIR).map_err(io::Error::from)?;
    Ok(count)
}

/// How many files and folders `name` in `folder` is, with everything in it.
fn count(cx: &Context, folder: impl AsFd, name: &CStr, file_type: FileType) -> Result<u64> {
    cx.go_on()?;
    if file_type != FileType::Directory {
        return Ok(1);
    }
    let Ok(below) = openat(folder.as_fd(), name, FOLDER, Mode::empty()) else { return Ok(1) };
    let mut sum = 1;
    for (name, file_type) in Listing::read(&below)?.iter() {
        sum += count(cx, &below, name, file_type)?;
    }
    Ok(sum)
}

/// What of a target goes in mode `replace`.
pub struct Extras<'a> {
    /// Asked for cancelling.
    pub cx: &'a Context,
    /// What stays.
    pub seen: &'a Seen,
    /// What was asked for; what lies elsewhere stays.
    pub only: Option<&'a Only>,
    /// Only count.
    pub spare: bool,
    /// How many files and folders went, or would.
    pub removed: u64,
}

impl Extras<'_> {
    /// Removes from `folder`, whose member path is `path`, what the archive doesn't have.
    pub fn remove(&mut self, folder: BorrowedFd<'_>, path: &[u8]) -> Result<()> {
        self.cx.go_on()?;
        for (name, file_type) in Listing::read(folder)?.iter() {
            let path = if path.is_empty() {
                name.to_bytes().to_vec()
            } else {
                [path, b"/", name.to_bytes()].concat()
            };
            let selected = self.only.map_or(Selected::Yes, |only| only.selects(&path));
            let known = self.seen.get(&path).is_some();
            // Another program's temporary file may be in use.
            let temporary = name.to_bytes().starts_with(TEMPORARY);
            match selected {
                Selected::No => {}
                Selected::Yes if !known && !temporary && self.spare => {
                    self.removed += count(self.cx, folder, name, file_type)?;
                }
                Selected::Yes if !known && !temporary => self.removed += remove(self.cx, folder, name)?,
                Selected::Yes | Selected::Above if file_type == FileType::Directory => {
                    if let Ok(below) = openat(folder, name, FOLDER, Mode::empty()) {
                        self.remove(below.as_fd(), &path)?;
                    }
                }
                Selected::Yes | Selected::Above => {}
            }
        }
        Ok(())
    }
}
