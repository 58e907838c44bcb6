//! The root and the folders below it, by path. SFTP has no handle of a folder to start from: each call names the whole way, and
//! looks for symbolic links on it first.
//!
//! Between a look and the deed somebody with an account on the server may put a link there; against that only the server's
//! own walls help (`ChrootDirectory`).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use windlass_folder::key;
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::failure::{failed, full, is_a_link};
use crate::link::Link;
use crate::protocol::{Attrs, Fault, Kind, Session, status};

/// Of all folders that are made. The server's umask can only take from it.
const FOLDER_MODE: u32 = 0o700;
/// Of all files.
pub const FILE_MODE: u32 = 0o600;
/// With less room than this, a failure without a reason is taken for a full disk.
const NO_ROOM_BYTES: u64 = 1024 * 1024;
/// How often a folder may be made that somebody else removes at once, before that is an error.
pub const ATTEMPTS: u32 = 100;
/// How often a folder is made anew that the server refused without a reason, and that isn't there.
const MAKINGS: u32 = 10;

/// The storage's folder on the server.
pub struct Folder {
    pub link: Link,
    /// It was there once in this instance's life.
    seen: AtomicBool,
    /// Half uploads of this instance.
    pub halves: AtomicUsize,
    /// Held from the look whether an object is there to the rename: a server may replace it in between.
    pub publishing: tokio::sync::Mutex<()>,
}

impl Folder {
    pub fn new(link: Link) -> Self {
        let (seen, halves, publishing) = Default::default();
        Self { link, seen, halves, publishing }
    }

    fn root(&self) -> &str {
        &self.link.settings.path
    }

    /// As the server is told it.
    pub fn path(&self, key: &str) -> String {
        match self.root() {
            root if key.is_empty() => root.to_owned(),
            root if root.ends_with('/') => format!("{root}{key}"),
            root => format!("{root}/{key}"),
        }
    }

    /// For errors and reports, as scp writes it.
    pub fn shown(&self, key: &str) -> String {
        format!("{}:{}", self.link.settings.host, self.path(key))
    }

    pub fn failed(&self, deed: &str, key: &str, fault: &Fault) -> Error {
        failed(deed, self.shown(key), fault)
    }

    /// As [`failed`](Self::failed), of what needs room: looks whether there is any.
    pub async fn refused(&self, sftp: &Session, deed: &str, key: &str, fault: &Fault) -> Error {
        let error = self.failed(deed, key, fault);
        let is_vague = matches!(fault, Fault::Status { code: status::FAILURE, .. });
        if !is_vague || !sftp.features.statvfs {
            return error;
        }
        match sftp.statvfs(self.root()).await {
            Ok(space) if space.free_bytes < NO_ROOM_BYTES || space.free_files == Some(0) => full(error),
            _ => error,
        }
    }

    /// Whether the root is there; false where it isn't yet and may be made.
    pub async fn is_there(&self, sftp: &Session) -> Result<bool> {
        let root = sftp.stat(self.root()).await.map_err(|fault| self.failed("look at", "", &fault))?;
        match root.map(|root| root.kind()) {
            Some(Kind::Folder) => {
                self.seen.store(true, Ordering::Relaxed);
                Ok(true)
            }
            Some(_) => Err(Error::new(ErrorKind::Config, format!("`{}` isn't a folder", self.shown("")))),
            None if self.may_be_made(sftp).await? => Ok(false),
            None => Err(self.missing()),
        }
    }

    async fn may_be_made(&self, sftp: &Session) -> Result<bool> {
        if !self.link.settings.create_root || self.seen.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let above = match self.root().rsplit_once('/') {
            None => ".",
            Some(("", _)) => "/",
            Some((above, _)) => above,
        };
        let above =
            sftp.stat(above).await.map_err(|fault| self.failed("look at what is above", "", &fault))?;
        Ok(above.is_some_and(|above| above.kind() == Kind::Folder))
    }

    /// Makes sure of the root.
    pub async fn make_root(&self, sftp: &Session) -> Result<()> {
        if self.is_there(sftp).await? {
            return Ok(());
        }
        let made = sftp.mkdir(self.root(), FOLDER_MODE).await;
        match self.is_there(sftp).await {
            Ok(true) => Ok(()),
            _ => Err(made
                .err()
                .map_or_else(|| self.missing(), |fault| self.failed("make the folder", "", &fault))),
        }
    }

    /// Out of reach, and not for a moment: somebody has to mount it.
    pub fn missing(&self) -> Error {
        let (shown, path) = (self.shown(""), self.root());
        let what = if self.seen.load(Ordering::Relaxed) { "has vanished" } else { "doesn't exist" };
        Error::new(ErrorKind::Unavailable, format!("the folder `{shown}` {what}")).detail("retry", false).hint(
            format!(
                "If it is on a disk or a share, mount that; if it is new, make it with `mkdir -m 700 '{path}'`. A user in a \
                 chroot sees other paths than the server's administrator."
            ),
        )
    }

