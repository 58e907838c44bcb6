//! Reads an archive: the prelude at once, then documents and ends of collections, one at a time.
//!
//! Whatever isn't as the format says is an error of kind `Damaged`: a length that can't be, a checksum that differs, a
//! collection that never ends. One document is in memory at a time.

use std::io::{BufReader, Read};

use bson::{Document, RawDocument};
use crc::{Digest, Table};
use flate2::read::MultiGzDecoder;
use windlass_plugin_api::{Error, Result};

use super::{CRC, Entry, Header, LARGEST, MAGIC};

/// The algorithm's table lives as long as the program: digests borrow it.
static ALGORITHM: crc::Crc<u64, Table<16>> = CRC;

/// An archive that is being read.
pub struct Archive {
    input: Box<dyn Read + Send>,
    /// What the prelude says of the archive.
    pub header: Header,
    /// The collections. One that only a block names is added when that block comes.
    pub entries: Vec<Entry>,
    states: Vec<State>,
    /// The collection of the block that is being read.
    block: Option<usize>,
    document: Vec<u8>,
}

/// How far a collection was read.
struct State {
    crc: Digest<'static, u64, Table<16>>,
    ended: bool,
}

/// What comes next in an archive. Numbers are places in [`Archive::entries`].
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A document of this collection; its bytes are in [`Archive::document`].
    Document(usize),
    /// This collection is complete, and its checksum right.
    End(usize),
}

/// A document, or the terminator behind the last one.
enum Piece {
    Document,
    Terminator,
    EndOfFile,
}

impl Archive {
    /// Reads the prelude. An archive of `mongodump --gzip` is known by its first bytes.
    pub fn open(input: Box<dyn Read + Send>) -> Result<Self> {
        let mut input = BufReader::with_capacity(256 * 1024, input);
        let mut magic = [0; 4];
        input.read_exact(&mut magic).map_err(early)?;
        if magic[..2] == [0x1f, 0x8b] {
            let mut plain = MultiGzDecoder::new(std::io::Cursor::new(magic).chain(input));
            plain.read_exact(&mut magic).map_err(early)?;
            return Self::prelude(Box::new(BufReader::with_capacity(256 * 1024, plain)), magic);
        }
        Self::prelude(Box::new(input), magic)
    }

    fn prelude(input: Box<dyn Read + Send>, magic: [u8; 4]) -> Result<Self> {
        if u32::from_le_bytes(magic) != MAGIC {
            return Err(Error::damaged("this is no archive of mongodump")
                .hint("Was it stored with filters that have to be named, as in `--decode zstd`?"));
        }
        let (entries, states, document) = (Vec::new(), Vec::new(), Vec::new());
        let mut archive = Self { input, header: Header::default(), entries, states, block: None, document };
        let header = archive.whole()?.ok_or_else(|| Error::damaged("the archive has no header"))?;
        archive.header = read_header(&header)?;
        while let Some(entry) = archive.whole()? {
            let text = |key| entry.get_str(key).unwrap_or_default().to_owned();
            let (db, collection) = (text("db"), text("collection"));
            let mut kind = text("type");
            if kind == "timeseries" && archive.header.keeps_no_buckets() {
                kind.push_str("/2");
            }
            archive.add(Entry { db, collection, metadata: text("metadata"), kind });
        }
        Ok(archive)
    }

    /// The bytes of the document that [`next`](Self::next) has just told of.
    pub fn document(&self) -> &[u8] {
        &self.document
    }

    /// Reads on; none at the end, when every collection has ended.
    pub fn next(&mut self) -> Result<Option<Event>> {
        loop {
            let Some(place) = self.block else {
                match self.piece()? {
                    Piece::EndOfFile => return self.ended().map(|()| None),
                    Piece::Terminator => {
                        return Err(Error::damaged("the archive has a block without a header"));
                    }
                    Piece::Document => {
                        if let Some(place) = self.block_header()? {
                            return Ok(Some(Event::End(place)));
                        }
                    }
                }
                continue;
            };
            match self.piece()? {
                Piece::EndOfFile => return Err(early(std::io::ErrorKind::UnexpectedEof.into())),
                Piece::Terminator => self.block = None,
                Piece::Document => {
                    let state = &mut self.states[place];
                    if state.ended {
                        return Err(Error::damaged(format!(
                            "`{}` goes on behind its end",
                            self.entries[place].namespace()
                        )));
                    }
                    state.crc.update(&self.document);
                    return Ok(Some(Event::Document(place)));
                }
            }
        }
    }

