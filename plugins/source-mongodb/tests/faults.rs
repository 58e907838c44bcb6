//! What goes wrong on the way, and what a backup promises of a moment in time.

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bson::doc;
use common::hooked::{backup_with, large};
use common::proxy::listening_in;
use common::{Side, backup, fill, how, of_mongodump, options, restore, sides, source};
use serde_json::json;
use windlass_plugin_api::{ErrorKind, RestoreMode, Source};
use windlass_test_servers::Mongo;
use windlass_testkit::TestHost;

/// The test's server takes snapshot sessions and reads what is newest all the same: what can be proved is that every read
/// asks for the one moment that the first was given.
#[test]
fn all_reads_of_a_backup_ask_for_the_same_moment() {
    let side = sides().0;
    large(side, "moment");
    let before = side.documents("moment", "large");
    let (port, heard) = listening_in(side.server.port());
    let options = json!({ "host": "127.0.0.1", "port": port, "database": "moment" });
    let (result, out) = backup_with(&options, || {
        let deletes = vec![doc! { "q": { "_id": { "$gt": 11_000 } }, "limit": 0 }];
        sides().0.run("moment", doc! { "delete": "large", "deletes": deletes });
        sides().0.insert("moment", "later", &[doc! { "_id": 1 }]);
    });
    let contents = result.unwrap();
    assert!(
        contents.warnings.is_empty()
            && contents.consistency_point.as_ref().is_some_and(|one| one.starts_with("cluster time")),
        "{contents:?}"
    );
    assert_ne!(side.documents("moment", "large").len(), before.len(), "nothing was changed on the way");
    let (_, other) = sides();
    let bytes = out.bytes();
    restore(&common::options(other, "moment2"), &bytes, &how(RestoreMode::Fail, &[])).unwrap();
    assert_eq!(other.documents("moment2", "large"), before);
    let heard = heard.lock().unwrap();
    let places = |text: &[u8]| -> Vec<usize> {
        heard
            .windows(text.len())
            .enumerate()
            .filter(|(_, window)| *window == text)
            .map(|(at, _)| at)
            .collect()
    };
    let name = b"\x11atClusterTime\0";
    let moments: Vec<_> =
        places(name).iter().map(|at| &heard[at + name.len()..at + name.len() + 8]).collect();
    // Five collections and a view, which isn't read; the first read is given the moment.
    assert_eq!(places(b"\x02find\0").len(), 5);
    assert!(moments.len() >= 4 && moments.iter().all(|one| *one == moments[0]), "{moments:?}");
}

#[test]
fn a_collection_that_is_dropped_during_a_backup_fails_it() {
    let side = sides().0;
    large(side, "ddl");
    let (result, out) = backup_with(&options(side, "ddl"), || {
        sides().0.run("ddl", doc! { "drop": "orders" });
    });
    let error = result.unwrap_err();
    assert!(error.to_string().contains("orders"), "{error}");
    assert!(!out.finished());
}

#[test]
fn a_server_that_dies_during_a_backup_fails_it() {
    let side = Side::start();
    large(&side, "shop");
    let (options, side) = (options(&side, "shop"), Arc::new(side));
    let dying = side.clone();
    let (result, out) = backup_with(&options, move || dying.server.stop());
    let error = result.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error:?}");
    assert!(!out.finished());
}

#[test]
fn a_server_that_hangs_is_left_after_the_time_limit_and_at_once_when_cancelled() {
    let side = Side::start();
    fill(&side, "shop", 10);
    let mut options = options(&side, "shop");
    let pid = side.server.pid().to_string();
    let signal = |signal: &str| {
        assert!(std::process::Command::new("kill").args([signal, &pid]).status().unwrap().success())
    };
    signal("-STOP");
    options["connect_timeout"] = json!(1);
    let error = backup(&options).unwrap_err();
    assert!(matches!(error.kind, ErrorKind::TimedOut | ErrorKind::Unavailable), "{error:?}");
    options["connect_timeout"] = json!(600);
    let host = TestHost::new();
    let cx = host.context();
    let mut source = source(&options, &host);
    let run = std::thread::spawn(move || (source.probe(&cx), Instant::now()));
    assert!(host.wait_registered(Duration::from_secs(30)));
    host.cancel();
    let asked = Instant::now();
    let (result, ended) = run.join().unwrap();
    assert_eq!(result.unwrap_err().kind, ErrorKind::Cancelled);
    assert!(ended.saturating_duration_since(asked) < Duration::from_secs(8));
    signal("-CONT");
}

