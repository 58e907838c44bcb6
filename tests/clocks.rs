//! Clocks that go wrong, and rows of runs that knew nothing of each other: what is the newest, and what a prune keeps. The binary
//! runs with a clock that is set by the test.
#![cfg(target_env = "gnu")]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use common::fan::listed_in;
use common::{Ran, Sandbox, until};
use jiff::Timestamp;

const CLOCK: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    const char *ahead = getenv("SECONDS_AHEAD");
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(id, time);
    if (!failed && id == CLOCK_REALTIME && ahead) time->tv_sec += atol(ahead);
    return failed;
}
"#;

const DAY: i64 = 24 * 3600;
const IT: &str = "[source.it]\nplugin = \"command\"\ndump_command = [\"cat\", \"data\"]\n";

/// A sandbox whose clock can be set, with a config behind the source `it`.
fn sandbox(config: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let code = sandbox.write("clock.c", CLOCK);
    let made =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(sandbox.path("clock.so")).arg(code).status();
    assert!(made.expect("a C compiler").success());
    sandbox.write("data", "some bytes");
    set(&sandbox, config);
    sandbox
}

fn set(sandbox: &Sandbox, config: &str) {
    sandbox.config(&format!("{IT}{config}"));
}

/// When the tests began: no midnight comes between two runs of one day, which are at noon.
static BEGAN: LazyLock<Timestamp> = LazyLock::new(Timestamp::now);

/// Noon of that day and so many days later.
fn noon(ahead: i64) -> Timestamp {
    let midnight = BEGAN.as_second() - BEGAN.as_second() % DAY;
    Timestamp::from_second(midnight + DAY / 2 + ahead * DAY).unwrap()
}

/// Runs the binary so many days from today.
fn on(sandbox: &Sandbox, day: i64, arguments: &[&str]) -> Ran {
    let mut command = sandbox.command(arguments);
    command
        .env("LD_PRELOAD", sandbox.path("clock.so"))
        .env("SECONDS_AHEAD", (noon(day).as_second() - BEGAN.as_second()).to_string());
    Ran::of(command.output().unwrap())
}

fn back_up(sandbox: &Sandbox, days: impl IntoIterator<Item = i64>) {
    for day in days {
        on(sandbox, day, &["backup", "shop"]).expect(0);
    }
}

/// The day of today and so many more, as ids begin with it.
fn day(ahead: i64) -> String {
    noon(ahead).strftime("%Y%m%d").to_string()
}

fn days(ahead: impl IntoIterator<Item = i64>) -> Vec<String> {
    ahead.into_iter().map(day).collect()
}

/// The days of the snapshots below `place`.
fn kept(sandbox: &Sandbox, place: &str) -> Vec<String> {
    let folders = fs::read_dir(sandbox.path(place)).unwrap();
    let ids = folders.map(|id| id.unwrap().file_name().into_string().unwrap());
    let mut days: Vec<String> = ids.map(|id| id[..8].to_owned()).collect();
    days.sort();
    days
}

/// A storage in `store/<name>`, which is there.
fn storage(sandbox: &Sandbox, name: &str) -> String {
    let root = sandbox.path("store").join(name);
    fs::create_dir_all(&root).unwrap();
    format!("[storage.{name}]\nplugin = \"fs\"\nroot = \"{}\"\n", root.display())
}

/// Of the newest, by each of its names.
#[track_caller]
fn newest_is(sandbox: &Sandbox, storage: &str, ahead: i64) {
    let shown = sandbox.ok(&["show", "shop", "--storage", storage]);
    assert!(shown.contains(&format!("shop@{}T", day(ahead))), "the newest isn't of {}: {shown}", day(ahead));
}

