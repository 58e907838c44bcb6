//! What a backup promises of one moment, while somebody writes.

mod common;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex};

use bson::raw::RawArrayBuf;
use bson::{Document, RawDocumentBuf, Timestamp, doc, rawdoc};
use common::archives::blocks;
use common::hooked::{Hooked, backup_with, large_of};
use common::proxy::answering;
use common::{Side, backup, how, options, restore, sides};
use serde_json::{Value, json};
use windlass_plugin_api::{Contents, ErrorKind, RestoreMode, Result};
use windlass_test_servers::Mongo;

/// An account with nothing on it, and a ledger without an entry: what the one has is the sum of the other, at every moment.
fn bank(side: &Side, db: &str) {
    // Read first.
    side.insert(db, "account", &[doc! { "_id": 1, "balance": 0 }]);
    large_of(side, db, 3);
    // Read last.
    side.run(db, doc! { "create": "transfers" });
}

/// Adds to both in one transaction.
fn transfer(side: &Side, db: &str, number: i32) {
    side.together(
        db,
        ("account", doc! { "_id": 1, "balance": number }),
        ("transfers", doc! { "_id": number }),
    );
}

/// How many transfers there are, by the account and by the ledger.
fn sums(side: &Side, db: &str) -> (i32, i32) {
    let account = side.read(db, "account").remove(0).get_i32("balance").unwrap();
    let numbers: Vec<_> = side.read(db, "transfers").iter().map(|one| one.get_i32("_id").unwrap()).collect();
    (account, i32::try_from(numbers.len()).unwrap())
}

/// Backs `db` up while transfers are made from the first bytes to the end.
fn backup_while_written(
    side: &'static Side,
    db: &'static str,
    options: &Value,
) -> (Result<Contents>, Hooked, i32) {
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI32::new(0)));
    let (ended, counted, hold) = (stop.clone(), count.clone(), Arc::new(Mutex::new(None)));
    let writer = hold.clone();
    let (result, out) = backup_with(options, move || {
        let write = move || {
            let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
            transfer(side, db, number);
        };
        (0..20).for_each(|_| write());
        let go_on = move || {
            while !ended.load(Ordering::SeqCst) {
                write();
            }
        };
        *writer.lock().unwrap() = Some(std::thread::spawn(go_on));
    });
    stop.store(true, Ordering::SeqCst);
    hold.lock().unwrap().take().expect("the backup wrote nothing").join().unwrap();
    (result, out, count.load(Ordering::SeqCst))
}

#[test]
fn with_the_oplog_what_two_collections_say_of_each_other_holds_though_both_were_written() {
    let (side, other) = sides();
    bank(side, "bank");
    let mut options = options(side, "bank");
    // A size of 9 MB, at 1 MiB a second: more than 5 seconds.
    options["history_window"] = json!(5);
    options["read_rate"] = json!(1);
    let (result, out, written) = backup_while_written(side, "bank", &options);
    let contents = result.unwrap();
    assert!(
        contents.warnings.is_empty()
            && contents.consistency_point.as_ref().is_some_and(|one| one.starts_with("cluster time")),
        "{contents:?}"
    );
    assert!(contents.details["oplog"]["entries"].as_u64().unwrap() >= 40, "{contents:?}");
    restore(&common::options(other, "bank2"), &out.bytes(), &how(RestoreMode::Fail, &[])).unwrap();
    let (account, transfers) = sums(other, "bank2");
    assert!(account >= 20 && account <= written, "{account} of {written}");
    assert_eq!(account, transfers, "the collections are of different moments");
    assert_eq!(other.documents("bank2", "large"), side.documents("bank", "large"));
    // Without it they are: the test would see it.
    let empty = doc! { "q": { "_id": 1 }, "u": { "_id": 1, "balance": 0 } };
    side.run("bank", doc! { "update": "account", "updates": [empty] });
    side.run("bank", doc! { "delete": "transfers", "deletes": [{ "q": {}, "limit": 0 }] });
    options["consistency"] = json!("none");
    let (result, out, _) = backup_while_written(side, "bank", &options);
    let warnings = result.unwrap().warnings;
    assert!(warnings.len() == 1 && warnings[0].contains("Not consistent"), "{warnings:?}");
    restore(&common::options(other, "bank3"), &out.bytes(), &how(RestoreMode::Fail, &[])).unwrap();
    let (account, transfers) = sums(other, "bank3");
    assert!(account == 0 && transfers >= 20, "{account} and {transfers}");
}

