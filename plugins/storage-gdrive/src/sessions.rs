//! Resumable uploads: a session takes bytes in order, keeps what came when a line breaks, and shows its file with the last byte.
//!
//! So `finish` sends all but the last few bytes, and publishing sends those. Where an answer was lost, the session is asked how
//! far it is, and goes on there. The hash of the whole is made along the way. Nothing is repeated here.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::Method;
use sha2::{Digest, Sha256};
use windlass_object::Part;
use windlass_plugin_api::{Error, Result};

use crate::errors::is_gone;
use crate::files::File;
use crate::request::{Ask, Requests, read};

/// All but the last bytes of an upload are sent in multiples of this.
pub const STEP: usize = 256 * 1024;

/// An upload under way.
#[derive(Clone, Default)]
struct Running {
    sum: Sha256,
    hashed: u64,
    /// A request was sent whose answer isn't known.
    in_doubt: bool,
    /// The last bytes, which publishing sends.
    tail: Bytes,
}

/// Those of an instance, by the URLs of their sessions.
#[derive(Default)]
pub struct Sessions(Mutex<HashMap<String, Running>>);

/// What a session says.
enum Said {
    /// So many bytes from the start it has.
    Kept(u64),
    Done(File),
}

/// The hash as the service writes it.
pub fn hash_text(bytes: &[u8]) -> String {
    written(&Sha256::digest(bytes))
}

fn written(sum: &[u8]) -> String {
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How many bytes of the last part are sent before it is published: never all, so that publishing always has some to send.
fn sent_before(length: usize) -> usize {
    length.saturating_sub(1) / STEP * STEP
}

impl Sessions {
    pub fn begin(&self, session: &str) {
        self.set(session, Running::default());
    }

    pub fn forget(&self, session: &str) {
        self.open().remove(session);
    }

    /// Sends a part, or what is missing of it.
    pub async fn part(&self, requests: &Requests, session: &str, part: &Part) -> Result<()> {
        let mut running = self.get(session)?;
        let length = part.bytes.len() as u64;
        if running.hashed == part.offset {
            running.sum.update(&part.bytes);
            running.hashed += length;
        }
        if running.hashed != part.offset + length {
            return Err(Error::failed("the parts of an upload came out of order"));
        }
        let sent = if part.is_last { sent_before(part.bytes.len()) } else { part.bytes.len() };
        running.tail = part.bytes.slice(sent..);
        self.set(session, running);
        let bytes = part.bytes.slice(..sent);
        if bytes.is_empty() {
            return Ok(());
        }
        match self.send(requests, session, part.offset, bytes, None).await? {
            None => Ok(()),
            Some(_) => Err(Error::failed("the service ended an upload that isn't at its end")),
        }
    }

    /// Sends the last bytes; the file, whose hash is proved.
    pub async fn finish(&self, requests: &Requests, session: &str) -> Result<File> {
        let Running { sum, hashed, tail, .. } = self.get(session)?;
        let from = hashed - tail.len() as u64;
        let file = self.send(requests, session, from, tail, Some(hashed)).await?;
        let file =
            file.ok_or_else(|| windlass_object::unavailable("the service didn't keep what was sent"))?;
        judge(requests, &file, &written(&sum.finalize()), hashed).await?;
        Ok(file)
    }

    /// Sends bytes until the session has them all. With `total`, they are the last.
    async fn send(
        &self,
        requests: &Requests,
        session: &str,
        from: u64,
        bytes: Bytes,
        total: Option<u64>,
    ) -> Result<Option<File>> {
        let end = from + bytes.len() as u64;
        let mut at = from;
        if self.get(session)?.in_doubt {
            match said(requests, session, "bytes */*".to_owned(), Bytes::new()).await? {
                Said::Done(file) => return Ok(Some(file)),
                Said::Kept(kept) if kept < from || kept > end => {
                    return Err(Error::failed(format!(
                        "the service has {kept} bytes, which isn't where the upload is"
                    ))
                    .hint("Run the backup again."));
                }
                Said::Kept(kept) => at = kept,
            }
        }
        while at < end {
            self.doubt(session, true);
            let total = total.map_or("*".to_owned(), |total| total.to_string());
            let rest = bytes.slice((at - from) as usize..);
            match said(requests, session, format!("bytes {at}-{}/{total}", end - 1), rest).await? {
                Said::Done(file) => return Ok(Some(file)),
                Said::Kept(kept) if kept <= at || kept > end => {
                    return Err(windlass_object::unavailable("the service didn't keep what was sent"));
                }
                Said::Kept(kept) => at = kept,
            }
        }
        self.doubt(session, false);
        Ok(None)
    }

    fn doubt(&self, session: &str, in_doubt: bool) {
        if let Some(running) = self.open().get_mut(session) {
            running.in_doubt = in_doubt;
        }
    }

    fn get(&self, session: &str) -> Result<Running> {
        let running = self.open().get(session).cloned();
        running.ok_or_else(|| Error::failed("this upload is broken off"))
    }

    fn set(&self, session: &str, running: Running) {
        self.open().insert(session.to_owned(), running);
    }

    fn open(&self) -> std::sync::MutexGuard<'_, HashMap<String, Running>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Proves what the service says it stored. What is other is removed: it is visible by now.
pub async fn judge(requests: &Requests, file: &File, sum: &str, length: u64) -> Result<()> {
    let is_same = file.sha256_checksum.as_deref().is_none_or(|theirs| theirs.eq_ignore_ascii_case(sum));
    if is_same && file.size_bytes() == length {
        return Ok(());
    }
    requests.remove(&file.id).await?;
    Err(Error::damaged("the service stored other bytes than were sent"))
}

async fn said(requests: &Requests, session: &str, range: String, bytes: Bytes) -> Result<Said> {
    let ask =
        Ask::new(Method::PUT, session.to_owned()).header("content-range", range).body(bytes).expect(&[308]);
    let answer = requests.send(ask).await.map_err(|error| match is_gone(&error) {
        true => Error::failed("the service has given this upload up")
            .because(&error)
            .hint("It does so after a week, or where something of its own broke: run the backup again."),
        false => error,
    })?;
    if answer.status.as_u16() != 308 {
        return Ok(Said::Done(read(answer).await?));
    }
    // Nothing kept has no range at all.
    let last = answer.header("range").and_then(|range| range.rsplit_once('-')?.1.parse::<u64>().ok());
    Ok(Said::Kept(last.map_or(0, |last| last + 1)))
}
