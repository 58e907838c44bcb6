//! Writes an archive: one collection after the other, each cut into blocks.
//!
//! Documents pass as bytes. Whoever calls says which collection begins and ends; the checksums are counted here.

use std::io::{self, Write};

use bson::{Document, doc};
use crc::{Digest, Table};

use super::{BLOCK, CRC, Entry, Header, MAGIC, TERMINATOR};

/// Writes an archive.
pub struct ArchiveWriter<W> {
    out: W,
    open: Option<Open>,
}

/// The collection that is being written.
struct Open {
    db: String,
    collection: String,
    crc: Digest<'static, u64, Table<16>>,
    in_block: usize,
}

/// The algorithm's table lives as long as the program: digests borrow it.
static ALGORITHM: crc::Crc<u64, Table<16>> = CRC;

impl<W: Write> ArchiveWriter<W> {
    /// Begins an archive of the collections `entries`.
    pub fn new(mut out: W, header: &Header, entries: &[Entry]) -> io::Result<Self> {
        out.write_all(&MAGIC.to_le_bytes())?;
        let header = doc! {
            "concurrent_collections": header.concurrent_collections,
            "version": "0.1",
            "server_version": &header.server_version,
            "tool_version": &header.tool_version,
        };
        write(&mut out, &header)?;
        for entry in entries {
            let entry = doc! {
                "db": &entry.db,
                "collection": &entry.collection,
                "metadata": &entry.metadata,
                // How many documents to expect, for mongorestore's progress; mongodump writes 0 too if it can't tell.
                "size": 0,
                "type": &entry.kind,
            };
            write(&mut out, &entry)?;
        }
        out.write_all(&TERMINATOR)?;
        Ok(Self { out, open: None })
    }

    /// Begins a block of `db.collection`, the first of it.
    pub fn begin(&mut self, db: &str, collection: &str) -> io::Result<()> {
        debug_assert!(self.open.is_none(), "a collection is still open");
        let open = Open {
            db: db.to_owned(),
            collection: collection.to_owned(),
            crc: ALGORITHM.digest(),
            in_block: 0,
        };
        write(&mut self.out, &open.header(None))?;
        self.open = Some(open);
        Ok(())
    }

    /// Writes one document of the open collection.
    pub fn document(&mut self, bytes: &[u8]) -> io::Result<()> {
        let open = self.open.as_mut().ok_or_else(|| io::Error::other("no collection is open"))?;
        if open.in_block >= BLOCK {
            self.out.write_all(&TERMINATOR)?;
            write(&mut self.out, &open.header(None))?;
            open.in_block = 0;
        }
        open.crc.update(bytes);
        open.in_block += bytes.len();
        self.out.write_all(bytes)
    }

    /// Ends the open collection.
    pub fn end(&mut self) -> io::Result<()> {
        let open = self.open.take().ok_or_else(|| io::Error::other("no collection is open"))?;
        self.out.write_all(&TERMINATOR)?;
        let crc = open.crc.clone().finalize();
        write(&mut self.out, &open.header(Some(crc)))?;
        self.out.write_all(&TERMINATOR)
    }

    /// The writer behind, once every collection has ended. An archive has no end of its own.
    pub fn into_inner(self) -> W {
        debug_assert!(self.open.is_none(), "a collection is still open");
        self.out
    }
}

impl Open {
    /// The header of a block; with the checksum the last one.
    fn header(&self, crc: Option<u64>) -> Document {
        doc! {
            "db": &self.db,
            "collection": &self.collection,
            "EOF": crc.is_some(),
            // The same 64 bits, with a sign.
            "CRC": crc.unwrap_or(0).cast_signed(),
        }
    }
}

fn write(out: &mut impl Write, document: &Document) -> io::Result<()> {
    out.write_all(&document.to_vec().map_err(io::Error::other)?)
}
