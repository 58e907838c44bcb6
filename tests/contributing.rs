//! Holds CONTRIBUTING.md and the Makefile to each other: every target is explained, and every command exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file)).unwrap()
}

/// The targets that people call, which are those that `make help` shows.
fn targets(makefile: &str) -> BTreeSet<String> {
    let shown = makefile.lines().filter(|line| line.contains("## ") && !line.starts_with(['\t', '#', ' ']));
    shown.filter_map(|line| Some(line.split_once(':')?.0.to_owned())).collect()
}

/// What stands in backticks as `make x`.
fn named(text: &str) -> BTreeSet<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter_map(|code| code.strip_prefix("make "))
        .flat_map(|targets| targets.split_whitespace())
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_make_target_is_explained_and_every_explained_one_exists() {
    let (targets, named) = (targets(&read("Makefile")), named(&read("CONTRIBUTING.md")));
    assert!(!targets.is_empty());
    assert_eq!(targets, named);
}

#[test]
fn every_make_target_is_phony_and_helped() {
    let makefile = read("Makefile");
    let phony = makefile.lines().find_map(|line| line.strip_prefix(".PHONY:")).unwrap();
    let phony: BTreeSet<String> = phony.split_whitespace().map(str::to_owned).collect();
    assert_eq!(targets(&makefile), phony);
}

#[test]
fn the_build_server_runs_make_test_and_nothing_else() {
    let run = read(".ci/run");
    let commands: Vec<&str> = run.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert_eq!(commands, ["set -euo pipefail", "cd \"$(dirname \"$0\")/..\"", "exec make test </dev/null"]);
}

#[test]
fn targets_and_names_are_found() {
    let makefile = ".PHONY: a b\na: ## say\n\t@echo '## no'\n# c: ## no\nb: a ## do\n";
    assert_eq!(targets(makefile), ["a", "b"].map(String::from).into());
    assert_eq!(
        named("run `make a`, `made b`, `make b c` and make d"),
        ["a", "b", "c"].map(String::from).into()
    );
}
