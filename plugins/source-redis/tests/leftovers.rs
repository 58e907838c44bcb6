//! What a restore that was killed left in the databases that it prepared: told, removed by the next one, and never mistaken
//! for what somebody else wrote. Restores that run at the same time don't harm each other.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use common::{assert_same, backup, fill, fingerprint, how, options, redis, restore, source, until};
use serde_json::json;
use windlass_plugin_api::{Contents, ErrorKind, RestoreMode, Source, Target};
use windlass_test_servers::Redis as Server;
use windlass_testkit::TestHost;

const MARK: &str = "windlass:restore-in-progress";

/// What a run leaves that is killed after two keys, one of which expires, in database 15, and before the first in 14.
fn plant(server: &Server) {
    for (database, entry) in [("15", "windlass-restore/1 dead 2 1"), ("14", "windlass-restore/1 dead 0 0")] {
        server.cli(&["-n", database, "SET", MARK, entry]);
    }
    server.cli(&["-n", "15", "SET", "half", "done"]);
    server.cli(&["-n", "15", "SET", "half that expires", "done", "PXAT", "4102444800123"]);
}

fn taken() -> (Server, (Vec<u8>, Contents)) {
    let from = redis();
    fill(&from);
    let taken = backup(&options(&from)).unwrap();
    (from, taken)
}

fn look(server: &Server, mode: RestoreMode, contents: &Contents) -> windlass_plugin_api::Result<Target> {
    let cx = TestHost::new().context();
    source(&options(server), &cx).target(&cx, &how(mode, Some(contents)))
}

#[test]
fn what_a_killed_restore_left_is_told_does_not_count_and_goes() {
    let ((from, taken), to) = (taken(), redis());
    for mode in [RestoreMode::Fail, RestoreMode::Merge, RestoreMode::Replace] {
        plant(&to);
        let before = fingerprint(&to);
        let target = look(&to, mode, &taken.1).unwrap();
        assert_eq!(target.empty, mode == RestoreMode::Fail, "{target:?}");
        let told = "removes 3 keys that a restore which was killed left in database 15";
        assert!(target.effects.iter().any(|effect| effect == told), "{target:?}");
        assert_same(&fingerprint(&to), &before);
        let (_, restored) = restore(&options(&to), &taken, mode).unwrap();
        assert!(restored.notes.iter().any(|note| note.starts_with("Removed 3 keys")), "{restored:?}");
        assert_same(&fingerprint(&to), &fingerprint(&from));
    }
}

#[test]
fn the_user_of_the_documentation_may_remove_them_and_what_it_prepared_itself() {
    let ((from, taken), to) = (taken(), redis());
    common::documented_users(&to);
    let options = common::as_user(&to, "windlass-restore");
    plant(&to);
    let mut cut = taken.clone();
    cut.0.truncate(taken.0.len() - 100);
    let error = restore(&options, &cut, RestoreMode::Fail).unwrap_err();
    assert_eq!(
        (error.kind, to.cli(&["INFO", "keyspace"]).trim()),
        (ErrorKind::Damaged, "# Keyspace"),
        "{error}"
    );
    plant(&to);
    restore(&options, &taken, RestoreMode::Fail).unwrap();
    assert_same(&fingerprint(&to), &fingerprint(&from));
}

#[test]
fn keys_of_somebody_else_beside_them_are_never_swept() {
    let ((_, taken), to) = (taken(), redis());
    let foreign: [&[&str]; 3] = [
        &["-n", "15", "SET", "foreign", "precious"],
        &["-n", "15", "SET", "foreign", "precious", "PXAT", "4102444800123"],
        // One of ours is gone, and another stands for it.
        &["-n", "15", "RENAME", "half that expires", "foreign"],
    ];
    for (number, write) in foreign.iter().enumerate() {
        plant(&to);
        if number == 2 {
            to.cli(&["-n", "15", "DEL", "half"]);
        }
        to.cli(write);
        let before = fingerprint(&to);
        let target = look(&to, RestoreMode::Fail, &taken.1).unwrap();
        let told = target.effects.iter().any(|effect| effect.contains("in database 15 for yours"));
        assert!(!target.empty && told, "{number}: {target:?}");
        let error = restore(&options(&to), &taken, RestoreMode::Fail).unwrap_err();
        assert_eq!((error.kind, fingerprint(&to)), (ErrorKind::Refused, before), "{number}: {error}");
        restore(&options(&to), &taken, RestoreMode::Merge).unwrap();
        assert!(fingerprint(&to).contains("15 foreign "), "{number}");
        to.cli(&["FLUSHALL"]);
        to.cli(&["FUNCTION", "FLUSH"]);
    }
    // A key of that name which isn't ours.
    to.cli(&["-n", "15", "RPUSH", MARK, "a list"]);
    to.cli(&["-n", "14", "SET", MARK, "a text"]);
    assert!(!look(&to, RestoreMode::Fail, &taken.1).unwrap().empty);
    restore(&options(&to), &taken, RestoreMode::Merge).unwrap();
    assert_eq!(
        (to.cli(&["-n", "15", "LLEN", MARK]), to.cli(&["-n", "14", "GET", MARK])),
        ("1".into(), "a text".into())
    );
}

