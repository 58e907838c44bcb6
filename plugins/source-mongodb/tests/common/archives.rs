//! Archives made by hand, for what no server of the tests writes.

use bson::{Document, doc};
use crc::{CRC_64_XZ, Crc};

/// One collection of an archive.
pub struct Part {
    pub db: &'static str,
    pub collection: &'static str,
    /// Extended JSON, or nothing.
    pub metadata: &'static str,
    pub documents: Vec<Document>,
    /// What it is.
    pub kind: &'static str,
}

/// A collection without options or indexes.
pub fn part(db: &'static str, collection: &'static str, documents: Vec<Document>) -> Part {
    Part { db, collection, metadata: "", documents, kind: "collection" }
}

/// The oplog of an archive.
pub fn oplog(entries: Vec<Document>) -> Part {
    Part { kind: "", ..part("", "oplog", entries) }
}

/// An archive of these.
pub fn archive(parts: &[Part]) -> Vec<u8> {
    let bytes = |document: &Document| document.to_vec().unwrap();
    let mut out = 0x8199_e26d_u32.to_le_bytes().to_vec();
    out.extend(bytes(&doc! {
        "concurrent_collections": 1, "version": "0.1", "server_version": "8.0.1", "tool_version": "100.10.0",
    }));
    for one in parts {
        out.extend(bytes(&doc! {
            "db": one.db, "collection": one.collection, "metadata": one.metadata, "size": 0, "type": one.kind,
        }));
    }
    out.extend([0xff; 4]);
    for one in parts {
        let documents: Vec<_> = one.documents.iter().flat_map(bytes).collect();
        let crc = Crc::<u64>::new(&CRC_64_XZ).checksum(&documents).cast_signed();
        let buckets = if one.kind == "timeseries" { "system.buckets." } else { "" };
        let header = |end: bool| {
            let (crc, name) = (if end { crc } else { 0 }, format!("{buckets}{}", one.collection));
            bytes(&doc! { "db": one.db, "collection": name, "EOF": end, "CRC": crc })
        };
        out.extend([header(false), documents, vec![0xff; 4], header(true), vec![0xff; 4]].concat());
    }
    out
}

/// The documents of an archive's prelude, and header and documents of every block, in order.
pub fn blocks(bytes: &[u8]) -> (Vec<Document>, Vec<(Document, Vec<u8>)>) {
    let length = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let (mut at, mut prelude) = (4, Vec::new());
    while length(at) != u32::MAX {
        let end = at + length(at) as usize;
        prelude.push(Document::from_reader(&bytes[at..end]).unwrap());
        at = end;
    }
    at += 4;
    let mut blocks = Vec::new();
    while at < bytes.len() {
        let end = at + length(at) as usize;
        let header = Document::from_reader(&bytes[at..end]).unwrap();
        at = end;
        while length(at) != u32::MAX {
            at += length(at) as usize;
        }
        blocks.push((header, bytes[end..at].to_vec()));
        at += 4;
    }
    (prelude, blocks)
}
