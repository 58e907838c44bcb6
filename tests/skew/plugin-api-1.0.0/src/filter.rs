//! A reversible stream transform.

use serde_json::{Map, Value};

use crate::context::Context;
use crate::error::Result;
use crate::stream::{Reader, Sink};

/// A filter: compression, encryption.
///
/// One instance serves all streams of a run, from several threads at once; the state of a stream lives in what `encode`
/// and `decode` return. Those are used from one thread at a time, which need not be the one that made them.
pub trait Filter: Send + Sync {
    /// A sink that writes the encoded form of what it is given into `next`, and finishes `next` when it is finished.
    /// `stream` is the stream's name. [`Encoder`](crate::Encoder) fits most codecs.
    fn encode(&self, cx: &Context, stream: &str, next: Box<dyn Sink>) -> Result<Box<dyn Sink>>;

    /// A reader of the plain form of `input`. `params` is what the encoder's [`Finished`](crate::Finished) recorded; empty
    /// for a stream that another program wrote.
    ///
    /// It must read `input` to its end, and return an error of kind [`Damaged`](crate::ErrorKind::Damaged) for bytes that
    /// are truncated, garbage or followed by garbage: a decoder that stops early hides damage.
    fn decode(
        &self,
        cx: &Context,
        stream: &str,
        params: &Map<String, Value>,
        input: Reader,
    ) -> Result<Reader>;

    /// The shell command that decodes stdin to stdout (`zstd -dc`), for RESTORE.txt. No secret in it.
    fn by_hand(&self) -> Option<String> {
        None
    }
}
