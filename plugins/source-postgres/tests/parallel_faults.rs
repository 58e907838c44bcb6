//! Parallel dumps while others write and change the schema, and when something dies: one moment, or no backup.

mod common;

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{SHOP, Taken, backup, databases, dumped, host, how, options, restore, source, with};
use serde_json::{Value, json};
use windlass_plugin_api::{Error, ErrorKind, Inputs, Outputs, RestoreMode, Result, Sink, Source, StreamInfo};
use windlass_test_servers::Postgres as Server;
use windlass_testkit::streams::{Fault, MemoryOutputs};

/// Two tables of about the same size, which land in different streams, and what always holds of them.
const ACCOUNTS: &str = "create table a as select n as id, 100 as n, repeat('x', 200) as t from generate_series(1, 3000) n; \
    create table b as select * from a";
const SUM: &str = "select (select sum(n) from a) + (select sum(n) from b)";

fn shop() -> Server {
    let server = Server::start(15);
    server.sql("postgres", "create database shop; create database copy");
    server.sql("shop", SHOP);
    server.sql("shop", ACCOUNTS);
    server
}

fn parallel(server: &Server, database: &str) -> Value {
    with(options(server, database), json!({ "format": "parallel" }))
}

/// Waits until `sql` answers `expected`.
#[track_caller]
fn until(server: &Server, sql: &str, expected: &str) {
    let began = Instant::now();
    while server.sql("shop", sql) != expected {
        assert!(began.elapsed() < Duration::from_secs(60), "{sql} never gave {expected}");
    }
}

/// Streams in memory; `begun` is called before the first one is opened.
struct Watched<F: Fn() + Send + Sync> {
    out: MemoryOutputs,
    has_begun: AtomicBool,
    begun: F,
}

impl<F: Fn() + Send + Sync> Watched<F> {
    fn new(begun: F) -> Self {
        Self { out: MemoryOutputs::new(), has_begun: AtomicBool::new(false), begun }
    }
}

impl<F: Fn() + Send + Sync> Outputs for Watched<F> {
    fn create(&self, name: &str, info: StreamInfo) -> Result<Box<dyn Sink>> {
        if !self.has_begun.swap(true, Ordering::SeqCst) {
            (self.begun)();
        }
        self.out.create(name, info)
    }
}

/// A `pg_dump` that runs `script` with the real one in `$REAL`.
fn fake(folder: &Path, script: &str) {
    fake_program(folder, "pg_dump", script);
}

fn fake_program(folder: &Path, name: &str, script: &str) {
    let path = folder.join(name);
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && {{ echo '{name} (PostgreSQL) 15.99'; exit; }}\n\
         REAL=/usr/lib/postgresql/15/bin/{name}\n{script}\n"
    );
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A shell's test: this is the dump of the second share.
const SECOND: &str = "case \"$*\" in *--table=*) second=1;; *) second=;; esac; ";

#[test]
fn changes_of_the_schema_wait_for_the_dump_and_do_not_break_it() {
    let server = Arc::new(shop());
    server.sql("shop", "vacuum full orders");
    let before = dumped(&server, "shop");
    let changes = [
        "alter table a drop column t",
        "drop table b",
        "vacuum full orders",
        "truncate stock.\"we\"\"ird $$ näme\"",
    ];
    let waiting = "select count(*) from pg_locks where mode = 'AccessExclusiveLock' and not granted";
    let its = server.clone();
    let out = Watched::new(move || {
        for change in changes {
            let its = its.clone();
            // Ended by the end of the dump.
            thread::spawn(move || its.sql("shop", change));
        }
        until(&its, waiting, "4");
    });
    let contents = source(&parallel(&server, "shop")).backup(&host(&server).context(), &out).unwrap();
    let taken = Taken { contents, streams: out.out.inputs(), bytes: Vec::new() };
    restore(&server, &parallel(&server, "copy"), &taken, &how(&taken, RestoreMode::Fail)).unwrap();
    assert!(dumped(&server, "copy") == before);
    until(
        &server,
        "select to_regclass('b') is null and (select count(*) from stock.\"we\"\"ird $$ näme\") = 0",
        "t",
    );
}

#[test]
fn a_change_that_comes_in_between_makes_it_begin_again() {
    let server = shop();
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("mark");
    // Once, behind the lock of the holding session and before that of the dump.
    let change = format!(
        "psql -Xqw -h {socket} -p {port} -U postgres shop -c 'alter table b add column later int' >/dev/null 2>&1 & \
         until [ \"$(psql -XAtqw -h {socket} -p {port} -U postgres shop -c \"select count(*) from pg_locks where mode = 'AccessExclusiveLock' and not granted\")\" = 1 ]; do :; done",
        socket = server.socket_dir().display(),
        port = server.port()
    );
    let script = format!(
        "{SECOND} if [ $second ] && mkdir {} 2>/dev/null; then export PGPASSWORD={}; {change}; unset PGPASSWORD; fi; exec \"$REAL\" \"$@\"",
        mark.display(),
        server.password()
    );
    fake(folder.path(), &script);
    let options = with(parallel(&server, "shop"), json!({ "bin_dirs": [folder.path()], "lock_timeout": 2 }));
    let taken = backup(&server, &options).unwrap();
    assert!(mark.exists(), "nothing came in between");
    restore(&server, &parallel(&server, "copy"), &taken, &how(&taken, RestoreMode::Fail)).unwrap();
    assert!(dumped(&server, "copy") == dumped(&server, "shop"));
    assert!(dumped(&server, "copy").contains("later integer"));
}

