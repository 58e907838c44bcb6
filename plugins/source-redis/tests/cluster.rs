//! Nodes of a cluster: what a backup of one says, and that a restore writes nothing that belongs to another.

mod common;

use common::{AT_ONCE, backup, fill, options, redis, restore, source, until};
use windlass_plugin_api::{ErrorKind, RestoreMode, Source};
use windlass_test_servers::{Redis as Server, Valkey};
use windlass_testkit::TestHost;

/// Slots of all keys are served by `first..=last` of this one node.
fn node(start: fn(&[&str]) -> Server, first: &str, last: &str) -> Server {
    let cluster =
        ["--cluster-enabled", "yes", "--cluster-port", "{other}", "--cluster-require-full-coverage", "no"];
    let server = start(&[&AT_ONCE, &cluster[..]].concat());
    server.cli(&["CLUSTER", "ADDSLOTSRANGE", first, last]);
    until("the cluster", || server.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok"));
    server
}

fn put(server: &Server) {
    // Slots 12182, 5061, 866 and, by its tag, 3443.
    for key in ["foo", "bar", "hello", "{user1000}.following"] {
        server.cli(&["SET", key, &format!("value of {key}")]);
    }
    server.cli(&["PEXPIREAT", "foo", "4102444800123"]);
}

/// `fingerprint` selects databases, which a node doesn't have.
fn keys(server: &Server) -> Vec<String> {
    let mut names: Vec<String> = server.cli(&["KEYS", "*"]).lines().map(str::to_owned).collect();
    names.sort();
    let of = |name: &String| {
        format!("{name} {} {}", server.cli(&["GET", name]), server.cli(&["PEXPIRETIME", name]))
    };
    names.iter().map(of).collect()
}

#[test]
fn a_backup_of_a_node_says_that_it_is_one_and_comes_back_on_a_node_and_elsewhere() {
    for start in [Server::start_with as fn(&[&str]) -> Server, Valkey::start_with] {
        let (from, to) = (node(start, "0", "16383"), node(start, "0", "16383"));
        put(&from);
        let cx = TestHost::new().context();
        let probe = source(&options(&from), &cx).probe(&cx).unwrap();
        assert!(probe.warnings.iter().any(|warning| warning.contains("only its own slots")), "{probe:?}");
        let taken = backup(&options(&from)).unwrap();
        let (target, _) = restore(&options(&to), &taken, RestoreMode::Fail).unwrap();
        assert!(!target.atomic && target.effects[0].contains("a node of a cluster"), "{target:?}");
        assert_eq!((keys(&to).len(), keys(&to)), (4, keys(&from)));
        to.cli(&["SET", "old", "x"]);
        common::documented_users(&to);
        restore(&common::as_user(&to, "windlass-restore"), &taken, RestoreMode::Replace).unwrap();
        assert_eq!(keys(&to), keys(&from));

        let single = start(&AT_ONCE);
        restore(&options(&single), &taken, RestoreMode::Fail).unwrap();
        assert_eq!(keys(&single), keys(&from));
    }
}

#[test]
fn keys_of_slots_that_a_node_does_not_serve_are_refused_before_a_write() {
    let (from, half, none) = (redis(), node(Server::start_with, "0", "8191"), redis_without_slots());
    put(&from);
    let taken = backup(&options(&from)).unwrap();
    half.cli(&["SET", "bar", "precious"]);
    let before = keys(&half);
    for mode in [RestoreMode::Replace, RestoreMode::Merge] {
        let error = restore(&options(&half), &taken, mode).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
        assert!(error.message.contains("keys of 1 slots") && error.message.contains("slot 12182"), "{error}");
        assert!(error.hint.unwrap().contains("the same slots"));
        assert_eq!(keys(&half), before);
    }
    restore(&options(&none), &taken, RestoreMode::Fail).unwrap_err();
    // Without that key all of it is at home there.
    from.cli(&["DEL", "foo"]);
    let taken = backup(&options(&from)).unwrap();
    restore(&options(&half), &taken, RestoreMode::Replace).unwrap();
    assert_eq!(keys(&half), keys(&from));
}

fn redis_without_slots() -> Server {
    Server::start_with(&["--cluster-enabled", "yes", "--cluster-port", "{other}"])
}

#[test]
fn a_snapshot_of_several_databases_is_refused_by_a_node_before_a_write() {
    let (from, to) = (redis(), node(Server::start_with, "0", "16383"));
    fill(&from);
    let taken = backup(&options(&from)).unwrap();
    to.cli(&["SET", "mine", "precious"]);
    let before = keys(&to);
    let error = restore(&options(&to), &taken, RestoreMode::Replace).unwrap_err();
    assert!(error.hint.as_ref().unwrap().contains("fewer databases"), "{error:?}");
    assert_eq!(keys(&to), before);
}
