//! Hands a secret to a program without an argument: by an inherited descriptor, or by a private file.

use std::ffi::CString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{ErrorKind, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::{env, io};

use rustix::fs::{MemfdFlags, Mode, SealFlags, fchmod, fcntl_add_seals, memfd_create};
use windlass_plugin_api::{During, Result};

/// A sealed file in memory that holds `secret`, and the path under which a program that inherits it can open it, from its
/// beginning and as often as it likes.
pub(crate) fn descriptor(secret: &[u8]) -> Result<(OwnedFd, PathBuf)> {
    let make = || -> io::Result<OwnedFd> {
        let fd = memfd_create("windlass-secret", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        // Made for everybody by the system, which some programs take for carelessness and ignore.
        fchmod(&fd, Mode::RUSR | Mode::WUSR)?;
        let mut file = File::from(fd);
        file.write_all(secret)?;
        fcntl_add_seals(&file, SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE)?;
        Ok(file.into())
    };
    let fd = make().during("can't keep a secret in memory for a program")?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    Ok((fd, path))
}

/// A file of mode 0600 in a folder of mode 0700. Removed when this is dropped, and by the supervisor if the host dies
/// while the program runs.
pub(crate) struct PrivateFile {
    folder: PathBuf,
    file: PathBuf,
}

impl PrivateFile {
    /// A file `name` that holds `secret`, in memory where the system has a place for that.
    pub(crate) fn create(name: &str, secret: &[u8]) -> Result<Self> {
        let make = || -> io::Result<Self> {
            let folder = private_folder()?;
            // From here on the destructor cleans up.
            let private = Self { file: folder.join(name), folder };
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&private.file)?;
            file.write_all(secret)?;
            Ok(private)
        };
        make().during("can't write a secret to a private file for a program")
    }

    pub(crate) fn path(&self) -> &Path {
        &self.file
    }

    /// What to remove, the file before the folder.
    pub(crate) fn paths(&self) -> [CString; 2] {
        // Neither holds a zero byte: both were opened by the system.
        [&self.file, &self.folder].map(|path| CString::new(path.as_os_str().as_bytes()).unwrap_or_default())
    }
}

impl Drop for PrivateFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
        let _ = fs::remove_dir(&self.folder);
    }
}

/// A fresh folder that only this user can enter.
fn private_folder() -> io::Result<PathBuf> {
    let bases = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).into_iter();
    let bases = bases.chain([PathBuf::from("/dev/shm"), env::temp_dir()]);
    let mut last = io::Error::from(ErrorKind::NotFound);
    for base in bases.filter(|base| base.is_absolute() && base.is_dir()) {
        // A guessed name costs an attacker's folder, not the secret: `mkdir` refuses what exists.
        for _ in 0..8 {
            let folder =
                base.join(format!(".windlass-{:016x}", RandomState::new().hash_one(std::process::id())));
            match DirBuilder::new().mode(0o700).create(&folder) {
                Ok(()) => return Ok(folder),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => {
                    last = error;
                    break;
                }
            }
        }
    }
    Err(last)
}
