//! Plugins that panic or lie: an error, never the end of the host, and nothing that looks like a snapshot.

mod common;

use std::fs;

use common::misbehaving::{config, text};
use common::{Ran, Sandbox};

/// A sandbox with one good snapshot and an old target.
fn with_snapshot() -> Sandbox {
    let sandbox = Sandbox::new();
    config(&sandbox, "", "behaviour = \"none\"", "");
    sandbox.ok(&["backup"]);
    sandbox.write("target/restored.data", "old");
    sandbox
}

fn restore(sandbox: &Sandbox) -> Ran {
    sandbox.run(&["restore", "shop", "--mode", "replace", "--yes"])
}

#[track_caller]
fn target_is_old(sandbox: &Sandbox, case: &str) {
    assert_eq!(sandbox.files("target"), ["restored.data"], "{case}");
    assert_eq!(fs::read_to_string(sandbox.path("target/restored.data")).unwrap(), "old", "{case}");
}

#[test]
fn a_source_that_panics_during_a_backup_leaves_nothing() {
    for place in ["in-new", "in-probe", "in-backup", "half-way", "after-finish"] {
        let sandbox = Sandbox::new();
        config(
            &sandbox,
            &format!("behaviour = \"panic-{place}\""),
            "behaviour = \"none\"",
            "deny_delete = true",
        );
        let ran = sandbox
            .run(&["backup"])
            .fails_with(place, &["source bad (misbehaving@", "the plugin panicked in `"]);
        ran.says("report it to its author");
        sandbox.nothing_is_left(place);
    }
}

#[test]
fn a_source_that_panics_during_a_restore_leaves_the_target_as_it_was() {
    let sandbox = with_snapshot();
    for place in ["in-new", "in-target", "in-restore"] {
        config(&sandbox, &format!("behaviour = \"panic-{place}\""), "", "");
        restore(&sandbox).fails_with(place, &["source bad (misbehaving@", "the plugin panicked in `"]);
        target_is_old(&sandbox, place);
    }
}

#[test]
fn a_filter_that_panics_during_a_backup_leaves_nothing() {
    for place in ["new", "encode", "write", "finish"] {
        let sandbox = Sandbox::new();
        config(&sandbox, "", &format!("behaviour = \"panic-in-{place}\""), "deny_delete = true");
        let said = ["filter misbehaving (misbehaving@", &format!("the plugin panicked in `{place}`")];
        sandbox.run(&["backup"]).fails_with(place, &said);
        sandbox.nothing_is_left(place);
    }
}

#[test]
fn a_filter_that_panics_during_a_restore_leaves_the_target_as_it_was() {
    let sandbox = with_snapshot();
    for place in ["new", "decode", "read"] {
        let decode = format!("[decode.misbehaving]\nbehaviour = \"panic-in-{place}\"\n");
        sandbox.config(&format!("{}\n{decode}", text(&sandbox, "", "", "")));
        let said = format!("the plugin panicked in `{place}`");
        restore(&sandbox).fails_with(place, &["filter misbehaving", &said]);
        target_is_old(&sandbox, place);
        let ran = sandbox.run(&["verify", "--full"]);
        assert!(ran.code != 0, "{place}: {}", ran.stdout);
    }
}

#[test]
fn a_storage_that_panics_during_a_backup_is_no_snapshot() {
    for place in ["new", "create", "write", "finish", "publish", "list"] {
        let sandbox = Sandbox::new();
        config(&sandbox, "", "behaviour = \"none\"", &format!("panic_in = \"{place}\""));
        let said = ["storage one (misbehaving@", &format!("the plugin panicked in `{place}`")];
        sandbox.run(&["backup"]).fails_with(place, &said);
        assert_eq!(sandbox.files("store"), [""; 0], "{place}");
        config(&sandbox, "", "behaviour = \"none\"", "");
        sandbox.ok(&["backup"]);
        sandbox.ok(&["verify", "--full"]);
    }
}

#[test]
fn a_storage_that_panics_while_it_is_read_leaves_the_target_as_it_was() {
    let sandbox = with_snapshot();
    for place in ["new", "open", "read", "stat", "list"] {
        config(&sandbox, "", "", &format!("panic_in = \"{place}\""));
        let said = format!("the plugin panicked in `{place}`");
        restore(&sandbox).fails_with(place, &["storage one", &said]);
        target_is_old(&sandbox, place);
        sandbox.run(&["verify", "--full"]).fails_with(place, &[&said]);
    }
}

#[test]
fn a_storage_that_panics_in_check_fails_the_check() {
    let sandbox = with_snapshot();
    config(&sandbox, "", "", "panic_in = \"check\"");
    let ran = sandbox.run(&["check"]).expect(1);
    let said = ran.stdout + &ran.stderr;
    assert!(said.contains("the plugin panicked in `check`"), "{said}");
}

/// What a failed run has published it can't take back then; it stays invisible, and its record stays for the next run.
#[test]
fn a_storage_that_panics_while_a_failed_run_is_taken_back_is_no_snapshot() {
    let sandbox = Sandbox::new();
    let options = "panic_in = \"delete\"\nfail = [{ op = \"publish\", nth = 3 }]";
    config(&sandbox, "", "", options);
    sandbox.run(&["backup"]).fails_with("delete", &["call 3 of `publish` was told to fail"]);
    assert_eq!(sandbox.listed(), [""; 0]);
    assert_eq!(sandbox.records().len(), 1);
}

