//! mongodump's archive format, as its version 0.1 writes it.
//!
//! A magic number and a prelude (a header, then a document for each collection), ended by a terminator; then blocks.
//! A block is a header that names a namespace, the documents of that namespace as they are, and a terminator. Blocks of
//! several collections may alternate; the last of each has no documents but the flag `EOF` and the CRC-64 of all its
//! documents. Nothing here knows a server.

use crc::{CRC_64_XZ, Crc, Table};

mod read;
mod write;

#[cfg(test)]
mod tests;

pub use read::{Archive, Event};
pub use write::ArchiveWriter;

/// What every archive begins with, little-endian.
const MAGIC: u32 = 0x8199_e26d;

/// Where a document's length would be, behind the last one of a block.
const TERMINATOR: [u8; 4] = [0xff; 4];

/// The largest document: what users may store, and 16 KiB for what wraps it.
const LARGEST: usize = 16 * 1024 * 1024 + 16 * 1024;

/// How much of one collection goes into a block before a new one begins, as mongodump does it.
const BLOCK: usize = 16 * 1024 * 1024;

/// What Go calls the ECMA polynomial is the variant with all bits turned, known as XZ.
const CRC: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_XZ);

impl Header {
    /// Whether the server that was read keeps time series without collections of buckets beside them.
    fn keeps_no_buckets(&self) -> bool {
        let mut parts = self.server_version.split('.').map(|part| part.parse().unwrap_or(0));
        let version: (u32, u32) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        version >= (8, 3)
    }
}

/// What the collection begins with in which a server keeps a time series.
pub(crate) const BUCKETS: &str = "system.buckets.";

/// What the prelude says of the archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// How many collections may alternate.
    pub concurrent_collections: i32,
    /// The version of the server that was read.
    pub server_version: String,
    /// Who wrote the archive.
    pub tool_version: String,
}

/// What the prelude says of one collection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its database.
    pub db: String,
    /// Its name.
    pub collection: String,
    /// Options and indexes as canonical extended JSON; empty if there is nothing to say.
    pub metadata: String,
    /// `collection`, `view` or `timeseries`; empty in the archives of old tools. `timeseries/2` is that of servers since
    /// version 8.3, which keep no buckets beside.
    pub kind: String,
}

impl Entry {
    /// `database.collection`.
    pub fn namespace(&self) -> String {
        format!("{}.{}", self.db, self.collection)
    }

    /// What the blocks of its documents are called: those of a time series are the server's own buckets.
    pub fn data(&self) -> String {
        match self.kind.as_str() {
            "timeseries" => format!("{BUCKETS}{}", self.collection),
            _ => self.collection.clone(),
        }
    }
}
