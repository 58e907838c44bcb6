//! Half uploads: from the first byte to the rename that publishes them, or to nothing.
//!
//! Each is a file of its own in [`AREA`], on the same file system as the objects. An upload whose connection breaks goes on with
//! another one, as long as what the server lacks is still held here ([`Sending`]).

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use windlass_plugin_api::{Context, CreateOptions, Error, ErrorKind, Result, Stored, Upload};

use crate::folder::{ATTEMPTS, Folder};
use crate::key::{AREA, half_name};
use crate::protocol::{Fault, Kind, Session};
use crate::sending::Sending;

/// How often a rename is tried that the server refuses without a reason that can be seen.
const RENAMES: u32 = 5;

/// An upload under way. Dropping it removes what there is of it.
pub struct Half {
    folder: Arc<Folder>,
    cx: Context,
    key: String,
    if_absent: bool,
    /// Below the root; `None` once it has gone to its place.
    name: Option<String>,
    sending: Sending,
    is_finished: bool,
    /// How often the rename was refused without a reason that can be seen.
    refused: u32,
}

impl Half {
    pub fn begin(folder: &Arc<Folder>, cx: &Context, key: &str, how: &CreateOptions) -> Result<Self> {
        folder.halves.fetch_add(1, Ordering::SeqCst);
        let begun = folder.link.run(cx, create(folder, cx, key, &how.run));
        let (name, sending) = begun.inspect_err(|_| {
            folder.halves.fetch_sub(1, Ordering::SeqCst);
        })?;
        Ok(Self {
            folder: folder.clone(),
            cx: cx.clone(),
            key: key.to_owned(),
            if_absent: how.if_absent,
            name: Some(name),
            sending,
            is_finished: false,
            refused: 0,
        })
    }

