//! A request whose body comes piece by piece while it is sent, for services that take a whole object in one request and
//! nothing in parts. Its length isn't known before, so it goes chunked.
//!
//! Holds one piece at a time: who gives the next one waits until the line has taken it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame};
use tokio::sync::mpsc;
use windlass_plugin_api::{Error, Result};

use super::{Answer, Http, late};

/// Of a larger piece no more is handed on at once, so that a slow line is told from one that stands still.
const PIECE: usize = 128 * 1024;

/// After its last byte a service is given a second more for so many bytes: what it does with them then, such as copying all
/// of them to another disk, is mostly done at 40 Mbit/s.
const STORED_BYTES_A_SECOND: u64 = 5_000_000;

/// The end of a flow that bytes are put into. When it is dropped, the body ends there.
#[derive(Clone, Debug)]
pub struct Flow {
    pieces: mpsc::Sender<Bytes>,
    patience: Duration,
    sent_bytes: Arc<AtomicU64>,
}

/// The end of a flow that a request sends.
#[derive(Debug)]
pub struct FlowEnd(mpsc::Receiver<Bytes>);

impl Flow {
    /// Both ends. `patience` is how long the line may take nothing.
    pub fn new(patience: Duration) -> (Self, FlowEnd) {
        let (pieces, taken) = mpsc::channel(1);
        (Self { pieces, patience, sent_bytes: Arc::default() }, FlowEnd(taken))
    }

    /// How long the answer may take once the last byte was sent: a service may store all of them only then.
    pub fn patience_at_end(&self) -> Duration {
        let sent_bytes = self.sent_bytes.load(Ordering::Relaxed);
        self.patience + Duration::from_secs(sent_bytes / STORED_BYTES_A_SECOND)
    }

    /// Waits until the line has taken all of `bytes`. False where nobody takes any more: the request has an answer then.
    pub async fn send(&self, mut bytes: Bytes) -> Result<bool> {
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(PIECE));
            let length = piece.len() as u64;
            match tokio::time::timeout(self.patience, self.pieces.send(piece)).await {
                Ok(Ok(())) => _ = self.sent_bytes.fetch_add(length, Ordering::Relaxed),
                Ok(Err(_)) => return Ok(false),
                Err(_) => return Err(late("the service took no byte", self.patience)),
            }
        }
        Ok(true)
    }
}

impl Body for FlowEnd {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

impl Http {
    /// Sends a request whose body is what comes out of `flow`, and waits for the head of the answer, whatever its status.
    /// How long that may take is the caller's to say, by [`Flow::send`] and [`Flow::patience_at_end`]: a source may be slow.
    pub async fn send_flow(&self, request: Request<()>, flow: FlowEnd) -> Result<Answer> {
        let place = request.uri().host().unwrap_or_default().to_owned();
        let request = request.map(|()| reqwest::Body::wrap(flow));
        let request = reqwest::Request::try_from(request)
            .map_err(|error| Error::failed("a request couldn't be formed").because(&error))?;
        self.begun(self.client()?.execute(request).await, &place)
    }
}
