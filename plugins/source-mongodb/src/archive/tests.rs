//! On archives that the real mongodump wrote.

use std::io::Read;

use flate2::read::GzDecoder;
use windlass_plugin_api::ErrorKind;

use super::{Archive, ArchiveWriter, Event};

const WHOLE: &[u8] = include_bytes!("../../tests/fixtures/shop.archive.as-is.gz");
const GZIPPED: &[u8] = include_bytes!("../../tests/fixtures/shop.gzip.archive");

fn plain() -> Vec<u8> {
    let mut bytes = Vec::new();
    GzDecoder::new(WHOLE).read_to_end(&mut bytes).unwrap();
    bytes
}

/// Namespace and documents of each collection, in the order of the names.
fn read(bytes: Vec<u8>) -> windlass_plugin_api::Result<Vec<(String, Vec<Vec<u8>>)>> {
    let mut archive = Archive::open(Box::new(std::io::Cursor::new(bytes)))?;
    let mut found: Vec<_> = archive.entries.iter().map(|entry| (entry.namespace(), Vec::new())).collect();
    while let Some(event) = archive.next()? {
        if let Event::Document(place) = event {
            found[place].1.push(archive.document().to_vec());
        }
    }
    found.sort();
    Ok(found)
}

/// Writes again what was read. Only right where no two collections alternate.
fn written_again(bytes: Vec<u8>) -> Vec<u8> {
    let mut archive = Archive::open(Box::new(std::io::Cursor::new(bytes))).unwrap();
    let mut writer = ArchiveWriter::new(Vec::new(), &archive.header, &archive.entries).unwrap();
    let mut open = None;
    while let Some(event) = archive.next().unwrap() {
        let (Event::Document(place) | Event::End(place)) = event;
        if open.is_none() {
            let entry = &archive.entries[place];
            writer.begin(&entry.db, &entry.collection).unwrap();
            open = Some(place);
        }
        match event {
            Event::Document(_) => writer.document(archive.document()).unwrap(),
            Event::End(_) => {
                writer.end().unwrap();
                open = None;
            }
        }
    }
    writer.into_inner()
}

#[test]
fn both_archives_of_mongodump_hold_the_same() {
    let found = read(plain()).unwrap();
    let counts: Vec<_> = found.iter().map(|(name, documents)| (name.as_str(), documents.len())).collect();
    let expected = [
        ("shop.big_orders", 0),
        ("shop.checked", 1),
        ("shop.empty", 0),
        ("shop.log", 20),
        ("shop.odd name.with dots and-ünïcode", 1),
        ("shop.orders", 1500),
        ("shop.sessions", 10),
        ("shop.types", 1),
    ];
    assert_eq!(counts, expected);
    assert_eq!(read(GZIPPED.to_vec()).unwrap(), found);
}

#[test]
fn what_is_written_is_what_mongodump_wrote_byte_by_byte() {
    let original = plain();
    assert!(written_again(original.clone()) == original, "the archive differs");
}

#[test]
fn an_archive_that_is_cut_anywhere_is_damaged() {
    let whole = plain();
    let steps = (0..whole.len()).step_by(4099).chain(whole.len() - 140..whole.len()).chain(0..40);
    for length in steps {
        let error = read(whole[..length].to_vec()).expect_err(&format!("cut at {length}, and read"));
        assert_eq!(error.kind, ErrorKind::Damaged, "cut at {length}: {error}");
    }
}

#[test]
fn a_turned_bit_in_a_document_is_damage() {
    let whole = plain();
    let orders = 6_000..whole.len() - 80;
    for place in orders.step_by(20_011) {
        let mut bytes = whole.clone();
        bytes[place] ^= 1;
        let error = read(bytes).expect_err(&format!("the bit at {place} was not noticed"));
        assert_eq!(error.kind, ErrorKind::Damaged, "{error}");
    }
}

#[test]
fn what_is_no_archive_is_told_without_a_large_allocation() {
    for bytes in
        [&b"PGDMP\x01\x0e\0"[..], b"\x6d\xe2\x99\x81\xfe\xff\xff\x7f", b"\x6d\xe2\x99\x81\0\0\0\0", b""]
    {
        assert_eq!(read(bytes.to_vec()).unwrap_err().kind, ErrorKind::Damaged);
    }
}

#[test]
fn a_large_collection_is_cut_into_blocks_and_comes_back() {
    let (header, entry) = (
        super::Header::default(),
        super::Entry { db: "d".into(), collection: "c".into(), ..Default::default() },
    );
    let document = bson::doc! { "x": "y".repeat(1 << 20) }.to_vec().unwrap();
    let mut writer = ArchiveWriter::new(Vec::new(), &header, &[entry]).unwrap();
    writer.begin("d", "c").unwrap();
    (0..40).for_each(|_| writer.document(&document).unwrap());
    writer.end().unwrap();
    let bytes = writer.into_inner();
    let blocks = bytes.windows(11).filter(|window| window == b"collection\0").count();
    // The prelude's, three blocks, and the end.
    assert_eq!(blocks, 5);
    let found = read(bytes).unwrap();
    assert!(found[0].1.len() == 40 && found[0].1.iter().all(|one| *one == document));
}
