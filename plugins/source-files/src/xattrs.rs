//! Extended attributes of an open file or folder. Those of symlinks aren't kept: only the system itself can set any there.

use std::ffi::CString;
use std::io;

use rustix::fd::AsFd;
use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fsetxattr};
use rustix::io::Errno;

use crate::archive::Xattr;

/// The most that Linux lets names of one file, or one value, have.
const MOST: usize = 64 * 1024;

/// Reads attributes with one buffer for all files.
pub struct Attributes {
    names: Box<[u8]>,
    value: Vec<u8>,
}

impl Default for Attributes {
    fn default() -> Self {
        Self { names: vec![0; MOST].into(), value: Vec::new() }
    }
}

impl Attributes {
    /// All attributes of `file`, sorted by name. A file system without attributes has none.
    pub fn read(&mut self, file: impl AsFd) -> io::Result<Vec<Xattr>> {
        let file = file.as_fd();
        let length = match flistxattr(file, &mut self.names[..]) {
            Ok(0) | Err(Errno::NOTSUP) => return Ok(Vec::new()),
            other => other?,
        };
        self.value.resize(MOST, 0);
        let mut found = Vec::new();
        for name in self.names[..length].split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
            let named = CString::new(name)?;
            match fgetxattr(file, &named, &mut self.value[..]) {
                Ok(length) => found.push((name.to_vec(), self.value[..length].to_vec())),
                // Removed since it was listed.
                Err(Errno::NODATA) => {}
                Err(error) => return Err(error.into()),
            }
        }
        found.sort_unstable();
        Ok(found)
    }
}

/// Sets an attribute.
pub fn set(file: impl AsFd, (name, value): &Xattr) -> io::Result<()> {
    Ok(fsetxattr(file, CString::new(&name[..])?, value, XattrFlags::empty())?)
}

/// Whether only root may set attributes of this name.
pub fn needs_root(name: &[u8]) -> bool {
    name.starts_with(b"security.") || name.starts_with(b"trusted.")
}
