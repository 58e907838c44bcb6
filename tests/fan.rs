//! One dump into several storages: which of them a run can do without, and what becomes of one that it had to.

mod common;

use std::fs;
use std::time::Duration;

use common::fan::{config, events, listed_in};
use common::{Sandbox, until};

const OPTIONAL: &str = "[\"nas\", { name = \"offsite\", required = false }]";
const HASTY: &str = "[\"nas\", { name = \"offsite\", required = false, stall_timeout = \"1s\" }]";

/// Every object of a snapshot in the order in which it is written.
const OBJECTS: [&str; 4] = ["data", "contents.json", "RESTORE.txt", "manifest.json"];

#[test]
fn an_optional_storage_that_fails_in_any_phase_is_left_out_and_the_other_has_the_snapshot() {
    for operation in ["create", "write", "finish", "publish"] {
        for (nth, object) in OBJECTS.iter().enumerate() {
            let case = format!("`{operation}` of {object}");
            let sandbox = Sandbox::new();
            let fail = format!("fail = [{{ op = \"{operation}\", nth = {}, kind = \"full\" }}]", nth + 1);
            config(&sandbox, "", OPTIONAL, &[("nas", ""), ("offsite", &fail)]);
            let ran = sandbox.run(&["backup"]);
            assert_eq!(ran.code, 3, "{case}: {}{}", ran.stdout, ran.stderr);
            let ran = ran.says("warning: shop: storage offsite (misbehaving@").says("is left out: ");
            ran.says("was told to fail").prints("; it is in nas, left out: offsite");
            assert_eq!(sandbox.files("store/offsite"), [""; 0], "{case}: something is left");
            assert_eq!(sandbox.records(), [""; 0], "{case}");
            assert_eq!(listed_in(&sandbox, "nas").len(), 1, "{case}");
            sandbox.ok(&["verify", "shop", "--full", "--storage", "nas"]);
        }
    }
}

#[test]
fn an_optional_storage_that_can_not_be_opened_is_left_out() {
    let sandbox = Sandbox::new();
    config(&sandbox, "", OPTIONAL, &[("nas", ""), ("offsite", "panic_in = \"new\"")]);
    sandbox.run(&["backup"]).expect(3).says("storage offsite").prints("left out: offsite");
    assert_eq!((listed_in(&sandbox, "nas").len(), sandbox.files("store/offsite").len()), (1, 0));
    assert_eq!(sandbox.records(), [""; 0]);
}

#[test]
fn the_result_names_the_storages_that_have_it_and_those_that_were_left_out() {
    let sandbox = Sandbox::new();
    config(&sandbox, "", OPTIONAL, &[("nas", ""), ("offsite", "fail = [{ op = \"create\" }]")]);
    let ran = sandbox.run(&["--json", "backup"]).expect(3);
    let stored = events(&ran.stdout, "stored").remove(0);
    assert_eq!(stored["storages"], serde_json::json!(["nas"]));
    assert_eq!(stored["storages_left_out"], serde_json::json!(["offsite"]));
    config(&sandbox, "", OPTIONAL, &[("nas", ""), ("offsite", "")]);
    let stored = events(&sandbox.ok(&["--json", "backup"]), "stored").remove(0);
    assert_eq!(stored["storages"], serde_json::json!(["nas", "offsite"]));
    assert_eq!(stored["storages_left_out"], serde_json::json!([]));
}

#[test]
fn an_optional_storage_that_works_has_the_same_objects() {
    let sandbox = Sandbox::new();
    config(&sandbox, "bytes = 5000000\nstreams = 3", OPTIONAL, &[("nas", ""), ("offsite", "")]);
    sandbox.ok(&["backup"]);
    sandbox.are_level("nas", "offsite");
}

