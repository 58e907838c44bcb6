//! `limit` of a storage through the binary: it holds a run back, is no stall, and ends with the run.

mod common;

use common::misbehaving::text;
use common::{Sandbox, database, rows, until};
use rustix::process::{Pid, Signal, kill_process};

#[test]
fn a_limit_holds_a_run_back_and_is_no_stall() {
    let sandbox = Sandbox::new();
    let config = |limit: &str, more: &str| {
        let text = text(&sandbox, "bytes = 8000000", "", limit);
        sandbox.config(&format!("{text}\n{more}"));
    };
    // Over two hours' worth: what the buffers between the stages hold is moved in the first moment, and then the pieces alone
    // say that something moves.
    config("limit = \"1 kB/s\"", "stall_timeout = \"1500ms\"\ntimeout = \"4s\"");
    sandbox.run(&["backup"]).fails_with("limited", &["longer than its `timeout` of 4s"]);
    sandbox.nothing_is_left("limited");
    config("limit = { up = \"1 GB/s\", down = \"1 kB/s\" }", "timeout = \"10m\"");
    sandbox.ok(&["backup"]);
    assert_eq!(sandbox.listed().len(), 1);
    // What is read from it waits as well, so another way to the same folder is taken.
    sandbox.ok(&["verify", "shop", "--storage", &format!("fs:{}", sandbox.path("store").display())]);
}

#[test]
fn a_restore_that_waits_for_its_turn_ends_with_a_signal_and_has_changed_nothing() {
    let sandbox = Sandbox::new();
    let path = sandbox.path("shop.db");
    sandbox.config("[source.it]\nplugin = \"sqlite\"\npath = \"shop.db\"\n[pipeline.shop]\nsource = \"it\"\nstorage = \"fs:store?limit=1GB/s\"\n");
    database(&path, "delete", 800).close().unwrap();
    sandbox.ok(&["backup"]);
    database(&path, "delete", 5).close().unwrap();
    let (old, whole) = (std::fs::read(&path).unwrap(), rows(&path));
    let slow = ["restore", "shop", "--mode", "replace", "--yes", "--storage", "fs:store?limit.down=50kB/s"];
    let child = sandbox.spawn(&slow);
    until("the restore", || !sandbox.siblings().is_empty());
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    common::Ran::of(child.wait_with_output().unwrap()).expect(143);
    assert!(std::fs::read(&path).unwrap() == old);
    assert_eq!(sandbox.siblings(), [""; 0]);
    sandbox.ok(&["restore", "shop", "--mode", "replace", "--yes"]);
    assert_ne!(rows(&path), whole);
}

#[test]
fn a_limit_that_makes_no_sense_is_told_before_anything_begins() {
    let sandbox = Sandbox::new();
    sandbox.config(&text(&sandbox, "", "", "limit = \"20 Mb/s\""));
    let ran = sandbox.run(&["backup"]).expect(2);
    ran.says("windlass.toml:").says("storage.one.limit: `Mb/s` is not a unit of speed").says("20 MB/s");
    assert_eq!(sandbox.files("store"), [""; 0]);
    let adhoc = ["backup", "misbehaving:none", "--storage", "fs:store?limit=9"];
    sandbox.run(&adhoc).expect(2).says("`9` doesn't say how much in which time");
}
