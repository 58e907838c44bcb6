//! What goes in comes out: every BSON type byte by byte, options of collections, and nothing of a hostile archive but data.

mod common;

use std::collections::BTreeSet;

use bson::raw::RawArrayBuf;
use bson::{Document, RawDocumentBuf, doc, rawdoc};
use common::archives::{Part, archive, blocks, part};
use common::proxy::{answering, listening_in};
use common::{backup, how, of_mongodump, options, restore, sides};
use serde_json::json;
use windlass_plugin_api::{ErrorKind, RestoreMode};

/// An element by its type's number and the bytes of its value.
fn element(kind: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(format!("type {kind:02x} {}\0", value.len()).bytes());
    bytes.extend(value);
    bytes
}

/// A document of these elements, behind its `_id`.
fn document(id: i32, elements: &[Vec<u8>]) -> RawDocumentBuf {
    let body = [&b"\x10_id\0"[..], &id.to_le_bytes(), &elements.concat(), &[0]].concat();
    let length = (body.len() as i32 + 4).to_le_bytes();
    RawDocumentBuf::from_bytes([&length[..], &body].concat()).unwrap()
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as i32 + 1).to_le_bytes()[..], text.as_bytes(), &[0]].concat()
}

fn binary(subtype: u8, bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as i32).to_le_bytes()[..], &[subtype], bytes].concat()
}

/// Every type that BSON has, in several values each.
fn all_types() -> Vec<(u8, Vec<u8>)> {
    let inner = doc! { "b": 1, "a": { "": [] } }.to_vec().unwrap();
    let array = [&[15, 0, 0, 0][..], b"\x080\0\x01\x0a1\0\0"].concat();
    let array = {
        let mut array = array;
        let length = array.len() as i32;
        array[..4].copy_from_slice(&length.to_le_bytes());
        array
    };
    let scope = doc! { "x": 1 }.to_vec().unwrap();
    let code = [text("function() { return x }"), scope].concat();
    let scoped = [&(code.len() as i32 + 4).to_le_bytes()[..], &code].concat();
    let mut all = vec![
        (0x01, (-0.0_f64).to_le_bytes().to_vec()),
        (0x01, f64::INFINITY.to_le_bytes().to_vec()),
        (0x02, text("")),
        (0x02, text("naïve \u{1f41f} \0 zero")),
        (0x03, inner),
        (0x04, array),
        (0x06, vec![]),
        (0x07, (0..12).collect()),
        (0x08, vec![0]),
        (0x09, (-1_i64).to_le_bytes().to_vec()),
        (0x09, 253_402_300_799_999_i64.to_le_bytes().to_vec()),
        (0x0a, vec![]),
        (0x0b, b"^a\0im\0".to_vec()),
        (0x0c, [text("shop.orders"), (0..12).collect()].concat()),
        (0x0d, text("function() { while (true) {} }")),
        (0x0e, text("a symbol")),
        (0x0f, scoped),
        (0x10, i32::MIN.to_le_bytes().to_vec()),
        (0x11, [7, 0, 0, 0, 9, 0, 0, 0].to_vec()),
        (0x12, i64::MIN.to_le_bytes().to_vec()),
        (0x13, (100..116).collect()),
        (0xff, vec![]),
        (0x7f, vec![]),
    ];
    // Of the old subtype 2 the length stands twice.
    all.push((0x05, binary(2, &[3, 0, 0, 0, 1, 2, 3])));
    for subtype in [0, 1, 3, 4, 5, 6, 7, 8, 9, 0x80, 0xff] {
        all.push((0x05, binary(subtype, &(0..16).collect::<Vec<u8>>())));
    }
    all
}

/// Types that nobody makes any more, and that the tests' server stores as others.
const CHANGED: [u8; 3] = [0x06, 0x0c, 0x0e];

/// A reply that holds `documents` as they are.
fn reply(documents: &[RawDocumentBuf]) -> Vec<u8> {
    let batch: RawArrayBuf = documents.iter().cloned().collect();
    let cursor = rawdoc! { "id": 0_i64, "ns": "types.all", "firstBatch": batch };
    rawdoc! { "cursor": cursor, "ok": 1.0 }.into_bytes()
}

