//! The file that `restore --output` writes: it is whole and on the disk, or as it was.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::num::NonZeroU64;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{Advice, AtFlags, CWD, OFlags, fadvise, linkat};
use windlass_plugin_api::During;

use crate::catalog::snapshot::SnapshotId;
use crate::exit::Outcome;

/// After so many bytes the kernel is told to begin writing them to the disk: left to itself it begins when we wait for it.
const WRITEBACK_BYTES: u64 = 8 * 1024 * 1024;

/// Writes beside the file and renames: it is whole or as it was.
pub fn to_file(path: &Path, write: impl FnOnce(&mut dyn Write) -> Outcome<u64>) -> Outcome<u64> {
    let sibling = path.with_file_name(format!(".windlass-{}", SnapshotId::new(jiff::Timestamp::now())));
    let failed = || format!("can't write `{}`", path.display());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Without a name until it is whole, where the file system can do that: then nothing stays if we are killed.
    let nameless = OpenOptions::new()
        .write(true)
        .mode(0o600)
        .custom_flags(OFlags::TMPFILE.bits().cast_signed())
        .open(folder);
    let is_nameless = nameless.is_ok();
    let named = |_| OpenOptions::new().write(true).create_new(true).mode(0o600).open(&sibling);
    let file = nameless.or_else(named).during_with(failed)?;
    let mut early = Early { file: &file, bytes: 0, begun_bytes: 0 };
    let result = write(&mut early).and_then(|bytes| {
        file.sync_all()?;
        if is_nameless {
            let own = format!("/proc/self/fd/{}", file.as_raw_fd());
            linkat(CWD, own, CWD, &sibling, AtFlags::SYMLINK_FOLLOW)
                .map_err(io::Error::from)
                .during_with(failed)?;
        }
        fs::rename(&sibling, path).during_with(failed)?;
        Ok(bytes)
    });
    if result.is_err() {
        let _ = fs::remove_file(&sibling);
    }
    result
}

/// A file whose bytes go to the disk while more of them come.
struct Early<'a> {
    file: &'a File,
    bytes: u64,
    begun_bytes: u64,
}

impl Write for Early<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.bytes += count as u64;
        let length = self.bytes - self.begun_bytes;
        if length >= WRITEBACK_BYTES {
            // Of pages that aren't on the disk yet this begins the writing; a refusal costs speed only.
            let _ = fadvise(self.file, self.begun_bytes, NonZeroU64::new(length), Advice::DontNeed);
            self.begun_bytes = self.bytes;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
