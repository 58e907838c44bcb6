//! Hidden files beside the database: the copy that a backup uploads from, the image that a restore prepares.
//!
//! A sibling is 0600, is named `.windlass-<run>-<name>`, and its maker holds a lock (flock) on it for as long as it lives: whoever
//! finds one whose lock is free knows that its maker died, and may remove it. It goes away when it is dropped, unless it
//! was [put in place](Sibling::keep).

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use windlass_plugin_api::{Context, During, Error, ErrorKind, Result};

use crate::place::{COMPANIONS, Place};

const PREFIX: &str = ".windlass-";

/// How often a file is made that another run's sweep removes again.
const ATTEMPTS: u32 = 5;

/// So much of the database's name goes into the sibling's, for file systems that allow 255 bytes.
const NAME_BYTES: usize = 150;

/// A hidden file of ours beside the database.
#[derive(Debug)]
pub struct Sibling {
    /// Where it is.
    pub path: PathBuf,
    /// Open for reading and writing; also holds the lock.
    pub file: File,
    kept: bool,
}

impl Sibling {
    /// Makes an empty one for this run. `role` tells two siblings of one run apart.
    pub fn create(cx: &Context, place: &Place, role: &str) -> Result<Self> {
        let mut name = OsString::from(format!("{PREFIX}{}{role}-", cx.run()));
        name.push(tail(&place.name));
        let path = place.folder.join(name);
        let doing = || format!("can't make a file beside `{}`", place.path.display());
        for _ in 0..ATTEMPTS {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .mode(0o600)
                .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
                .open(&path)
                .during_with(doing)
                .map_err(|error| error.hint("Its folder must be writable, with room for a copy."))?;
            match flock(&file, FlockOperation::LockExclusive) {
                // Where there are no locks, what a dead run left is never taken for dead, and stays.
                Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOLCK | Errno::NOSYS) => {}
                Err(error) => return Err(io::Error::from(error)).during_with(doing),
            }
            // Between its creation and the lock, another run's sweep may have taken it for a dead one's.
            if file.metadata()?.nlink() > 0 {
                return Ok(Self { path, file, kept: false });
            }
        }
        Err(Error::new(ErrorKind::Unavailable, "another run goes on removing it").during(doing()))
    }

    /// Its size in bytes.
    pub fn size_bytes(&self) -> Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// It has been renamed into place, and is no longer ours to remove.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Sibling {
    fn drop(&mut self) {
        if !self.kept {
            remove(&self.path);
        }
    }
}

/// Removes what dead runs left beside this database. Best effort: what can't be removed is logged.
pub fn sweep(place: &Place) {
    let Ok(entries) = fs::read_dir(&place.folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if is_sibling(&name, &place.name) && is_dead(&entry.path()) {
            tracing::info!("removing `{}`, which a dead run left behind", entry.path().display());
            remove(&entry.path());
        }
    }
}

fn tail(name: &OsStr) -> OsString {
    let bytes = name.as_bytes();
    OsString::from_vec(bytes[bytes.len().saturating_sub(NAME_BYTES)..].to_vec())
}

fn is_sibling(name: &OsStr, of: &OsStr) -> bool {
    let Some(rest) = name.as_bytes().strip_prefix(PREFIX.as_bytes()) else { return false };
    let mut end = b"-".to_vec();
    end.extend(tail(of).as_bytes());
    rest.ends_with(&end)
}

/// True if nobody holds the lock. Only regular files are looked at, and no link is followed.
fn is_dead(path: &Path) -> bool {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let Ok(file) = opened else { return false };
    file.metadata().is_ok_and(|found| found.is_file() && found.nlink() == 1)
        && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
}

fn remove(path: &Path) {
    for suffix in COMPANIONS.iter().chain(&[""]) {
        let mut path = path.to_owned().into_os_string();
        path.push(suffix);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!("can't remove `{}`: {error}", Path::new(&path).display());
            }
            _ => {}
        }
    }
}

/// Makes the names in a folder durable.
pub fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).during("can't make the folder durable")
}