#[test]
fn a_restore_that_still_runs_is_left_alone() {
    let ((from, taken), to) = (taken(), redis());
    plant(&to);
    let before = fingerprint(&to);
    let mut other = TcpStream::connect((to.host(), to.port())).unwrap();
    other.write_all(b"CLIENT SETNAME windlass-restore:dead\r\n").unwrap();
    other.read_exact(&mut [0; 5]).unwrap();
    for mode in [RestoreMode::Fail, RestoreMode::Merge, RestoreMode::Replace] {
        let error = restore(&options(&to), &taken, mode).unwrap_err();
        assert_eq!((error.kind, fingerprint(&to)), (ErrorKind::Refused, before.clone()), "{error}");
        assert!(error.message.contains("another restore"), "{error}");
    }
    drop(other);
    until("its end", || !to.cli(&["CLIENT", "LIST"]).contains("windlass-restore"));
    restore(&options(&to), &taken, RestoreMode::Fail).unwrap();
    assert_same(&fingerprint(&to), &fingerprint(&from));
}

#[test]
fn who_may_not_see_the_connections_sweeps_nothing() {
    let ((_, taken), to) = (taken(), redis());
    plant(&to);
    to.cli(&["ACL", "SETUSER", "blind", "on", ">p", "~*", "+@all", "-client|list"]);
    let options = json!({ "port": to.port(), "user": "blind", "password": "p" });
    let before = fingerprint(&to);
    let error = restore(&options, &taken, RestoreMode::Fail).unwrap_err();
    assert_eq!((error.kind, fingerprint(&to)), (ErrorKind::Refused, before), "{error}");
}

#[test]
fn what_is_prepared_and_removed_by_somebody_is_not_swapped_in() {
    let (from, to) = (redis(), Arc::new(redis()));
    fill(&from);
    from.cli(&["EVAL", "for i = 1, 20000 do redis.call('SET', 'more:' .. i, i) end", "0"]);
    let taken = backup(&options(&from)).unwrap();
    to.cli(&["SET", "precious", "data"]);
    let before = fingerprint(&to);
    let remover = to.clone();
    let bytes = taken.0.clone();
    let input = common::Interrupted::new(bytes, move || {
        // Each of the databases in which it could be prepared.
        (4..16).for_each(|database| drop(remover.cli(&["-n", &database.to_string(), "FLUSHDB"])));
    });
    let cx = TestHost::new().context();
    let error = source(&options(&to), &cx)
        .restore(&cx, &input, &how(RestoreMode::Replace, Some(&taken.1)))
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused, "{error}");
    assert!(error.message.contains("somebody removed"), "{error}");
    assert!(to.cli(&["INFO", "keyspace"]).contains("db0:keys=1,"));
    assert_eq!(fingerprint(&to).lines().next(), before.lines().next());
}

#[test]
fn a_snapshot_that_was_taken_during_a_restore_brings_no_mark_along() {
    let (from, to) = (redis(), redis());
    fill(&from);
    plant(&from);
    let taken = backup(&options(&from)).unwrap();
    for in_place in [false, true] {
        let options = json!({ "port": to.port(), "in_place": in_place });
        restore(&options, &taken, RestoreMode::Replace).unwrap();
        let there = fingerprint(&to);
        assert!(!there.contains(MARK) && there.contains("15 half "), "{there}");
    }
}
