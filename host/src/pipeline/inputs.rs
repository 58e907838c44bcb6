//! Where a source gets its streams from during a restore.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use windlass_plugin_api::{Error, ErrorKind, Inputs, Reader, Result, StreamInfo};

use super::stored::{Reading, StoredStream};

/// The streams of one snapshot, each opened as often as the source likes.
pub struct SnapshotInputs {
    streams: Vec<StoredStream>,
    reading: Reading,
    ends: Ends,
}

/// Which streams were opened, and whether each was read to its proved end since.
#[derive(Clone, Default)]
pub struct Ends(Arc<Mutex<BTreeMap<String, bool>>>);

impl Ends {
    fn set(&self, stream: &str, ended: bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(stream.to_owned(), ended);
    }

    /// A stream that was opened and not read to its end: its end is unproved.
    pub fn unread(&self) -> Option<String> {
        let ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ends.iter().find(|(_, ended)| !**ended).map(|(name, _)| name.clone())
    }

    /// Whether `stream` was opened and read to its end: by that it is proved.
    pub fn has_ended(&self, stream: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(stream) == Some(&true)
    }

    /// `input`, whose end is noted as the end of `stream`.
    pub fn watch(&self, stream: &str, input: Reader) -> Reader {
        self.set(stream, false);
        Box::new(Watching { input, stream: stream.to_owned(), ends: self.clone() })
    }
}

struct Watching {
    input: Reader,
    stream: String,
    ends: Ends,
}

impl Read for Watching {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        if count == 0 && !buffer.is_empty() {
            self.ends.set(&self.stream, true);
        }
        Ok(count)
    }
}

impl SnapshotInputs {
    /// The inputs over `streams`, in the order of the manifest.
    pub fn new(streams: Vec<StoredStream>, reading: Reading) -> Self {
        Self { streams, reading, ends: Ends::default() }
    }

    /// What was read to its end.
    pub fn ends(&self) -> Ends {
        self.ends.clone()
    }
}

impl Inputs for SnapshotInputs {
    fn streams(&self) -> Vec<(String, StreamInfo)> {
        let infos = self.streams.iter().map(|stream| {
            let record = &stream.record;
            (record.name.clone(), StreamInfo::new(&record.stream_format).size_hint(record.plain_bytes))
        });
        infos.collect()
    }

    fn open(&self, name: &str) -> Result<Reader> {
        let stream =
            self.streams.iter().find(|stream| stream.record.name == name).ok_or_else(|| {
                Error::new(ErrorKind::NotFound, format!("the snapshot has no stream `{name}`"))
            })?;
        Ok(self.ends.watch(name, stream.open(&self.reading)?))
    }
}
