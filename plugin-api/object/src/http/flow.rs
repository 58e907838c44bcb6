//! A request whose body comes piece by piece while it is sent, for services that take a whole object in one request and
//! nothing in parts. Its length isn't known before, so it goes chunked.
//!
//! Holds one piece at a time: who gives the next one waits until the line has taken it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame};
use tokio::sync::mpsc;
use windlass_plugin_api::{Error, ErrorKind, Result};

use super::{Answer, Http, broken};

/// Of a larger piece no more is handed on at once, so that a slow line is told from one that stands still.
const PIECE: usize = 128 * 1024;

/// The end of a flow that bytes are put into. When it is dropped, the body ends there.
#[derive(Clone, Debug)]
pub struct Flow {
    pieces: mpsc::Sender<Bytes>,
    patience: Duration,
}

/// The end of a flow that a request sends.
#[derive(Debug)]
pub struct FlowEnd(mpsc::Receiver<Bytes>);

impl Flow {
    /// Both ends. `patience` is how long the line may take nothing.
    pub fn new(patience: Duration) -> (Self, FlowEnd) {
        let (pieces, taken) = mpsc::channel(1);
        (Self { pieces, patience }, FlowEnd(taken))
    }

    /// Waits until the line has taken all of `bytes`. False where nobody takes any more: the request has an answer then.
    pub async fn send(&self, mut bytes: Bytes) -> Result<bool> {
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(PIECE));
            match tokio::time::timeout(self.patience, self.pieces.send(piece)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Ok(false),
                Err(_) => {
                    let late = format!("the service took no byte in {} seconds", self.patience.as_secs());
                    return Err(Error::new(ErrorKind::TimedOut, late));
                }
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
    /// How long that may take is the caller's to say.
    pub async fn send_flow(&self, request: Request<()>, flow: FlowEnd) -> Result<Answer> {
        let place = request.uri().host().unwrap_or_default().to_owned();
        let request = request.map(|()| reqwest::Body::wrap(flow));
        let request = reqwest::Request::try_from(request)
            .map_err(|error| Error::failed("a request couldn't be formed").because(&error))?;
        let body = self.client()?.execute(request).await.map_err(|error| broken(&error, &place))?;
        let (status, headers) = (body.status(), body.headers().clone());
        self.note_clock(&headers);
        Ok(Answer { status, headers, body })
    }
}