#[test]
fn a_storage_that_panics_while_leftovers_are_removed_fails_the_run_and_not_the_host() {
    for place in ["leftovers", "discard"] {
        let sandbox = Sandbox::new();
        // The first run dies; the second finds its record, under the same options.
        let storage = format!("panic_in = \"{place}\"");
        config(&sandbox, "behaviour = \"kills-itself\"\nbytes = 4000000", "", &storage);
        sandbox.run(&["backup"]).expect(137);
        assert_eq!(sandbox.records().len(), 1, "{place}");
        config(&sandbox, "", "", &storage);
        let ran = sandbox.run(&["backup"]).fails_with(place, &["storage one"]);
        ran.says(&format!("the plugin panicked in `{place}`"));
        assert_eq!((sandbox.listed().len(), sandbox.records().len()), (0, 1), "{place}");
    }
}

/// Destructors and instructions: what they say is lost, and the snapshot is good.
#[test]
fn a_panic_where_nothing_depends_on_it_is_survived() {
    let cases = [
        ("behaviour = \"panic-in-by-hand\"", "behaviour = \"none\"", ""),
        ("behaviour = \"panic-in-drop\"", "behaviour = \"none\"", ""),
        ("", "behaviour = \"panic-in-by-hand\"", ""),
        ("", "behaviour = \"panic-in-drop\"", ""),
        ("", "", "panic_in = \"drop\""),
    ];
    for (source, filter, storage) in cases {
        let sandbox = Sandbox::new();
        config(&sandbox, source, filter, storage);
        let case = format!("{source} {filter} {storage}");
        let ran = sandbox.run(&["backup"]);
        assert_eq!(ran.code, 0, "{case}: {}", ran.stderr);
        config(&sandbox, "", filter, "");
        sandbox.ok(&["verify", "--full"]);
        fs::create_dir(sandbox.path("target")).unwrap();
        config(&sandbox, source, filter, storage);
        let ran = sandbox.run(&["restore", "shop"]);
        assert_eq!(ran.code, 0, "{case}: {}", ran.stderr);
        assert_eq!(fs::metadata(sandbox.path("target/restored.data")).unwrap().len(), 100_000, "{case}");
    }
}

/// A storage that has panicked isn't called again; for its snapshot that is a failure like any other.
#[test]
fn a_storage_that_panics_in_by_hand_fails_in_words() {
    let sandbox = Sandbox::new();
    config(&sandbox, "", "", "panic_in = \"by-hand\"");
    sandbox.run(&["backup"]).fails_with("by-hand", &["storage one"]).says("asked to: ByHand");
    assert_eq!(sandbox.files("store"), [""; 0]);
}

#[test]
fn a_writer_that_claims_more_than_it_was_given_is_caught() {
    for (filter, storage, stage) in
        [("behaviour = \"lying-writer\"", "", "filter misbehaving"), ("", "lie = \"writes\"", "storage one")]
    {
        let sandbox = Sandbox::new();
        config(&sandbox, "", filter, storage);
        sandbox.run(&["backup"]).fails_with(stage, &[stage, "`write` claims"]);
        sandbox.nothing_is_left(stage);
    }
}

#[test]
fn a_reader_that_claims_more_than_its_buffer_holds_is_caught() {
    let sandbox = with_snapshot();
    let lying = "[decode.misbehaving]\nbehaviour = \"lying-reader\"\n";
    sandbox.config(&format!("{}\n{lying}", text(&sandbox, "", "", "")));
    restore(&sandbox).fails_with("filter", &["filter misbehaving", "`read` claims"]);
    target_is_old(&sandbox, "filter");
    config(&sandbox, "", "", "lie = \"reads\"");
    restore(&sandbox).fails_with("storage", &["storage one", "`read` claims"]);
    target_is_old(&sandbox, "storage");
}

#[test]
fn a_decoder_that_stops_early_hides_nothing() {
    let sandbox = with_snapshot();
    let more = "bytes = 3000000";
    config(&sandbox, more, "behaviour = \"none\"", "");
    sandbox.ok(&["backup"]);
    let stops = "[decode.misbehaving]\nbehaviour = \"never-reads-on\"\n";
    sandbox.config(&format!("{}\n{stops}", text(&sandbox, more, "", "")));
    restore(&sandbox).fails_with_exit(4, "restore", &["data.bad"]);
    target_is_old(&sandbox, "stops early");
    sandbox.run(&["verify"]).expect(0);
    sandbox.run(&["verify", "--full"]).expect(4);
}

#[test]
fn a_storage_that_gives_other_bytes_or_sizes_than_it_took_is_caught() {
    let sandbox = with_snapshot();
    for lie in ["bytes", "sizes"] {
        config(&sandbox, "", "", &format!("lie = \"{lie}\""));
        restore(&sandbox).fails_with_exit(4, lie, &[]);
        target_is_old(&sandbox, lie);
        sandbox.run(&["verify"]).expect(4);
    }
    sandbox.run(&["backup"]).fails_with("sizes", &["it says that it stored"]);
}

#[test]
fn a_plugin_that_aborts_the_process_leaves_nothing_that_is_listed_and_the_next_run_cleans_up() {
    for behaviour in ["aborts", "kills-itself"] {
        let sandbox = Sandbox::new();
        config(&sandbox, &format!("behaviour = \"{behaviour}\"\nbytes = 4000000"), "", "");
        assert!(sandbox.run(&["backup"]).code > 128, "{behaviour}");
        assert_eq!((sandbox.listed().len(), sandbox.records().len()), (0, 1), "{behaviour}");
        config(&sandbox, "", "", "");
        sandbox.run(&["backup"]).expect(0).says("removed");
        assert!(sandbox.files("store").iter().all(|file| file.starts_with("web1/")), "{behaviour}");
        assert_eq!((sandbox.listed().len(), sandbox.records().len()), (1, 0), "{behaviour}");
    }
}