#[test]
fn tables_that_come_and_go_before_they_are_held_make_it_begin_again() {
    for (change, left) in [
        ("create table late as select n from generate_series(1, 70) n", "70"),
        ("drop table b; create table late as select 1", "1"),
    ] {
        let server = shop();
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("mark");
        // Once, before the holding session takes its locks: it alone reads a script.
        let path = folder.path().join("psql");
        let text = format!(
            "#!/bin/sh\n[ \"$1\" = --version ] && {{ echo 'psql (PostgreSQL) 15.99'; exit; }}\n\
             REAL=/usr/lib/postgresql/15/bin/psql\ncase \"$*\" in *'-f -'*) mkdir {} 2>/dev/null && \
             PGPASSWORD={} \"$REAL\" -Xqw -h {} -p {} -U postgres shop -c '{change}' </dev/null;; esac\nexec \"$REAL\" \"$@\"\n",
            mark.display(),
            server.password(),
            server.socket_dir().display(),
            server.port()
        );
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let options = with(parallel(&server, "shop"), json!({ "bin_dirs": [folder.path()] }));
        let taken = backup(&server, &options).unwrap();
        assert!(mark.exists(), "nothing came in between");
        let recorded = taken.contents.details["relations"].to_string();
        assert!(recorded.contains("\"late\"") && recorded.contains("\"b\"") != change.contains("drop"));
        restore(&server, &parallel(&server, "copy"), &taken, &how(&taken, RestoreMode::Fail)).unwrap();
        assert!(dumped(&server, "copy") == dumped(&server, "shop"));
        assert_eq!(server.sql("copy", "select count(*) from late"), left);
    }
}

#[test]
fn rows_are_of_one_moment_while_others_write() {
    let server = Arc::new(shop());
    let its = server.clone();
    let writer = thread::spawn(move || {
        // Ended by the test.
        let transfers = "do $$ begin loop update a set n = n - 1 where id = 7; \
            update b set n = n + 1 where id = 1; commit; end loop; end $$";
        let _ = std::panic::catch_unwind(|| its.sql("shop", transfers));
    });
    let moved = "select (select sum(n) from b) > 300000";
    until(&server, moved, "t");
    let taken = backup(&server, &parallel(&server, "shop")).unwrap();
    server.sql("shop", "select pg_terminate_backend(pid) from pg_stat_activity where query like 'do %' and pid <> pg_backend_pid()");
    writer.join().unwrap();
    let names: Vec<String> = taken.streams.streams().into_iter().map(|(name, _)| name).collect();
    assert!(names.contains(&"data-2".to_owned()), "{names:?}");
    restore(&server, &parallel(&server, "copy"), &taken, &how(&taken, RestoreMode::Fail)).unwrap();
    assert_eq!(server.sql("copy", SUM), "600000");
    assert_eq!(server.sql("copy", moved), "t");
}

