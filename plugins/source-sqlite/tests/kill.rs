//! A restore that is killed at any moment leaves the target wholly old or wholly new, for the stock library too.

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use common::{backup, fill, leftovers, restore};
use rusqlite::Connection;
use serde_json::json;
use windlass_plugin_api::RestoreMode;

/// How often each kind of target is killed at.
const KILLS: u32 = 14;

/// What a fresh connection of the stock library sees: the number of rows, after an integrity check.
fn rows(path: &Path) -> String {
    let sql = "PRAGMA integrity_check; SELECT count(*) FROM goods;";
    match Command::new("sqlite3").arg(path).arg(sql).output() {
        Ok(output) => String::from_utf8(output.stdout).unwrap().replace('\n', " ").trim().to_owned(),
        Err(_) => {
            let conn = Connection::open(path).unwrap();
            let check: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
            let count: i64 = conn.query_row("SELECT count(*) FROM goods", [], |row| row.get(0)).unwrap();
            format!("{check} {count}")
        }
    }
}

fn restoring(target: &Path, stream: &Path) -> std::process::Child {
    let mut child = common::rerun("common::restoring")
        .env("WINDLASS_TEST_DB", target)
        .env("WINDLASS_TEST_STREAM", stream)
        .env("WINDLASS_TEST_SAFETY", "1")
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("@@ ready") {
        line.clear();
        assert_ne!(output.read_line(&mut line).unwrap(), 0);
    }
    // The pipe stays open: the child must not die of it.
    child.stdout = Some(output.into_inner());
    child
}

fn kill_at_random_moments(settings: &str, old: Option<u32>) {
    let folder = tempfile::tempdir().unwrap();
    let stream = folder.path().join("stream");
    let conn = Connection::open(&stream).unwrap();
    fill(&conn, 9000);
    drop(conn);
    let (bytes, _) = backup(&json!({ "path": stream })).unwrap();
    let mut whole = Duration::ZERO;
    let (mut olds, mut news) = (0, 0);
    for round in 0..=KILLS {
        let place = folder.path().join(round.to_string());
        fs::create_dir(&place).unwrap();
        let target = place.join("live.db");
        if let Some(count) = old {
            let conn = Connection::open(&target).unwrap();
            conn.execute_batch(settings).unwrap();
            fill(&conn, count);
        }
        let began = Instant::now();
        let mut child = restoring(&target, &stream);
        if round == 0 {
            assert!(child.wait().unwrap().success());
            whole = began.elapsed();
        } else {
            // Moments spread over the whole run; the exact ones are the machine's.
            thread::sleep(whole * (round - 1) / KILLS);
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let seen = if target.exists() { rows(&target) } else { "missing".to_owned() };
        let was = old.map_or("missing".to_owned(), |count| format!("ok {count}"));
        assert!(seen == was || seen == "ok 9000", "{settings}: {seen} after round {round}");
        olds += u32::from(seen == was);
        news += u32::from(seen == "ok 9000");
        restore(&json!({ "path": target }), &bytes, RestoreMode::Replace).expect("the next run works");
        assert_eq!(rows(&target), "ok 9000");
        assert!(leftovers(&place).is_empty(), "the next run removes what was left");
        fs::remove_dir_all(&place).unwrap();
    }
    assert!(olds > 0 && news > 0, "{olds} old and {news} new: the moments weren't spread");
}

#[test]
fn a_missing_target_is_missing_or_whole() {
    kill_at_random_moments("", None);
}

#[test]
fn a_target_in_rollback_mode_is_old_or_new() {
    kill_at_random_moments("PRAGMA journal_mode = DELETE", Some(20_000));
}

#[test]
fn a_target_in_wal_mode_is_old_or_new() {
    kill_at_random_moments("PRAGMA journal_mode = WAL", Some(5000));
}

#[test]
fn a_target_of_another_page_size_is_old_or_new() {
    kill_at_random_moments("PRAGMA page_size = 1024; PRAGMA journal_mode = WAL", Some(20_000));
    kill_at_random_moments("PRAGMA page_size = 16384", Some(5000));
}
