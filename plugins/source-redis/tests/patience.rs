//! A server that hangs, before a run or in its middle, holds no run for ever; and what is told before a run.

mod common;

use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Interrupted, assert_same, backup, fill, fingerprint, how, options, redis, restore, source};
use serde_json::json;
use windlass_plugin_api::{ErrorKind, RestoreMode, Source};
use windlass_test_servers::Redis as Server;
use windlass_testkit::TestHost;

/// The server does nothing any more, but the system still takes connections for it.
fn freeze(server: &Server) {
    signal("-STOP", server);
}

fn signal(name: &str, server: &Server) {
    let sent = Command::new("sh").args(["-c", &format!("kill {name} {}", server.pid())]).status();
    assert!(sent.unwrap().success());
}

#[test]
fn a_server_that_never_answers_is_left_after_the_connect_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for more in [json!({}), json!({ "password": "p" }), json!({ "tls": true })] {
        let mut options = json!({ "port": port, "connect_timeout": 1, "timeout": 600 });
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let started = Instant::now();
        let error = backup(&options).unwrap_err();
        assert!(started.elapsed() < Duration::from_secs(20), "{more}");
        assert!([ErrorKind::TimedOut, ErrorKind::Denied].contains(&error.kind), "{more}: {error:?}");
    }
    drop(listener);
    let error = backup(&json!({ "port": port, "connect_timeout": 1 })).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
}

#[test]
fn a_server_that_hangs_in_a_restore_ends_it_and_the_next_one_removes_what_was_left() {
    let (from, to) = (redis(), Arc::new(redis()));
    fill(&from);
    from.cli(&["EVAL", "for i = 1, 20000 do redis.call('SET', 'more:' .. i, i) end", "0"]);
    let taken = backup(&options(&from)).unwrap();
    to.cli(&["SET", "precious", "data"]);
    let before = fingerprint(&to);
    let frozen = to.clone();
    let input = Interrupted::new(taken.0.clone(), move || freeze(&frozen));
    let cx = TestHost::new().context();
    let hasty = json!({ "port": to.port(), "timeout": 1, "connect_timeout": 1 });
    let started = Instant::now();
    let error =
        source(&hasty, &cx).restore(&cx, &input, &how(RestoreMode::Replace, Some(&taken.1))).unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(20));
    assert_eq!(error.kind, ErrorKind::TimedOut, "{error}");
    assert!(error.hint.as_ref().unwrap().contains("database 15: the next restore removes it"), "{error:?}");
    signal("-CONT", &to);
    let there = fingerprint(&to);
    assert!(before.lines().filter(|line| !line.is_empty()).all(|line| there.contains(line)), "{there}");
    common::until("its end", || !to.cli(&["CLIENT", "LIST"]).contains("windlass-restore"));
    restore(&options(&to), &taken, RestoreMode::Replace).unwrap();
    assert_same(&fingerprint(&to), &fingerprint(&from));
}

#[test]
fn a_probe_tells_versions_size_and_what_will_not_be_in_the_snapshot() {
    let server = redis();
    fill(&server);
    let cx = TestHost::new().context();
    let probe = source(&options(&server), &cx).probe(&cx).unwrap();
    assert!(probe.versions["server"].starts_with("redis 7.") && probe.versions["rdb"] == "10", "{probe:?}");
    assert!(probe.estimate_bytes > Some(100_000), "{probe:?}");
    assert!(probe.notes.iter().any(|note| note.contains("ACL users")), "{probe:?}");
    assert!(probe.notes.iter().any(|note| note.contains("in 2 databases")), "{probe:?}");
    assert_eq!(probe.warnings, Vec::<String>::new());
}

#[test]
fn the_connections_of_others_are_shown_before_a_restore_and_stay() {
    use std::io::{Read, Write};
    let (from, to) = (redis(), redis());
    fill(&from);
    let taken = backup(&options(&from)).unwrap();
    let mut shop = std::net::TcpStream::connect((to.host(), to.port())).unwrap();
    shop.write_all(b"CLIENT SETNAME the-shop\r\n").unwrap();
    shop.read_exact(&mut [0; 5]).unwrap();
    let (target, _) = restore(&options(&to), &taken, RestoreMode::Fail).unwrap();
    assert_eq!(target.sessions.len(), 1, "{target:?}");
    assert!(target.sessions[0].contains("name=the-shop"), "{target:?}");
    shop.write_all(b"GET text\r\n").unwrap();
    let mut answer = [0; 11];
    shop.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"$5\r\nplain\r\n");
}
