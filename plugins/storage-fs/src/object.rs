//! Published objects: read, looked at, deleted.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use rustix::fs::{self, AtFlags, Mode, OFlags};
use rustix::io::Errno;
use windlass_plugin_api::{ByteRange, Error, ErrorKind, Object, Reader, Result};

use crate::failure::{failed, is_a_link};
use crate::folder::{self, Place, shown};
use crate::root::Root;

/// Reads `key`, or a part of it.
pub fn open(root: &Root, key: &str, range: Option<ByteRange>) -> Result<Reader> {
    let absent =
        || Error::new(ErrorKind::NotFound, format!("no object `{key}` in `{}`", root.path().display()));
    let path = shown(root, key);
    let Place { folder, name } = folder::find(root, key)?.ok_or_else(absent)?;
    // Not to wait for the other end, if it is a pipe.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = match fs::openat(&folder, name, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT | Errno::NXIO) => return Err(absent()),
        Err(Errno::LOOP) => return Err(is_a_link(path)),
        Err(error) => return Err(failed("open", path, error)),
    };
    if !file.metadata().map_err(|error| failed("look at", &path, error))?.is_file() {
        return Err(absent());
    }
    let range = range.unwrap_or(ByteRange { offset: 0, length: None });
    if range.offset > 0 {
        // Past the greatest offset there is, there is nothing either.
        let offset = range.offset.min(i64::MAX as u64);
        file.seek(SeekFrom::Start(offset)).map_err(|error| failed("read", &path, error))?;
    }
    Ok(Box::new(ObjectReader { file: file.take(range.length.unwrap_or(u64::MAX)), path }))
}

/// A file whose errors name it.
struct ObjectReader {
    file: io::Take<File>,
    path: String,
}

impl Read for ObjectReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.file.read(buffer) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                Err(failed("read", &self.path, error).into())
            }
            result => result,
        }
    }
}

/// What is known of `key`.
pub fn stat(root: &Root, key: &str) -> Result<Option<Object>> {
    let Some(Place { folder, name }) = folder::find(root, key)? else { return Ok(None) };
    let stat = folder::look(&folder, name, &shown(root, key))?.filter(folder::is_file);
    Ok(stat.map(|stat| described(key.to_owned(), &stat)))
}

/// An object as its file says it is.
pub fn described(key: String, stat: &fs::Stat) -> Object {
    Object { key, size_bytes: stat.st_size as u64, modified: Some(stat.st_mtime), ..Object::default() }
}

/// Deletes `key`, and the folders that are empty then, durably: who deletes a manifest relies on it when it goes on.
pub fn delete(root: &Root, key: &str) -> Result<()> {
    let Some(Place { folder, name }) = folder::find(root, key)? else { return Ok(()) };
    match fs::unlinkat(&folder, name, AtFlags::empty()) {
        Ok(()) => {}
        // A folder isn't an object; that it can't be unlinked is said in two ways.
        Err(Errno::NOENT | Errno::ISDIR | Errno::PERM)
            if folder::look(&folder, name, &shown(root, key))?.is_none_or(|stat| !folder::is_file(&stat)) =>
        {
            return Ok(());
        }
        Err(error) => return Err(failed("delete", shown(root, key), error)),
    }
    let failed = |error| failed("make durable that it is deleted:", shown(root, key), error);
    folder::sync(&folder).map_err(failed)?;
    prune(root, key)
}

/// Removes the folders of `key` that are empty, innermost first.
fn prune(root: &Root, key: &str) -> Result<()> {
    let mut key = key;
    while let Some((above, _)) = key.rsplit_once('/') {
        let Some(Place { folder, name }) = folder::find(root, above)? else { return Ok(()) };
        // Not empty, or somebody else's: that is fine.
        if fs::unlinkat(&folder, name, AtFlags::REMOVEDIR).is_err() {
            return Ok(());
        }
        key = above;
    }
    Ok(())
}
