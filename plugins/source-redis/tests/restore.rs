//! Restores to running servers and to files.

mod common;

use std::fs;

use common::{backup, fill, fingerprint, options, redis, restore, restore_as, valkey};
use serde_json::json;
use windlass_plugin_api::{ErrorKind, RestoreMode};
use windlass_test_servers::{Redis as Server, Valkey};

#[test]
fn every_type_comes_back_on_redis_and_the_other_server_stays_as_it_was() {
    let (from, to, decoy) = (redis(), redis(), redis());
    fill(&from);
    decoy.cli(&["SET", "mine", "untouched"]);
    let decoy_before = fingerprint(&decoy);
    let taken = backup(&options(&from)).unwrap();
    let (target, restored) = restore(&options(&to), &taken, RestoreMode::Fail).unwrap();
    assert!(target.atomic && target.empty, "{target:?}");
    assert_eq!(fingerprint(&to), fingerprint(&from));
    assert_eq!(restored.left_out, Vec::<String>::new());
    assert_eq!(to.cli(&["FCALL", "greet", "0", "you"]), "hello you");
    assert_eq!(fingerprint(&decoy), decoy_before);
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
    assert_eq!(fingerprint(&to), fingerprint(&from));
    let times = ["HPEXPIRETIME", "dated", "FIELDS", "2", "a", "b"];
    assert_eq!(to.cli(&times), "4102444800123\n-1");
}

#[test]
fn a_snapshot_of_redis_is_restored_to_valkey() {
    let (from, to) = (redis(), valkey());
    fill(&from);
    let taken = backup(&options(&from)).unwrap();
    restore(&options(&to), &taken, RestoreMode::Fail).unwrap();
    assert_eq!(fingerprint(&to), fingerprint(&from));
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
        assert_eq!(fingerprint(&to), before);
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
            assert_eq!(fingerprint(&started), fingerprint(server));
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
    assert_eq!(fingerprint(&to), fingerprint(&from));
    // In place: the stream doesn't say which databases it holds.
    spoil();
    let (target, _) = restore_as(&options(&to), &taken.0, None, RestoreMode::Replace).unwrap();
    assert!(!target.atomic, "{target:?}");
    assert_eq!(fingerprint(&to), fingerprint(&from));
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