    /// Takes a block's header in; the number of the collection if that is its end.
    fn block_header(&mut self) -> Result<Option<usize>> {
        let header = decoded(&self.document)?;
        let text = |key: &str| {
            let text = header.get_str(key).map(str::to_owned);
            text.map_err(|_| Error::damaged(format!("a block's header has no `{key}`")))
        };
        let (db, collection) = (text("db")?, text("collection")?);
        let known = self.entries.iter().position(|entry| entry.db == db && entry.data() == collection);
        let place = known.unwrap_or_else(|| self.add(Entry { db, collection, ..Entry::default() }));
        if !header.get_bool("EOF").unwrap_or(false) {
            self.block = Some(place);
            return Ok(None);
        }
        let name = self.entries[place].namespace();
        let state = &mut self.states[place];
        let counted = state.crc.clone().finalize().cast_signed();
        if header.get_i64("CRC").ok() != Some(counted) {
            return Err(Error::damaged(format!("the checksum of `{name}` differs")));
        }
        if std::mem::replace(&mut state.ended, true) {
            return Err(Error::damaged(format!("`{name}` ends twice")));
        }
        match self.piece()? {
            Piece::Terminator => Ok(Some(place)),
            _ => Err(Error::damaged(format!("the end of `{name}` isn't ended"))),
        }
    }

    /// At the end of the file: an error if something is missing.
    fn ended(&self) -> Result<()> {
        let open = self.entries.iter().zip(&self.states).find(|(_, state)| !state.ended);
        open.map_or(Ok(()), |(entry, _)| {
            Err(Error::damaged(format!("the archive ends before `{}` does", entry.namespace())))
        })
    }

    fn add(&mut self, entry: Entry) -> usize {
        self.entries.push(entry);
        self.states.push(State { crc: ALGORITHM.digest(), ended: false });
        self.entries.len() - 1
    }

    /// A document of the prelude; none at the terminator.
    fn whole(&mut self) -> Result<Option<Document>> {
        match self.piece()? {
            Piece::Document => decoded(&self.document).map(Some),
            Piece::Terminator => Ok(None),
            Piece::EndOfFile => Err(early(std::io::ErrorKind::UnexpectedEof.into())),
        }
    }

    fn piece(&mut self) -> Result<Piece> {
        let mut length = [0; 4];
        let mut filled = 0;
        while filled < length.len() {
            match self.input.read(&mut length[filled..]) {
                Ok(0) if filled == 0 => return Ok(Piece::EndOfFile),
                Ok(0) => return Err(early(std::io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        if length == super::TERMINATOR {
            return Ok(Piece::Terminator);
        }
        let bytes = u32::from_le_bytes(length) as usize;
        if !(5..=LARGEST).contains(&bytes) {
            return Err(Error::damaged(format!("the archive has a document of {bytes} bytes")));
        }
        self.document.clear();
        self.document.extend(length);
        self.document.resize(bytes, 0);
        self.input.read_exact(&mut self.document[4..]).map_err(early)?;
        if self.document.last() != Some(&0) {
            return Err(Error::damaged("the archive has a document without an end"));
        }
        Ok(Piece::Document)
    }
}

fn read_header(header: &Document) -> Result<Header> {
    let text = |key: &str| header.get_str(key).unwrap_or_default().to_owned();
    let version = text("version");
    if version != "0.1" {
        let message = format!("the archive has the version `{version}`, and only `0.1` is known");
        return Err(Error::new(windlass_plugin_api::ErrorKind::Unsupported, message));
    }
    Ok(Header {
        concurrent_collections: header.get_i32("concurrent_collections").unwrap_or(1),
        server_version: text("server_version"),
        tool_version: text("tool_version"),
    })
}

fn decoded(bytes: &[u8]) -> Result<Document> {
    let raw = RawDocument::from_bytes(bytes).and_then(Document::try_from);
    raw.map_err(|error| Error::damaged("the archive has a header that can't be read").because(&error))
}

/// An end-of-file in the middle is damage; any other error is passed on.
fn early(error: std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::UnexpectedEof
        && error.get_ref().is_none_or(|inner| !inner.is::<Error>())
    {
        return Error::damaged("the archive ends early");
    }
    error.into()
}
