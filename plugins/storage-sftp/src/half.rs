//! Half uploads: from the first byte to the rename that publishes them, or to nothing.
//!
//! Each is a file of its own in [`AREA`], on the same file system as the objects. The bytes of an upload whose connection
//! breaks are not sent again: what the server had acknowledged may be gone with the server's memory.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use windlass_folder::key::{AREA, half_name};
use windlass_plugin_api::{Context, CreateOptions, Error, ErrorKind, Result, Stored, Upload};

use crate::connect::Connection;
use crate::flow::Writing;
use crate::folder::{ATTEMPTS, FILE_MODE, Folder};
use crate::protocol::{Fault, Kind, Session, flags, status};

/// An upload under way. Dropping it removes what there is of it.
pub struct Half {
    folder: Arc<Folder>,
    cx: Context,
    connection: Arc<Connection>,
    key: String,
    if_absent: bool,
    /// Below the root; `None` once it has gone to its place.
    name: Option<String>,
    writing: Writing,
    is_finished: bool,
}

impl Half {
    pub fn begin(folder: &Arc<Folder>, cx: &Context, key: &str, how: &CreateOptions) -> Result<Self> {
        folder.halves.fetch_add(1, Ordering::SeqCst);
        let begun = folder.link.run(cx, async {
            let connection = folder.link.connection(cx).await?;
            let (name, handle) = create(folder, &connection.sftp, key, &how.run).await?;
            Ok((connection, name, handle))
        });
        let (connection, name, handle) = begun.inspect_err(|_| {
            folder.halves.fetch_sub(1, Ordering::SeqCst);
        })?;
        let writing = Writing::new(handle, &connection.sftp);
        Ok(Self {
            folder: folder.clone(),
            cx: cx.clone(),
            connection,
            key: key.to_owned(),
            if_absent: how.if_absent,
            name: Some(name),
            writing,
            is_finished: false,
        })
    }

    async fn sent(&mut self) -> Result<()> {
        match self.writing.send(&self.connection.sftp).await {
            Ok(()) => Ok(()),
            Err(fault) => Err(self.folder.refused(&self.connection.sftp, "write", &self.key, &fault).await),
        }
    }

    async fn finished(&mut self) -> Result<()> {
        self.sent().await?;
        let (folder, sftp, name) =
            (&self.folder, &self.connection.sftp, self.name.as_deref().unwrap_or_default());
        let handle = self.writing.handle().clone();
        if let Err(fault) = self.writing.settle().await {
            return Err(folder.refused(sftp, "write", &self.key, &fault).await);
        }
        if sftp.features.fsync
            && let Err(fault) = sftp.fsync(&handle).await
        {
            return Err(folder.refused(sftp, "make durable", &self.key, &fault).await);
        }
        if let Err(fault) = sftp.close(&handle).await {
            return Err(folder.refused(sftp, "finish", &self.key, &fault).await);
        }
        // The server's word for each write isn't all: is there as much as was sent?
        let attrs = folder.look(sftp, name).await?;
        match attrs.map(|attrs| attrs.size_bytes) {
            Some(size) if size == self.writing.size_bytes() => Ok(()),
            Some(size) => {
                let (shown, sent) = (folder.shown(&self.key), self.writing.size_bytes());
                Err(Error::damaged(format!(
                    "of `{shown}` the server has {size} bytes, where {sent} were sent"
                )))
            }
            None => Err(self.is_gone()),
        }
    }

    fn is_gone(&self) -> Error {
        let shown = self.folder.shown(&self.key);
        Error::failed(format!("the half upload of `{shown}` was removed by somebody else"))
    }

    /// Moves the file to its place. False if that place was removed meanwhile: try again.
    async fn place(&mut self, sftp: &Session) -> Result<bool> {
        let name = self.name.clone().unwrap_or_default();
        let new = self.folder.make(sftp, &self.key).await?;
        let Err(fault) = self.rename(sftp, &self.folder.path(&name)).await else {
            self.name = None;
            return Ok(true);
        };
        self.folder.unmake(sftp, &self.key, new).await;
        let is_missing = matches!(fault, Fault::Status { code: status::NO_SUCH_FILE, .. });
        match self.folder.look(sftp, &self.key).await?.map(|attrs| attrs.kind()) {
            Some(Kind::Folder) => Err(self.is_there("a folder of other objects")),
            Some(_) if self.if_absent => Err(self.is_there("already there")),
            _ if is_missing && self.folder.look(sftp, &name).await?.is_some() => Ok(false),
            _ if is_missing => Err(self.is_gone()),
            _ => Err(self.folder.refused(sftp, "publish", &self.key, &fault).await),
        }
    }

    fn is_there(&self, what: &str) -> Error {
        Error::new(ErrorKind::AlreadyExists, format!("`{}` is {what}", self.folder.shown(&self.key)))
    }

