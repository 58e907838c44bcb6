//! The oplog at the end of an archive, in the forms that MongoDB's servers write: applied on restore, and nothing else is.

mod common;

use bson::{Document, Timestamp, doc};
use common::archives::{Part, archive, oplog, part};
use common::{how, options, restore, sides};
use windlass_plugin_api::{ErrorKind, RestoreMode};

fn op(kind: &str, ns: &str, o: Document) -> Document {
    doc! { "op": kind, "ns": ns, "ts": Timestamp { time: 1, increment: 1 }, "o": o }
}

fn update(id: i32, o: Document) -> Document {
    let mut entry = op("u", "shop.orders", o);
    entry.insert("o2", doc! { "_id": id });
    entry
}

fn insert(id: i32) -> Document {
    op("i", "shop.orders", doc! { "_id": id, "new": true })
}

fn command(o: Document) -> Document {
    op("c", "shop.$cmd", o)
}

/// A part of a transaction.
fn transaction(number: i64, mut o: Document, ops: &[Document]) -> Document {
    if !ops.is_empty() {
        let mut with = doc! { "applyOps": ops.to_vec() };
        with.extend(o);
        o = with;
    }
    let mut entry = op("c", "admin.$cmd", o);
    entry.insert("lsid", doc! { "id": 1 });
    entry.insert("txnNumber", number);
    entry
}

fn orders(documents: Vec<Document>) -> Part {
    Part {
        metadata: r#"{"indexes":[{"v":2,"key":{"n":1},"name":"n_1","unique":true}]}"#,
        ..part("shop", "orders", documents)
    }
}

/// What `orders` holds after a restore to `db`.
fn restored(db: &str, parts: &[Part]) -> Vec<Document> {
    let (_, side) = sides();
    restore(&options(side, db), &archive(parts), &how(RestoreMode::Fail, &[])).unwrap();
    let mut found = side.read(db, "orders");
    found.sort_by_key(|one| one.get_i32("_id").unwrap_or(0));
    found
}

#[test]
fn inserts_updates_and_deletes_are_applied_in_their_order() {
    let before = vec![
        doc! { "_id": 1, "n": 1, "a": [1, 2], "s": { "x": 1 } },
        doc! { "_id": 2, "n": 2 },
        doc! { "_id": 3, "n": 3 },
    ];
    let entries = vec![
        op("n", "", doc! { "msg": "periodic noop" }),
        update(1, doc! { "$v": 2, "diff": { "u": { "n": 10 }, "sa": { "a": true, "u2": 3 } } }),
        update(1, doc! { "$v": 2, "diff": { "i": { "last": 1 }, "ss": { "d": { "x": false } } } }),
        update(2, doc! { "$v": 1, "$set": { "n": 20 } }),
        update(2, doc! { "_id": 2, "n": 21, "whole": true }),
        op("d", "shop.orders", doc! { "_id": 3 }),
        // It was read already: the same again.
        op("i", "shop.orders", doc! { "_id": 4, "n": 4 }),
        op("i", "shop.orders", doc! { "_id": 4, "n": 4 }),
        update(4, doc! { "$v": 2, "diff": { "u": { "n": 40 } } }),
        // It is gone already: an entry that follows said so.
        update(5, doc! { "$v": 2, "diff": { "u": { "n": 50 } } }),
        update(5, doc! { "_id": 5, "n": 50 }),
        op("d", "shop.orders", doc! { "_id": 5 }),
        op("i", "other.orders", doc! { "_id": 6 }),
    ];
    let after = restored("ops", &[orders(before), oplog(entries)]);
    let expected = [
        doc! { "_id": 1, "n": 10, "a": [1, 2, 3], "s": {}, "last": 1 },
        doc! { "_id": 2, "n": 21, "whole": true },
        doc! { "_id": 4, "n": 40 },
    ];
    assert_eq!(after, expected);
    assert!(sides().1.names("other").is_empty(), "written to another database");
}

#[test]
fn a_unique_index_is_built_when_the_documents_are_of_one_moment() {
    // The value went from one to the other while they were read: both have it.
    let before = vec![doc! { "_id": 1, "n": 7 }, doc! { "_id": 2, "n": 7 }];
    let entries = vec![op("d", "shop.orders", doc! { "_id": 1 }), update(2, doc! { "_id": 2, "n": 7 })];
    assert_eq!(restored("unique", &[orders(before), oplog(entries)]), [doc! { "_id": 2, "n": 7 }]);
    let indexes = sides().1.run("unique", doc! { "listIndexes": "orders" }).to_string();
    assert!(indexes.contains("n_1"), "{indexes}");
}

#[test]
fn of_transactions_only_what_was_committed_is_applied() {
    let entries = vec![
        transaction(1, doc! {}, &[insert(1)]),
        transaction(2, doc! { "partialTxn": true }, &[insert(2)]),
        transaction(3, doc! { "partialTxn": true }, &[insert(3)]),
        transaction(2, doc! { "count": 2_i64 }, &[insert(4), op("i", "other.x", doc! { "_id": 1 })]),
        transaction(3, doc! { "prepare": true }, &[insert(5)]),
        transaction(4, doc! { "prepare": true }, &[insert(6)]),
        transaction(3, doc! { "abortTransaction": 1 }, &[]),
        transaction(4, doc! { "commitTransaction": 1 }, &[]),
        // Never ended.
        transaction(5, doc! { "partialTxn": true }, &[insert(7)]),
        // No transaction, but several at once.
        op("c", "admin.$cmd", doc! { "applyOps": [insert(8)] }),
    ];
    let found = restored("transactions", &[part("shop", "orders", vec![]), oplog(entries)]);
    let ids: Vec<_> = found.iter().map(|one| one.get_i32("_id").unwrap()).collect();
    assert_eq!(ids, [1, 2, 4, 6, 8]);
}

