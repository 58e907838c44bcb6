//! Who waits for which answer, and for how long.
//!
//! A slow answer is waited for as long as anything comes or goes: with many requests under way, and a slow line, the last of
//! them has to wait for all.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{oneshot, watch};

use super::wire::{Attrs, Reply, status};

/// Why a request wasn't done.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The server's answer.
    Status { code: u32, message: String },
    /// The connection ended; what is known of it.
    Lost(String),
    /// Nothing came or went for so long.
    Silent(Duration),
    /// The server doesn't speak SFTP, or breaks it.
    Odd(&'static str),
}

#[derive(Default)]
pub struct Shared {
    waiting: Mutex<Waiting>,
    /// Counts what came and went.
    pub moved: AtomicU64,
    /// True once the session is over: a channel that has ended never has room again, and doesn't say so.
    over: watch::Sender<bool>,
}

#[derive(Default)]
pub struct Waiting {
    pub answers: HashMap<u32, oneshot::Sender<Reply>>,
    /// The session is over.
    pub ended: Option<Fault>,
}

/// A request that was sent.
pub struct Pending {
    pub id: u32,
    pub answer: oneshot::Receiver<Reply>,
    pub shared: Arc<Shared>,
    pub patience: Duration,
}

impl Pending {
    pub async fn answer(mut self) -> Result<Reply, Fault> {
        let mut moved = self.shared.moved.load(Ordering::Relaxed);
        loop {
            match tokio::time::timeout(self.patience, &mut self.answer).await {
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(_)) => return Err(self.shared.reason()),
                Err(_) => self.shared.is_silent(&mut moved, self.patience)?,
            }
        }
    }

    pub async fn done(self) -> Result<(), Fault> {
        match self.answer().await? {
            Reply::Status { code: status::OK, .. } => Ok(()),
            other => Err(fault(other)),
        }
    }

    /// `None`: there is nothing of that name.
    pub async fn attrs(self) -> Result<Option<Attrs>, Fault> {
        match self.answer().await? {
            Reply::Attrs(attrs) => Ok(Some(attrs)),
            Reply::Status { code: status::NO_SUCH_FILE | status::NO_SUCH_PATH, .. } => Ok(None),
            other => Err(fault(other)),
        }
    }

    /// `None` at the end of the file.
    pub async fn data(self) -> Result<Option<Bytes>, Fault> {
        match self.answer().await? {
            Reply::Data(data) => Ok(Some(data)),
            Reply::Status { code: status::EOF, .. } => Ok(None),
            other => Err(fault(other)),
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.shared.lock().answers.remove(&self.id);
    }
}

pub fn handle(reply: Reply) -> Result<Bytes, Fault> {
    match reply {
        Reply::Handle(handle) => Ok(handle),
        other => Err(fault(other)),
    }
}

pub fn fault(reply: Reply) -> Fault {
    match reply {
        Reply::Status { code, message } if code != status::OK => Fault::Status { code, message },
        _ => Fault::Odd("it answers what wasn't asked"),
    }
}

impl Shared {
    pub fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn reason(&self) -> Fault {
        self.lock().ended.clone().unwrap_or_else(|| Fault::Lost(String::new()))
    }

    /// Ends the session: whoever waits is told.
    pub fn end(&self, fault: Fault) {
        let mut waiting = self.lock();
        waiting.ended.get_or_insert(fault);
        waiting.answers.clear();
        self.over.send_replace(true);
    }

    /// Waits for the session's end.
    pub async fn over(&self) {
        let _ = self.over.subscribe().wait_for(|is_over| *is_over).await;
    }

    /// An error, and the session's end, if nothing moved since `moved` was taken.
    pub fn is_silent(&self, moved: &mut u64, patience: Duration) -> Result<(), Fault> {
        let now = self.moved.load(Ordering::Relaxed);
        if std::mem::replace(moved, now) != now {
            return Ok(());
        }
        self.end(Fault::Silent(patience));
        Err(Fault::Silent(patience))
    }
}
