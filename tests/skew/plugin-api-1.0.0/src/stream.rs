//! The two ends of a byte stream, and how a source gets at them.
//!
//! Backup is a push chain: the source writes into a [`Sink`], each encoder is a [`Sink`] around the next one, and the
//! last is the storage's [`Upload`](crate::Upload). Restore is a pull chain of plain [`Read`]s. Counting, hashing,
//! throttling, cancelling and fan-out are the host's: a plugin sees only the next writer or reader.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::Result;

/// A stream to read a restore from. `read` may return any error; [`Error::from`](crate::Error) gets it back whole.
pub type Reader = Box<dyn Read + Send>;

/// The writing end of one stream.
///
/// Calls come from one thread at a time: any number of `write`s, then `finish` at most once, or a drop.
/// **Dropping a sink that isn't finished aborts it**: what was written is discarded, here and in every sink behind it.
/// A sink that an encoder returns must do nothing in its destructor that could look like a finished stream further
/// down; the host discards bytes that arrive after an abort, so a codec's drop glue can't publish a trailer.
///
/// After an error from `write` or `finish`, only a drop may follow.
pub trait Sink: Write + Send {
    /// Ends the stream well: writes trailers, finishes the sink behind it, returns when all bytes are durable.
    /// Nothing becomes visible by this; that is the host's to decide, after the source's own verdict.
    fn finish(&mut self) -> Result<Finished>;
}

impl<S: Sink + ?Sized> Sink for Box<S> {
    fn finish(&mut self) -> Result<Finished> {
        (**self).finish()
    }
}

/// What a finished stream has to say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    /// Of an encoder: public key/values that its `decode` gets back on restore (never a secret: they are stored in the
    /// manifest). Of any other sink: empty.
    #[serde(default)]
    pub params: Map<String, Value>,
    /// What a newer side adds.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What a source says of a stream when it creates it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StreamInfo {
    /// The format of the plain bytes, such as `pg-custom/1` or `tar/1`: whoever reads that format can restore it.
    #[serde(default)]
    pub stream_format: String,
    /// About how many bytes will come, if known.
    #[serde(default)]
    pub size_hint: Option<u64>,
    /// What a newer side adds.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl StreamInfo {
    /// A stream of `stream_format` and unknown length.
    pub fn new(stream_format: impl Into<String>) -> Self {
        Self { stream_format: stream_format.into(), ..Self::default() }
    }

    /// With about `bytes` to come.
    #[must_use]
    pub fn size_hint(mut self, bytes: u64) -> Self {
        self.size_hint = Some(bytes);
        self
    }
}

/// Where a source puts its streams during a backup.
pub trait Outputs: Send + Sync {
    /// Opens the stream `name` for writing.
    ///
    /// Names match `[a-z0-9][a-z0-9-]{0,31}` and say nothing of the content (`data`, `data-0007`): they become object
    /// keys. Table names and the like belong in [`Contents`](crate::Contents). Several streams may be open at once, from
    /// several threads. A name that was already created is an error.
    fn create(&self, name: &str, info: StreamInfo) -> Result<Box<dyn Sink>>;
}

/// Where a source gets its streams from during a restore.
pub trait Inputs: Send + Sync {
    /// Every stream of the snapshot with its format, in the order in which they were created.
    fn streams(&self) -> Vec<(String, StreamInfo)>;

    /// Opens the stream `name` from its beginning; may be repeated, and starts over each time.
    ///
    /// The last bytes and end-of-file are held back until the stored stream has been read to its end and its hash
    /// matches. On a mismatch `read` returns an error of kind [`Damaged`](crate::ErrorKind::Damaged): a source that feeds
    /// a child must kill and await it **before** it closes the child's stdin, for many programs commit at end-of-file.
    fn open(&self, name: &str) -> Result<Reader>;
}

/// A [`Sink`] out of a codec's writer and the step that ends it.
///
/// Most codecs have a writer that wraps another and a `finish` that writes the trailer and gives the inner one back:
///
/// ```
/// # use windlass_plugin_api::{Encoder, Finished, Result, Sink};
/// # use std::io::Write;
/// # struct Rot13<W>(W);
/// # impl<W: Write> Write for Rot13<W> {
/// #   fn write(&mut self, b: &[u8]) -> std::io::Result<usize> { self.0.write(b) }
/// #   fn flush(&mut self) -> std::io::Result<()> { self.0.flush() }
/// # }
/// fn encode(next: Box<dyn Sink>) -> Box<dyn Sink> {
///     Box::new(Encoder::new(Rot13(next), |rot13| Ok((rot13.0, Finished::default()))))
/// }
/// ```
pub struct Encoder<W, F> {
    writer: Option<W>,
    finish: Option<F>,
}

impl<W, F> Encoder<W, F>
where
    W: Write + Send,
    F: FnOnce(W) -> io::Result<(Box<dyn Sink>, Finished)> + Send,
{
    /// `finish` writes the trailer into the sink behind `writer` and gives that sink back, unfinished.
    pub fn new(writer: W, finish: F) -> Self {
        Self { writer: Some(writer), finish: Some(finish) }
    }

    fn writer(&mut self) -> io::Result<&mut W> {
        self.writer.as_mut().ok_or_else(|| io::Error::other("the stream is already finished"))
    }
}

impl<W, F> Write for Encoder<W, F>
where
    W: Write + Send,
    F: FnOnce(W) -> io::Result<(Box<dyn Sink>, Finished)> + Send,
{
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer()?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer()?.flush()
    }
}

impl<W, F> Sink for Encoder<W, F>
where
    W: Write + Send,
    F: FnOnce(W) -> io::Result<(Box<dyn Sink>, Finished)> + Send,
{
    fn finish(&mut self) -> Result<Finished> {
        let (Some(writer), Some(finish)) = (self.writer.take(), self.finish.take()) else {
            return Err(crate::Error::failed("the stream is already finished"));
        };
        let (mut next, finished) = finish(writer)?;
        next.finish()?;
        Ok(finished)
    }
}
