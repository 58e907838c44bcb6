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

/// A request under way.
struct Flight {
    flow: Flow,
    answer: JoinHandle<Result<()>>,
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
        self.open().insert(place.to_owned(), Flight { flow, answer });
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

    /// Ends the file and waits for the server's word on it.
    pub async fn end(&self, place: &str) -> Result<()> {
        let flight = self.take(place).ok_or_else(|| Error::failed("this upload is broken off"))?;
        drop(flight.flow);
        let late = || Error::new(ErrorKind::TimedOut, "the server has all bytes and says nothing");
        let waited = tokio::time::timeout(self.patience, flight.answer).await;
        let answer = waited.unwrap_or_else(|_| Ok(Err(late())));
        let abrupt =
            |error: tokio::task::JoinError| Error::failed("a request ended abruptly").because(&error);
        answer.map_err(abrupt)?.map_err(for_good)
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
