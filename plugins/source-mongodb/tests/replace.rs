//! Mode `replace`: what was there stays until all is well, comes back if it isn't, and is kept or dropped as was asked.

mod common;

use bson::{Document, doc};
use common::hooked::Interrupted;
use common::{Side, how, of_mongodump, options, restore, sides, source};
use serde_json::json;
use windlass_plugin_api::{ErrorKind, RestoreMode, RestoreOptions, Source};
use windlass_test_servers::Mongo;
use windlass_testkit::TestHost;

/// A database with something of each kind: a collection that is replaced, one that isn't in the snapshot, a view.
fn old(side: &Side, db: &str) {
    let documents: Vec<Document> = (0..50).map(|n| doc! { "_id": n, "old": true }).collect();
    side.insert(db, "orders", &documents);
    side.run(db, doc! { "createIndexes": "orders", "indexes": [{ "key": { "old": 1 }, "name": "old" }] });
    side.insert(db, "extra", &[doc! { "_id": 1 }]);
    side.run(db, doc! { "create": "older", "viewOn": "orders", "pipeline": [{ "$match": { "_id": 1 } }] });
}

fn replace() -> RestoreOptions {
    how(RestoreMode::Replace, &[])
}

/// The names of the server's databases that begin like this.
fn databases(side: &Side, prefix: &str) -> Vec<String> {
    let reply = side.run("admin", doc! { "listDatabases": 1, "nameOnly": true });
    let all = reply.get_array("databases").unwrap().iter();
    let names = all.map(|one| one.as_document().unwrap().get_str("name").unwrap().to_owned());
    names.filter(|name| name.starts_with(prefix)).collect()
}

/// A server on which `command` fails from the `skip`th time on, for our program alone.
fn failing(command: &str, skip: i32) -> Side {
    let side = Side::over(Mongo::start_with(&["--enable-test-commands"]));
    let mode = doc! { "skip": skip, "times": 1 };
    let data = doc! { "failCommands": [command], "errorCode": 8000, "appName": "windlass" };
    side.run("admin", doc! { "configureFailPoint": "failCommand", "mode": mode, "data": data });
    side
}

#[test]
fn what_was_replaced_is_kept_as_a_database_of_its_own() {
    let (decoy, side) = sides();
    old(side, "kept");
    old(decoy, "kept");
    let (before, untouched) = (side.fingerprint("kept"), decoy.fingerprint("kept"));
    let name = "kept_before_20260101T000000Z-test";
    let (target, _, done) = restore(&options(side, "kept"), &of_mongodump(), &replace()).unwrap();
    assert!(target.effects.iter().any(|one| one.contains(name)), "{target:?}");
    assert!(done.notes.iter().any(|one| one.contains(name)), "{done:?}");
    assert_eq!(side.fingerprint(name), before);
    assert_eq!(side.read("kept", "orders").len(), 1500);
    assert!(!side.names("kept").iter().any(|one| one.contains("windlass")), "{:?}", side.names("kept"));
    // Once more: the first one that was kept stays.
    restore(&options(side, "kept"), &of_mongodump(), &replace()).unwrap();
    assert_eq!(side.fingerprint(name), before);
    assert_eq!(databases(side, "kept_before").len(), 2);
    assert_eq!(decoy.fingerprint("kept"), untouched);
    assert!(databases(decoy, "kept_before").is_empty());
}

#[test]
fn what_was_replaced_is_dropped_if_that_is_asked_for() {
    let (_, side) = sides();
    old(side, "dropped");
    let mut options = options(side, "dropped");
    options["drop_before"] = json!(true);
    let (target, ..) = restore(&options, &of_mongodump(), &replace()).unwrap();
    assert!(target.effects.iter().any(|one| one.contains("dropped once")), "{target:?}");
    assert_eq!(databases(side, "dropped"), ["dropped"]);
    assert!(!side.names("dropped").iter().any(|one| one.contains("windlass") || one == "extra"));
}

#[test]
fn a_failure_between_the_renames_takes_all_back() {
    for skip in [0, 1, 2, 5] {
        let side = failing("renameCollection", skip);
        old(&side, "shop");
        let before = side.fingerprint("shop");
        let error = restore(&options(&side, "shop"), &of_mongodump(), &replace()).unwrap_err();
        assert!(error.to_string().contains("8000"), "{error}");
        assert_eq!(side.fingerprint("shop"), before, "at the rename {skip}");
        assert_eq!(databases(&side, "shop"), ["shop"]);
    }
}