    /// What `key` is, and whether the way there is free of links. `None`: it isn't there, though the root is (or may be made).
    pub async fn look(&self, sftp: &Session, key: &str) -> Result<Option<Attrs>> {
        // All at once: the questions need only one journey.
        let mut asked = VecDeque::new();
        for path in key::folders(key).chain([key]) {
            let pending = sftp.lstat(&self.path(path)).await;
            asked.push_back((path, pending.map_err(|fault| self.failed("look at", path, &fault))?));
        }
        let mut last = None;
        while let Some((path, pending)) = asked.pop_front() {
            last = pending.attrs().await.map_err(|fault| self.failed("look at", path, &fault))?;
            match last.map(|attrs| attrs.kind()) {
                Some(Kind::Link) => return Err(is_a_link(self.shown(path))),
                Some(Kind::Folder) => {}
                Some(_) if asked.is_empty() => {}
                Some(_) => return Ok(None),
                None => {
                    self.is_there(sftp).await?;
                    return Ok(None);
                }
            }
        }
        Ok(last)
    }

    /// Removes the folders of `key` that are empty, innermost first.
    pub async fn prune(&self, sftp: &Session, key: &str) {
        let folders: Vec<&str> = key::folders(key).collect();
        for folder in folders.into_iter().rev() {
            // Not empty, or somebody else's: that is fine.
            if sftp.rmdir(&self.path(folder)).await.is_err() {
                return;
            }
        }
    }

    /// Makes the folders of `key` as far as they are missing. How many are new, counted from the innermost.
    pub async fn make(&self, sftp: &Session, key: &str) -> Result<usize> {
        let folders: Vec<&str> = key::folders(key).collect();
        let mut missing = Vec::new();
        for folder in folders.into_iter().rev() {
            match self.look(sftp, folder).await?.map(|attrs| attrs.kind()) {
                Some(Kind::Folder) => break,
                Some(_) => return Err(self.is_no_folder(folder)),
                None => missing.push(folder),
            }
        }
        let mut new = 0;
        for folder in missing.into_iter().rev() {
            new += usize::from(self.make_one(sftp, folder).await?);
        }
        Ok(new)
    }

    /// Makes `folder`. False if somebody else made it, or removed the one above: what follows will tell.
    pub async fn make_one(&self, sftp: &Session, folder: &str) -> Result<bool> {
        let mut last = None;
        for _ in 0..MAKINGS {
            match sftp.mkdir(&self.path(folder), FOLDER_MODE).await {
                Ok(()) => return Ok(true),
                Err(fault) if self.is_made_meanwhile(sftp, folder, &fault).await? => return Ok(false),
                // The status of a folder that is there, and of most else. It may have been there until a moment ago.
                Err(fault @ Fault::Status { code: status::FAILURE | status::FILE_ALREADY_EXISTS, .. }) => {
                    last = Some(fault);
                }
                Err(fault) => return Err(self.refused(sftp, "make the folder", folder, &fault).await),
            }
        }
        let fault = last.unwrap_or_else(|| Fault::Lost(String::new()));
        Err(self.refused(sftp, "make the folder", folder, &fault).await)
    }

    /// Whether a folder that couldn't be made is there all the same, or the one above it has gone.
    async fn is_made_meanwhile(&self, sftp: &Session, folder: &str, fault: &Fault) -> Result<bool> {
        match fault {
            Fault::Status { code: status::NO_SUCH_FILE, .. } => Ok(true),
            Fault::Status { code, .. } if *code != status::PERMISSION_DENIED => {
                match self.look(sftp, folder).await?.map(|attrs| attrs.kind()) {
                    Some(Kind::Folder) => Ok(true),
                    Some(_) => Err(self.is_no_folder(folder)),
                    None => Ok(false),
                }
            }
            _ => Ok(false),
        }
    }

    fn is_no_folder(&self, path: &str) -> Error {
        let message = format!("`{}` is a file, where a folder is needed", self.shown(path));
        Error::new(ErrorKind::AlreadyExists, message)
    }

    /// Removes the `new` innermost folders of `key` again, as far as nobody else uses them.
    pub async fn unmake(&self, sftp: &Session, key: &str, new: usize) {
        let folders: Vec<&str> = key::folders(key).collect();
        for folder in folders.into_iter().rev().take(new) {
            if sftp.rmdir(&self.path(folder)).await.is_err() {
                return;
            }
        }
    }
}
