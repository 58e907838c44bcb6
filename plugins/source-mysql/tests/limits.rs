//! What a run waits for, for how long, and what never waits for it.

mod common;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use windlass_plugin_api::{ErrorKind, RestoreMode, Source};

use common::{backup, host, how, open, options, restore, script, taken, with};

const ROWS: &str = "create database shop; use shop; create table t (id int primary key, x text);
    insert into t select seq, repeat('x', 500) from seq_1_to_40000;";

/// A dump program that is the real one; once its rows flow, `then` runs before the rest of them may go on.
fn stopped(folder: &Path, then: &str) {
    let questions = r#"case "$*" in *--help*|*--version*) exec /usr/bin/mariadb-dump "$@";; esac"#;
    let text = format!(
        "#!/bin/bash\nset -o pipefail\n{questions}\n/usr/bin/mariadb-dump \"$@\" | (head -c 100000; {then}; cat)\n"
    );
    script(folder, "mariadb-dump", &text);
}

#[test]
fn writers_and_other_definitions_are_not_stalled_by_a_dump_and_no_lock_is_asked_for() {
    let server = common::server_with(&[
        "--general-log",
        "--general-log-file={dir}/general.log",
        "--log-bin={dir}/log-bin",
        "--server-id=7",
    ]);
    let folder = tempfile::tempdir().unwrap();
    server.sql("", ROWS);
    server.sql("", "create table shop.u (id int primary key) engine=innodb");
    // Each must end while the dump stands still; whoever waits for a lock fails at once.
    let statements = "set lock_wait_timeout = 0, innodb_lock_wait_timeout = 1; insert into shop.t values (50000, 1); \
        update shop.u set id = id; create database other; create table other.t (a int); flush local tables other.t";
    let write = format!(
        "MYSQL_PWD={} /usr/bin/mariadb --no-defaults -uroot --socket={} -e '{statements}' 2> {}/said && touch {}/written",
        server.password(),
        server.socket().display(),
        folder.path().display(),
        folder.path().display()
    );
    stopped(folder.path(), &write);
    for position in [false, true] {
        let more = json!({ "bin_dirs": [folder.path()], "binlog_position": position });
        taken(&server, with(options(&server, "shop"), more));
        let said = fs::read_to_string(folder.path().join("said")).unwrap();
        assert!(folder.path().join("written").exists(), "a writer waited for the dump: {said}");
        assert_eq!(server.sql("shop", "select count(*) from t"), "40001");
        fs::remove_file(folder.path().join("written")).unwrap();
        server.sql("", "drop database other; delete from shop.t where id = 50000");
    }
    let log = fs::read_to_string(server.dir().join("general.log")).unwrap();
    let locks: Vec<&str> = log
        .lines()
        .filter(|line| !line.contains("UNLOCK"))
        .filter(|line| {
            ["LOCK TABLES", "FLUSH ", "READ LOCK", "BACKUP "].iter().any(|lock| line.contains(lock))
        })
        .collect();
    assert!(log.contains("START TRANSACTION") && locks.is_empty(), "{locks:?}");
}

#[test]
fn a_statement_that_takes_too_long_fails_the_backup() {
    let server = common::server();
    server.sql("", ROWS);
    let slow = json!({ "dump_args": ["--where=sleep(0.1) = 0"], "statement_timeout": 1 });
    let (result, out) = backup(&server, with(options(&server, "shop"), slow));
    let error = result.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut, "{error:?}");
    assert!(error.hint.unwrap().contains("`statement_timeout`"));
    assert!(out.seen().iter().all(|(_, seen)| !seen.finished));
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    let server = common::server();
    // It takes the connection, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let nobody = with(options(&server, "shop"), json!({ "port": port, "connect_timeout": 1 }));
    let begun = Instant::now();
    let error = open(nobody).probe(&host(&server).context()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn further_arguments_reach_both_programs() {
    let server = common::server();
    server.sql(
        "",
        "create database shop; create table shop.t (a int); insert into shop.t values (1), (2), (3);
        create database log; create table log.seen (a int)",
    );
    let args = json!({
        "dump_args": ["--where=a < 3"], "restore_args": ["--init-command=insert into log.seen values (1)"],
    });
    let (contents, input) = taken(&server, with(options(&server, "shop"), args.clone()));
    let copy = with(options(&server, "copy"), args);
    restore(&server, copy, &input, &how(&contents, RestoreMode::Fail)).1.unwrap();
    assert_eq!(
        server.sql("", "select (select group_concat(a) from copy.t), (select count(*) from log.seen)"),
        "1,2\t1"
    );
}

#[test]
fn check_tells_versions_and_a_size() {
    let server = common::server();
    server.sql("", ROWS);
    server.sql("shop", "analyze table t");
    let probe = open(options(&server, "shop")).probe(&host(&server).context()).unwrap();
    let release = server.sql("", "select version()");
    assert_eq!(probe.versions["server"], release);
    for program in ["dump", "client"] {
        let version = &probe.versions[program];
        assert!(version.split('-').next().is_some_and(|v| release.starts_with(v)), "{program}: {version}");
    }
    assert!((10_000_000..100_000_000).contains(&probe.estimate_bytes.unwrap()), "{probe:?}");
    assert!(probe.notes.iter().any(|note| note.starts_with("Users and grants aren't in the backup")));
}
