//! An encoder of formats that are one long stream: a sink around a codec that takes bytes and gives bytes.
//!
//! It writes only from the caller's thread, and its destructor writes nothing: dropped before `finish`, it leaves a stream
//! without an end, which no decoder takes for whole.

use std::io::{self, Write};

use serde_json::{Map, Value};
use windlass_plugin_api::{Finished, Result, Sink};

use crate::already_finished;

/// What is handed on at a time.
const OUTPUT_BYTES: usize = 256 * 1024;

/// How far a codec is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Until the input is taken.
    Taken,
    /// Until a decoder could give back all that was written.
    Flushed,
    /// Until the stream is complete.
    Ended,
}

/// What one call did.
#[derive(Clone, Copy, Debug)]
pub struct Ran {
    /// Bytes taken.
    pub read: usize,
    /// Bytes given.
    pub written: usize,
    /// It got as far as it was to go. Of no meaning for [`Until::Taken`].
    pub is_there: bool,
}

/// A codec that compresses.
pub trait Compress: Send {
    /// Takes from `input`, and fills `output` as far as there is something. Called again, with what is left, until all is
    /// taken and it is there.
    fn run(&mut self, input: &[u8], output: &mut [u8], until: Until) -> Result<Ran>;
}

/// A stream being written.
pub struct StreamEncoder<C> {
    codec: C,
    output: Box<[u8]>,
    filled: usize,
    params: Map<String, Value>,
    next: Box<dyn Sink>,
    is_over: bool,
}

impl<C: Compress> StreamEncoder<C> {
    /// Writes what `codec` gives into `next`. `params` are what the decoder will be told.
    pub fn new(codec: C, params: Map<String, Value>, next: Box<dyn Sink>) -> Self {
        let output = vec![0; OUTPUT_BYTES].into_boxed_slice();
        Self { codec, output, filled: 0, params, next, is_over: false }
    }

    fn run(&mut self, mut input: &[u8], until: Until) -> Result<()> {
        loop {
            let ran = self.codec.run(input, &mut self.output[self.filled..], until)?;
            self.filled += ran.written;
            input = &input[ran.read..];
            let is_done = input.is_empty() && (ran.is_there || until == Until::Taken);
            if self.filled == self.output.len() || (is_done && until != Until::Taken) {
                self.next.write_all(&self.output[..self.filled])?;
                self.filled = 0;
            }
            if is_done {
                return Ok(());
            }
        }
    }

    fn go_on(&self) -> Result<()> {
        if self.is_over { Err(already_finished()) } else { Ok(()) }
    }
}

impl<C: Compress> Write for StreamEncoder<C> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.go_on()?;
        if !bytes.is_empty() {
            self.run(bytes, Until::Taken)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.go_on()?;
        self.run(&[], Until::Flushed)?;
        self.next.flush()
    }
}

impl<C: Compress> Sink for StreamEncoder<C> {
    fn finish(&mut self) -> Result<Finished> {
        self.go_on()?;
        self.is_over = true;
        self.run(&[], Until::Ended)?;
        self.next.finish()?;
        Ok(Finished { params: std::mem::take(&mut self.params), ..Finished::default() })
    }
}