    /// By the draft, and with OpenSSH (a second name, then the first is removed), a plain rename replaces nothing. A server
    /// that does replace must not get to it: so the look before, and nobody else of ours in between.
    async fn rename(&self, sftp: &Session, from: &str) -> Result<(), Fault> {
        let to = self.folder.path(&self.key);
        if self.if_absent {
            let _alone = self.folder.publishing.lock().await;
            return match sftp.lstat(&to).await?.attrs().await? {
                Some(_) => Err(Fault::Status { code: status::FILE_ALREADY_EXISTS, message: String::new() }),
                None => sftp.rename(from, &to).await,
            };
        }
        if sftp.features.posix_rename {
            match sftp.posix_rename(from, &to).await {
                Err(Fault::Status { code: status::OP_UNSUPPORTED, .. }) => {}
                result => return result,
            }
        }
        match sftp.rename(from, &to).await {
            Err(Fault::Status { code: status::FAILURE | status::FILE_ALREADY_EXISTS, .. })
                if sftp.lstat(&to).await?.attrs().await?.is_some_and(|old| old.kind() != Kind::Folder) =>
            {
                // For a moment there is neither. With such a server there is no other way.
                sftp.remove(&to).await?;
                sftp.rename(from, &to).await
            }
            result => result,
        }
    }
}

/// Makes the file, and what is above it as far as it's missing. Its name below the root, and its handle.
async fn create(folder: &Folder, sftp: &Session, key: &str, run: &str) -> Result<(String, Bytes)> {
    for _ in 0..ATTEMPTS {
        let name = format!("{AREA}/{}", half_name(run, key));
        match folder.look(sftp, AREA).await?.map(|area| area.kind()) {
            Some(Kind::Folder) => {}
            Some(_) => {
                let shown = folder.shown(AREA);
                return Err(Error::new(ErrorKind::AlreadyExists, format!("`{shown}` isn't a folder")));
            }
            None => {
                folder.make_root(sftp).await?;
                folder.make_one(sftp, AREA).await?;
            }
        }
        let how = flags::WRITE | flags::CREATE | flags::EXCLUSIVE;
        match sftp.open(&folder.path(&name), how, Some(FILE_MODE)).await {
            Ok(handle) => return Ok((name, handle)),
            // The one who was last in the area took it away; or chance.
            Err(Fault::Status { code: status::NO_SUCH_FILE | status::FILE_ALREADY_EXISTS, .. }) => {}
            Err(fault) => {
                let error = folder.refused(sftp, "create", key, &fault).await;
                remove_area(folder, sftp).await;
                return Err(error);
            }
        }
    }
    Err(Error::failed(format!("`{}` is removed again and again", folder.shown(AREA))))
}

/// Removes the area if nobody uses it.
pub async fn remove_area(folder: &Folder, sftp: &Session) {
    let _ = sftp.rmdir(&folder.path(AREA)).await;
}

impl Write for Half {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_finished {
            return Err(Error::failed("the upload is already finished").into());
        }
        let (count, is_whole) = self.writing.take(bytes);
        if is_whole {
            let (folder, cx) = (self.folder.clone(), self.cx.clone());
            folder.link.run(&cx, self.sent())?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Upload for Half {
    fn finish(&mut self) -> Result<()> {
        let (folder, cx) = (self.folder.clone(), self.cx.clone());
        folder.link.run(&cx, self.finished())?;
        self.is_finished = true;
        Ok(())
    }

    fn publish(mut self: Box<Self>) -> Result<Stored> {
        let (folder, cx) = (self.folder.clone(), self.cx.clone());
        folder.link.run(&cx, async {
            // Nothing is under way: a connection that broke since is made anew.
            let connection = folder.link.living(&cx).await?;
            for _ in 0..ATTEMPTS {
                if self.place(&connection.sftp).await? {
                    return Ok(());
                }
            }
            Err(Error::failed(format!(
                "the folder of `{}` is removed again and again",
                folder.shown(&self.key)
            )))
        })?;
        Ok(Stored { size_bytes: self.writing.size_bytes(), ..Stored::default() })
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        let is_last = self.folder.halves.fetch_sub(1, Ordering::SeqCst) == 1;
        let name = self.name.take();
        if name.is_none() && !is_last {
            return;
        }
        // Where the connection is gone a new one is tried: what is left takes room.
        self.folder.link.tidy(async {
            if name.is_some() && !self.is_finished {
                self.connection.sftp.forget(self.writing.handle()).await;
            }
            let connection = self.folder.link.connection(&self.cx).await?;
            if let Some(name) = name {
                let _ = connection.sftp.remove(&self.folder.path(&name)).await;
            }
            if is_last {
                remove_area(&self.folder, &connection.sftp).await;
            }
            Ok(())
        });
    }
}