#[test]
fn a_standalone_server_gives_no_snapshot_and_that_is_said_or_refused() {
    let side = Side::over(Mongo::start_with(&["--standalone"]));
    fill(&side, "shop", 10);
    let mut options = options(&side, "shop");
    let (bytes, contents) = backup(&options).unwrap();
    assert!(contents.warnings.len() == 1 && contents.warnings[0].contains("Not consistent"), "{contents:?}");
    assert!(contents.consistency_point.unwrap().starts_with("none"));
    restore(&common::options(&side, "copy"), &bytes, &how(RestoreMode::Fail, &[])).unwrap();
    assert_eq!(side.fingerprint("copy"), side.fingerprint("shop"));
    for asked in ["snapshot", "oplog"] {
        options["consistency"] = json!(asked);
        let error = backup(&options).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
    }
}

#[test]
fn a_url_that_can_not_be_understood_is_not_shown() {
    for url in [
        "mongodb://u:hunter2@h:x/",
        "http://u:hunter2@h/",
        "mongodb://u:hunter2%@h",
        "mongodb://u:hunter2@h/?x=y&authMechanism=no",
    ] {
        let error = backup(&json!({ "url": url })).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Config, "{error:?}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn include_and_exclude_choose_collections_and_an_unknown_database_is_an_error() {
    let side = sides().0;
    fill(side, "chosen", 10);
    let mut options = options(side, "chosen");
    options["include"] = json!(["*o*"]);
    options["exclude"] = json!(["log"]);
    let (_, contents) = backup(&options).unwrap();
    let names: Vec<_> =
        contents.details["collections"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["chosen.big_orders", "chosen.orders"]);
    options["exclude"] = json!(["lgo"]);
    assert_eq!(backup(&options).unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(backup(&common::options(side, "chosne")).unwrap_err().kind, ErrorKind::NotFound);
}

#[test]
fn all_databases_of_a_server_are_one_archive_or_an_item_each() {
    let (one, other) = (Side::start(), Side::start());
    fill(&one, "first", 10);
    fill(&one, "second", 20);
    let host = TestHost::new();
    let url = json!({ "url": one.server.url() });
    let items = source(&url, &host).discover(&host.context()).unwrap();
    assert_eq!(items.iter().map(|item| item.name.as_str()).collect::<Vec<_>>(), ["first", "second"]);
    assert_eq!(items[1].options["database"], "second");
    let (bytes, contents) = backup(&url).unwrap();
    let mut how = how(RestoreMode::Fail, &[]);
    let there = json!({ "url": other.server.url() });
    assert_eq!(restore(&there, &bytes, &how).unwrap_err().kind, ErrorKind::Config, "nothing says where to");
    how.contents = Some(contents);
    assert_eq!(restore(&options(&other, "both"), &bytes, &how).unwrap_err().kind, ErrorKind::Config);
    restore(&there, &bytes, &how).unwrap();
    for db in ["first", "second"] {
        assert_eq!(other.fingerprint(db), one.fingerprint(db));
    }
}

#[test]
fn a_server_that_dies_during_a_restore_fails_it() {
    let side = Side::start();
    let (options, host) = (options(&side, "shop"), TestHost::new());
    let mut source = source(&options, &host);
    source.target(&host.context(), &how(RestoreMode::Fail, &[])).unwrap();
    side.server.stop();
    let started = Instant::now();
    let error = source
        .restore(&host.context(), &common::inputs(&of_mongodump()), &how(RestoreMode::Fail, &[]))
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(60));
}