#[test]
fn a_part_that_dies_or_stops_early_is_no_backup() {
    let server = shop();
    for (script, says) in [
        ("\"$REAL\" \"$@\" | head -c 50000; kill -9 $$", "was killed by signal 9"),
        ("\"$REAL\" \"$@\" | head -c 50000", "before the data of"),
        ("\"$REAL\" \"$@\"; exit 1", "ended with exit code 1"),
        ("exit 0", "its output isn't whole"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fake(
            folder.path(),
            &format!("{SECOND} if [ $second ]; then {script}; else exec \"$REAL\" \"$@\"; fi"),
        );
        let options = with(parallel(&server, "shop"), json!({ "bin_dirs": [folder.path()] }));
        let out = MemoryOutputs::new();
        let error = source(&options).backup(&host(&server).context(), &out).unwrap_err();
        let text = format!("{error}");
        assert!(text.contains(says) && text.contains("`data-2`"), "{script}: {text}");
        let second = out.seen().into_iter().find(|(name, _)| name == "data-2");
        assert!(second.is_none_or(|(_, seen)| !seen.finished && seen.dropped), "{script}");
        assert_eq!(
            server
                .sql("shop", "select count(*) from pg_stat_activity where application_name like 'windlass%'"),
            "0"
        );
    }
}

#[test]
fn without_the_holding_session_there_is_no_backup() {
    let server = Arc::new(shop());
    let its = server.clone();
    let out = Watched::new(move || {
        let end = "select pg_terminate_backend(pid) from pg_stat_activity where application_name ~ '^windlass [0-9a-f]{16} '";
        assert_eq!(its.sql("shop", end), "t");
    });
    let error = source(&parallel(&server, "shop")).backup(&host(&server).context(), &out).unwrap_err();
    assert!(error.to_string().contains("the session that holds the tables"), "{error}");
}

#[test]
fn a_table_that_is_locked_fails_a_parallel_dump_in_time() {
    let server = Arc::new(shop());
    let other = server.clone();
    let holder = thread::spawn(move || {
        // Ended by the test.
        let _ =
            std::panic::catch_unwind(|| other.sql("shop", "begin; lock table orders; select pg_sleep(120)"));
    });
    until(
        &server,
        "select count(*) from pg_locks where mode = 'AccessExclusiveLock' and granted and relation = 'orders'::regclass",
        "1",
    );
    let options = with(parallel(&server, "shop"), json!({ "lock_timeout": 1 }));
    let error = backup(&server, &options).err().unwrap();
    assert_eq!(error.kind, ErrorKind::TimedOut, "{error:?}");
    server.sql("shop", "select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(120)%' and pid <> pg_backend_pid()");
    holder.join().unwrap();
}

#[test]
fn damage_in_the_last_byte_of_any_stream_leaves_the_target_as_it_was() {
    let server = shop();
    server.sql("shop", "select lo_from_bytea(0, 'large')");
    let taken = backup(&server, &parallel(&server, "shop")).unwrap();
    server.sql("copy", "create table mine as select 1 as a");
    let before = dumped(&server, "copy");
    server.sql("postgres", "create role clerk login password 'geheim-c'; create database clerks owner clerk");
    let clerk = with(
        parallel(&server, "clerks"),
        json!({ "user": "clerk", "password": "geheim-c", "owner": "drop", "privileges": "drop" }),
    );
    for (stream, _) in taken.streams.streams() {
        let mut bytes = Vec::new();
        taken.streams.open(&stream).unwrap().read_to_end(&mut bytes).unwrap();
        let end = Fault::Error(Error::damaged("the hash differs"));
        let streams = taken.streams.clone().fault_in(&stream, bytes.len() - 1, end);
        let bad = Taken { contents: taken.contents.clone(), streams, bytes: Vec::new() };
        for mode in [RestoreMode::Replace, RestoreMode::Merge] {
            let error = restore(&server, &parallel(&server, "copy"), &bad, &how(&bad, mode)).unwrap_err();
            assert!(error.to_string().contains("the hash differs"), "{stream}: {error}");
            assert_eq!(dumped(&server, "copy"), before, "{stream}");
        }
        // Who may not make a database fills an empty one in one transaction.
        restore(&server, &clerk, &bad, &how(&bad, RestoreMode::Fail)).unwrap_err();
        assert_eq!(
            server.sql("clerks", "select count(*) from pg_class where relname = 'orders'"),
            "0",
            "{stream}"
        );
        assert_eq!(databases(&server), "clerks copy postgres shop");
    }
    restore(&server, &clerk, &taken, &how(&taken, RestoreMode::Fail)).unwrap();
    assert_eq!(server.sql("clerks", "select count(*) from orders"), "3000");
}

#[test]
fn the_rows_of_all_shares_are_loaded_at_the_same_time() {
    let server = shop();
    let taken = backup(&server, &parallel(&server, "shop")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    // The first makes the tables. The second goes on only once there is a third.
    let script = "count() { ls \"$0\".begun.* 2>/dev/null | wc -l; }; before=$(count); : >\"$0\".begun.$$; tries=0; \
        while [ $before -ge 1 ] && [ $(count) -lt 3 ]; do tries=$((tries + 1)); [ $tries -gt 600 ] && exit 1; sleep 0.05; done; \
        exec \"$REAL\" \"$@\"";
    fake_program(folder.path(), "pg_restore", script);
    let options = with(parallel(&server, "copy"), json!({ "bin_dirs": [folder.path()] }));
    restore(&server, &options, &taken, &how(&taken, RestoreMode::Fail)).unwrap();
    assert!(dumped(&server, "copy") == dumped(&server, "shop"));
}

#[test]
fn the_commands_by_hand_restore_all_streams() {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let server = shop();
    server.sql("shop", "select lo_from_bytea(0, 'large')");
    let taken = backup(&server, &parallel(&server, "shop")).unwrap();
    server.sql("postgres", "alter database shop rename to was; create database shop");
    for (stream, _) in taken.streams.streams() {
        let line = source(&parallel(&server, "shop")).by_hand(&stream, &taken.contents).unwrap();
        let mut bytes = Vec::new();
        taken.streams.open(&stream).unwrap().read_to_end(&mut bytes).unwrap();
        let mut child = Command::new("sh")
            .args(["-c", &line])
            .env("PGHOST", server.host())
            .env("PGPORT", server.port().to_string())
            .env("PGUSER", server.user())
            .env("PGPASSWORD", server.password())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&bytes).unwrap();
        assert!(child.wait().unwrap().success(), "{line}");
    }
    assert_eq!(dumped(&server, "shop"), dumped(&server, "was"));
}
