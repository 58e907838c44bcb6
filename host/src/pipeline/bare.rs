//! A stream without a manifest: what another program wrote, or a file copied out of a storage.

use std::io::Read;

use windlass_plugin_api::{Error, ErrorKind, Inputs, Reader, Result, StreamInfo};

use super::chain::{Stacked, decoders};
use super::inputs::Ends;
use super::restore::Bare;
use super::stored::{Reading, counted};
use super::tail::HeldTail;

/// The name of the only stream.
pub const STREAM: &str = "data";

/// The inputs over a bare stream.
pub struct BareInputs {
    bare: Bare,
    filters: Vec<Stacked>,
    reading: Reading,
    ends: Ends,
}

impl BareInputs {
    /// The inputs over `bare`, to which `filters` were applied.
    pub fn new(bare: Bare, filters: Vec<Stacked>, reading: Reading) -> Self {
        Self { bare, filters, reading, ends: Ends::default() }
    }

    /// What was read to its end.
    pub fn ends(&self) -> Ends {
        self.ends.clone()
    }

    /// Reads and decodes it to its end, for nobody.
    pub fn check(&self) -> Result<()> {
        let mut reader = self.reader()?;
        let mut buffer = vec![0; super::hop::BUFFER_BYTES];
        while reader.read(&mut buffer)? > 0 {}
        Ok(())
    }

    /// The end is held back here too: a decoder may find damage at its very end.
    fn reader(&self) -> Result<Reader> {
        let stored = (self.bare.open)()?;
        let cancel = self.reading.cancel.clone();
        let stored: Reader = Box::new(Cancellable { input: stored, cancel });
        let (decoded, rest) =
            decoders(&self.filters, &self.reading.cx, STREAM, stored, &self.reading.faults)?;
        let prove = move || match rest.drain()? {
            0 => Ok(()),
            left => Err(Error::damaged(format!("{left} bytes follow the end of the stream")).into_io()),
        };
        let counted = counted(decoded, &self.reading.moved);
        Ok(Box::new(HeldTail::new(counted, prove)))
    }
}

struct Cancellable {
    input: Reader,
    cancel: std::sync::Arc<crate::run::cancel::Cancel>,
}

impl Read for Cancellable {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.cancel.cancelled() {
            return Err(Error::cancelled().into_io());
        }
        self.input.read(buffer)
    }
}

impl Inputs for BareInputs {
    fn streams(&self) -> Vec<(String, StreamInfo)> {
        vec![(STREAM.to_owned(), StreamInfo::new(&self.bare.stream_format))]
    }

    fn open(&self, name: &str) -> Result<Reader> {
        if name != STREAM {
            return Err(Error::new(ErrorKind::NotFound, format!("there is no stream `{name}`")));
        }
        Ok(self.ends.watch(name, self.reader()?))
    }
}