#[test]
fn an_optional_storage_that_hangs_in_any_call_is_left_out() {
    for operation in ["list", "create", "write", "finish", "publish"] {
        for nth in [1, 2] {
            let case = format!("call {nth} of `{operation}`");
            let sandbox = Sandbox::new();
            let hang = format!("hang = {{ op = \"{operation}\", nth = {nth} }}");
            config(&sandbox, "bytes = 20000000", HASTY, &[("nas", ""), ("offsite", &hang)]);
            let ran = sandbox.run(&["backup"]);
            assert_eq!(ran.code, 3, "{case}: {}{}", ran.stdout, ran.stderr);
            let ran = ran.says("it has held the others back for its `stall_timeout` of 1s");
            assert_eq!(listed_in(&sandbox, "nas").len(), 1, "{case}");
            if operation == "list" && nth == 2 {
                // Where it looks whether all is there. It isn't to be listed afterwards either.
                ran.says("stays for now");
                assert_eq!(sandbox.records().len(), 1, "{case}");
                continue;
            }
            assert_eq!(sandbox.records().len(), 0, "{case}");
            assert_eq!(sandbox.files("store/offsite"), [""; 0], "{case}");
        }
    }
}

/// It doesn't even come back when it is cancelled: what it has begun stays until the next run.
#[test]
fn what_a_storage_has_begun_that_never_answers_is_removed_by_the_next_run() {
    let sandbox = Sandbox::new();
    let hang = [("nas", ""), ("offsite", "hang = { op = \"write\", nth = 9, deaf = true }")];
    config(&sandbox, "bytes = 20000000", HASTY, &hang);
    sandbox.run(&["backup"]).expect(3).says("stays for now: it doesn't come back");
    assert_eq!((sandbox.files("store/offsite").len(), sandbox.records().len()), (1, 1));
    // So few bytes that it doesn't come to the ninth write.
    config(&sandbox, "bytes = 1000", HASTY, &hang);
    sandbox.run(&["backup"]).expect(0).says("removed 1 leftover objects");
    assert_eq!((listed_in(&sandbox, "offsite").len(), sandbox.records().len()), (1, 0));
    assert!(sandbox.files("store/offsite").iter().all(|file| file.starts_with("web1/")));
    assert_eq!(listed_in(&sandbox, "nas").len(), 2, "the snapshot that it was left out of is untouched");
}

#[test]
fn an_optional_storage_that_is_slower_than_its_patience_is_left_out_and_one_within_it_is_not() {
    let sandbox = Sandbox::new();
    let slow = [("nas", ""), ("offsite", "bytes_per_second = 2000000")];
    config(&sandbox, "bytes = 24000000", HASTY, &slow);
    sandbox.run(&["backup"]).expect(3).says("`stall_timeout` of 1s");
    config(&sandbox, "bytes = 12000000", &HASTY.replace("1s", "10m"), &slow);
    sandbox.ok(&["backup"]);
    assert_eq!((listed_in(&sandbox, "nas").len(), listed_in(&sandbox, "offsite").len()), (2, 1));
}

#[test]
fn a_required_storage_that_fails_leaves_nothing_anywhere() {
    for operation in ["create", "write", "finish", "publish"] {
        for (nth, object) in OBJECTS.iter().enumerate() {
            let case = format!("`{operation}` of {object}");
            let sandbox = Sandbox::new();
            let fail = format!("fail = [{{ op = \"{operation}\", nth = {}, kind = \"full\" }}]", nth + 1);
            config(&sandbox, "", OPTIONAL, &[("nas", &fail), ("offsite", "")]);
            sandbox.run(&["backup"]).fails_with(&case, &["was told to fail", "storage nas (misbehaving@"]);
            sandbox.nothing_is_left(&case);
        }
    }
}

#[test]
fn a_source_that_fails_leaves_nothing_in_an_optional_storage() {
    for behaviour in ["fails-half-way", "fails-after-finish", "drops-a-stream", "leaves-a-stream-open"] {
        let sandbox = Sandbox::new();
        let source = format!("behaviour = \"{behaviour}\"\nbytes = 3000000");
        config(&sandbox, &source, OPTIONAL, &[("nas", ""), ("offsite", "deny_delete = true")]);
        sandbox.run(&["backup"]).fails_with(behaviour, &["source bad"]);
        sandbox.nothing_is_left(behaviour);
    }
}

const QUORUM: &str = "[\"one\", \"two\", \"three\"]\nquorum = 2";

