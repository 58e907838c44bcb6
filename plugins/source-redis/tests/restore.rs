//! Restores to running servers and to files.

mod common;
#[allow(dead_code)]
mod fake;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use common::{assert_same, backup, fill, fingerprint, options, redis, restore, restore_as, valkey};
use serde_json::json;
use windlass_plugin_api::{Contents, Error, ErrorKind, RestoreMode, Source};
use windlass_test_servers::{Redis as Server, Valkey};
use windlass_testkit::TestHost;

#[test]
fn every_type_comes_back_on_redis_and_the_other_server_stays_as_it_was() {
    let (from, to, decoy) = (redis(), redis(), redis());
    fill(&from);
    decoy.cli(&["SET", "mine", "untouched"]);
    let decoy_before = fingerprint(&decoy);
    let taken = backup(&options(&from)).unwrap();
    let (target, restored) = restore(&options(&to), &taken, RestoreMode::Fail).unwrap();
    assert!(target.atomic && target.empty, "{target:?}");
    assert_same(&fingerprint(&to), &fingerprint(&from));
    assert_eq!(restored.left_out, Vec::<String>::new());
    assert_eq!(to.cli(&["FCALL", "greet", "0", "you"]), "hello you");
    assert_same(&fingerprint(&decoy), &decoy_before);
}

#[test]
fn every_type_comes_back_on_valkey_with_fields_that_expire() {
    let (from, to) = (valkey(), valkey());
    fill(&from);
    let hash = ["HSET", "dated", "a", "1", "b", "2"];
    from.cli(&hash);
    from.cli(&["HPEXPIREAT", "dated", "4102444800123", "FIELDS", "1", "a"]);
    let taken = backup(&options(&from)).unwrap();
    assert!(taken.0.starts_with(b"VALKEY0"), "{:?}", &taken.0[..9]);
    restore(&options(&to), &taken, RestoreMode::Fail).unwrap();
    assert_same(&fingerprint(&to), &fingerprint(&from));
    let times = ["HPEXPIRETIME", "dated", "FIELDS", "2", "a", "b"];
    assert_eq!(to.cli(&times), "4102444800123\n-1");
}

#[test]
fn a_snapshot_of_redis_is_restored_to_valkey() {
    let (from, to) = (redis(), valkey());
    fill(&from);
    let taken = backup(&options(&from)).unwrap();
    restore(&options(&to), &taken, RestoreMode::Fail).unwrap();
    assert_same(&fingerprint(&to), &fingerprint(&from));
}

#[test]
fn an_rdb_that_is_newer_than_the_server_is_refused_before_a_write() {
    let (from, to) = (valkey(), redis());
    fill(&from);
    fill(&to);
    let before = fingerprint(&to);
    let taken = backup(&options(&from)).unwrap();
    for contents in [Some(&taken.1), None] {
        let error = restore_as(&options(&to), &taken.0, contents, RestoreMode::Replace).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
        assert!(error.message.contains("RDB version"), "{error}");
        assert_same(&fingerprint(&to), &before);
    }
}

#[test]
fn a_server_starts_from_the_stream_and_from_the_file_that_a_restore_writes() {
    let folder = tempfile::tempdir().unwrap();
    let (redis, valkey) = (redis(), valkey());
    for (server, start) in [(&redis, Server::start_from as fn(&_) -> _), (&valkey, Valkey::start_from)] {
        fill(server);
        let taken = backup(&options(server)).unwrap();
        let (stream, file) = (folder.path().join("stream.rdb"), folder.path().join("file.rdb"));
        fs::write(&stream, &taken.0).unwrap();
        restore(&json!({ "rdb_file": file }), &taken, RestoreMode::Replace).unwrap();
        assert_eq!(fs::read(&file).unwrap(), taken.0);
        for rdb in [stream, file] {
            let started = start(&rdb);
            assert_same(&fingerprint(&started), &fingerprint(server));
        }
    }
    assert_eq!(common::leftovers(folder.path()), Vec::<String>::new());
}

