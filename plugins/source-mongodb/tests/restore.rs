//! Restores of archives, the real mongodump's among them, into databases that are empty and that aren't.

mod common;

use bson::{Document, doc};
use common::archives::blocks;
use common::{GZIPPED, Side, backup, how, of_mongodump, options, restore, sides};
use windlass_plugin_api::{ErrorKind, RestoreMode};

const ALL: [&str; 8] = [
    "big_orders",
    "checked",
    "empty",
    "log",
    "odd name.with dots and-ünïcode",
    "orders",
    "sessions",
    "types",
];

/// The bytes of the documents of one collection of the fixtures, out of the archive by hand.
fn in_the_archive(document: &[u8]) -> bool {
    of_mongodump().windows(document.len()).any(|window| window == document)
}

fn indexes(side: &Side, db: &str, name: &str) -> Vec<Document> {
    let reply = side.run(db, doc! { "listIndexes": name });
    let batch = reply.get_document("cursor").unwrap().get_array("firstBatch").unwrap();
    batch.iter().map(|index| index.as_document().unwrap().clone()).collect()
}

#[test]
fn both_archives_of_mongodump_restore_with_every_type_index_option_and_view() {
    let (_, side) = sides();
    restore(&options(side, "plain"), &of_mongodump(), &how(RestoreMode::Fail, &[])).unwrap();
    restore(&options(side, "gzipped"), GZIPPED, &how(RestoreMode::Fail, &[])).unwrap();
    assert_eq!(side.names("plain"), ALL);
    assert_eq!(side.fingerprint("plain"), side.fingerprint("gzipped"));
    let types = side.documents("plain", "types");
    assert!(types.len() == 1 && types[0].len() == 774 && in_the_archive(&types[0]), "the types have changed");
    let orders = side.documents("plain", "orders");
    assert!(orders.len() == 1500 && in_the_archive(&orders.concat()), "the orders have changed");
    let by_customer = indexes(side, "plain", "orders");
    let by_customer =
        by_customer.iter().find(|index| index.get_str("name").unwrap() == "by_customer").unwrap();
    assert_eq!(by_customer.get_document("key").unwrap(), &doc! { "customer": 1, "total": -1 });
    let sessions = indexes(side, "plain", "sessions");
    assert!(sessions.iter().any(|index| index.contains_key("expireAfterSeconds")));
    assert!(sessions.iter().any(|index| index.get_bool("unique").unwrap_or(false)));
    let log = side.run("plain", doc! { "listCollections": 1, "filter": { "name": "log" } }).to_string();
    assert!(log.contains("\"capped\": true") && log.contains("65536"), "{log}");
    // The view gives rows, and the validator is in force.
    let view = side.run("plain", doc! { "find": "big_orders", "limit": 1 });
    assert_eq!(view.get_document("cursor").unwrap().get_array("firstBatch").unwrap().len(), 1);
    let bad = side.run("plain", doc! { "insert": "checked", "documents": [{ "_id": "bad", "n": "text" }] });
    assert!(bad.contains_key("writeErrors"), "{bad}");
}

#[test]
fn what_is_backed_up_again_is_the_same_block_by_block() {
    let (_, side) = sides();
    restore(&options(side, "again"), &of_mongodump(), &how(RestoreMode::Fail, &[])).unwrap();
    let (bytes, contents) = backup(&options(side, "again")).unwrap();
    assert!(contents.warnings.is_empty() && contents.left_out.is_empty(), "{contents:?}");
    assert!(
        contents.consistency_point.as_ref().is_some_and(|one| one.starts_with("cluster time")),
        "{contents:?}"
    );
    // Versions and identifiers differ in the prelude; the blocks but for their order and the name of the database don't.
    let blocks = |bytes: &[u8], db: &str| {
        let (_, mut all) = blocks(bytes);
        all.iter_mut().for_each(|(header, _)| {
            assert_eq!(header.insert("db", "").unwrap().as_str(), Some(db));
        });
        let mut all: Vec<_> = all.into_iter().map(|(header, rest)| (header.to_string(), rest)).collect();
        all.sort();
        all
    };
    let (ours, theirs) = (blocks(&bytes, "again"), blocks(&of_mongodump(), "shop"));
    assert_eq!(ours.len(), 16);
    assert!(ours == theirs, "the blocks differ");
}

