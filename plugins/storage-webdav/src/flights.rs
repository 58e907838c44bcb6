//! Uploads on their way: for each one request whose body is written while the stream comes.
//!
//! What a request has stored is a file under a hidden name, so it does no harm that a flow which is given up ends like one
//! that is complete: only who has sent all renames the file. An orderly end is even wanted, for then the server is done
//! with the file when it is deleted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinHandle;
use windlass_object::{Flow, is_passing};
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::request::Requests;

/// A server gets so long to end a file in order that is given up.
const GIVEN_UP: Duration = Duration::from_secs(10);

/// A request under way.
struct Flight {
    flow: Flow,
    answer: Answering,
}

/// A request whose answer is awaited. It ends when nobody does so any more.
struct Answering(JoinHandle<Result<()>>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Flight {
    /// Ends the body, and waits so long for the server's word on it.
    async fn land(self, patience: Duration) -> Result<()> {
        let Self { flow, mut answer } = self;
        drop(flow);
        let Ok(answer) = tokio::time::timeout(patience, &mut answer.0).await else {
            let late = format!("the server has all bytes and says nothing in {} seconds", patience.as_secs());
            return Err(for_good(Error::new(ErrorKind::TimedOut, late)));
        };
        let abrupt =
            |error: tokio::task::JoinError| Error::failed("a request ended abruptly").because(&error);
        answer.map_err(abrupt)?.map_err(for_good)
    }
}

/// All of an instance, by the place that they store to.
pub struct Flights {
    patience: Duration,
    open: Mutex<HashMap<String, Flight>>,
}

impl Flights {
    pub fn new(patience: Duration) -> Self {
        Self { patience, open: Mutex::default() }
    }

    /// Starts the request that stores to `place`.
    pub fn begin(&self, requests: Arc<Requests>, place: &str) {
        let (flow, end) = Flow::new(self.patience);
        let to = place.to_owned();
        let answer = tokio::spawn(async move { requests.store(&to, end).await });
        self.open().insert(place.to_owned(), Flight { flow, answer: Answering(answer) });
    }

    /// Sends more of the file. An error is for good: a request can't go on where it broke.
    pub async fn send(&self, place: &str, bytes: Bytes) -> Result<()> {
        let flow = self.open().get(place).map(|flight| flight.flow.clone());
        let flow = flow.ok_or_else(|| Error::failed("this upload is broken off"))?;
        let sent = flow.send(bytes).await;
        // Its clone would keep the body open.
        drop(flow);
        match sent {
            Ok(true) => Ok(()),
            // The server has answered before it had everything.
            Ok(false) => Err(self.end(place).await.err().unwrap_or_else(early)),
            Err(error) => {
                self.take(place);
                Err(for_good(error))
            }
        }
    }

    /// Ends the file and waits for the server's word on it. It may store a large one only now, and need its time for that.
    pub async fn end(&self, place: &str) -> Result<()> {
        let flight = self.take(place).ok_or_else(|| Error::failed("this upload is broken off"))?;
        let patience = flight.flow.patience_at_end();
        flight.land(patience).await
    }

    /// Ends the file wherever it is. Whatever the answer is, the server is done with it then.
    pub async fn give_up(&self, place: &str) {
        if let Some(flight) = self.take(place) {
            let _ = flight.land(self.patience.min(GIVEN_UP)).await;
        }
    }

    fn take(&self, place: &str) -> Option<Flight> {
        self.open().remove(place)
    }

    fn open(&self) -> std::sync::MutexGuard<'_, HashMap<String, Flight>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn early() -> Error {
    Error::failed("the server ended an upload that isn't at its end")
}

/// What may pass elsewhere doesn't here: the bytes that were sent are gone.
fn for_good(error: Error) -> Error {
    if !is_passing(&error) {
        return error;
    }
    let said = Error::failed("the upload broke off, and WebDAV can't go on with one").because(&error);
    said.hint(
        "Run the backup again; on a line that often breaks a storage with uploads in parts serves better.",
    )
}