#[test]
fn replace_makes_the_target_equal_and_merge_overlays_it() {
    let (from, to) = (redis(), redis());
    fill(&from);
    let taken = backup(&options(&from)).unwrap();
    let other = "#!lua name=other\nredis.register_function('other', function() return 1 end)";
    let spoil = || {
        to.cli(&["SET", "only here", "stays in a merge"]);
        to.cli(&["SET", "list", "of another type"]);
        to.cli(&["-n", "7", "SET", "far", "away"]);
        to.cli(&["FUNCTION", "LOAD", "REPLACE", other]);
    };
    spoil();
    restore(&options(&to), &taken, RestoreMode::Merge).unwrap();
    let merged = fingerprint(&to);
    assert!(merged.contains("only here") && merged.contains("7 far") && merged.contains("other"), "{merged}");
    assert_eq!(to.cli(&["LLEN", "list"]), "10");
    let refused = restore(&options(&to), &taken, RestoreMode::Fail).unwrap_err();
    assert_eq!((refused.kind, fingerprint(&to)), (ErrorKind::Refused, merged));
    let (target, _) = restore(&options(&to), &taken, RestoreMode::Replace).unwrap();
    assert!(target.atomic, "{target:?}");
    assert_same(&fingerprint(&to), &fingerprint(&from));
    // In place: the stream doesn't say which databases it holds, or it is wished.
    let mut wished = options(&to);
    wished["in_place"] = json!(true);
    for (options, contents) in [(options(&to), None), (wished, Some(&taken.1))] {
        spoil();
        let (target, _) = restore_as(&options, &taken.0, contents, RestoreMode::Replace).unwrap();
        assert!(!target.atomic, "{target:?}");
        assert_same(&fingerprint(&to), &fingerprint(&from));
    }
}

#[test]
fn a_stream_that_is_cut_or_changed_leaves_a_filled_target_as_it_was() {
    let (from, to) = (redis(), redis());
    fill(&from);
    to.cli(&["SET", "precious", "data"]);
    let before = fingerprint(&to);
    let taken = backup(&options(&from)).unwrap();
    let length = taken.0.len();
    let mut damaged: Vec<Vec<u8>> = [5, 9, 100, length / 2, length - 9, length - 1]
        .into_iter()
        .map(|end| taken.0[..end].to_vec())
        .collect();
    for at in [0, 6, 30, length / 3, length / 2, length - 9, length - 1] {
        let mut changed = taken.0.clone();
        changed[at] ^= 0x41;
        damaged.push(changed);
    }
    for (number, bytes) in damaged.iter().enumerate() {
        for contents in [Some(&taken.1), None] {
            let error = restore_as(&options(&to), bytes, contents, RestoreMode::Replace).unwrap_err();
            let kinds = [ErrorKind::Damaged, ErrorKind::Unsupported];
            assert!(kinds.contains(&error.kind), "damage {number}: {error}");
            assert_eq!(fingerprint(&to), before, "damage {number}: {error}");
        }
    }
}

#[test]
fn a_damaged_stream_leaves_no_file() {
    let from = redis();
    fill(&from);
    let mut taken = backup(&options(&from)).unwrap();
    let middle = taken.0.len() / 2;
    taken.0[middle] ^= 1;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dump.rdb");
    let error = restore(&json!({ "rdb_file": file }), &taken, RestoreMode::Fail).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Damaged, "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    fs::write(&file, b"old").unwrap();
    restore(&json!({ "rdb_file": file }), &taken, RestoreMode::Replace).unwrap_err();
    assert_eq!(fs::read(&file).unwrap(), b"old");
    let refused = restore(&json!({ "rdb_file": file }), &taken, RestoreMode::Fail).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Refused, "{refused}");
}

fn restore_with(
    to: &Server,
    taken: &(Vec<u8>, Contents),
    with: Option<&Contents>,
    deed: impl Fn() + Send + Sync + 'static,
) -> Error {
    let host = TestHost::new();
    let cx = host.context();
    let input = common::Interrupted::new(taken.0.clone(), deed);
    let how = common::how(RestoreMode::Replace, with);
    common::source(&options(to), &cx).restore(&cx, &input, &how).unwrap_err()
}