#[test]
fn rows_of_runs_that_meet_are_in_the_order_of_their_starts() {
    let sandbox = sandbox("");
    let both = storage(&sandbox, "one") + &storage(&sandbox, "two");
    let stored = |storages: &str| {
        let policy = "retention = { keep_daily = 3 }";
        set(&sandbox, &format!("{both}[pipeline.shop]\nsource = \"it\"\nstorage = {storages}\n{policy}\n"));
    };
    stored("[\"one\"]");
    back_up(&sandbox, -17..-7);
    stored("[\"two\"]");
    back_up(&sandbox, -7..-3);
    stored("[\"one\", \"two\"]");
    on(&sandbox, -3, &["reconcile"]).expect(0);
    back_up(&sandbox, -2..=0);
    newest_is(&sandbox, "two", 0);
    on(&sandbox, 0, &["prune"]).expect(0);
    for storage in ["one", "two"] {
        assert_eq!(kept(&sandbox, &format!("store/{storage}/web1/shop")), days(-2..=0), "{storage}");
        newest_is(&sandbox, storage, 0);
    }
}

#[test]
fn a_copy_of_a_run_elsewhere_takes_its_place_among_the_others() {
    let sandbox = sandbox("");
    let text = storage(&sandbox, "nas")
        + &storage(&sandbox, "usb")
        + "[pipeline.shop]\nsource = \"it\"\nstorage = [\"nas\"]\nretention = { keep_last = 2 }\n";
    set(&sandbox, &text);
    back_up(&sandbox, -6..-2);
    on(&sandbox, -4, &["backup", "shop", "--storage", "usb"]).expect(0);
    on(&sandbox, -1, &["backup", "shop", "--storage", "usb"]).expect(0);
    let late = listed_in(&sandbox, "usb");
    for snapshot in &late {
        on(&sandbox, 0, &["copy", snapshot, "--from", "usb", "--to", "nas"]).expect(0);
    }
    newest_is(&sandbox, "nas", -1);
    on(&sandbox, 0, &["prune"]).expect(0).prints("Pruned shop in nas: 4 removed");
    assert_eq!(kept(&sandbox, "store/nas/web1/shop"), days([-3, -1]));
}

/// A storage that can't be listed, below the folder `store/nas`; `more` are further options.
fn unlisted(sandbox: &Sandbox, more: &str) -> String {
    let root = sandbox.path("store/nas");
    fs::create_dir_all(&root).unwrap();
    format!(
        "[storage.blind]\nplugin = \"misbehaving\"\nroot = \"{}\"\nfail = [{{ op = \"list\", for_ever = true, kind = \"denied\" }}]\n\
         {more}\n[pipeline.shop]\nsource = \"it\"\nstorage = [\"blind\"]\n",
        root.display()
    )
}

/// As another machine sees it, which may list and delete.
fn pruned_elsewhere(sandbox: &Sandbox, policy: &str) {
    let text = storage(sandbox, "nas");
    let pipeline = "[pipeline.shop]\nsource = \"it\"\nstorage = [\"nas\"]\n";
    set(sandbox, &format!("{text}{pipeline}retention = {policy}\n"));
}

#[test]
fn a_key_that_can_only_create_needs_no_memory_to_go_on_in_order() {
    let sandbox = sandbox("");
    set(&sandbox, &unlisted(&sandbox, ""));
    back_up(&sandbox, -6..-3);
    // What is remembered is of another config.
    set(&sandbox, &unlisted(&sandbox, "short_writes = 100000"));
    back_up(&sandbox, -3..0);
    fs::remove_dir_all(sandbox.path(".local")).unwrap();
    back_up(&sandbox, [0]);
    pruned_elsewhere(&sandbox, "{ keep_last = 3 }");
    newest_is(&sandbox, "nas", 0);
    on(&sandbox, 0, &["prune"]).expect(0).prints("4 removed");
    assert_eq!(kept(&sandbox, "store/nas/web1/shop"), days(-2..=0));
}