#[test]
fn every_type_of_bson_comes_back_byte_by_byte() {
    let (one, other) = sides();
    let known: BTreeSet<u8> = all_types().iter().map(|(kind, _)| *kind).collect();
    let expected: BTreeSet<u8> = (0x01..=0x13).chain([0x7f, 0xff]).collect();
    assert_eq!(known, expected, "a type is missing");
    let all: Vec<_> = all_types();
    let documents: Vec<_> = all
        .iter()
        .enumerate()
        .map(|(number, (kind, value))| document(number as i32, &[element(*kind, value)]))
        .collect();
    // As if the server held them: what it is asked for is answered by these bytes.
    one.run("types", doc! { "create": "all" });
    let answer = reply(&documents);
    let port = answering(one.server.port(), "find", move |_| answer.clone());
    let from = json!({ "host": "127.0.0.1", "port": port, "database": "types", "consistency": "none" });
    let (archive, _) = backup(&from).unwrap();
    let bytes: Vec<_> = documents.iter().flat_map(|one| one.as_bytes().to_vec()).collect();
    assert!(archive.windows(bytes.len()).any(|window| window == bytes), "the archive holds other bytes");
    // On the way to the server, and in it, for inserts and for a merge.
    let (port, heard) = listening_in(other.server.port());
    let to = json!({ "host": "127.0.0.1", "port": port, "database": "types" });
    for mode in [RestoreMode::Fail, RestoreMode::Merge] {
        heard.lock().unwrap().clear();
        restore(&to, &archive, &how(mode, &[])).unwrap();
        let heard = heard.lock().unwrap();
        let stored = other.documents("types", "all");
        assert_eq!(stored.len(), documents.len());
        for ((sent, stored), (kind, _)) in documents.iter().zip(&stored).zip(&all) {
            let sent = sent.as_bytes();
            assert!(
                heard.windows(sent.len()).any(|window| window == sent),
                "type {kind:02x} was sent otherwise"
            );
            assert!(stored == sent || CHANGED.contains(kind), "type {kind:02x} is {stored:?}, not {sent:?}");
        }
    }
}

#[test]
fn the_options_of_collections_come_back() {
    let (one, other) = sides();
    let db = "opts";
    one.run(db, doc! { "create": "capped", "capped": true, "size": 8192, "max": 7 });
    one.run(db, doc! { "create": "german", "collation": { "locale": "de", "strength": 2 } });
    one.run(db, doc! { "create": "strict", "validator": { "n": { "$gt": 5 } }, "validationAction": "warn", "validationLevel": "moderate" });
    one.run(db, doc! { "create": "images", "changeStreamPreAndPostImages": { "enabled": true } });
    one.run(
        db,
        doc! { "createIndexes": "german", "indexes": [
            { "key": { "a": 1, "b": -1 }, "name": "both", "sparse": true },

            { "key": { "place": "2dsphere" }, "name": "place" },
            { "key": { "w.$**": 1 }, "name": "wild" },
            { "key": { "h": 1 }, "name": "hidden", "hidden": true },
        ] },
    );
    one.run(
        db,
        doc! { "create": "seen", "viewOn": "german", "pipeline": [{ "$sort": { "b": -1, "a": 1 } }] },
    );
    // A document that was there before its validator.
    one.run(
        db,
        doc! { "insert": "strict", "documents": [{ "_id": 1, "n": 1 }], "bypassDocumentValidation": true },
    );
    let function =
        doc! { "_id": "f", "value": bson::Bson::JavaScriptCode("function() { return 1 }".to_owned()) };
    one.insert(db, "system.js", std::slice::from_ref(&function));
    let (bytes, _) = backup(&options(one, db)).unwrap();
    restore(&options(other, "opts2"), &bytes, &how(RestoreMode::Fail, &[])).unwrap();
    restore(&options(other, "opts2"), &bytes, &how(RestoreMode::Replace, &[])).unwrap();
    assert_eq!(other.read("opts2", "system.js"), [function]);
    assert_eq!(other.fingerprint("opts2"), one.fingerprint(db));
    for word in ["\"de\"", "moderate", "2dsphere", "hidden", "w.$**", "8192", "sparse"] {
        assert!(other.fingerprint("opts2").contains(word), "{word}: {}", one.fingerprint(db));
    }
}

#[test]
fn a_time_series_that_the_server_gives_as_plain_keeps_its_options_and_is_told() {
    let (one, other) = sides();
    let series = doc! { "timeField": "t", "metaField": "m", "granularity": "minutes" };
    one.run("series", doc! { "create": "ts", "timeseries": series.clone(), "expireAfterSeconds": 3600_i64 });
    let now = bson::DateTime::now();
    one.insert("series", "ts", &[doc! { "_id": 1, "t": now, "m": "a", "v": 1.5 }]);
    let (bytes, contents) = backup(&options(one, "series")).unwrap();
    assert!(contents.warnings.iter().any(|one| one.contains("`series.ts` as a plain one")), "{contents:?}");
    restore(&options(other, "series"), &bytes, &how(RestoreMode::Fail, &[])).unwrap();
    assert_eq!(other.fingerprint("series"), one.fingerprint("series"));
    let listed = other.run("series", doc! { "listCollections": 1 });
    assert!(listed.to_string().contains("granularity") && listed.to_string().contains("3600"), "{listed}");
}

