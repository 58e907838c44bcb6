//! Half uploads: from the first byte to the rename that publishes them, or to nothing.
//!
//! Each is a file of its own in [`AREA`], on the same file system as the objects. An upload whose connection breaks goes on with
//! another one, as long as what the server lacks is still held here ([`Sending`]).

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use windlass_folder::key::{AREA, half_name};
use windlass_plugin_api::{Context, CreateOptions, Error, ErrorKind, Result, Stored, Upload};

use crate::area::{begin, remove_area};
use crate::folder::{ATTEMPTS, Folder};
use crate::protocol::{Fault, Kind, Session};
use crate::sending::Sending;

/// How often a rename is tried that the server refuses without a reason that can be seen.
const RENAMES: u32 = 5;

/// Stands in the name of an old object that was moved out of the way, in place of a run.
const ASIDE: &str = "replaced";

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

/// What became of an attempt to publish.
enum Placed {
    There,
    /// The place was removed meanwhile: try again.
    NotYet,
    /// The answer was lost.
    Unknown(Fault),
}

impl Half {
    pub fn begin(folder: &Arc<Folder>, cx: &Context, key: &str, how: &CreateOptions) -> Result<Self> {
        folder.halves.fetch_add(1, Ordering::SeqCst);
        let begun = folder.link.run(cx, begin(folder, cx, key, &how.run));
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

    /// Moves the file to its place.
    async fn place(&mut self, ftp: &mut Session) -> Result<Placed> {
        let name = self.name.clone().unwrap_or_default();
        let new = self.folder.make(ftp, &self.key).await?;
        let fault = match self.rename(ftp, &self.folder.path(&name)).await {
            Ok(true) => {
                self.name = None;
                return Ok(Placed::There);
            }
            Ok(false) => None,
            Err(fault) if fault.is_broken() || matches!(fault, Fault::Silent(_)) => {
                return Ok(Placed::Unknown(fault));
            }
            Err(fault) => Some(fault),
        };
        self.folder.unmake(ftp, &self.key, new).await;
        match self.folder.look(ftp, &self.key).await?.map(|facts| facts.kind) {
            Some(Kind::Folder) => return Err(self.is_there("a folder of other objects")),
            Some(_) if self.if_absent => return Err(self.is_there("already there")),
            _ => {}
        }
        let Some(fault) = fault else { return Ok(Placed::NotYet) };
        if self.folder.look(ftp, &name).await?.is_none() {
            return Err(self.is_gone());
        }
        // A folder that went away in between, and may be there again by now, has the code of most else.
        self.refused += 1;
        if fault.may_be_absent() && self.refused < RENAMES {
            return Ok(Placed::NotYet);
        }
        Err(self.folder.failed("publish", &self.key, &fault))
    }

    /// Moves the file to its place, however often lines break or folders go.
    async fn published(&mut self) -> Result<()> {
        let (folder, mut broken) = (self.folder.clone(), 0);
        for _ in 0..ATTEMPTS {
            // Nothing is under way: a connection that broke since is made anew.
            let mut ftp = folder.link.living(&self.cx).await?;
            match self.place(&mut ftp).await {
                Ok(Placed::There) => return Ok(()),
                Ok(Placed::NotYet) => {}
                Ok(Placed::Unknown(fault)) => {
                    // There may be no more connections than this one.
                    drop(ftp);
                    if self.is_moved(&fault).await? {
                        return Ok(());
                    }
                    broken += 1;
                    if broken >= RENAMES {
                        return Err(folder.failed("publish", &self.key, &fault));
                    }
                }
                // It broke between two questions: nothing was renamed.
                Err(error) if error.kind == ErrorKind::Unavailable && !ftp.is_clean() && broken < RENAMES => {
                    broken += 1;
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::failed(format!("the folder of `{}` is removed again and again", folder.shown(&self.key))))
    }

    /// The answer to the rename was lost. Only we know the name of the half upload: if it has gone, it is in its place.
    async fn is_moved(&mut self, fault: &Fault) -> Result<bool> {
        let folder = self.folder.clone();
        let name = self.name.clone().unwrap_or_default();
        let mut ftp = folder.link.living(&self.cx).await?;
        if folder.file(&mut ftp, &name).await?.is_some() {
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
                let aside = format!("{AREA}/{}", half_name(ASIDE, &self.key));
                swap(ftp, from, &to, &self.folder.path(&aside)).await?;
            }
            result => result?,
        }
        Ok(true)
    }
}

/// For a server whose rename replaces nothing: the old object goes out of the way and, if the new one can't come in its place,
/// back. For a moment there is neither; with such a server there is no other way.
async fn swap(ftp: &mut Session, from: &str, to: &str, aside: &str) -> Result<(), Fault> {
    ftp.rename(to, aside).await?;
    if let Err(fault) = ftp.rename(from, to).await {
        let _ = ftp.rename(aside, to).await;
        return Err(fault);
    }
    // What stays of it is a half upload like any other: told, and removed by the next run.
    let _ = ftp.remove(aside).await;
    Ok(())
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
        folder.link.run(&cx, self.published())?;
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
