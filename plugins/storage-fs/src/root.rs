//! The root: found anew by its path for each call, and the same folder for as long as an instance lives.
//!
//! Keeping it open instead would write on into a folder that was moved away or lies below a mount. Whatever it is that
//! vanished, a disk or a share, the next call says so.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fd::OwnedFd;
use rustix::fs::{self, CWD, Mode, OFlags};
use rustix::io::Errno;
use windlass_plugin_api::{During, Error, ErrorKind, Result};

use crate::failure::failed;
use crate::folder::{self, FOLDER_MODE};

/// Where objects are kept.
pub struct Root {
    path: PathBuf,
    may_create: bool,
    /// Device and inode, once it was opened.
    seen: Mutex<Option<(u64, u64)>>,
}

impl Root {
    pub fn new(path: &str, may_create: bool) -> Result<Self> {
        let path = std::path::absolute(path).during_with(|| format!("can't tell where `{path}` is"))?;
        Ok(Self { path, may_create, seen: Mutex::default() })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder; `None` where it isn't there yet and may be made.
    pub fn open(&self) -> Result<Option<OwnedFd>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = match fs::openat(CWD, &self.path, flags, Mode::empty()) {
            Ok(folder) => folder,
            Err(Errno::NOENT) if self.may_create && seen.is_none() && self.has_parent() => return Ok(None),
            Err(Errno::NOENT) => return Err(self.missing(seen.is_some())),
            Err(Errno::NOTDIR) => {
                return Err(Error::new(
                    ErrorKind::Config,
                    format!("`{}` isn't a folder", self.path.display()),
                ));
            }
            Err(error) => return Err(failed("open the folder", self.path.display(), error)),
        };
        let stat = fs::fstat(&folder).map_err(|error| failed("look at", self.path.display(), error))?;
        let identity = (stat.st_dev, stat.st_ino);
        if *seen.get_or_insert(identity) != identity {
            let what =
                format!("the folder `{}` was replaced by another while it was in use", self.path.display());
            return Err(stays_away(what).hint("See whether a disk was mounted or unmounted."));
        }
        Ok(Some(folder))
    }

    /// The folder, made if it may be.
    pub fn open_or_create(&self) -> Result<OwnedFd> {
        if let Some(folder) = self.open()? {
            return Ok(folder);
        }
        match fs::mkdirat(CWD, &self.path, FOLDER_MODE) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(failed("make the folder", self.path.display(), error)),
        }
        let folder = self.open()?.ok_or_else(|| self.missing(true))?;
        fs::fchmod(&folder, FOLDER_MODE)
            .map_err(|error| failed("set the rights of", self.path.display(), error))?;
        if let Some(parent) =
            self.path.parent().and_then(|parent| fs::open(parent, OFlags::RDONLY, Mode::empty()).ok())
        {
            folder::sync(&parent).map_err(|error| failed("make durable", self.path.display(), error))?;
        }
        Ok(folder)
    }

    /// The folder, which this instance has seen.
    pub fn reopen(&self) -> Result<OwnedFd> {
        self.open()?.ok_or_else(|| self.missing(false))
    }

    fn has_parent(&self) -> bool {
        self.path.parent().is_some_and(Path::is_dir)
    }

    fn missing(&self, was_there: bool) -> Error {
        let path = self.path.display();
        let what = if was_there { "has vanished" } else { "doesn't exist" };
        stays_away(format!("the folder `{path}` {what}")).hint(format!(
            "If it is on a disk or a share, mount that; if it is new, make it with `mkdir -m 700 '{path}'`."
        ))
    }

    /// Room that is left for this user, in the folder or where it will be.
    pub fn free_bytes(&self) -> Result<Option<u64>> {
        let stat = match self.open()? {
            Some(folder) => fs::fstatvfs(folder),
            None => fs::statvfs(self.path.parent().unwrap_or(&self.path)),
        };
        let stat = stat.map_err(|error| failed("look at", self.path.display(), error))?;
        Ok(Some(stat.f_bavail.saturating_mul(stat.f_frsize)))
    }

    /// Others may replace what is in it.
    pub fn is_open_to_all(&self) -> Result<bool> {
        let Some(folder) = self.open()? else { return Ok(false) };
        let stat = fs::fstat(folder).map_err(|error| failed("look at", self.path.display(), error))?;
        let mode = Mode::from_raw_mode(stat.st_mode);
        Ok(mode.contains(Mode::WOTH) && !mode.contains(Mode::SVTX))
    }
}

/// Out of reach, and not for a moment: somebody has to mount it.
fn stays_away(what: String) -> Error {
    Error::new(ErrorKind::Unavailable, what).detail("retry", false)
}
