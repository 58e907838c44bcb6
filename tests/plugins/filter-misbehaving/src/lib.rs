//! A filter that fails on request: a fixture for the tests of the host. Bytes pass through it unchanged.
//!
//! It goes wrong in one chosen way and is honest otherwise. Nothing but a test names it.

use std::io::{self, Read, Write};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use windlass_plugin_api::{Context, Encoder, Filter, Finished, Plugin, Reader, Result, Sink};

windlass_plugin_api::export_plugin! {
    filter Misbehaving {
        "name": "misbehaving",
        "summary": "passes bytes through and goes wrong on request",
        "suffix": ".bad",
    }
    options: "../options.schema.json"
}

/// Options of `misbehaving`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// What goes wrong.
    behaviour: Behaviour,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Behaviour {
    /// Nothing.
    #[default]
    None,
    /// The constructor panics.
    PanicInNew,
    /// `encode` panics.
    PanicInEncode,
    /// The first write of an encoder panics.
    PanicInWrite,
    /// An encoder's `finish` panics.
    PanicInFinish,
    /// `decode` panics.
    PanicInDecode,
    /// The first read of a decoder panics.
    PanicInRead,
    /// `by_hand` panics.
    PanicInByHand,
    /// The destructors of the filter, of encoders and of decoders panic.
    PanicInDrop,
    /// A decoder claims more bytes than its buffer holds.
    LyingReader,
    /// An encoder claims more bytes than it was given.
    LyingWriter,
    /// A decoder says end-of-file after its first bytes and leaves the rest of its input unread.
    NeverReadsOn,
    /// `encode` and `decode` log a line at each level, through `tracing` and through `log`.
    Log,
}

/// The filter.
pub struct Misbehaving {
    behaviour: Behaviour,
}

impl Plugin for Misbehaving {
    type Options = Options;

    fn new(Options { behaviour }: Options, _: &Context) -> Result<Self> {
        behaviour.panics_if(Behaviour::PanicInNew);
        Ok(Self { behaviour })
    }
}

impl Filter for Misbehaving {
    fn encode(&self, _: &Context, stream: &str, next: Box<dyn Sink>) -> Result<Box<dyn Sink>> {
        self.behaviour.panics_if(Behaviour::PanicInEncode);
        self.log("encode", stream);
        let behaviour = self.behaviour;
        let through = Through { inner: Some(next), behaviour, calls: 0 };
        Ok(Box::new(Encoder::new(through, move |mut through| {
            behaviour.panics_if(Behaviour::PanicInFinish);
            let next = through.inner.take().ok_or_else(|| io::Error::other("the encoder has ended"))?;
            Ok((next, Finished::default()))
        })))
    }

    fn decode(&self, _: &Context, stream: &str, _: &Map<String, Value>, input: Reader) -> Result<Reader> {
        self.behaviour.panics_if(Behaviour::PanicInDecode);
        self.log("decode", stream);
        Ok(Box::new(Through { inner: Some(input), behaviour: self.behaviour, calls: 0 }))
    }

    fn by_hand(&self) -> Option<String> {
        self.behaviour.panics_if(Behaviour::PanicInByHand);
        Some("cat".to_owned())
    }
}

impl Misbehaving {
    fn log(&self, call: &str, stream: &str) {
        if self.behaviour != Behaviour::Log {
            return;
        }
        tracing::error!(stream, "{call}: an error by tracing");
        tracing::warn!(stream, "{call}: a warning by tracing");
        tracing::info!(stream, "{call}: an info by tracing");
        tracing::debug!(stream, "{call}: a debug by tracing");
        tracing::trace!(stream, "{call}: a trace by tracing");
        log::error!("{call}: an error by log");
        log::warn!("{call}: a warning by log");
        log::info!("{call}: an info by log");
        log::debug!("{call}: a debug by log");
        log::trace!("{call}: a trace by log");
    }
}

impl Drop for Misbehaving {
    fn drop(&mut self) {
        self.behaviour.panics_if(Behaviour::PanicInDrop);
    }
}

impl Behaviour {
    /// Panics where it is `this`.
    fn panics_if(self, this: Self) {
        assert!(self != this, "asked to: {this:?}");
    }
}

/// A reader or writer that passes bytes through, until it is to go wrong.
struct Through<T> {
    inner: Option<T>,
    behaviour: Behaviour,
    calls: u64,
}

impl<T> Through<T> {
    fn inner(&mut self) -> io::Result<&mut T> {
        self.calls += 1;
        self.inner.as_mut().ok_or_else(|| io::Error::other("the stream has ended"))
    }
}

impl<W: Write> Write for Through<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.behaviour.panics_if(Behaviour::PanicInWrite);
        let count = self.inner()?.write(bytes)?;
        Ok(if self.behaviour == Behaviour::LyingWriter { bytes.len() + 1 } else { count })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner()?.flush()
    }
}

impl<R: Read> Read for Through<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.behaviour.panics_if(Behaviour::PanicInRead);
        if self.behaviour == Behaviour::NeverReadsOn && self.calls > 0 {
            return Ok(0);
        }
        let count = self.inner()?.read(buffer)?;
        Ok(if self.behaviour == Behaviour::LyingReader { buffer.len() + 1 } else { count })
    }
}

impl<T> Drop for Through<T> {
    fn drop(&mut self) {
        // What was handed on isn't dropped here.
        if self.inner.is_some() {
            self.behaviour.panics_if(Behaviour::PanicInDrop);
        }
    }
}
