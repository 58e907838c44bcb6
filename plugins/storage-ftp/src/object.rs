//! Published objects: read, looked at, deleted.

use std::io::{self, Read};
use std::sync::Arc;

use windlass_plugin_api::{ByteRange, Context, Error, ErrorKind, Object, Reader, Result};

use crate::folder::Folder;
use crate::pool::{Lease, Running, Slot};
use crate::protocol::{Facts, Kind, Session};

/// What is read at once, so that calls from outside cost little.
const HELD: usize = 256 * 1024;

/// Reads `key`, or a part of it.
pub fn open(folder: &Arc<Folder>, cx: &Context, key: &str, range: Option<ByteRange>) -> Result<Reader> {
    let range = range.unwrap_or(ByteRange { offset: 0, length: None });
    let mut reader = ObjectReader {
        folder: folder.clone(),
        cx: cx.clone(),
        key: key.to_owned(),
        slot: folder.link.pool.slot(),
        facts: Facts { kind: Kind::File, size_bytes: 0, modified: None },
        at: range.offset,
        end: range.length.map(|length| range.offset.saturating_add(length)),
        held: Vec::new(),
        taken: 0,
        failed: None,
        is_at_end: false,
    };
    folder.link.run(cx, reader.begin())?;
    Ok(Box::new(reader))
}

/// An object that is read from its beginning to its end.
struct ObjectReader {
    folder: Arc<Folder>,
    cx: Context,
    key: String,
    slot: Slot,
    /// As they were at the beginning.
    facts: Facts,
    /// Where the next byte comes from.
    at: u64,
    /// Where to stop before the file ends.
    end: Option<u64>,
    held: Vec<u8>,
    /// Of what is held.
    taken: usize,
    /// Comes behind what is held.
    failed: Option<Error>,
    is_at_end: bool,
}

impl ObjectReader {
    fn absent(&self) -> Error {
        let (key, root) = (&self.key, self.folder.shown(""));
        Error::new(ErrorKind::NotFound, format!("no object `{key}` in `{root}`"))
    }

    async fn begin(&mut self) -> Result<()> {
        let mut lease = self.folder.link.lease(&self.cx).await?;
        self.facts = self.folder.file(&mut lease, &self.key).await?.ok_or_else(|| self.absent())?;
        // Servers answer a start behind the end in many ways.
        if self.at >= self.facts.size_bytes || self.end.is_some_and(|end| end <= self.at) {
            self.is_at_end = true;
            return Ok(());
        }
        let running = self.retrieve(lease).await?;
        *self.slot.lock().await = Some(running);
        Ok(())
    }

    async fn retrieve(&self, mut lease: Lease) -> Result<Running> {
        match lease.retrieve(&self.folder.path(&self.key), self.at).await {
            Ok(data) => Ok(Running { lease, data, is_store: false, at: self.at }),
            Err(fault)
                if fault.may_be_absent() && self.folder.file(&mut lease, &self.key).await?.is_none() =>
            {
                Err(self.absent())
            }
            Err(fault) => Err(self.folder.failed("read", &self.key, &fault)),
        }
    }

    /// Reads on with another connection, for this one was wanted elsewhere.
    async fn go_on(&self) -> Result<Running> {
        let mut lease = self.folder.link.living(&self.cx).await?;
        let facts = self.folder.file(&mut lease, &self.key).await?.ok_or_else(|| self.absent())?;
        match facts == self.facts {
            true => self.retrieve(lease).await,
            false => Err(Error::failed(format!("the object `{}` was replaced while it was read", self.key))),
        }
    }

    /// Fills what is held, until the end or an error.
    async fn fill(&mut self) -> Result<()> {
        let slot = self.slot.clone();
        let mut slot = slot.lock().await;
        let mut running = match slot.take() {
            Some(running) => running,
            None => self.go_on().await?,
        };
        let mut filled = 0;
        self.held.resize(HELD, 0);
        let read = loop {
            let wanted = self.end.map_or(u64::MAX, |end| end - self.at).min((HELD - filled) as u64) as usize;
            if wanted == 0 {
                break Ok(());
            }
            match running.data.read(&mut self.held[filled..filled + wanted]).await {
                Ok(0) => {
                    self.is_at_end = true;
                    break Ok(());
                }
                Ok(count) => {
                    filled += count;
                    self.at += count as u64;
                }
                Err(fault) => break Err(running.lease.reason(fault).await),
            }
        };
        self.held.truncate(filled);
        if let Err(fault) = read {
            return Err(self.folder.failed("read", &self.key, &fault));
        }
        if self.is_at_end {
            return self.proved(running).await;
        }
        // What stops in the middle leaves a connection that nobody knows what to say on: it is closed.
        self.is_at_end = self.end == Some(self.at);
        *slot = Some(running).filter(|_| !self.is_at_end);
        Ok(())
    }

    /// The end of the data is the end of the file only if the server says so, and as much came as there was.
    async fn proved(&self, running: Running) -> Result<()> {
        let Running { mut lease, data, .. } = running;
        lease.whole(data).await.map_err(|fault| self.folder.failed("read", &self.key, &fault))?;
        if self.at == self.facts.size_bytes || self.end == Some(self.at) {
            return Ok(());
        }
        // Between the look and the first byte another object may have come in its place, and all of that was read.
        let now = self.folder.file(&mut lease, &self.key).await?;
        if now.is_some_and(|now| now.size_bytes == self.facts.size_bytes) {
            let (at, size) = (self.at, self.facts.size_bytes);
            let message = format!("the object `{}` ended after {at} of {size} bytes", self.key);
            return Err(Error::new(ErrorKind::Unavailable, message));
        }
        Ok(())
    }
}

impl Read for ObjectReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.taken == self.held.len() {
            self.taken = 0;
            self.held.clear();
            if let Some(error) = self.failed.take() {
                return Err(error.into());
            }
            if !self.is_at_end {
                let (folder, cx) = (self.folder.clone(), self.cx.clone());
                let filled = folder.link.run(&cx, self.fill());
                match filled {
                    // What came before it is still good.
                    Err(error) if !self.held.is_empty() && error.kind != ErrorKind::Cancelled => {
                        self.failed = Some(error);
                    }
                    filled => filled?,
                }
            }
        }
        let count = buffer.len().min(self.held.len() - self.taken);
        buffer[..count].copy_from_slice(&self.held[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}

/// What is known of `key`.
pub fn stat(folder: &Folder, cx: &Context, key: &str) -> Result<Option<Object>> {
    let facts = folder.link.run(cx, async {
        let mut ftp = folder.link.lease(cx).await?;
        folder.file(&mut ftp, key).await
    })?;
    Ok(facts.map(|facts| described(key.to_owned(), &facts)))
}

/// An object as the server tells it.
pub fn described(key: String, facts: &Facts) -> Object {
    Object { key, size_bytes: facts.size_bytes, modified: facts.modified, ..Object::default() }
}

/// Deletes `key`, and the folders that are empty then.
pub async fn delete(folder: &Folder, ftp: &mut Session, key: &str) -> Result<()> {
    match ftp.remove(&folder.path(key)).await {
        Ok(()) => {}
        Err(fault) if fault.code().is_some() => {
            // It isn't there, or is a folder: then it is no object.
            return match folder.file(ftp, key).await? {
                Some(_) => Err(folder.failed("delete", key, &fault)),
                None => Ok(()),
            };
        }
        Err(fault) => return Err(folder.failed("delete", key, &fault)),
    }
    folder.prune(ftp, key).await;
    Ok(())
}
