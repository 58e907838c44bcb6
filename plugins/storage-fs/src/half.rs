//! Half uploads: from the first byte to the rename that publishes them, or to nothing.
//!
//! Each is a file of its own in [`AREA`], on the same file system as the objects, which makes the rename atomic. A file
//! without a name (`O_TMPFILE`) would vanish with its maker, but not on network file systems, where most of these folders are.

use std::fs::File;
use std::io::{self, Write};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::SystemTime;

use rustix::fd::OwnedFd;
use rustix::fs::{self, Advice, AtFlags, Dir, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use windlass_folder::key::{AREA, half_name, is_below, read_half_name};
use windlass_plugin_api::{CreateOptions, Error, ErrorKind, Leftover, Result, Stored, Upload};

use crate::failure::failed;
use crate::folder::{self, FILE_MODE, FOLDER_MODE, Made, shown};
use crate::root::Root;

/// After so many bytes the kernel is told to begin writing them to the disk. Otherwise it begins much later, and `finish` has to
/// wait for almost all of it: 0.5 s rather than 0.3 s for a file of 450 MiB.
const WRITEBACK_BYTES: u64 = 8 * 1024 * 1024;

/// How often a folder may be made that somebody else removes at once, before that is an error.
const ATTEMPTS: u32 = 100;

/// An upload under way. Dropping it removes what there is of it.
pub struct Half {
    root: Arc<Root>,
    key: String,
    if_absent: bool,
    top: OwnedFd,
    area: OwnedFd,
    /// In `area`; `None` once it has gone to its place.
    name: Option<String>,
    file: File,
    size_bytes: u64,
    /// As far as the kernel has been told to begin writing to the disk.
    begun_bytes: u64,
    is_finished: bool,
}

impl Half {
    pub fn begin(root: Arc<Root>, key: &str, how: &CreateOptions) -> Result<Self> {
        let top = root.open_or_create()?;
        for _ in 0..ATTEMPTS {
            let Some(area) = make_area(&root, &top)? else { continue };
            let name = half_name(&how.run, key);
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = match fs::openat(&area, &name, flags, FILE_MODE) {
                Ok(file) => File::from(file),
                // The one who was last in the area took it away; or chance.
                Err(Errno::NOENT | Errno::EXIST) => continue,
                Err(error) => {
                    remove_area(&top);
                    return Err(failed("create", shown(&root, key), error));
                }
            };
            let (key, if_absent) = (key.to_owned(), how.if_absent);
            let half = Self {
                root,
                key,
                if_absent,
                top,
                area,
                name: Some(name),
                file,
                size_bytes: 0,
                begun_bytes: 0,
                is_finished: false,
            };
            // Whatever the umask is.
            fs::fchmod(&half.file, FILE_MODE).map_err(|error| half.failed("set the rights of", error))?;
            return Ok(half);
        }
        Err(Error::failed(format!("`{}` is removed again and again", shown(&root, AREA))))
    }

    fn failed(&self, deed: &str, cause: impl Into<io::Error>) -> Error {
        failed(deed, shown(&self.root, &self.key), cause)
    }

    fn begin_writeback(&mut self) {
        let length = self.size_bytes - self.begun_bytes;
        if length >= WRITEBACK_BYTES {
            // For pages that aren't on the disk yet, this advice means no more than that; a refusal costs speed only.
            let _ = fs::fadvise(&self.file, self.begun_bytes, NonZeroU64::new(length), Advice::DontNeed);
            self.begun_bytes = self.size_bytes;
        }
    }

    /// Moves the file to its place. False if that place was removed meanwhile: try again.
    fn place(&mut self) -> Result<bool> {
        let Some(made) = folder::make(&self.root, self.root.reopen()?, &self.key)? else { return Ok(false) };
        match self.rename(&made) {
            Ok(()) => {}
            Err(error) => {
                made.unmake();
                return match error {
                    Errno::NOENT if self.is_there() => Ok(false),
                    error => Err(self.not_placed(error)),
                };
            }
        }
        self.name = None;
        if let Err(error) = made.sync() {
            if self.if_absent {
                // Nothing was there before: then nothing shall be there now.
                let _ = fs::unlinkat(&made.place.folder, made.place.name, AtFlags::empty());
                made.unmake();
            }
            return Err(self.failed("make durable", error));
        }
        Ok(true)
    }

    fn rename(&self, made: &Made<'_>) -> rustix::io::Result<()> {
        let (folder, target) = (&made.place.folder, made.place.name);
        let name = self.name.as_deref().ok_or(Errno::NOENT)?;
        if !self.if_absent {
            return fs::renameat(&self.area, name, folder, target);
        }
        match fs::renameat_with(&self.area, name, folder, target, RenameFlags::NOREPLACE) {
            // Some network file systems can't; a second name replaces nothing either.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                fs::linkat(&self.area, name, folder, target, AtFlags::empty())?;
                fs::unlinkat(&self.area, name, AtFlags::empty())
            }
            result => result,
        }
    }

    /// The file that is to be moved is still there: it was the place that wasn't.
    fn is_there(&self) -> bool {
        let name = self.name.as_deref().unwrap_or_default();
        fs::statat(&self.area, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    fn not_placed(&self, error: Errno) -> Error {
        let path = shown(&self.root, &self.key);
        match error {
            Errno::EXIST if self.if_absent => {
                Error::new(ErrorKind::AlreadyExists, format!("the object `{path}` is already there"))
            }
            Errno::ISDIR | Errno::EXIST | Errno::NOTEMPTY => {
                Error::new(ErrorKind::AlreadyExists, format!("`{path}` is a folder of other objects"))
            }
            Errno::NOENT => {
                Error::failed(format!("the half upload of `{path}` was removed by somebody else"))
            }
            error => self.failed("publish", error),
        }
    }
}

impl Write for Half {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_finished {
            return Err(Error::failed("the upload is already finished").into());
        }
        match self.file.write(bytes) {
            Ok(count) => {
                self.size_bytes += count as u64;
                self.begin_writeback();
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => Err(self.failed("write", error).into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Upload for Half {
    fn finish(&mut self) -> Result<()> {
        self.file.sync_all().map_err(|error| self.failed("make durable", error))?;
        self.is_finished = true;
        Ok(())
    }

    fn publish(mut self: Box<Self>) -> Result<Stored> {
        if !self.is_finished {
            return Err(Error::failed("the upload isn't finished"));
        }
        for _ in 0..ATTEMPTS {
            if self.place()? {
                return Ok(Stored { size_bytes: self.size_bytes, ..Stored::default() });
            }
        }
        Err(Error::failed(format!(
            "the folder of `{}` is removed again and again",
            shown(&self.root, &self.key)
        )))
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        if let Some(name) = self.name.take() {
            // What can't be removed now is told as a leftover later.
            let _ = fs::unlinkat(&self.area, &name, AtFlags::empty());
        }
        remove_area(&self.top);
    }
}

/// The area, made if it's missing. `None` if it vanished at once.
fn make_area(root: &Root, top: &OwnedFd) -> Result<Option<OwnedFd>> {
    let path = shown(root, AREA);
    match fs::mkdirat(top, AREA, FOLDER_MODE) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(failed("make the folder", path, error)),
    }
    let area = folder::enter(top, AREA, &path)?;
    if let Some(area) = &area {
        // Where it is somebody else's, its rights are theirs to set.
        let _ = fs::fchmod(area, FOLDER_MODE);
    }
    Ok(area)
}

/// Removes the area if nobody uses it.
fn remove_area(top: &OwnedFd) {
    let _ = fs::unlinkat(top, AREA, AtFlags::REMOVEDIR);
}

/// Half uploads whose key begins with `prefix`.
pub fn leftovers(root: &Root, prefix: &str) -> Result<Vec<Leftover>> {
    let Some(top) = root.open()? else { return Ok(Vec::new()) };
    let path = shown(root, AREA);
    let Some(area) = folder::enter(&top, AREA, &path)? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in Dir::read_from(&area).map_err(|error| failed("list", &path, error))? {
        let entry = entry.map_err(|error| failed("list", &path, error))?;
        let Ok(handle) = entry.file_name().to_str() else { continue };
        let Some((run, key)) = read_half_name(handle).filter(|(_, key)| is_below(key, prefix, handle)) else {
            continue;
        };
        // One that is published or dropped at this moment isn't a leftover.
        let Ok(file) =
            fs::openat(&area, handle, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
        else {
            continue;
        };
        let metadata = File::from(file).metadata().map_err(|error| failed("look at", &path, error))?;
        let started = metadata.created().or_else(|_| metadata.modified()).ok().and_then(seconds);
        let (size_bytes, handle) = (Some(metadata.len()), handle.to_owned());
        found.push(Leftover { key, handle, run, size_bytes, started, ..Leftover::default() });
    }
    found.sort_by(|one, other| (&one.key, &one.handle).cmp(&(&other.key, &other.handle)));
    Ok(found)
}

fn seconds(time: SystemTime) -> Option<i64> {
    time.duration_since(SystemTime::UNIX_EPOCH).ok().and_then(|since| i64::try_from(since.as_secs()).ok())
}

/// Removes half uploads. What isn't there is removed.
pub fn discard(root: &Root, leftovers: &[Leftover]) -> Result<()> {
    let Some(top) = root.open()? else { return Ok(()) };
    let Some(area) = folder::enter(&top, AREA, &shown(root, AREA))? else { return Ok(()) };
    for leftover in leftovers {
        let handle = &leftover.handle;
        if read_half_name(handle).is_none() {
            return Err(Error::new(ErrorKind::Config, format!("`{handle}` isn't a half upload")));
        }
        match fs::unlinkat(&area, handle, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(failed("remove", shown(root, AREA) + "/" + handle, error)),
        }
    }
    remove_area(&top);
    Ok(())
}