#[test]
fn every_run_behind_a_clock_that_was_ahead_says_that_it_is_late() {
    let sandbox = sandbox("");
    set(&sandbox, &unlisted(&sandbox, ""));
    back_up(&sandbox, [-3, 40, -2, -1, 0]);
    let mut late: Vec<String> = Vec::new();
    for folder in fs::read_dir(sandbox.path("store/nas/web1/shop")).unwrap() {
        let id = folder.unwrap().file_name().into_string().unwrap();
        late.extend(id[17..].starts_with('0').then(|| id[..8].to_owned()));
    }
    late.sort();
    // Nothing was known before the first.
    assert_eq!(late, days(-3..=0));
    pruned_elsewhere(&sandbox, "{ keep_last = 2 }");
    newest_is(&sandbox, "nas", 0);
    let ahead = sandbox.ok(&["show", &format!("shop@{}", &day(40)), "--storage", "nas"]);
    assert!(ahead.contains("sequence"), "{ahead}");
    on(&sandbox, 0, &["prune", "--explain"]).expect(0).prints("newest, going by time");
    assert_eq!(kept(&sandbox, "store/nas/web1/shop"), days([-1, 0, 40]));
}

#[test]
fn one_run_of_a_clock_that_was_ahead_makes_no_other_old() {
    let sandbox = sandbox("");
    pruned_elsewhere(&sandbox, "{ keep_within = \"30d\" }");
    back_up(&sandbox, -4..=0);
    back_up(&sandbox, [400]);
    on(&sandbox, 0, &["prune"]).expect(0).prints("0 removed (0 B), 6 kept");
    // And where backups have stopped, time removes nothing.
    fs::remove_dir_all(sandbox.path("store/nas/web1")).unwrap();
    back_up(&sandbox, -4..=0);
    on(&sandbox, 300, &["prune"]).expect(0).prints("0 removed (0 B), 5 kept");
}

/// Its state is lost, or it was another machine's: no record names it.
#[test]
fn what_dead_runs_have_left_goes_when_nobody_can_be_working_on_it_any_more() {
    let sandbox = sandbox("");
    pruned_elsewhere(&sandbox, "{ keep_last = 9 }");
    let text = fs::read_to_string(sandbox.path("windlass.toml")).unwrap();
    // A run that is killed while it uploads, and what others may have left.
    let gate = sandbox.path("gate");
    assert!(Command::new("mkfifo").arg(&gate).status().unwrap().success());
    let slow = format!("[\"sh\", \"-c\", \"head -c 6000000 /dev/zero; cat {}\"]", gate.display());
    sandbox.config(&text.replace("[\"cat\", \"data\"]", &slow));
    let mut killed = sandbox.spawn(&["backup"]);
    until("a half upload", || !sandbox.files("store").is_empty());
    killed.kill().unwrap();
    killed.wait().unwrap();
    sandbox.config(&text);
    fs::remove_dir_all(sandbox.path(".local")).unwrap();
    let shop = Path::new("store/nas/web1/shop");
    let plant = |place: &str| sandbox.write(shop.join(place).to_str().unwrap(), "half a run");
    let (dead, lost, later) = (day(-1), day(-2), day(2));
    plant(&format!("{dead}T120000Z-dead/data"));
    plant(&format!("{lost}T120000Z-lost/data"));
    plant(&format!("{lost}T120000Z-lost/RESTORE.txt"));
    plant(&format!("{later}T120000Z-newr/data"));
    back_up(&sandbox, [1]);
    let told = on(&sandbox, 1, &["check"]).stdout;
    assert!(
        told.contains("half upload of `web1/shop/") && told.contains("`prune` clears up after a week"),
        "{told}"
    );
    let before = sandbox.files("store");
    on(&sandbox, 6, &["prune"]).expect(0);
    assert_eq!(sandbox.files("store"), before, "somebody may be at it still");
    on(&sandbox, 8, &["prune", "--dry-run"]).expect(0).says("would remove 2 objects of runs that had died");
    assert_eq!(sandbox.files("store"), before);
    on(&sandbox, 8, &["prune"]).expect(0).says("removed 2 objects of runs that had died");
    let gone: Vec<String> =
        before.into_iter().filter(|file| !sandbox.path("store").join(file).exists()).collect();
    assert_eq!(gone.len(), 2, "{gone:?}");
    assert!(gone.iter().any(|file| file.contains("-dead/data")), "{gone:?}");
    assert!(gone.iter().any(|file| file.contains(".windlass-")), "{gone:?}");
    sandbox.ok(&["verify", "shop"]);
}
