//! What ends in time, and what is told before the start: silent servers, programs that are too old, text in parts.

mod common;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use common::{
    backup, databases, dumped, host, how, options, refused, restore, server, source, taken_as, with,
};
use serde_json::json;
use windlass_plugin_api::{ErrorKind, RawName, RestoreMode, Source};

#[test]
fn a_question_that_is_not_answered_ends_in_time() {
    let server = Arc::new(server());
    let other = server.clone();
    let holder = thread::spawn(move || {
        // Ended by the test.
        let sql = "begin; lock table pg_catalog.pg_subscription; select pg_sleep(120)";
        let _ = catch_unwind(AssertUnwindSafe(|| other.sql("shop", sql)));
    });
    let began = Instant::now();
    let held = "select count(*) from pg_locks where mode = 'AccessExclusiveLock' and granted and relation = 'pg_subscription'::regclass";
    while server.sql("shop", held) == "0" {
        assert!(began.elapsed() < Duration::from_secs(60), "nobody took the lock");
    }
    let options = with(options(&server, "shop"), json!({ "statement_timeout": 1 }));
    let began = Instant::now();
    let error = source(&options).probe(&host(&server).context()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut, "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(20));
    server.sql("postgres", "select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(120)%' and pid <> pg_backend_pid()");
    holder.join().unwrap();
}

#[test]
fn a_server_that_says_nothing_is_given_up_in_time() {
    let server = server();
    // It takes connections, and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let options = with(options(&server, "shop"), json!({ "port": port, "connect_timeout": 2 }));
    let began = Instant::now();
    let error = backup(&server, &options).err().unwrap();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn a_psql_that_can_not_be_restricted_is_told_before_anything_is_dropped() {
    let server = server();
    let text = taken_as(&server, "plain");
    server.sql("copy", "create table mine (a int)");
    let before = dumped(&server, "copy");
    let folder = tempfile::tempdir().unwrap();
    for name in ["psql", "pg_restore"] {
        let path = folder.path().join(name);
        let script = format!(
            "#!/bin/sh\n[ \"$1\" = --version ] && {{ echo '{name} (PostgreSQL) 15.13'; exit; }}\nexec /usr/lib/postgresql/15/bin/{name} \"$@\"\n"
        );
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let command = json!({ "restore_command": [folder.path().join("pg_restore")] });
    let old = with(options(&server, "copy"), command);
    let error = restore(&server, &old, &text, &how(&text, RestoreMode::Replace)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.to_string().contains("15.13") && error.hint.unwrap().contains("15.14"));
    assert_eq!(dumped(&server, "copy"), before);
    assert_eq!(databases(&server), "copy postgres shop");
    // An archive runs no commands, and needs no such thing.
    let archive = taken_as(&server, "custom");
    restore(&server, &old, &archive, &how(&archive, RestoreMode::Replace)).unwrap();
    assert_eq!(server.sql("copy", "select count(*) from orders"), "3000");
}

#[test]
fn a_connection_that_is_lost_leaves_the_target_as_it_was() {
    let server = Arc::new(server());
    server.sql(
        "shop",
        "create table slow as select n, repeat(md5(n::text), 40) as t from generate_series(1, 30000) n",
    );
    for format in ["custom", "plain", "parallel"] {
        let taken = taken_as(&server, format);
        server.sql("copy", "create table if not exists mine as select 1 as a");
        let before = dumped(&server, "copy");
        let its = server.clone();
        let cutter = thread::spawn(move || {
            let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'windlass' \
                and query ~ '^COPY (public.)?slow' and state = 'active'";
            let began = Instant::now();
            while its.sql("postgres", cut) == "0" {
                assert!(began.elapsed() < Duration::from_secs(60), "nothing was copied");
            }
        });
        let error = refused(&server, "copy", &taken, &how(&taken, RestoreMode::Replace));
        cutter.join().unwrap();
        let text = format!("{error:?}");
        let says = ["terminating connection", "server closed the connection"];
        assert!(says.iter().any(|words| text.contains(words)), "{format}: {text}");
        assert!(dumped(&server, "copy") == before, "{format}");
        assert_eq!(databases(&server), "copy postgres shop", "{format}");
    }
}

#[test]
fn text_is_not_restored_in_parts_or_with_other_owners() {
    let server = server();
    let text = taken_as(&server, "plain");
    let mut only = how(&text, RestoreMode::Fail);
    only.only = vec![RawName::Text("orders".into())];
    let error = refused(&server, "copy", &text, &only);
    assert!(error.kind == ErrorKind::Unsupported && error.hint.unwrap().contains("custom"));
    for more in [json!({ "owner": "drop" }), json!({ "role_map": { "postgres": "chef" } })] {
        let target = with(options(&server, "copy"), more);
        let error = restore(&server, &target, &text, &how(&text, RestoreMode::Fail)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
    }
    assert_eq!(server.sql("copy", "select count(*) from pg_class where relname = 'orders'"), "0");
}

#[test]
fn a_probe_tells_versions_size_and_what_is_left_out() {
    let server = server();
    server.sql("shop", "create extension pg_trgm; vacuum public.orders");
    let probe = source(&options(&server, "shop")).probe(&host(&server).context()).unwrap();
    let bytes: u64 = server.sql("shop", "select pg_relation_size('orders')").parse().unwrap();
    assert!(probe.estimate_bytes.is_some_and(|estimate| (bytes..bytes * 2).contains(&estimate)), "{probe:?}");
    assert!(probe.versions["server"].starts_with("15.") && probe.versions["pg_dump"].starts_with("15."));
    let notes = probe.notes.join("\n");
    assert!(
        notes.contains("Roles and tablespaces aren't in the backup") && notes.contains("`pg_trgm`"),
        "{notes}"
    );
}

#[test]
fn further_arguments_reach_the_programs() {
    let server = server();
    server.sql("shop", "comment on table orders is 'goods'");
    for format in ["custom", "parallel"] {
        let more = json!({ "format": format, "dump_args": ["--no-comments"] });
        let taken = backup(&server, &with(options(&server, "shop"), more)).unwrap();
        let target =
            with(options(&server, "copy"), json!({ "restore_args": ["--no-acl"], "drop_before": true }));
        restore(&server, &target, &taken, &how(&taken, RestoreMode::Replace)).unwrap();
        assert_eq!(server.sql("copy", "select obj_description('orders'::regclass) is null"), "t", "{format}");
        let wrong = with(options(&server, "copy"), json!({ "restore_args": ["--no-such-thing"] }));
        let error = restore(&server, &wrong, &taken, &how(&taken, RestoreMode::Replace)).unwrap_err();
        assert!(format!("{error:?}").contains("no-such-thing"), "{error:?}");
        assert_eq!(server.sql("copy", "select count(*) from orders"), "3000");
    }
}