#[test]
fn a_quorum_is_reached_whichever_storage_fails() {
    for bad in ["one", "two", "three"] {
        for operation in ["create", "finish", "publish"] {
            let sandbox = Sandbox::new();
            let fail = format!("fail = [{{ op = \"{operation}\", nth = 4 }}]");
            let options = |name| if name == bad { fail.as_str() } else { "" };
            let storages = ["one", "two", "three"].map(|name| (name, options(name)));
            config(&sandbox, "", QUORUM, &storages);
            let ran = sandbox.run(&["backup"]);
            assert_eq!(ran.code, 3, "{bad} {operation}: {}", ran.stderr);
            for (name, _) in storages {
                assert_eq!(
                    listed_in(&sandbox, name).len(),
                    usize::from(name != bad),
                    "{bad} {operation} {name}"
                );
            }
            assert_eq!(sandbox.files(&format!("store/{bad}")), [""; 0]);
        }
    }
}

#[test]
fn a_quorum_that_is_not_reached_leaves_nothing_anywhere() {
    for operation in ["create", "write", "finish", "publish"] {
        let sandbox = Sandbox::new();
        let fail = format!("fail = [{{ op = \"{operation}\", nth = 4 }}]");
        config(&sandbox, "", QUORUM, &[("one", &fail), ("two", ""), ("three", &fail)]);
        let said = ["was told to fail", "1 of 3 storages are left, and 2 must succeed"];
        sandbox.run(&["backup"]).fails_with(operation, &said);
        sandbox.nothing_is_left(operation);
    }
}

/// Before the first byte: two of three hang when they are asked what a dead run has left.
#[test]
fn a_quorum_that_is_lost_while_leftovers_are_removed_fails_the_run() {
    let sandbox = Sandbox::new();
    let hasty = |name| format!("{{ name = \"{name}\", stall_timeout = \"1s\" }}");
    let storage = format!("[{}, {}, {}]\nquorum = 2", hasty("one"), hasty("two"), hasty("three"));
    let hang = "hang = { op = \"leftovers\" }";
    let storages = [("one", hang), ("two", ""), ("three", hang)];
    config(&sandbox, "behaviour = \"kills-itself\"", &storage, &storages);
    sandbox.run(&["backup"]).expect(137);
    assert_eq!(sandbox.records().len(), 1);
    config(&sandbox, "", &storage, &storages);
    sandbox.run(&["backup"]).fails_with("lost", &["1 of 3 storages are left, and 2 must succeed"]);
    for (name, _) in storages {
        assert_eq!(listed_in(&sandbox, name), [""; 0], "{name}");
    }
}

#[test]
fn a_required_storage_must_succeed_whatever_the_quorum_says() {
    let sandbox = Sandbox::new();
    let storage = "[{ name = \"one\", required = true }, { name = \"two\", required = false }, \
                   { name = \"three\", required = false }]\nquorum = 2";
    let fail = "fail = [{ op = \"finish\", nth = 2 }]";
    config(&sandbox, "", storage, &[("one", fail), ("two", ""), ("three", "")]);
    sandbox.run(&["backup"]).fails_with("required", &["storage one"]);
    sandbox.nothing_is_left("required");
    config(&sandbox, "", storage, &[("one", ""), ("two", fail), ("three", "")]);
    sandbox.run(&["backup"]).expect(3).says("storage two");
    let storage = storage.replace("required = true", "required = false").replace("quorum = 2", "quorum = 1");
    config(&sandbox, "", &storage, &[("one", fail), ("two", fail), ("three", "")]);
    sandbox.run(&["backup"]).expect(3).says("storage one").says("storage two");
}

#[test]
fn where_no_storage_is_required_one_must_have_it() {
    let sandbox = Sandbox::new();
    let storage = "[{ name = \"one\", required = false }, { name = \"two\", required = false }]";
    let fail = "fail = [{ op = \"write\" }]";
    config(&sandbox, "", storage, &[("one", fail), ("two", "")]);
    sandbox.run(&["backup"]).expect(3);
    config(&sandbox, "", storage, &[("one", fail), ("two", fail)]);
    let ran = sandbox.run(&["backup"]);
    ran.fails_with("both", &["0 of 2 storages are left, and 1 must succeed"]);
    assert_eq!(listed_in(&sandbox, "two").len(), 1);
    assert_eq!(sandbox.files("store/one"), [""; 0]);
}