#[test]
fn collections_and_indexes_that_came_and_went_meanwhile_do_so_again() {
    let entries = vec![
        command(
            doc! { "create": "later", "validator": { "n": { "$type": "int" } }, "idIndex": { "v": 2, "key": { "_id": 1 }, "name": "_id_" } },
        ),
        op("i", "shop.later", doc! { "_id": 1, "n": 1 }),
        command(doc! { "createIndexes": "later", "v": 2, "key": { "n": -1 }, "name": "n_down" }),
        command(doc! { "create": "brief" }),
        op("i", "shop.brief", doc! { "_id": 1 }),
        command(doc! { "drop": "brief" }),
        command(doc! { "startIndexBuild": "orders", "indexes": [] }),
        command(
            doc! { "commitIndexBuild": "orders", "indexes": [{ "v": 2, "key": { "t": 1 }, "name": "t_1" }] },
        ),
        command(doc! { "collMod": "orders", "index": { "name": "t_1", "expireAfterSeconds": 99_i64 } }),
        command(doc! { "dropIndexes": "orders", "index": "n_1" }),
        command(
            doc! { "collMod": "orders", "validator": { "n": { "$gt": 0 } }, "validationLevel": "moderate" },
        ),
    ];
    restored("ddl", &[orders(vec![doc! { "_id": 1, "n": 1 }]), oplog(entries)]);
    let (_, side) = sides();
    assert_eq!(side.names("ddl"), ["later", "orders"]);
    assert_eq!(side.read("ddl", "later"), [doc! { "_id": 1, "n": 1 }]);
    let all = side.fingerprint("ddl");
    for held in ["n_down", "t_1", "99", "$type", "moderate"] {
        assert!(all.contains(held), "{held}: {all}");
    }
    assert!(!all.contains("\"n_1\""), "{all}");
}

#[test]
fn what_can_not_be_applied_fails_the_restore_and_leaves_nothing() {
    let (_, side) = sides();
    for (number, entry) in [
        command(doc! { "renameCollection": "shop.orders", "to": "shop.other" }),
        command(doc! { "dropDatabase": 1 }),
        command(doc! { "convertToCapped": "orders", "size": 5 }),
        update(1, doc! { "$v": 2, "diff": { "updatedFields": {} } }),
        doc! { "op": "i" },
        command(doc! { "create": "x", "$db": "admin" }),
        command(doc! { "create": "system.users" }),
        // Operators that no oplog has, among them one that runs a program in the server.
        update(1, doc! { "$where": "while(true){}" }),
    ]
    .into_iter()
    .enumerate()
    {
        let db = format!("refused{number}");
        let bytes = archive(&[part("shop", "orders", vec![doc! { "_id": 1 }]), oplog(vec![entry.clone()])]);
        let error = restore(&options(side, &db), &bytes, &how(RestoreMode::Fail, &[])).unwrap_err();
        assert!([ErrorKind::Unsupported, ErrorKind::Damaged].contains(&error.kind), "{entry}: {error}");
        assert!(side.names(&db).is_empty(), "{entry}");
    }
}

#[test]
fn a_single_collection_gets_its_entries_and_no_other_is_made() {
    let (_, side) = sides();
    let entries = vec![
        op("i", "shop.orders", doc! { "_id": 2 }),
        op("i", "shop.other", doc! { "_id": 2 }),
        command(doc! { "create": "later" }),
        // Of others: another database that goes, a collection that changes in an unknown way.
        op("c", "other.$cmd", doc! { "dropDatabase": 1 }),
    ];
    let parts =
        [part("shop", "orders", vec![doc! { "_id": 1 }]), part("shop", "other", vec![]), oplog(entries)];
    restore(&options(side, "single"), &archive(&parts), &how(RestoreMode::Fail, &["shop.orders"])).unwrap();
    let unknown = |o: Document| {
        archive(&[part("shop", "orders", vec![]), part("shop", "other", vec![]), oplog(vec![command(o)])])
    };
    let only = |bytes: &[u8]| restore(&options(side, "single2"), bytes, &how(RestoreMode::Fail, &["orders"]));
    assert!(only(&unknown(doc! { "renameCollection": "shop.orders", "to": "shop.x" })).is_err());
    only(&unknown(doc! { "convertToCapped": "other", "size": 5 })).unwrap();
    assert_eq!(side.names("single"), ["orders"]);
    assert_eq!(side.read("single", "orders").len(), 2);
    // Beside an old one, too: the entries go to what is loaded, not to what is there.
    side.insert("single", "orders", &[doc! { "_id": 3 }]);
    restore(&options(side, "single"), &archive(&parts), &how(RestoreMode::Replace, &[])).unwrap();
    assert_eq!(side.names("single"), ["later", "orders", "other"]);
    assert_eq!(side.read("single", "orders").len(), 2);
    assert_eq!(side.read("single", "other").len(), 1);
}

#[test]
fn what_was_written_to_a_time_series_meanwhile_is_told_once() {
    let (_, side) = sides();
    let series = Part { kind: "timeseries", ..part("shop", "ts", vec![doc! { "_id": 1 }]) };
    let late = |id: i32| op("i", "shop.system.buckets.ts", doc! { "_id": id });
    let bytes = archive(&[
        series,
        oplog(vec![late(2), late(3), op("i", "shop.system.buckets.other", doc! { "_id": 1 })]),
    ]);
    let (.., done) = restore(&options(side, "late"), &bytes, &how(RestoreMode::Fail, &[])).unwrap();
    assert_eq!(done.left_out, ["`shop.ts`: what was written to this time series during its backup"]);
    assert_eq!(side.read("late", "system.buckets.ts"), [doc! { "_id": 1 }]);
}
