//! The way from the root to a key's folder, one name at a time and never through a symbolic link.
//!
//! `openat2` with `RESOLVE_BENEATH` would take fewer calls, and is missing on older kernels and in many containers: two ways
//! of which one is hardly ever run are worse than one that costs a microsecond a name.

use rustix::fd::OwnedFd;
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::failure::{failed, is_a_link};
use crate::root::Root;

/// Of all folders that are made.
pub const FOLDER_MODE: Mode = Mode::RWXU;
/// Of all files.
pub const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// The folder `name` in `parent`; `None` if there is none. `shown` is its path, for errors.
pub fn enter(parent: &OwnedFd, name: &str, shown: &str) -> Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match fs::openat(parent, name, flags, Mode::empty()) {
        Ok(folder) => Ok(Some(folder)),
        Err(Errno::NOENT) => Ok(None),
        // Of a link the kernel says the one or the other.
        Err(Errno::NOTDIR | Errno::LOOP) => look(parent, name, shown).map(|_| None),
        Err(error) => Err(failed("open the folder", shown, error)),
    }
}

/// What `name` in `parent` is; `None` if it isn't there. A symbolic link is an error.
pub fn look(parent: &OwnedFd, name: &str, shown: &str) -> Result<Option<Stat>> {
    match fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => Err(is_a_link(shown)),
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(failed("look at", shown, error)),
    }
}

pub fn is_file(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

/// A key's folder, and the key's last name.
pub struct Place<'a> {
    pub folder: OwnedFd,
    pub name: &'a str,
}

/// Where `key` would be; `None` if its folder isn't there.
pub fn find<'a>(root: &Root, key: &'a str) -> Result<Option<Place<'a>>> {
    let Some(mut folder) = root.open()? else { return Ok(None) };
    let mut rest = key;
    while let Some((name, behind)) = rest.split_once('/') {
        match enter(&folder, name, &shown(root, &key[..key.len() - behind.len() - 1]))? {
            Some(child) => folder = child,
            None => return Ok(None),
        }
        rest = behind;
    }
    Ok(Some(Place { folder, name: rest }))
}

/// A key's folder, made as far as it was missing.
pub struct Made<'a> {
    pub place: Place<'a>,
    /// Each folder that is new: where it is, and its name. Outermost first.
    new: Vec<(OwnedFd, &'a str)>,
}

/// Makes the folder of `key` below `top`. `None` if another process removed a part of it meanwhile: try again.
pub fn make<'a>(root: &Root, top: OwnedFd, key: &'a str) -> Result<Option<Made<'a>>> {
    let mut made = Made { place: Place { folder: top, name: key }, new: Vec::new() };
    while let Some((name, behind)) = made.place.name.split_once('/') {
        let path = shown(root, &key[..key.len() - behind.len() - 1]);
        match step(&mut made, name, &path) {
            Ok(true) => made.place.name = behind,
            Ok(false) => {
                made.unmake();
                return Ok(None);
            }
            Err(error) => {
                made.unmake();
                return Err(error);
            }
        }
    }
    Ok(Some(made))
}

/// Goes into the folder `name`, making it if it's missing. False if it vanished at once.
fn step<'a>(made: &mut Made<'a>, name: &'a str, path: &str) -> Result<bool> {
    let parent = &made.place.folder;
    if let Some(child) = enter(parent, name, path)? {
        made.place.folder = child;
        return Ok(true);
    }
    let is_new = match fs::mkdirat(parent, name, FOLDER_MODE) {
        Ok(()) => true,
        Err(Errno::EXIST) => false,
        // Somebody deleted what was last in the folder that this is to be made in, and that folder.
        Err(Errno::NOENT) => return Ok(false),
        Err(error) => return Err(failed("make the folder", path, error)),
    };
    let Some(child) = enter(parent, name, path)? else {
        return match look(parent, name, path)? {
            Some(_) => Err(Error::new(
                ErrorKind::AlreadyExists,
                format!("`{path}` is a file, where a folder is needed"),
            )),
            None => Ok(false),
        };
    };
    let parent = std::mem::replace(&mut made.place.folder, child);
    if is_new {
        made.new.push((parent, name));
        // The umask may have taken even the owner's rights.
        fs::fchmod(&made.place.folder, FOLDER_MODE)
            .map_err(|error| failed("set the rights of", path, error))?;
    }
    Ok(true)
}

impl Made<'_> {
    /// Makes the last name and all new folders durable.
    pub fn sync(&self) -> rustix::io::Result<()> {
        sync(&self.place.folder)?;
        self.new.iter().rev().try_for_each(|(parent, _)| sync(parent))
    }

    /// Removes the new folders again, as far as nobody else uses them.
    pub fn unmake(self) {
        for (parent, name) in self.new.iter().rev() {
            if fs::unlinkat(parent, *name, AtFlags::REMOVEDIR).is_err() {
                return;
            }
        }
    }
}

/// Makes the names in `folder` durable. File systems that can't sync a folder need not.
pub fn sync(folder: &OwnedFd) -> rustix::io::Result<()> {
    match fs::fsync(folder) {
        Err(Errno::INVAL | Errno::NOTSUP) => Ok(()),
        result => result,
    }
}

/// A key's path, for errors.
pub fn shown(root: &Root, key: &str) -> String {
    root.path().join(key).display().to_string()
}
