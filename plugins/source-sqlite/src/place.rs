//! Where a database lies: its real path and the files that SQLite keeps beside it.
//!
//! Nothing here opens a file. A descriptor on a database that is closed again drops every POSIX lock that this process
//! holds on it, SQLite's too, so the main file and its companions are only ever looked at by name (see `claim`).

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use windlass_plugin_api::{During, Error, ErrorKind, Result};

/// What SQLite may keep beside a database.
pub const COMPANIONS: [&str; 3] = ["-wal", "-journal", "-shm"];

/// A database's place, with symbolic links resolved: SQLite names its companions by the real path.
#[derive(Clone, Debug)]
pub struct Place {
    /// The absolute path.
    pub path: PathBuf,
    /// The folder it lies in.
    pub folder: PathBuf,
    /// The name in the folder.
    pub name: OsString,
}

impl Place {
    /// The place of a database that must be there.
    pub fn existing(path: &Path) -> Result<Self> {
        let real = fs::canonicalize(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                Error::new(ErrorKind::NotFound, format!("no database at `{}`", path.display()))
                    .hint("Check `path`; a backup never makes an empty database.")
            }
            _ => Error::from(error).during(format!("can't reach `{}`", path.display())),
        })?;
        let place = Self::of(real)?;
        place.stat()?;
        Ok(place)
    }

    /// The place of a database that may be missing; its folder must be there.
    pub fn wanted(path: &Path) -> Result<Self> {
        if fs::canonicalize(path).is_ok() {
            return Self::existing(path);
        }
        if fs::symlink_metadata(path).is_ok() {
            let error = Error::new(ErrorKind::Config, format!("`{}` is a link to nothing", path.display()));
            return Err(error.hint("Remove the link, or make the folder that it points into."));
        }
        let name = path.file_name().ok_or_else(|| {
            Error::new(ErrorKind::Config, format!("`{}` doesn't name a file", path.display()))
        })?;
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let folder = fs::canonicalize(folder).during_with(|| format!("no folder `{}`", folder.display()))?;
        Self::of(folder.join(name))
    }

    fn of(path: PathBuf) -> Result<Self> {
        match (path.parent(), path.file_name()) {
            (Some(folder), Some(name)) => {
                Ok(Self { folder: folder.to_owned(), name: name.to_owned(), path: path.clone() })
            }
            _ => Err(Error::new(ErrorKind::Config, format!("`{}` isn't a file", path.display()))),
        }
    }

    /// What the file system says of the file; `None` if it is missing, an error if it isn't a regular file.
    pub fn stat(&self) -> Result<Option<Metadata>> {
        match fs::metadata(&self.path) {
            Ok(found) if found.is_file() => Ok(Some(found)),
            Ok(_) => {
                let text = format!("`{}` isn't a regular file", self.path.display());
                Err(Error::new(ErrorKind::Config, text))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::from(error).during(format!("can't reach `{}`", self.path.display()))),
        }
    }

    /// The path with something appended to its name: `-wal`, `.before-…`.
    pub fn beside(&self, suffix: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(suffix);
        path.into()
    }

    /// The size of a companion in bytes; 0 if it isn't there.
    pub fn companion_bytes(&self, suffix: &str) -> u64 {
        fs::symlink_metadata(self.beside(suffix)).map_or(0, |found| found.len())
    }

    /// The companions that are there.
    pub fn companions(&self) -> Vec<&'static str> {
        COMPANIONS.into_iter().filter(|suffix| fs::symlink_metadata(self.beside(suffix)).is_ok()).collect()
    }

    /// Whether we may make files beside it.
    pub fn takes_siblings(&self) -> bool {
        rustix::fs::access(&self.folder, rustix::fs::Access::WRITE_OK).is_ok()
    }

    /// Free bytes for us on the file system, if that can be told.
    pub fn free_bytes(&self) -> Option<u64> {
        let found = rustix::fs::statvfs(&self.folder).ok()?;
        Some(found.f_bavail.saturating_mul(found.f_frsize))
    }
}

/// What shows that a file was written: its inode, size and time of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    inode: (u64, u64),
    size_bytes: u64,
    modified: (i64, i64),
}

impl Stamp {
    /// The stamp now; an error if the file is gone.
    pub fn of(place: &Place) -> Result<Self> {
        let found = place
            .stat()?
            .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("`{}` vanished", place.path.display())))?;
        Ok(Self {
            inode: (found.dev(), found.ino()),
            size_bytes: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
        })
    }

    /// Seconds since 1970 of the last change.
    pub fn modified(&self) -> i64 {
        self.modified.0
    }
}

/// `path` as a URI for SQLite with `query` behind it. Every byte that isn't plain is escaped: `?`, `%` and `#` too.
pub fn uri(path: &Path, query: &str) -> PathBuf {
    let mut uri = b"file:".to_vec();
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
            uri.push(byte);
        } else {
            uri.extend(format!("%{byte:02X}").bytes());
        }
    }
    uri.push(b'?');
    uri.extend(query.bytes());
    OsString::from_vec(uri).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_escapes_what_sqlite_would_read_as_syntax() {
        let uri = uri(Path::new("/a b/q?%#'.db"), "immutable=1");
        assert_eq!(uri, Path::new("file:/a%20b/q%3F%25%23%27.db?immutable=1"));
    }
}