    /// Where it lies, before it is published.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    async fn finished(&mut self) -> Result<()> {
        self.sending.end(&self.folder, &self.cx).await?;
        // The server's word isn't all: is there as much as was sent?
        let (folder, name) = (&self.folder, self.name.as_deref().unwrap_or_default());
        let mut ftp = folder.link.living(&self.cx).await?;
        match folder.look(&mut ftp, name).await?.map(|facts| facts.size_bytes) {
            Some(size) if size == self.sending.size_bytes() => Ok(()),
            Some(size) => {
                let (shown, sent) = (folder.shown(&self.key), self.sending.size_bytes());
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
    async fn place(&mut self, ftp: &mut Session) -> Result<bool> {
        let name = self.name.clone().unwrap_or_default();
        let new = self.folder.make(ftp, &self.key).await?;
        let fault = match self.rename(ftp, &self.folder.path(&name)).await {
            Ok(true) => {
                self.name = None;
                return Ok(true);
            }
            Ok(false) => None,
            Err(fault) => Some(fault),
        };
        if let Some(fault) =
            fault.as_ref().filter(|fault| fault.is_broken() || matches!(fault, Fault::Silent(_)))
        {
            return self.is_moved(&name, fault).await;
        }
        self.folder.unmake(ftp, &self.key, new).await;
        match self.folder.look(ftp, &self.key).await?.map(|facts| facts.kind) {
            Some(Kind::Folder) => return Err(self.is_there("a folder of other objects")),
            Some(_) if self.if_absent => return Err(self.is_there("already there")),
            _ => {}
        }
        let Some(fault) = fault else { return Ok(false) };
        if self.folder.look(ftp, &name).await?.is_none() {
            return Err(self.is_gone());
        }
        // A folder that went away in between, and may be there again by now, has the code of most else.
        self.refused += 1;
        if fault.may_be_absent() && self.refused < RENAMES {
            return Ok(false);
        }
        Err(self.folder.failed("publish", &self.key, &fault))
    }

    /// The answer to the rename was lost. Only we know the name of the half upload: if it has gone, it is in its place.
    async fn is_moved(&mut self, name: &str, fault: &Fault) -> Result<bool> {
        let folder = self.folder.clone();
        let mut ftp = folder.link.living(&self.cx).await?;
        if folder.file(&mut ftp, name).await?.is_some() {
            return Ok(false);
        }
        match folder.file(&mut ftp, &self.key).await? {
            Some(facts) if facts.size_bytes == self.sending.size_bytes() => {
                self.name = None;
                Ok(true)
            }
            _ => Err(folder.failed("publish", &self.key, fault)),
        }
    }

    fn is_there(&self, what: &str) -> Error {
        Error::new(ErrorKind::AlreadyExists, format!("`{}` is {what}", self.folder.shown(&self.key)))
    }

    /// Most servers replace on a rename. One that must not must not get to it: so the look before, and nobody else of ours in
    /// between. False: something is there.
    async fn rename(&self, ftp: &mut Session, from: &str) -> Result<bool, Fault> {
        let to = self.folder.path(&self.key);
        let _alone = self.folder.publishing.lock().await;
        let there = ftp.look(&to).await?.map(|facts| facts.kind);
        if there.is_some() && (self.if_absent || there == Some(Kind::Folder)) {
            return Ok(false);
        }
        match ftp.rename(from, &to).await {
            Err(fault) if there.is_some() && fault.may_be_absent() && ftp.look(from).await?.is_some() => {
                swap(ftp, from, &to).await?;
            }
            result => result?,
        }
        Ok(true)
    }
}

/// For a server whose rename replaces nothing: the old object goes out of the way and, if the new one can't come in its place,
/// back. For a moment there is neither; with such a server there is no other way.
async fn swap(ftp: &mut Session, from: &str, to: &str) -> Result<(), Fault> {
    let aside = format!("{from}+old");
    ftp.rename(to, &aside).await?;
    if let Err(fault) = ftp.rename(from, to).await {
        let _ = ftp.rename(&aside, to).await;
        return Err(fault);
    }
    // What stays of it is a half upload like any other: told, and removed by the next run.
    let _ = ftp.remove(&aside).await;
    Ok(())
}

/// Begins the file, and what is above it as far as it's missing. Its name below the root.
async fn create(folder: &Folder, cx: &Context, key: &str, run: &str) -> Result<(String, Sending)> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let name = format!("{AREA}/{}", half_name(run, key));
        let mut ftp = folder.link.lease(cx).await?;
        match folder.look(&mut ftp, AREA).await?.map(|area| area.kind) {
            Some(Kind::Folder) => {}
            Some(_) => {
                let shown = folder.shown(AREA);
                return Err(Error::new(ErrorKind::AlreadyExists, format!("`{shown}` isn't a folder")));
            }
            None => {
                folder.make_root(&mut ftp).await?;
                folder.make_one(&mut ftp, AREA).await?;
            }
        }
        match Sending::begin(folder, ftp, &name).await {
            Ok(sending) => return Ok((name, sending)),
            // The one who was last in the area took it away.
            Err(fault) if fault.may_be_absent() => {
                let mut ftp = folder.link.lease(cx).await?;
                if folder.look(&mut ftp, AREA).await?.is_some() && last.as_ref() == Some(&fault) {
                    let error = folder.failed("create", key, &fault);
                    remove_area(folder, &mut ftp).await;
                    return Err(error);
                }
                last = Some(fault);
            }
            Err(fault) => {
                let error = folder.failed("create", key, &fault);
                if let Ok(mut ftp) = folder.link.lease(cx).await {
                    remove_area(folder, &mut ftp).await;
                }
                return Err(error);
            }
        }
    }
    Err(Error::failed(format!("`{}` is removed again and again", folder.shown(AREA))))
}

/// Removes the area if nobody uses it.
pub async fn remove_area(folder: &Folder, ftp: &mut Session) {
    let _ = ftp.rmdir(&folder.path(AREA)).await;
}

impl Write for Half {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_finished {
            return Err(Error::failed("the upload is already finished").into());
        }
        let (count, is_whole) = self.sending.take(bytes);
        if is_whole {
            let (folder, cx) = (self.folder.clone(), self.cx.clone());
            folder.link.run(&cx, self.sending.send(&folder, &cx))?;
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
        let mut broken = 0;
        folder.link.run(&cx, async {
            for _ in 0..ATTEMPTS {
                // Nothing is under way: a connection that broke since is made anew.
                let mut ftp = folder.link.living(&cx).await?;
                match self.place(&mut ftp).await {
                    Ok(true) => return Ok(()),
                    Ok(false) => {}
                    // It broke between two questions: nothing was renamed.
                    Err(error)
                        if error.kind == ErrorKind::Unavailable && !ftp.is_clean() && broken < RENAMES =>
                    {
                        broken += 1;
                    }
                    Err(error) => return Err(error),
                }
            }
            Err(Error::failed(format!(
                "the folder of `{}` is removed again and again",
                folder.shown(&self.key)
            )))
        })?;
        Ok(Stored { size_bytes: self.sending.size_bytes(), ..Stored::default() })
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
            self.sending.give_up().await;
            let mut ftp = self.folder.link.living(&self.cx).await?;
            if let Some(name) = name {
                let _ = ftp.remove(&self.folder.path(&name)).await;
            }
            if is_last {
                remove_area(&self.folder, &mut ftp).await;
            }
            Ok(())
        });
    }
}