/// A server that keeps to snapshots, in front of `side`, which only takes them: reads as of a moment are answered by what
/// was there when the first one came, all others by what is there.
fn keeping_snapshots(side: &'static Side, db: &'static str) -> u16 {
    let kept: Mutex<Option<HashMap<String, Vec<Vec<u8>>>>> = Mutex::new(None);
    let moment = Timestamp { time: 1_700_000_000, increment: 7 };
    answering(side.server.port(), "find", move |find| {
        let name = find.get_str("find").unwrap();
        let concern = find.get_document("readConcern").cloned().unwrap_or_default();
        let asked = concern.get_timestamp("atClusterTime").ok();
        let mut kept = kept.lock().unwrap();
        let documents = match concern.get_str("level").unwrap_or_default() {
            "snapshot" if asked.is_none() => {
                let all = side.names(db).into_iter().map(|name| (name.clone(), side.documents(db, &name)));
                kept.insert(all.collect())[name].clone()
            }
            "snapshot" if asked == Some(moment) => kept.as_ref().unwrap()[name].clone(),
            _ => side.documents(db, name),
        };
        let batch = documents.into_iter().map(|one| RawDocumentBuf::from_bytes(one).unwrap());
        let batch: RawArrayBuf = batch.collect();
        let cursor = rawdoc! { "id": 0_i64, "ns": format!("{db}.{name}"), "atClusterTime": moment, "firstBatch": batch };
        rawdoc! { "cursor": cursor, "ok": 1.0 }.into_bytes()
    })
}

#[test]
fn in_a_snapshot_what_two_collections_say_of_each_other_holds_though_both_were_written() {
    let (side, other) = sides();
    bank(side, "snap");
    let options = json!({ "host": "127.0.0.1", "port": keeping_snapshots(side, "snap"), "database": "snap" });
    let (result, out, written) = backup_while_written(side, "snap", &options);
    let contents = result.unwrap();
    assert_eq!(contents.consistency_point.unwrap(), "cluster time 1700000000.7");
    assert!(contents.warnings.is_empty() && written >= 20);
    restore(&common::options(other, "snap"), &out.bytes(), &how(RestoreMode::Fail, &[])).unwrap();
    assert_eq!(sums(other, "snap"), (0, 0), "the collections are of different moments");
    assert!(side.documents("snap", "transfers").len() >= 20);
}

#[test]
fn collections_made_during_a_backup_come_with_the_oplog_and_other_databases_do_not() {
    let (side, other) = sides();
    large_of(side, "made", 2);
    let mut options = options(side, "made");
    options["consistency"] = json!("oplog");
    let hook = || {
        let side = sides().0;
        side.run("made", doc! { "create": "later", "validator": { "n": { "$type": "int" } } });
        side.insert("made", "later", &[doc! { "_id": 1, "n": 1 }]);
        side.insert("made_not", "x", &[doc! { "_id": 1 }]);
        side.run("made", doc! { "delete": "orders", "deletes": [{ "q": { "_id": 3 }, "limit": 1 }] });
    };
    let (result, out) = backup_with(&options, hook);
    result.unwrap();
    restore(&common::options(other, "made"), &out.bytes(), &how(RestoreMode::Fail, &[])).unwrap();
    assert_eq!(other.fingerprint("made"), side.fingerprint("made"));
    assert!(other.names("made_not").is_empty());
    let held = |text: &[u8]| out.bytes().windows(text.len()).any(|window| window == text);
    assert!(held(b"made.later") && !held(b"made_not"), "entries of another database are in the archive");
}

