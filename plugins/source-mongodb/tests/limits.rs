//! What bounds a run: time limits, and servers that change under it.

mod common;

use std::time::{Duration, Instant};

use bson::doc;
use common::hooked::{backup_with, large_of};
use common::{Side, backup, fill, how, of_mongodump, restore};
use serde_json::json;
use windlass_plugin_api::{ErrorKind, RestoreMode};
use windlass_test_servers::Mongo;

/// A server that answers `command` only after ten seconds, once.
fn slow(command: &str) -> Side {
    let side = Side::over(Mongo::start_with(&["--enable-test-commands"]));
    fill(&side, "shop", 10);
    let data = doc! { "failCommands": [command], "blockConnection": true, "blockTimeMS": 10_000, "appName": "windlass" };
    side.run("admin", doc! { "configureFailPoint": "failCommand", "mode": { "times": 1 }, "data": data });
    side
}

#[test]
fn a_statement_that_gets_no_answer_ends_the_run_after_the_time_limit() {
    for command in ["listIndexes", "insert"] {
        let side = slow(command);
        let options =
            json!({ "host": "127.0.0.1", "port": side.server.port(), "database": "shop", "timeout": 1 });
        let before = side.fingerprint("shop");
        let started = Instant::now();
        let error = match command {
            "insert" => restore(&options, &of_mongodump(), &how(RestoreMode::Replace, &[])).unwrap_err(),
            _ => backup(&options).unwrap_err(),
        };
        assert_eq!(error.kind, ErrorKind::TimedOut, "{error:?}");
        assert!(error.hint.as_ref().unwrap().contains("`timeout`"), "{error:?}");
        assert!(started.elapsed() < Duration::from_secs(9), "{:?}", started.elapsed());
        assert_eq!(side.fingerprint("shop"), before);
    }
}

#[test]
fn with_the_oplog_a_change_of_the_primary_fails_the_backup() {
    let side: &'static Side = Box::leak(Box::new(Side::start()));
    large_of(side, "shop", 1);
    let options = json!({ "url": side.server.url(), "database": "shop", "consistency": "oplog" });
    assert!(backup_with(&options, || ()).0.is_ok());
    let (result, out) = backup_with(&options, || {
        side.run("admin", doc! { "replSetStepDown": 600, "force": true });
    });
    let error = result.unwrap_err();
    assert!(error.message.contains("became the primary"), "{error:?}");
    assert!(!out.finished());
    side.server.stop();
}

#[test]
fn a_place_in_the_oplog_that_is_lost_is_looked_for_again_but_not_for_ever() {
    let side = Side::over(Mongo::start_with(&["--enable-test-commands"]));
    fill(&side, "shop", 10);
    let options = json!({ "url": side.server.url(), "database": "shop", "consistency": "oplog" });
    for (times, fine) in [(2, true), (20, false)] {
        let data = doc! { "failCommands": ["find"], "errorCode": 136, "appName": "windlass" };
        // Open transactions, and the newest entry, twice; four collections; the newest entry again.
        let mode = doc! { "skip": 2 + 2 + 4 + 1, "times": times };
        side.run("admin", doc! { "configureFailPoint": "failCommand", "mode": mode, "data": data });
        let (result, out) = backup_with(&options, || ());
        assert_eq!((result.is_ok(), out.finished()), (fine, fine), "{result:?}");
    }
}

#[test]
fn a_replica_set_is_found_by_its_url_and_its_oplog_is_read_from_one_server_alone() {
    let side = Side::start();
    fill(&side, "shop", 10);
    let url = format!("mongodb://127.0.0.1:{}/shop?replicaSet=secantus", side.server.port());
    let oplog = |url: &str| backup(&json!({ "url": url, "consistency": "oplog" }));
    assert!(oplog(&url).unwrap().1.details.contains_key("oplog"));
    let spread = format!("{url}&readPreference=secondaryPreferred");
    let error = oplog(&spread).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Config, "{error:?}");
    assert!(error.hint.unwrap().contains("readPreference"));
    // A snapshot may be read anywhere.
    assert!(backup(&json!({ "url": spread })).unwrap().1.consistency_point.unwrap().starts_with("cluster"));
}

#[test]
fn a_connection_that_is_cut_leaves_no_backup_and_the_target_as_it_was() {
    let side: &'static Side = Box::leak(Box::new(Side::over(Mongo::start_with(&["--enable-test-commands"]))));
    large_of(side, "shop", 1);
    let options = json!({ "url": side.server.url(), "database": "shop" });
    let cut = |command: &str, skip: i32, times: i32| {
        let data = doc! { "failCommands": [command], "closeConnection": true, "appName": "windlass" };
        let mode = doc! { "skip": skip, "times": times };
        side.run("admin", doc! { "configureFailPoint": "failCommand", "mode": mode, "data": data });
    };
    let before = side.fingerprint("shop");
    cut("getMore", 0, 1);
    let (result, out) = backup_with(&options, || ());
    assert_eq!(result.unwrap_err().kind, ErrorKind::Unavailable);
    assert!(!out.finished());
    for (command, skip) in [("insert", 1), ("createIndexes", 0)] {
        cut(command, skip, 1);
        let error = restore(&options, &of_mongodump(), &how(RestoreMode::Replace, &[])).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable, "{command}: {error:?}");
        assert_eq!(side.fingerprint("shop"), before, "{command}");
    }
    // A new database is gone again.
    cut("insert", 1, 1);
    let new = json!({ "url": side.server.url(), "database": "new" });
    restore(&new, &of_mongodump(), &how(RestoreMode::Fail, &[])).unwrap_err();
    assert!(side.names("new").is_empty(), "{:?}", side.names("new"));
    side.server.stop();
}