#[test]
fn a_connection_that_is_cut_on_the_way_leaves_a_filled_target_as_it_was() {
    let (from, to) = (redis(), Arc::new(redis()));
    fill(&from);
    from.cli(&["EVAL", "for i = 1, 20000 do redis.call('SET', 'more:' .. i, i) end", "0"]);
    fill(&to);
    to.cli(&["SET", "precious", "data"]);
    let before = fingerprint(&to);
    let taken = backup(&options(&from)).unwrap();
    let cut = to.clone();
    let error = restore_with(&to, &taken, Some(&taken.1), move || {
        cut.cli(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    });
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    assert_same(&fingerprint(&to), &before);
}

#[test]
fn a_server_that_dies_on_the_way_has_what_it_had_when_it_comes_back() {
    let (from, to) = (redis(), Arc::new(redis()));
    fill(&from);
    to.cli(&["SET", "precious", "data"]);
    to.cli(&["SAVE"]);
    let before = fingerprint(&to);
    let taken = backup(&options(&from)).unwrap();
    let killed = to.clone();
    let error = restore_with(&to, &taken, Some(&taken.1), move || killed.stop());
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    to.restart();
    assert_same(&fingerprint(&to), &before);
}

#[test]
fn a_database_into_which_somebody_writes_meanwhile_is_left_alone() {
    let (from, to) = (redis(), Arc::new(redis()));
    fill(&from);
    to.cli(&["SET", "precious", "data"]);
    let taken = backup(&options(&from)).unwrap();
    // Each of the databases in which it could be prepared.
    let writer = to.clone();
    let error = restore_with(&to, &taken, Some(&taken.1), move || {
        for database in 4..16 {
            writer.cli(&["-n", &database.to_string(), "SET", "foreign", "x"]);
        }
    });
    assert_eq!(error.kind, ErrorKind::Refused, "{error}");
    let after = fingerprint(&to);
    assert!(
        (4..16).all(|n| after.contains(&format!("{n} foreign"))) && after.contains("0 precious"),
        "{after}"
    );
}

#[test]
fn a_key_of_a_module_is_refused_before_a_write() {
    let to = redis();
    to.cli(&["SET", "precious", "data"]);
    let before = fingerprint(&to);
    let bytes = fake::rdb_with(true);
    let details = json!({ "details": { "databases": [{ "database": 0, "keys": 2 }] } });
    let contents: Contents = serde_json::from_value(details).unwrap();
    for contents in [Some(&contents), None] {
        for mode in [RestoreMode::Replace, RestoreMode::Merge] {
            let error = restore_as(&options(&to), &bytes, contents, mode).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
            assert!(error.to_string().contains("module") && error.to_string().contains("`m`"), "{error}");
            assert!(error.hint.as_ref().unwrap().contains("rdb_file"), "{error:?}");
            assert_same(&fingerprint(&to), &before);
        }
    }
    restore_as(&options(&to), &fake::rdb(), None, RestoreMode::Merge).unwrap();
    assert_eq!((to.cli(&["GET", "m"]), to.cli(&["GET", "precious"])), ("second".into(), "data".into()));
}

#[test]
fn a_hundred_thousand_keys_come_back() {
    let (from, to) = (redis(), redis());
    from.cli(&["EVAL", "for i = 1, 100000 do redis.call('SET', 'key:' .. i, 'value ' .. i) end", "0"]);
    let taken = backup(&options(&from)).unwrap();
    restore(&options(&to), &taken, RestoreMode::Fail).unwrap();
    assert_eq!(to.cli(&["DBSIZE"]), "100000");
    assert_same(&fingerprint(&to), &fingerprint(&from));
}

#[test]
fn without_room_to_prepare_it_is_written_in_place_and_said_so() {
    let (from, few, small) = (redis(), Server::start_with(&["--databases", "5"]), redis());
    fill(&from);
    let taken = backup(&options(&from)).unwrap();
    small.cli(&["CONFIG", "SET", "maxmemory", "2mb"]);
    for (to, why) in [(&few, "too few empty databases"), (&small, "`maxmemory` leaves no room")] {
        // Two of five databases are the snapshot's own, two more are in use.
        to.cli(&["-n", "1", "SET", "old", "x"]);
        to.cli(&["-n", "2", "SET", "old", "x"]);
        let cx = TestHost::new().context();
        let how = common::how(RestoreMode::Replace, Some(&taken.1));
        let target = common::source(&options(to), &cx).target(&cx, &how).unwrap();
        assert!(!target.atomic && target.effects.iter().any(|effect| effect.contains(why)), "{target:?}");
        assert!(target.effects.iter().any(|effect| effect.contains("removes all 2 keys")), "{target:?}");
    }
    restore(&options(&few), &taken, RestoreMode::Replace).unwrap();
    assert_same(&fingerprint(&few), &fingerprint(&from));
    let error = restore(&options(&small), &taken, RestoreMode::Replace).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Full, "{error}");
    assert!(error.to_string().contains("a part of the keys is there"), "{error}");
    // A server that was empty is empty again.
    small.cli(&["FLUSHALL"]);
    let error = restore(&options(&small), &taken, RestoreMode::Fail).unwrap_err();
    assert_eq!((error.kind, small.cli(&["INFO", "keyspace"])), (ErrorKind::Full, "# Keyspace\r".into()));
}

