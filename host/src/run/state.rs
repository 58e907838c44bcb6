//! The local state folder: locks, records of runs under way, the last sequence numbers, manifests that were read.
//!
//! It holds nothing that can't be lost: a lock is an OS lock that dies with its process, a record only lets the next run
//! clean up sooner, and sequence numbers are also in the manifests.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use sha2::{Digest, Sha256};
use windlass_plugin_api::{During, Result};

use crate::catalog::SnapshotId;

/// How far a pipeline has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Last {
    /// The number of its last snapshot.
    pub sequence: u64,
    /// The latest id that is known, which is that of the last one unless a clock has gone back.
    pub id: SnapshotId,
}

/// The folder.
#[derive(Clone, Debug)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// `--state-dir`; else `$XDG_STATE_HOME/windlass`, `~/.local/state/windlass`; else a folder under `/run` or the
    /// temporary folder. The first of the latter that can be made and written: a user need not have a home, and a root
    /// file system may be read-only.
    pub fn open(given: Option<&Path>) -> Result<Self> {
        if let Some(given) = given {
            make(given).during_with(|| format!("can't use the state folder `{}`", given.display()))?;
            return Ok(Self(given.to_owned()));
        }
        let folders = Self::usual();
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for folder in &folders {
            match make(folder) {
                Ok(()) => return Ok(Self(folder.clone())),
                Err(error) => last = error,
            }
        }
        let tried: Vec<String> = folders.iter().map(|folder| format!("`{}`", folder.display())).collect();
        Err(last)
            .during(format!("no state folder can be written (tried {})", tried.join(", ")))
            .map_err(|error| error.hint("Name one with `--state-dir`."))
    }

    fn usual() -> Vec<PathBuf> {
        let absolute =
            |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let uid = rustix::process::getuid().as_raw();
        let mut folders = Vec::new();
        folders.extend(absolute("XDG_STATE_HOME").map(|path| path.join("windlass")));
        folders.extend(absolute("HOME").map(|path| path.join(".local/state/windlass")));
        folders.extend(absolute("XDG_RUNTIME_DIR").map(|path| path.join("windlass")));
        if uid == 0 {
            folders.push("/run/windlass".into());
        }
        folders.push(std::env::temp_dir().join(format!("windlass-{uid}")));
        folders
    }

    /// The file of the lock `name`.
    pub fn lock_file(&self, name: &str) -> PathBuf {
        self.0.join("locks").join(format!("{}.lock", short_hash(name)))
    }

    /// The folder of the records of runs.
    pub fn runs(&self) -> PathBuf {
        self.0.join("runs")
    }

    /// The file of the manifests that were read of `name`.
    pub fn manifests(&self, name: &str) -> PathBuf {
        self.0.join("manifests").join(short_hash(name))
    }

    /// How far `name` has come, if it is known here.
    pub fn last(&self, name: &str) -> Option<Last> {
        let text = fs::read_to_string(self.sequence_file(name)).ok()?;
        let (sequence, id) = text.trim().split_once(' ')?;
        Some(Last { sequence: sequence.parse().ok()?, id: id.parse().ok()? })
    }

    /// Remembers `last` for `name`.
    pub fn remember_last(&self, name: &str, last: &Last) -> io::Result<()> {
        replace(&self.sequence_file(name), format!("{} {}", last.sequence, last.id).as_bytes())
    }

    fn sequence_file(&self, name: &str) -> PathBuf {
        self.0.join("sequence").join(short_hash(name))
    }
}

/// Makes the folder with what is below it, 0700, and proves that it is ours and writable.
fn make(folder: &Path) -> io::Result<()> {
    for sub in ["locks", "manifests", "runs", "sequence"] {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder.join(sub))?;
    }
    // In the temporary folder anybody may have made a folder of this name before.
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::symlink_metadata(folder)?);
    if owner != rustix::process::geteuid().as_raw() && folder.starts_with(std::env::temp_dir()) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it belongs to another user"));
    }
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK)?;
    Ok(())
}

/// Opens (making it, 0600) a file that is to be locked.
pub fn open_lock_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Takes the OS lock on `file`; false if another process holds it.
pub fn try_lock(file: &File) -> io::Result<bool> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Puts a file in place of an older one, whole.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?
        .write_all(bytes)?;
    fs::rename(&temporary, path)
}

/// A file name for any text.
fn short_hash(text: &str) -> String {
    crate::catalog::hex(&Sha256::digest(text.as_bytes())[..12])
}
