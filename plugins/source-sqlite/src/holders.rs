//! Who has the database open, as far as /proc tells.
//!
//! Reads only, and fails never: what can't be looked at is counted. A command's name is told, not its arguments, which may
//! hold secrets.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use windlass_plugin_api::Error;

use crate::place::{COMPANIONS, Place};

/// A process that has the database or one of its companions open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// Its command's name.
    pub command: String,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "pid {} (`{}`)", self.pid, self.command)
    }
}

/// Who was found.
#[derive(Clone, Debug, Default)]
pub struct Holders {
    /// Other processes that hold a file.
    pub seen: Vec<Holder>,
    /// Some processes couldn't be looked at.
    pub unseen: bool,
}

impl Holders {
    /// One line each.
    pub fn lines(&self) -> Vec<String> {
        self.seen.iter().map(Holder::to_string).collect()
    }

    /// Adds to `error` who must stop.
    pub fn blame(&self, error: Error) -> Error {
        if self.seen.is_empty() {
            return error;
        }
        let names = self.lines().join(", ");
        let hint = format!("It is held open by {names}.");
        let mut error = error.detail("holders", names);
        error.hint = Some(match error.hint.take() {
            Some(before) => format!("{before} {hint}"),
            None => hint,
        });
        error
    }
}

/// Looks for other processes that hold the database at `place` or a companion of it open, deleted files included.
pub fn of(place: &Place) -> Holders {
    let mut files = vec![place.path.clone()];
    files.extend(COMPANIONS.iter().map(|suffix| place.beside(suffix)));
    let mut found = Holders::default();
    let Ok(processes) = fs::read_dir("/proc") else {
        found.unseen = true;
        return found;
    };
    let own = std::process::id();
    for process in processes.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if pid == own {
            continue;
        }
        match fs::read_dir(process.path().join("fd")) {
            Ok(descriptors) => {
                if descriptors.flatten().any(|descriptor| is_one_of(&descriptor.path(), &files)) {
                    found.seen.push(Holder { pid, command: command(&process.path()) });
                }
            }
            Err(error) => found.unseen |= error.kind() == std::io::ErrorKind::PermissionDenied,
        }
    }
    found
}

/// By path, and by inode for a process that sees the file under another path (a container). The inode is asked for only
/// where the name fits, so that nothing is touched that might hang.
fn is_one_of(descriptor: &Path, files: &[PathBuf]) -> bool {
    let Ok(target) = fs::read_link(descriptor) else { return false };
    let bytes = target.as_os_str().as_bytes();
    let plain = bytes.strip_suffix(b" (deleted)").unwrap_or(bytes);
    files.iter().any(|file| {
        let name = file.file_name().unwrap_or_default().as_bytes();
        file.as_os_str().as_bytes() == plain
            || (plain.rsplit(|&byte| byte == b'/').next() == Some(name) && same_inode(descriptor, file))
    })
}

fn same_inode(descriptor: &Path, file: &Path) -> bool {
    match (fs::metadata(descriptor), fs::metadata(file)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

fn command(process: &Path) -> String {
    fs::read_to_string(process.join("comm")).map_or_else(|_| "?".to_owned(), |name| name.trim().to_owned())
}
