//! `each`: every item of a source is a snapshot of its own, with a name, a lock and an exit of its own.

mod common;

use std::collections::BTreeSet;
use std::fs;

use common::Sandbox;
use serde_json::Value;

/// A pipeline `fleet` over a source that has `items`.
fn fleet(items: &[&str], source: &str, each: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let items = serde_json::to_string(items).unwrap();
    sandbox.config(&format!(
        "[source.server]\nplugin = \"misbehaving\"\nbytes = 1000\ntarget = \"{}\"\nitems = {items}\n{source}\n\
         [storage.nas]\nplugin = \"fs\"\nroot = \"store\"\ncreate_root = true\n\
         [pipeline.fleet]\nsource = \"server\"\nstorage = [\"nas\"]\n{each}\n",
        sandbox.path("back").display()
    ));
    sandbox
}

const ALL: &str = "each = { item = \"*\" }";

/// The pipelines of the snapshots that `list` tells.
fn listed(sandbox: &Sandbox, arguments: &[&str]) -> BTreeSet<String> {
    let rows = sandbox.ok(&[&["--json", "list"], arguments].concat());
    let name =
        |row: &str| serde_json::from_str::<Value>(row).unwrap()["pipeline"].as_str().unwrap().to_owned();
    rows.lines().map(name).collect()
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn of_two_hundred_items_one_broken_fails_by_itself() {
    let items: Vec<String> = (0..200).map(|number| format!("db{number:03}")).collect();
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    let sandbox = fleet(&items, "broken_items = [\"db077\"]", ALL);
    let ran = sandbox.run(&["backup", "--jobs", "4"]).expect(1);
    let errors: Vec<&str> = ran.stderr.lines().filter(|line| line.starts_with("error:")).collect();
    assert!(matches!(errors.as_slice(), [one] if one.contains("fleet/db077: ")), "{errors:?}");
    let mut expected: BTreeSet<String> = items.iter().map(|item| format!("fleet/{item}")).collect();
    expected.remove("fleet/db077");
    assert_eq!(listed(&sandbox, &["fleet"]), expected);
    let verified = sandbox.ok(&["--json", "verify", "fleet"]);
    assert_eq!(verified.lines().filter(|line| line.contains("\"damage\":[]")).count(), 199, "{verified}");
}

#[test]
fn patterns_choose_and_an_item_can_be_named() {
    let items = ["shop", "shop_test", "blog", "template0", "template1"];
    let sandbox = fleet(&items, "", "each = { item = [\"shop*\", \"t*\"], except = \"template*\" }");
    let planned = sandbox.ok(&["backup", "--dry-run"]);
    assert!(planned.contains("fleet/shop_test") && !planned.contains("blog"), "{planned}");
    sandbox.ok(&["backup", "fleet/shop"]);
    assert_eq!(listed(&sandbox, &[]), names(&["fleet/shop"]));
    sandbox.run(&["backup", "fleet/blog"]).expect(10).says("no pipeline `fleet/blog`");
    sandbox.ok(&["backup", "fleet"]);
    assert_eq!(listed(&sandbox, &["fleet"]), names(&["fleet/shop", "fleet/shop_test"]));
    assert_eq!(listed(&sandbox, &["fleet/shop_test"]), names(&["fleet/shop_test"]));
    let checked = sandbox.ok(&["check"]);
    assert!(checked.contains("`each` takes 2 of the 5 items"), "{checked}");
}

/// What an item is restored to is said by its name, which is never taken for anything else; its bytes are its own.
#[test]
fn an_item_is_restored_to_itself() {
    let odd = ["shop", "Blög", "{ env = 'HOME' }", "../../a \"b\""];
    let sandbox = fleet(&odd, "", ALL);
    sandbox.ok(&["backup"]);
    let all = listed(&sandbox, &["fleet"]);
    assert_eq!(all.len(), odd.len(), "{all:?}");
    let mut seen = BTreeSet::new();
    for pipeline in &all {
        let planned = sandbox.run(&["restore", pipeline, "--dry-run", "--mode", "replace"]).expect(0).stderr;
        let item = odd.iter().position(|item| planned.contains(&format!("for {item}")));
        seen.insert(item.unwrap_or_else(|| panic!("{planned}")));
        sandbox.ok(&["restore", pipeline, "--mode", "replace", "--yes"]);
        let restored = fs::read(sandbox.path("back.data")).unwrap();
        sandbox.ok(&["restore", pipeline, "--output", "plain", "--yes"]);
        assert!(restored == fs::read(sandbox.path("plain")).unwrap(), "{pipeline}");
    }
    assert_eq!(seen.len(), odd.len(), "two were restored to one item");
    // Without the `each`, nobody can say what it was a part of.
    let config = fs::read_to_string(sandbox.path("windlass.toml")).unwrap();
    sandbox.config(&config.replace(ALL, ""));
    let ran = sandbox.run(&["restore", "web1/fleet/shop", "--mode", "replace", "--yes"]).expect(2);
    assert!(ran.stderr.contains("has no `each` that takes `shop`"), "{}", ran.stderr);
    sandbox.ok(&["restore", "web1/fleet/shop", "--output", "plain", "--yes"]);
}

#[test]
fn a_source_that_can_not_say_what_it_has_is_a_failure_of_that_pipeline_alone() {
    let sandbox = fleet(&["a"], "behaviour = \"fails-half-way\"", ALL);
    fs::create_dir(sandbox.path("media")).unwrap();
    let config = fs::read_to_string(sandbox.path("windlass.toml")).unwrap();
    let other = "[pipeline.media]\nsource = \"files:media\"\nstorage = [\"nas\"]\n";
    sandbox.config(&format!("{config}{other}"));
    let ran = sandbox.run(&["backup", "--all"]).expect(1);
    assert!(ran.stderr.contains("fleet: source server"), "{}", ran.stderr);
    assert_eq!(listed(&sandbox, &[]), names(&["media"]));
}

/// How many runs have a half upload at one moment, at the most.
fn most_at_once(source: &str) -> usize {
    let slow = format!("slow_bytes_per_second = 4000\n{source}");
    let sandbox = fleet(&["a", "b", "c", "d", "e", "f"], &slow, ALL);
    let mut child = sandbox.spawn(&["backup", "--jobs", "6"]);
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        let half = sandbox
            .files("store")
            .into_iter()
            .filter(|name| name.contains(".windlass-") && name.ends_with("+data"));
        most = most.max(half.count());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(child.wait().unwrap().success());
    assert_eq!(listed(&sandbox, &["fleet"]).len(), 6);
    most
}

#[test]
fn a_source_is_read_by_no_more_runs_than_it_bears() {
    assert_eq!(most_at_once("max_runs = 2"), 2);
    assert!(most_at_once("") > 2);
    let ran = fleet(&["a"], "max_runs = 0", ALL).run(&["backup"]).expect(2);
    assert!(ran.stderr.contains("`max_runs` must be more than 0"), "{}", ran.stderr);
}

#[test]
fn an_each_that_takes_nothing_is_a_failure() {
    let sandbox = fleet(&["a", "b"], "", "each = { item = \"shop*\" }");
    let ran = sandbox.run(&["backup"]).expect(1);
    assert!(ran.stderr.contains("`each` takes none of the 2 items"), "{}", ran.stderr);
    let ran = fleet(&[], "", ALL).run(&["backup"]).expect(1);
    assert!(ran.stderr.contains("`each` takes none of the 0 items"), "{}", ran.stderr);
}

#[test]
fn what_is_wrong_with_an_each_is_told_before_anything_runs() {
    for (each, said) in [
        ("each = \"*\"", "expected a table"),
        ("each = { }", "expected one option of the source"),
        ("each = { item = \"*\", bytes = \"*\" }", "expected one option of the source"),
        ("each = { itme = \"*\" }", "has no option `itme`"),
        ("each = { item = \"a**\" }", "`a**` is not a pattern"),
        ("each = { item = 3 }", "expected a string or an array of strings"),
    ] {
        let ran = fleet(&["a"], "", each).run(&["backup"]).expect(2);
        assert!(ran.stderr.contains(said), "{each}: {}", ran.stderr);
    }
    let ran = fleet(&["a"], "", "each = { itme = \"*\" }").run(&["check"]).expect(2);
    assert!(ran.stderr.contains("Did you mean `item`?"), "{}", ran.stderr);
}

/// Nothing else that stands in a key has capitals.
#[test]
fn items_and_hosts_that_differ_by_case_alone_are_told_by_check() {
    let sandbox = fleet(&["Shop", "blog", "shop", "shop2"], "", ALL);
    let told = |arguments: &[&str]| {
        let ran = sandbox.run(arguments).expect(0);
        ran.stdout + &ran.stderr
    };
    let checked = told(&["check"]);
    assert!(checked.contains("the items `Shop` and `shop` differ only by case"), "{checked}");
    assert_eq!(checked.matches("only by case").count(), 1, "{checked}");
    // In a folder that tells them apart each keeps its own.
    sandbox.ok(&["backup"]);
    assert_eq!(listed(&sandbox, &["fleet/shop"]), names(&["fleet/shop"]));
    assert!(!told(&["--host", "web2", "check"]).contains("`web1`"));
    let checked = told(&["--host", "WEB1", "check"]);
    assert!(checked.contains("snapshots of `web1` too, which differs from `WEB1` only by case"), "{checked}");
    let other = fleet(&["Shop", "shop"], "", "each = { item = \"s*\" }");
    let checked = other.run(&["check"]).expect(0);
    assert!(!(checked.stdout + &checked.stderr).contains("only by case"), "one of them isn't taken");
}