#[test]
fn the_oplog_of_a_whole_server_stands_where_mongodump_puts_it_and_makes_all_databases_of_one_moment() {
    let (side, other): (&'static Side, _) = (Box::leak(Box::new(Side::start())), Side::start());
    large_of(side, "first", 1);
    bank(side, "second");
    let options = json!({ "url": side.server.url(), "consistency": "oplog" });
    let (result, out) = backup_with(&options, || {
        for number in 1..=5 {
            side.insert("first", "orders", &[doc! { "_id": format!("late {number}") }]);
            transfer(side, "second", number);
        }
    });
    let contents = result.unwrap();
    let (prelude, blocks) = blocks(&out.bytes());
    // As `mongodump --oplog`: in no database, without metadata, behind all collections.
    let oplog = doc! { "db": "", "collection": "oplog", "metadata": "", "size": 0, "type": "" };
    assert_eq!(prelude.last(), Some(&oplog));
    let ends: Vec<_> = blocks.iter().map(|(header, _)| header.get_str("collection").unwrap()).collect();
    assert_eq!(ends[ends.len() - 2..], ["oplog", "oplog"]);
    let (entries, end) = (&blocks[blocks.len() - 2], &blocks[blocks.len() - 1]);
    let keys = |header: &Document| header.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&entries.0), ["db", "collection", "EOF", "CRC"]);
    assert!(
        entries.0.get_str("db").unwrap().is_empty() && end.0.get_bool("EOF").unwrap() && end.1.is_empty()
    );
    let first = Document::from_reader(&entries.1[..]).unwrap();
    for field in ["ts", "op", "ns", "o"] {
        assert!(first.contains_key(field), "{first}");
    }
    let mut how = how(RestoreMode::Fail, &[]);
    how.contents = Some(contents);
    restore(&json!({ "url": other.server.url() }), &out.bytes(), &how).unwrap();
    for db in ["first", "second"] {
        assert_eq!(other.fingerprint(db), side.fingerprint(db), "{db}");
    }
    assert_eq!(sums(&other, "second"), (5, 5));
    side.server.stop();
}

#[test]
fn an_oplog_that_is_too_short_or_holds_a_rename_fails_the_backup() {
    let side: &'static Side =
        Box::leak(Box::new(Side::over(Mongo::start_with(&["--oplog-max-entries", "100"]))));
    large_of(side, "short", 1);
    let mut options = options(side, "short");
    options["consistency"] = json!("oplog");
    let (result, out) = backup_with(&options, move || {
        let many: Vec<Document> = (0..3000).map(|n| doc! { "_id": n }).collect();
        side.insert("elsewhere", "many", &many);
    });
    let error = result.unwrap_err();
    assert!(error.message.contains("doesn't reach back") && error.hint.is_some(), "{error:?}");
    assert!(!out.finished());
    let (result, out) = backup_with(&options, move || {
        side.run("admin", doc! { "renameCollection": "short.empty", "to": "short.moved" });
    });
    let error = result.unwrap_err();
    assert!(error.message.contains("renamed") && error.message.contains("short.empty"), "{error:?}");
    assert!(!out.finished());
    side.server.stop();
}

#[test]
fn a_snapshot_that_has_become_too_old_fails_the_backup_with_what_to_do() {
    let side = Side::over(Mongo::start_with(&["--enable-test-commands"]));
    large_of(&side, "old", 2);
    let options = options(&side, "old");
    let (fine, _) = backup_with(&options, || ());
    assert!(fine.unwrap().consistency_point.unwrap().starts_with("cluster time"));
    side.run(
        "admin",
        doc! {
            "configureFailPoint": "failCommand", "mode": "alwaysOn",
            "data": { "failCommands": ["getMore"], "errorCode": 239, "appName": "windlass" },
        },
    );
    let (result, out) = backup_with(&options, || ());
    let error = result.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Failed);
    assert!(error.message.contains("old.large") && error.to_string().contains("code 239"), "{error}");
    let hint = error.hint.unwrap();
    assert!(
        hint.contains("consistency = \"oplog\"") && hint.contains("minSnapshotHistoryWindowInSeconds"),
        "{hint}"
    );
    assert!(!out.finished(), "a snapshot came to be");
}

#[test]
fn the_size_of_the_data_decides_between_snapshot_and_oplog() {
    let (side, _) = sides();
    large_of(side, "sized", 2);
    let mut options = options(side, "sized");
    let ways = |options: &Value| backup(options).unwrap().1.details.contains_key("oplog");
    assert!(!ways(&options), "300 seconds are enough");
    options["history_window"] = json!(1);
    assert!(!ways(&options), "at 20 MiB a second it takes one");
    options["read_rate"] = json!(1);
    assert!(ways(&options));
    // What the server says of its history counts, if nothing else is said.
    let parameter = doc! { "minSnapshotHistoryWindowInSeconds": 1, "ok": 1.0 }.to_vec().unwrap();
    let port = answering(side.server.port(), "getParameter", move |_| parameter.clone());
    let mut said = json!({ "host": "127.0.0.1", "port": port, "database": "sized", "read_rate": 1 });
    assert!(ways(&said));
    said["history_window"] = json!(1000);
    assert!(!ways(&said));
    options["consistency"] = json!("snapshot");
    let (_, contents) = backup(&options).unwrap();
    assert!(contents.warnings.iter().any(|one| one.contains("may take")), "{contents:?}");
}