/// A bucket as MongoDB's servers keep measurements.
fn bucket(number: i32) -> Document {
    let time = bson::DateTime::from_millis(1_700_000_000_000);
    let control = doc! { "version": 1, "min": { "t": time, "v": 1.5 }, "max": { "t": time, "v": 2.5 } };
    doc! { "_id": number, "control": control, "meta": "a", "data": { "t": { "0": time }, "v": { "0": 1.5 } } }
}

#[test]
fn a_time_series_goes_by_its_buckets_as_mongodump_takes_them() {
    let (one, other) = sides();
    let series = doc! { "timeseries": { "timeField": "t", "metaField": "meta", "granularity": "hours" } };
    one.run("metrics", doc! { "create": "ts" });
    one.run(
        "metrics",
        doc! { "createIndexes": "ts", "indexes": [{ "key": { "meta": 1 }, "name": "by_meta" }] },
    );
    one.insert("metrics", "system.buckets.ts", &[bucket(1), bucket(2)]);
    // What a server with time series tells of it.
    let uuid = bson::Binary { subtype: bson::spec::BinarySubtype::Uuid, bytes: vec![7; 16] };
    let batch = bson::bson!([
        { "name": "ts", "type": "timeseries", "options": series.clone(), "info": { "readOnly": false } },
        { "name": "system.buckets.ts", "type": "collection", "options": {}, "info": { "uuid": uuid } },
        { "name": "system.views", "type": "collection", "options": {} },
    ]);
    let cursor = doc! { "id": 0_i64, "ns": "metrics.$cmd.listCollections", "firstBatch": batch };
    let answer = doc! { "cursor": cursor, "ok": 1.0 }.to_vec().unwrap();
    let port = answering(one.server.port(), "listCollections", move |_| answer.clone());
    let mut from = json!({ "host": "127.0.0.1", "port": port, "database": "metrics" });
    let (bytes, contents) = backup(&from).unwrap();
    assert!(contents.left_out.is_empty() && contents.warnings.is_empty(), "{contents:?}");
    let (prelude, found) = blocks(&bytes);
    let entry = (prelude[1].get_str("collection").unwrap(), prelude[1].get_str("type").unwrap());
    assert_eq!(entry, ("ts", "timeseries"));
    assert!(found.iter().all(|(header, _)| header.get_str("collection").unwrap() == "system.buckets.ts"));

    restore(&options(other, "metrics"), &bytes, &how(RestoreMode::Replace, &[])).unwrap();
    assert_eq!(other.read("metrics", "system.buckets.ts"), [bucket(1), bucket(2)]);
    let text = other.fingerprint("metrics");
    assert!(text.contains("hours") && text.contains("by_meta"), "{text}");
    let before = other.documents("metrics", "system.buckets.ts");
    for mode in [RestoreMode::Replace, RestoreMode::Merge] {
        let error = restore(&options(other, "metrics"), &bytes, &how(mode, &[])).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Refused, "{error:?}");
    }
    assert!(other.documents("metrics", "system.buckets.ts") == before);
    // The oplog of buckets isn't applied, so they aren't taken with it.
    from["consistency"] = json!("oplog");
    let (_, contents) = backup(&from).unwrap();
    assert!(contents.left_out.len() == 1 && contents.left_out[0].contains("metrics.ts"), "{contents:?}");
}

#[test]
fn a_time_series_without_buckets_is_told_and_the_rest_of_its_archive_restored() {
    let (_, side) = sides();
    let parts = [part("shop", "orders", vec![doc! { "_id": 1 }]), part("shop", "ts", vec![bucket(1)])];
    let mut bytes = archive(&parts);
    let at = |bytes: &[u8], text: &[u8]| bytes.windows(text.len()).position(|window| window == text).unwrap();
    // As of a server of version 8.3: the type of the second entry, and the version.
    let version = at(&bytes, b"8.0.1");
    bytes[version..version + 5].copy_from_slice(b"8.3.1");
    let end = at(&bytes, b"\xff\xff\xff\xff");
    let start = end - prelude_length(&bytes, 2);
    let mut entry = Document::from_reader(&bytes[start..end]).unwrap();
    entry.insert("type", "timeseries");
    bytes.splice(start..end, entry.to_vec().unwrap());
    let (.., done) = restore(&options(side, "eight"), &bytes, &how(RestoreMode::Fail, &[])).unwrap();
    assert!(done.left_out.len() == 1 && done.left_out[0].contains("8.3"), "{done:?}");
    assert_eq!(side.names("eight"), ["orders"]);
}

