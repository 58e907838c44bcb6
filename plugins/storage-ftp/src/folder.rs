//! The root and the folders below it, by path.
//!
//! FTP can't be relied on to tell a symbolic link: one in the place of an object is refused where the server shows it, one on the
//! way there is followed by the server. Against that only the server's own walls help (a root that its user can't leave).

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use windlass_folder::key::folders;
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::failure::{failed, is_a_link};
use crate::link::Link;
use crate::protocol::{Facts, Fault, Kind, Session};

/// How often a folder may be made that somebody else removes at once, before that is an error.
pub const ATTEMPTS: u32 = 100;

/// The storage's folder on the server.
pub struct Folder {
    pub link: Link,
    /// It was there once in this instance's life.
    seen: AtomicBool,
    /// Half uploads of this instance.
    pub halves: AtomicUsize,
    /// Held from the look whether an object is there to the rename: most servers replace on a rename.
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

    /// For errors and reports.
    pub fn shown(&self, key: &str) -> String {
        format!("{}:{}", self.link.settings.host, self.path(key))
    }

    pub fn failed(&self, deed: &str, key: &str, fault: &Fault) -> Error {
        failed(deed, self.shown(key), fault)
    }

    /// Whether the root is there; false where it isn't yet and may be made.
    pub async fn is_there(&self, ftp: &mut Session) -> Result<bool> {
        let root = ftp.look(self.root()).await.map_err(|fault| self.failed("look at", "", &fault))?;
        match root.map(|root| root.kind) {
            // Some servers show a link in the place of the folder that it leads to, and that is fine for the root.
            Some(Kind::Folder | Kind::Link | Kind::Other) => {
                self.seen.store(true, Ordering::Relaxed);
                Ok(true)
            }
            Some(Kind::File) => {
                Err(Error::new(ErrorKind::Config, format!("`{}` isn't a folder", self.shown(""))))
            }
            None if self.may_be_made(ftp).await? => Ok(false),
            None => Err(self.missing()),
        }
    }

    async fn may_be_made(&self, ftp: &mut Session) -> Result<bool> {
        if !self.link.settings.create_root || self.seen.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let above = match self.root().rsplit_once('/') {
            None => ".",
            Some(("", _)) => "/",
            Some((above, _)) => above,
        };
        let above =
            ftp.look(above).await.map_err(|fault| self.failed("look at what is above", "", &fault))?;
        Ok(above.is_some_and(|above| above.kind != Kind::File))
    }

    /// Makes sure of the root.
    pub async fn make_root(&self, ftp: &mut Session) -> Result<()> {
        if self.is_there(ftp).await? {
            return Ok(());
        }
        let made = ftp.mkdir(self.root()).await;
        match self.is_there(ftp).await {
            Ok(true) => Ok(()),
            _ => Err(made
                .err()
                .map_or_else(|| self.missing(), |fault| self.failed("make the folder", "", &fault))),
        }
    }

    /// Out of reach, and not for a moment: somebody has to mount it.
    pub fn missing(&self) -> Error {
        let shown = self.shown("");
        let what = if self.seen.load(Ordering::Relaxed) { "has vanished" } else { "doesn't exist" };
        Error::new(ErrorKind::Unavailable, format!("the folder `{shown}` {what}")).detail("retry", false).hint(
            "If it is on a disk or a share, mount that; if it is new, make it, or set `create_root`. A user who is shut in sees \
             other paths than the server's administrator.",
        )
    }

    /// What `key` is. `None`: it isn't there, though the root is (or may be made).
    pub async fn look(&self, ftp: &mut Session, key: &str) -> Result<Option<Facts>> {
        let facts = ftp.look(&self.path(key)).await.map_err(|fault| self.failed("look at", key, &fault))?;
        match facts {
            Some(facts) if facts.kind == Kind::Link => Err(is_a_link(self.shown(key))),
            Some(facts) => Ok(Some(facts)),
            None => {
                self.is_there(ftp).await?;
                Ok(None)
            }
        }
    }

    /// The object `key`; `None` if no file is there.
    pub async fn file(&self, ftp: &mut Session, key: &str) -> Result<Option<Facts>> {
        Ok(self.look(ftp, key).await?.filter(|facts| facts.kind == Kind::File))
    }

    /// Removes the folders of `key` that are empty, innermost first.
    pub async fn prune(&self, ftp: &mut Session, key: &str) {
        self.unmake(ftp, key, usize::MAX).await;
    }

    /// Removes the `new` innermost folders of `key` again, as far as nobody else uses them.
    pub async fn unmake(&self, ftp: &mut Session, key: &str, new: usize) {
        let folders: Vec<&str> = folders(key).collect();
        for folder in folders.into_iter().rev().take(new) {
            // Not empty, or somebody else's: that is fine.
            if ftp.rmdir(&self.path(folder)).await.is_err() {
                return;
            }
        }
    }

    /// Makes the folders of `key` as far as they are missing. How many are new, counted from the innermost.
    pub async fn make(&self, ftp: &mut Session, key: &str) -> Result<usize> {
        let folders: Vec<&str> = folders(key).collect();
        let mut missing = Vec::new();
        for folder in folders.into_iter().rev() {
            match self.look(ftp, folder).await?.map(|facts| facts.kind) {
                Some(Kind::Folder) => break,
                Some(_) => return Err(self.is_no_folder(folder)),
                None => missing.push(folder),
            }
        }
        let mut new = 0;
        for folder in missing.into_iter().rev() {
            new += usize::from(self.make_one(ftp, folder).await?);
        }
        Ok(new)
    }

    /// Makes `folder`. False if somebody else made it, or removed the one above: what follows will tell.
    pub async fn make_one(&self, ftp: &mut Session, folder: &str) -> Result<bool> {
        let fault = match ftp.mkdir(&self.path(folder)).await {
            Ok(()) => return Ok(true),
            Err(fault) if fault.may_be_absent() || fault.code() == Some(521) => fault,
            Err(fault) => return Err(self.failed("make the folder", folder, &fault)),
        };
        // The code of a folder that is there, of one above that isn't, and of most else.
        match self.look(ftp, folder).await?.map(|facts| facts.kind) {
            Some(Kind::Folder) => return Ok(false),
            Some(_) => return Err(self.is_no_folder(folder)),
            None => {}
        }
        if let Some((above, _)) = folder.rsplit_once('/')
            && self.look(ftp, above).await?.is_none()
        {
            return Ok(false);
        }
        // It may have been there until a moment ago.
        match ftp.mkdir(&self.path(folder)).await {
            Ok(()) => Ok(true),
            Err(_) if self.look(ftp, folder).await?.is_some() => Ok(false),
            Err(_) => Err(self.failed("make the folder", folder, &fault)),
        }
    }

    fn is_no_folder(&self, path: &str) -> Error {
        let message = format!("`{}` is a file, where a folder is needed", self.shown(path));
        Error::new(ErrorKind::AlreadyExists, message)
    }
}