/// The slow one writes a line to the ledger for each write, and so does the fast one: how far that is ahead is what stands in
/// buffers.
#[test]
fn the_slowest_storage_sets_the_pace_with_bounded_memory() {
    for (storage, bound) in [
        ("[\"slow\", \"fast\"]", 8 << 20),
        ("[\"slow\", { name = \"fast\", required = false }]", 16 << 20),
        ("[\"fast\", { name = \"slow\", required = false }]", 16 << 20),
    ] {
        let sandbox = Sandbox::new();
        let ledger = sandbox.path("ledger");
        let option = format!("ledger = \"{}\"\n", ledger.display());
        let slow = format!("{option}bytes_per_second = 64000000");
        let bytes = 64_000_000_u64;
        config(&sandbox, &format!("bytes = {bytes}"), storage, &[("slow", &slow), ("fast", &option)]);
        sandbox.ok(&["backup"]);
        let (mut slow, mut fast, mut ahead) = (0_u64, 0_u64, 0);
        for line in fs::read_to_string(&ledger).unwrap().lines() {
            let (root, sum) = line.rsplit_once(' ').unwrap();
            let sum = sum.parse().unwrap();
            if root.ends_with("slow") {
                slow = sum
            } else {
                fast = sum
            }
            ahead = ahead.max(fast.saturating_sub(slow));
        }
        assert!(slow >= bytes && fast >= bytes, "{slow} {fast}");
        assert!(ahead <= bound, "the fast one was {ahead} bytes ahead");
    }
}

