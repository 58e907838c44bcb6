//! A stream without a manifest: what another program wrote, or a file copied out of a storage.

use std::io::Read;
use std::sync::Arc;

use windlass_plugin_api::{Error, ErrorKind, Inputs, Reader, RestoreOptions, Result, StreamInfo};

use super::chain::{Stacked, decoders};
use super::inputs::Ends;
use super::plan::{Chosen, Engine};
use super::restore::{Job, Request, locks};
use super::run::Run;
use super::stored::{Reading, counted};
use super::tail::HeldTail;
use super::watch::{Limits, supervise};
use crate::catalog::SnapshotId;
use crate::exit::{Exit, Failure, Outcome};

/// A stream without a manifest: a file, or standard input.
pub struct Bare {
    /// How to open it; again only where `again`.
    pub open: Box<dyn Fn() -> Result<Reader> + Send + Sync>,
    /// Whether it can be opened more than once.
    pub again: bool,
    /// What to call it.
    pub name: String,
    /// The filters that were applied to it, in order.
    pub filters: Vec<Chosen>,
    /// The format of its plain bytes.
    pub stream_format: String,
}

/// Restores a bare stream. Nothing says what its bytes should be: its filters' own checks are all there is.
pub fn restore_bare(engine: &Arc<Engine>, bare: Bare, request: &Request) -> Outcome<Exit> {
    let run = Run::new(engine, SnapshotId::new(jiff::Timestamp::now()));
    let name = bare.name.clone();
    let (own, request, inner) = (engine.clone(), request.clone(), run.clone());
    let work = move || apply_bare(&own, bare, &request, &inner);
    let outcome = supervise(&run.cancel, Limits::default(), &run.moved, work).and_then(|outcome| outcome);
    outcome.map_err(|failure| run.faults.cause_of(failure).in_pipeline(&name))
}

fn apply_bare(engine: &Engine, bare: Bare, request: &Request, run: &Run) -> Outcome<Exit> {
    let mut source = engine.open_source(&request.to, &run.cx)?;
    let filters =
        bare.filters.iter().map(|chosen| engine.open_filter(chosen, &run.cx)).collect::<Outcome<_>>()?;
    let _locks = locks(engine, request, run)?;
    let how = RestoreOptions {
        mode: request.mode,
        only: request.only.clone(),
        snapshot: run.id.to_string(),
        stream_formats: [(STREAM.to_owned(), bare.stream_format.clone())].into(),
        ..RestoreOptions::default()
    };
    let (name, again) = (bare.name.clone(), bare.again);
    let inputs = BareInputs::new(bare, filters, run.reading());
    let prove = || {
        if !again {
            return Err(Failure::usage("this restore isn't atomic, so its stream must be read twice")
                .hint("Write it to a file first and restore with `--input FILE`."));
        }
        Ok(inputs.check()?)
    };
    let job = Job { name, ends: inputs.ends(), again, inputs: &inputs, how, bytes: 0 };
    job.run(engine, request, run, source.as_mut(), prove)
}

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