/// The length of one document of the prelude.
fn prelude_length(bytes: &[u8], number: usize) -> usize {
    blocks(bytes).0[number].to_vec().unwrap().len()
}

#[test]
fn a_hostile_archive_brings_data_and_nothing_else() {
    let (decoy, side) = sides();
    let untouched = (decoy.fingerprint("admin"), side.fingerprint("admin"));
    let metadata = |text: &'static str| Part { metadata: text, ..part("shop", "x", vec![]) };
    for (number, bad) in [
        part("admin.x", "y", vec![]),
        part("local", "oplog.rs", vec![doc! { "_id": 1 }]),
        part("config", "transactions", vec![doc! { "_id": 1 }]),
        part("a/../b", "y", vec![]),
        part("shop", "a$b", vec![]),
        metadata(r#"{"options":{"create":"elsewhere"}}"#),
        metadata(r#"{"options":{"$db":"admin"}}"#),
        metadata(r#"{"options":{"lsid":{"id":1}}}"#),
        metadata("{"),
    ]
    .into_iter()
    .enumerate()
    {
        let what = format!("{}.{} {}", bad.db, bad.collection, bad.metadata);
        let url = json!({ "url": side.server.url() });
        let named = options(side, &format!("hostile{number}"));
        for options in [&named, &url] {
            let bytes = archive(&[
                part("shop", "x0", vec![]),
                Part {
                    db: bad.db,
                    collection: bad.collection,
                    metadata: bad.metadata,
                    documents: bad.documents.clone(),
                    kind: bad.kind,
                },
            ]);
            let mut how = how(RestoreMode::Fail, &[]);
            how.contents = Some(windlass_plugin_api::Contents {
                details: [("databases".to_owned(), json!(["shop_hostile"]))].into_iter().collect(),
                ..Default::default()
            });
            let error = restore(options, &bytes, &how).expect_err(&what);
            assert!([ErrorKind::Damaged, ErrorKind::Config].contains(&error.kind), "{what}: {error:?}");
        }
        assert!(side.names(&format!("hostile{number}")).is_empty(), "{what}");
    }
    // The server's own are left out and told; code stays a value.
    let code: Document = doc! { "_id": "f", "value": bson::Bson::JavaScriptCode("while(true){}".to_owned()) };
    let users =
        part("admin", "system.users", vec![doc! { "_id": "admin.eve", "user": "eve", "db": "admin" }]);
    let profile = part("shop", "system.profile", vec![doc! { "_id": 1 }]);
    let bytes = archive(&[part("shop", "code", vec![code.clone()]), profile, users]);
    let (.., done) = restore(&options(side, "hostile"), &bytes, &how(RestoreMode::Fail, &[])).unwrap();
    assert_eq!(done.left_out.len(), 2, "{done:?}");
    assert_eq!((side.names("hostile"), side.read("hostile", "code")), (vec!["code".to_owned()], vec![code]));
    assert_eq!((decoy.fingerprint("admin"), side.fingerprint("admin")), untouched);
}

#[test]
fn what_is_written_has_mongodumps_fields_in_its_order() {
    let (_, side) = sides();
    restore(&options(side, "fields"), &of_mongodump(), &how(RestoreMode::Fail, &[])).unwrap();
    let (ours, _) = backup(&options(side, "fields")).unwrap();
    // Names and types of the fields of each document of the prelude, header first.
    let shape = |bytes: &[u8]| {
        let (mut at, mut all) = (4, BTreeSet::new());
        while bytes[at..at + 4] != [0xff; 4] {
            let document = Document::from_reader(&bytes[at..]).unwrap();
            all.insert(
                document
                    .iter()
                    .map(|(key, value)| format!("{key} {:?} ", value.element_type()))
                    .collect::<String>(),
            );
            at += document.to_vec().unwrap().len();
        }
        all
    };
    assert_eq!(shape(&ours), shape(&of_mongodump()));
    assert_eq!(shape(&ours).len(), 2);
}