#[test]
fn one_collection_is_restored_beside_others_and_a_wrong_name_is_an_error() {
    let (decoy, side) = sides();
    side.insert("part", "mine", &[doc! { "_id": 1 }]);
    decoy.insert("part", "mine", &[doc! { "_id": 2 }]);
    let untouched = decoy.fingerprint("part");
    let (target, ..) =
        restore(&options(side, "part"), &of_mongodump(), &how(RestoreMode::Fail, &["shop.sessions"]))
            .unwrap();
    assert!(target.empty);
    assert_eq!(side.names("part"), ["mine", "sessions"]);
    assert_eq!(side.documents("part", "sessions").len(), 10);
    let again =
        restore(&options(side, "part"), &of_mongodump(), &how(RestoreMode::Fail, &["sessions"])).unwrap_err();
    assert_eq!(again.kind, ErrorKind::Refused, "{again}");
    let wrong =
        restore(&options(side, "part"), &of_mongodump(), &how(RestoreMode::Fail, &["session"])).unwrap_err();
    assert_eq!(wrong.kind, ErrorKind::NotFound, "{wrong}");
    // Replacing one leaves the others, and says so.
    side.run("part", doc! { "delete": "sessions", "deletes": [{ "q": {}, "limit": 0 }] });
    let (_, told, _) =
        restore(&options(side, "part"), &of_mongodump(), &how(RestoreMode::Replace, &["sessions"])).unwrap();
    assert_eq!(told, ["replaces 1 collections and views"]);
    assert_eq!(side.names("part"), ["mine", "sessions"]);
    assert_eq!(side.documents("part", "sessions").len(), 10);
    assert_eq!(decoy.fingerprint("part"), untouched);
}

#[test]
fn mode_replace_tells_what_it_drops_and_leaves_nothing_of_its_own() {
    let (_, side) = sides();
    side.insert("full", "extra", &[doc! { "_id": 1 }]);
    side.insert("full", "orders", &[doc! { "_id": "old" }]);
    side.insert("full", "big_orders", &[doc! { "_id": "a collection where a view comes" }]);
    side.run("full", doc! { "create": "sessions", "viewOn": "orders", "pipeline": [] });
    let (target, told, _) =
        restore(&options(side, "full"), &of_mongodump(), &how(RestoreMode::Replace, &[])).unwrap();
    assert!(!target.empty && !target.atomic && target.effects.len() == 2, "{target:?}");
    assert_eq!(
        told,
        ["replaces 3 collections and views", "drops 1 that aren't in the snapshot: `full.extra`"]
    );
    assert_eq!(side.names("full"), ALL);
    side.run("reference", doc! { "dropDatabase": 1 });
    restore(&options(side, "reference"), &of_mongodump(), &how(RestoreMode::Fail, &[])).unwrap();
    assert_eq!(side.fingerprint("full"), side.fingerprint("reference"));
}

#[test]
fn mode_merge_keeps_what_is_there_and_lets_the_snapshot_win() {
    let (_, side) = sides();
    restore(&options(side, "merged"), &of_mongodump(), &how(RestoreMode::Fail, &["orders", "checked"]))
        .unwrap();
    let before = side.documents("merged", "orders");
    let first = Document::from_reader(&before[0][..]).unwrap();
    let id = first.get("_id").unwrap().clone();
    side.run(
        "merged",
        doc! { "update": "orders", "updates": [{ "q": { "_id": id.clone() }, "u": { "changed": true } }] },
    );
    side.insert("merged", "orders", &[doc! { "_id": "mine" }]);
    restore(&options(side, "merged"), &of_mongodump(), &how(RestoreMode::Merge, &[])).unwrap();
    let after = side.documents("merged", "orders");
    assert_eq!(after.len(), 1501);
    assert!(before.iter().all(|document| after.contains(document)), "a document of the snapshot didn't win");
    assert_eq!(side.names("merged"), ALL);
}

#[test]
fn a_damaged_last_byte_leaves_the_old_collections_as_they_were() {
    let (_, side) = sides();
    for (db, mode) in [("dmg1", RestoreMode::Replace), ("dmg2", RestoreMode::Fail)] {
        if mode == RestoreMode::Replace {
            common::fill(side, db, 30);
        }
        let before = side.fingerprint(db);
        let mut bytes = of_mongodump();
        // In the checksum of the last collection.
        let place = bytes.len() - 10;
        bytes[place] ^= 1;
        let error = restore(&options(side, db), &bytes, &how(mode, &[])).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Damaged, "{error}");
        assert_eq!(side.fingerprint(db), before, "mode {}", mode.as_str());
    }
}

#[test]
fn mode_fail_refuses_a_database_that_holds_anything() {
    let (_, side) = sides();
    side.insert("taken", "other", &[doc! { "_id": 1 }]);
    let before = side.fingerprint("taken");
    let error = restore(&options(side, "taken"), &of_mongodump(), &how(RestoreMode::Fail, &[])).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused, "{error}");
    assert_eq!(side.fingerprint("taken"), before);
}

#[test]
fn documents_of_every_size_and_with_odd_keys_come_back_byte_by_byte() {
    let (one, other) = sides();
    let large = doc! { "_id": "large", "x": "y".repeat(15 << 20) };
    let odd = doc! { "_id": { "a": [1, 2], "b": {} }, "": 1, "a.b": 2, "$dollar": 3, "undefined": bson::Bson::Undefined };
    let many: Vec<_> = (0..2_500).map(|n| doc! { "_id": n }).collect();
    one.insert("sizes", "large", &[large]);
    one.insert("sizes", "many", &many);
    one.insert("sizes", "odd", &[odd]);
    let (bytes, _) = backup(&options(one, "sizes")).unwrap();
    restore(&options(other, "sizes2"), &bytes, &how(RestoreMode::Fail, &[])).unwrap();
    assert_eq!(one.fingerprint("sizes"), other.fingerprint("sizes2"));
}