#[test]
fn a_failure_behind_the_renames_takes_all_back_too() {
    // Seven collections are made beside the old; the view comes last.
    let side = failing("create", 7);
    old(&side, "shop");
    let before = side.fingerprint("shop");
    let error = restore(&options(&side, "shop"), &of_mongodump(), &replace()).unwrap_err();
    assert!(error.to_string().contains("8000"), "{error}");
    assert_eq!(side.fingerprint("shop"), before);
}

#[test]
fn a_server_that_dies_during_a_restore_keeps_what_was_there_and_the_next_restore_sweeps() {
    let side: &'static Side = Box::leak(Box::new(Side::start()));
    old(side, "shop");
    let before = side.fingerprint("shop");
    let bytes = of_mongodump();
    let input = Interrupted::new(bytes.clone(), bytes.len() / 2, || {
        // It would lose what it hasn't written to the disk.
        side.run("admin", doc! { "fsync": 1 });
        side.server.stop();
    });
    let (host, mut settings) = (TestHost::new(), options(side, "shop"));
    settings["connect_timeout"] = json!(1);
    let mut source = source(&settings, &host);
    let error = source.restore(&host.context(), &input, &replace()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error:?}");
    assert!(error.to_string().contains("is left of the restore"), "{error}");
    side.server.restart();
    let left =
        |side: &Side| side.names("shop").iter().filter(|name| name.contains("windlass-restore")).count();
    assert!(left(side) > 0, "nothing was left, so nothing is proved");
    // What is in the way is told by backups, which leave it out, and isn't taken for the database's own.
    let (_, contents) = common::backup(&options(side, "shop")).unwrap();
    assert_eq!(contents.details["collections"].as_array().unwrap().len(), 3);
    assert!(contents.warnings.iter().any(|one| one.contains("windlass-restore")), "{contents:?}");
    // Another snapshot's restore.
    let how = RestoreOptions { snapshot: "20270101T000000Z-next".into(), ..replace() };
    let (.., done) = restore(&options(side, "shop"), &bytes, &how).unwrap();
    assert!(done.notes.iter().any(|one| one.starts_with("removed `shop.windlass-restore")), "{done:?}");
    assert_eq!(left(side), 0);
    assert_eq!(side.fingerprint("shop_before_20270101T000000Z-next"), before);
    side.server.stop();
}

#[test]
fn what_a_killed_restore_had_moved_away_is_told_and_never_dropped() {
    let (_, side) = sides();
    old(side, "aside");
    side.insert("aside", "windlass-before-20200101T000000Z-old-orders", &[doc! { "_id": "precious" }]);
    let (.., done) = restore(&options(side, "aside"), &of_mongodump(), &replace()).unwrap();
    assert!(
        done.notes.iter().any(|one| one.contains("windlass-before-20200101T000000Z-old-orders")),
        "{done:?}"
    );
    assert_eq!(side.read("aside", "windlass-before-20200101T000000Z-old-orders").len(), 1);
}

#[test]
fn who_uses_the_database_is_shown_and_ended_on_request_alone() {
    let (_, side) = sides();
    old(side, "used");
    let open = |db: &str| {
        let reply = side.run(db, doc! { "find": "orders", "batchSize": 2 });
        reply.get_document("cursor").unwrap().get_i64("id").unwrap()
    };
    let alive = |db: &str, id: i64| {
        side.try_run(db, doc! { "getMore": id, "collection": "orders", "batchSize": 1 }).is_ok()
    };
    old(side, "unused");
    let (mine, other) = (open("used"), open("unused"));
    let mut options = options(side, "used");
    let host = TestHost::new();
    let target = source(&options, &host).target(&host.context(), &replace()).unwrap();
    assert_eq!(target.sessions, ["a cursor on `used.orders`"]);
    assert!(alive("used", mine), "looking ended it");
    options["force"] = json!(true);
    restore(&options, &of_mongodump(), &replace()).unwrap();
    assert!(!alive("used", mine), "the cursor goes on");
    assert!(alive("unused", other), "a cursor on another database was ended");
}
