//! Published objects: read, looked at, deleted.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use windlass_plugin_api::{ByteRange, Context, Error, ErrorKind, Object, Reader, Result};

use crate::connect::Connection;
use crate::flow::Reading;
use crate::folder::Folder;
use crate::protocol::{Attrs, Fault, Kind, Session, flags, status};

/// Reads `key`, or a part of it.
pub fn open(folder: &Arc<Folder>, cx: &Context, key: &str, range: Option<ByteRange>) -> Result<Reader> {
    let (connection, reading) = folder.link.run(cx, async {
        let connection = folder.link.connection(cx).await?;
        let absent =
            || Error::new(ErrorKind::NotFound, format!("no object `{key}` in `{}`", folder.shown("")));
        let attrs = folder.look(&connection.sftp, key).await?.filter(is_file).ok_or_else(absent)?;
        let handle = match connection.sftp.open(&folder.path(key), flags::READ, None).await {
            Ok(handle) => handle,
            Err(Fault::Status { code: status::NO_SUCH_FILE, .. }) => return Err(absent()),
            Err(fault) => return Err(folder.failed("open", key, &fault)),
        };
        let range = range.unwrap_or(ByteRange { offset: 0, length: None });
        let end = range.length.map_or(u64::MAX, |length| range.offset.saturating_add(length));
        let mut reading = Reading::new(handle, &connection.sftp, range.offset, end.min(attrs.size_bytes));
        reading.ask(&connection.sftp).await.map_err(|fault| folder.failed("read", key, &fault))?;
        Ok((connection, reading))
    })?;
    let (folder, cx, key) = (folder.clone(), cx.clone(), key.to_owned());
    Ok(Box::new(ObjectReader { folder, cx, connection, key, reading, held: Bytes::new() }))
}

/// An object that comes ahead of who reads it.
struct ObjectReader {
    folder: Arc<Folder>,
    cx: Context,
    connection: Arc<Connection>,
    key: String,
    reading: Reading,
    held: Bytes,
}

impl Read for ObjectReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.held.is_empty() {
            let (reading, sftp) = (&mut self.reading, &self.connection.sftp);
            let next = self.folder.link.run(&self.cx, async {
                reading.next(sftp).await.map_err(|fault| self.folder.failed("read", &self.key, &fault))
            })?;
            self.held = next.unwrap_or_default();
        }
        let count = buffer.len().min(self.held.len());
        self.held.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

impl Drop for ObjectReader {
    fn drop(&mut self) {
        if self.connection.sftp.is_alive() {
            self.folder.link.tidy(async {
                self.connection.sftp.forget(self.reading.handle()).await;
                Ok(())
            });
        }
    }
}

/// What is known of `key`.
pub fn stat(folder: &Folder, cx: &Context, key: &str) -> Result<Option<Object>> {
    let attrs = folder.link.run(cx, async {
        let connection = folder.link.connection(cx).await?;
        folder.look(&connection.sftp, key).await
    })?;
    Ok(attrs.filter(is_file).map(|attrs| described(key.to_owned(), &attrs)))
}

fn is_file(attrs: &Attrs) -> bool {
    attrs.kind() == Kind::File
}

/// An object as the server tells it.
pub fn described(key: String, attrs: &Attrs) -> Object {
    Object { key, size_bytes: attrs.size_bytes, modified: attrs.modified, ..Object::default() }
}

/// Deletes `key`, and the folders that are empty then.
pub async fn delete(folder: &Folder, sftp: &Session, key: &str) -> Result<()> {
    // A link may be deleted, one on the way there leads nowhere.
    if let Some((above, _)) = key.rsplit_once('/')
        && folder.look(sftp, above).await?.is_none_or(|attrs| attrs.kind() != Kind::Folder)
    {
        return Ok(());
    }
    match sftp.remove(&folder.path(key)).await {
        Ok(()) => {}
        Err(Fault::Status { code: status::NO_SUCH_FILE, .. }) => {
            folder.is_there(sftp).await?;
            return Ok(());
        }
        Err(fault @ Fault::Status { .. }) => {
            // A folder isn't an object; each server says in its own way that it can't be removed like one.
            let attrs = folder.look(sftp, key).await?;
            return match attrs.is_some_and(|attrs| attrs.kind() == Kind::File) {
                true => Err(folder.failed("delete", key, &fault)),
                false => Ok(()),
            };
        }
        Err(fault) => return Err(folder.failed("delete", key, &fault)),
    }
    folder.prune(sftp, key).await;
    Ok(())
}