#[test]
fn a_server_with_fewer_databases_is_told_by_name() {
    let (from, to) = (redis(), Server::start_with(&["--databases", "2"]));
    fill(&from);
    let taken = backup(&options(&from)).unwrap();
    let error = restore(&options(&to), &taken, RestoreMode::Fail).unwrap_err();
    assert!(error.to_string().contains("3") && error.hint.unwrap().contains("`databases`"));
    assert_eq!(to.cli(&["DBSIZE"]), "0");
}

#[test]
fn a_replica_is_refused_as_a_target() {
    let (master, replica) = (redis(), redis());
    fill(&master);
    let taken = backup(&options(&master)).unwrap();
    replica.cli(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
    let error = restore(&options(&replica), &taken, RestoreMode::Replace).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
}

#[test]
fn what_a_dead_run_left_beside_the_file_is_removed_and_nothing_else() {
    let from = redis();
    from.cli(&["SET", "a", "b"]);
    let taken = backup(&options(&from)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in
        [".windlass-20250101T000000Z-dead-dump.rdb", ".windlass-20250101T000000Z-dead-other.rdb", "mine"]
    {
        fs::write(path(name), b"x").unwrap();
    }
    let held = fs::File::create(path(".windlass-20250101T000000Z-live-dump.rdb")).unwrap();
    held.lock().unwrap();
    restore(&json!({ "rdb_file": path("dump.rdb") }), &taken, RestoreMode::Fail).unwrap();
    let mut names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let stays = [
        ".windlass-20250101T000000Z-dead-other.rdb",
        ".windlass-20250101T000000Z-live-dump.rdb",
        "dump.rdb",
        "mine",
    ];
    assert_eq!(names, stays);
    assert_eq!(fs::metadata(path("dump.rdb")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn no_changed_byte_passes_and_no_value_is_misread() {
    for server in [redis(), valkey()] {
        fill(&server);
        let taken = backup(&options(&server)).unwrap();
        let cx = TestHost::new().context();
        let how = common::how(RestoreMode::Replace, Some(&taken.1));
        let scan =
            |bytes: &[u8]| common::source(&options(&server), &cx).preview(&cx, &common::inputs(bytes), &how);
        let keys: usize = server.cli(&["DBSIZE"]).parse().unwrap();
        let words = scan(&taken.0).unwrap().remove(0);
        assert!(words.starts_with(&format!("{} keys in 2 databases and 1 function", keys + 2)), "{words}");
        for (number, at) in (0..taken.0.len()).step_by(taken.0.len() / 400).enumerate() {
            let mut changed = taken.0.clone();
            changed[at] = changed[at].wrapping_add(1 + (number % 255) as u8);
            let error = scan(&changed).expect_err(&format!("byte {at}"));
            assert!([ErrorKind::Damaged, ErrorKind::Unsupported].contains(&error.kind), "byte {at}: {error}");
        }
    }
}

#[test]
fn a_key_that_expired_meanwhile_does_not_come_back() {
    let to = redis();
    let mut bytes =
        b"REDIS0010\xfe\x00\xfc\xe8\x03\0\0\0\0\0\0\x00\x04past\x01x\x00\x04here\x01y\xff".to_vec();
    // A server that was told to write no checksum.
    bytes.extend([0; 8]);
    let details = json!({ "details": { "databases": [{ "database": 0, "keys": 2 }] } });
    let contents: Contents = serde_json::from_value(details).unwrap();
    for contents in [Some(&contents), None] {
        restore_as(&options(&to), &bytes, contents, RestoreMode::Replace).unwrap();
        assert_eq!((to.cli(&["KEYS", "*"]), to.cli(&["TTL", "here"])), ("here".into(), "-1".into()));
    }
}