#[test]
fn a_run_that_is_killed_leaves_no_snapshot_in_an_optional_storage_and_the_next_one_clears_up() {
    let sandbox = Sandbox::new();
    let storages = [("nas", ""), ("offsite", "")];
    config(&sandbox, "behaviour = \"waits\"\nbytes = 9000000", OPTIONAL, &storages);
    let mut child = sandbox.spawn(&["backup"]);
    until("half uploads", || {
        ["nas", "offsite"].iter().all(|name| !sandbox.files(&format!("store/{name}")).is_empty())
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(sandbox.records().len(), 1);
    config(&sandbox, "", OPTIONAL, &storages);
    sandbox.ok(&["backup"]);
    sandbox.are_level("nas", "offsite");
    assert!(sandbox.files("store/offsite").iter().all(|file| file.starts_with("web1/")));
}

#[test]
fn a_signal_ends_a_run_whose_optional_storage_hangs() {
    let sandbox = Sandbox::new();
    let hang = "hang = { op = \"write\", nth = 2 }";
    let patient = HASTY.replace("1s", "1d");
    config(&sandbox, "bytes = 40000000", &patient, &[("nas", ""), ("offsite", hang)]);
    let child = sandbox.spawn(&["backup"]);
    until("half uploads", || {
        ["nas", "offsite"].iter().all(|name| !sandbox.files(&format!("store/{name}")).is_empty())
    });
    std::thread::sleep(Duration::from_millis(100));
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM)
        .unwrap();
    common::Ran::of(child.wait_with_output().unwrap()).expect(143);
    sandbox.nothing_is_left("signal");
}

#[test]
fn a_dry_run_names_the_optional_storages_and_the_quorum() {
    let sandbox = Sandbox::new();
    config(&sandbox, "", OPTIONAL, &[("nas", ""), ("offsite", "")]);
    let ran = sandbox.run(&["backup", "--dry-run"]).expect(0);
    ran.prints("nas (misbehaving) + offsite (misbehaving), optional (at least 1)");
    // Nothing is stored, so what fails at that isn't seen.
    config(
        &sandbox,
        "",
        OPTIONAL,
        &[("nas", ""), ("offsite", "fail = [{ op = \"create\" }, { op = \"check\" }]")],
    );
    sandbox.run(&["backup", "--dry-run"]).expect(0);
    config(&sandbox, "", OPTIONAL, &[("nas", ""), ("offsite", "fail = [{ op = \"list\" }]")]);
    let ran = sandbox.run(&["--json", "backup", "--dry-run"]).expect(3);
    let planned = events(&ran.stdout, "planned").remove(0);
    assert_eq!(planned["storages_left_out"], serde_json::json!(["offsite"]));
    assert_eq!(planned["least_storages"], 1);
    config(&sandbox, "", OPTIONAL, &[("nas", "fail = [{ op = \"list\" }]"), ("offsite", "")]);
    sandbox.run(&["backup", "--dry-run"]).expect(1);
    assert_eq!(sandbox.files("store"), [""; 0]);
}

#[test]
fn a_config_whose_storages_do_not_fit_together_is_refused() {
    let sandbox = Sandbox::new();
    for (storage, said) in [
        ("[\"nas\"]\nquorum = 2", "a quorum of 2 can't be reached with 1 storages"),
        ("[\"nas\"]\nquorum = 0", "a quorum is 1 or more"),
        ("[{ required = false }]", "the key `name` is missing"),
        ("[{ name = \"nas\", requird = false }]", "unknown key"),
        ("[{ name = \"nas\", required = \"no\" }]", "expected a boolean, found a string"),
        ("[{ name = \"ofsite\" }]", "there is no `[storage.ofsite]`"),
        ("[\"nas\", { name = \"nas\" }]", "the storage `nas` is named twice"),
        ("[{ name = \"nas\", stall_timeout = \"1m\" }]", "only an optional one has a `stall_timeout`"),
        (
            "[\"offsite\", { name = \"nas\", required = false, stall_timeout = \"1m\" }]\nstall_timeout = \"30s\"",
            "it must be shorter than the pipeline's own",
        ),
        ("[7]", "expected a string or a table, found an integer"),
    ] {
        config(&sandbox, "", storage, &[("nas", ""), ("offsite", "")]);
        let ran = sandbox.run(&["check", "--offline"]);
        assert_eq!(ran.code, 2, "{storage}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains(said), "{storage}: `{said}` isn't in {}", ran.stderr);
    }
}

#[test]
fn the_schema_and_what_is_shown_know_optional_storages() {
    let sandbox = Sandbox::new();
    config(&sandbox, "", &format!("{HASTY}\nquorum = 1"), &[("nas", ""), ("offsite", "")]);
    let shown = sandbox.ok(&["config", "show"]);
    let line = shown.lines().find(|line| line.starts_with("pipeline.shop.storage = ")).unwrap();
    assert!(line.contains("{ name = \"offsite\", required = false, stall_timeout = \"1s\" }"), "{line}");
    assert!(shown.contains("pipeline.shop.quorum = 1"), "{shown}");
    let schema: serde_json::Value = serde_json::from_str(&sandbox.ok(&["config", "schema"])).unwrap();
    let config: toml::Table = fs::read_to_string(sandbox.path("windlass.toml")).unwrap().parse().unwrap();
    let mut config = serde_json::to_value(config).unwrap();
    let judge = |config: &serde_json::Value| jsonschema::is_valid(&schema, config);
    assert!(judge(&config));
    config["pipeline"]["shop"]["storage"][1]["requird"] = true.into();
    assert!(!judge(&config));
}

#[test]
fn check_tells_an_optional_storage_that_fails_as_incomplete() {
    let sandbox = Sandbox::new();
    let fail = "fail = [{ op = \"check\" }]";
    config(&sandbox, "", OPTIONAL, &[("nas", ""), ("offsite", fail)]);
    sandbox.run(&["check"]).expect(3).prints("FAIL storage offsite (misbehaving), optional");
    config(&sandbox, "", OPTIONAL, &[("nas", fail), ("offsite", "")]);
    sandbox.run(&["check"]).expect(1).prints("FAIL storage nas (misbehaving)\n");
    let fails = [("one", fail), ("two", ""), ("three", fail)];
    config(&sandbox, "", QUORUM, &fails);
    sandbox.run(&["check"]).expect(1);
}
