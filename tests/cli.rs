//! Holds docs/cli.md to the command: every option and command has its place there, none that doesn't exist, and every JSON
//! object is described with its keys.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use common::{Sandbox, binary, database, repo};
use serde_json::Value;

fn document() -> String {
    fs::read_to_string(repo().join("docs/cli.md")).unwrap()
}

/// The section of a command; of the top level that of the options of every command.
fn section<'a>(text: &'a str, command: &str) -> &'a str {
    let heading = match command {
        "" => "## Options of every command".to_owned(),
        "completions" | "man" => "## `completions` and `man`".to_owned(),
        command => format!("## `{command}`"),
    };
    let (_, after) = text.split_once(&heading).unwrap_or_else(|| panic!("no section `{heading}`"));
    after.split("\n## ").next().unwrap()
}

fn help(command: &[&str]) -> String {
    let output = Command::new(binary()).args(command).arg("--help").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// `--flag`s at the beginning of help lines.
fn flags(help: &str) -> BTreeSet<String> {
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let words = lines.filter_map(|line| line.split([' ', ',']).find(|word| word.starts_with("--")));
    words.map(|word| word.split(['=', '.']).next().unwrap().to_owned()).collect()
}

fn commands(help: &str) -> Vec<&str> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| line.starts_with("  "));
    listed.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next()).collect()
}

/// `--flag`s in backticks.
fn documented(section: &str) -> BTreeSet<String> {
    let code = section.split('`').skip(1).step_by(2);
    let words = code.flat_map(|code| code.split([' ', '[', ']'])).filter(|word| word.starts_with("--"));
    words.map(str::to_owned).collect()
}

#[test]
fn every_option_of_every_command_has_its_place_in_the_documents() {
    let text = document();
    let top = help(&[]);
    let of_every = documented(section(&text, ""));
    let mut faults = Vec::new();
    let missing = |of: &str, flags: &BTreeSet<String>, told: &BTreeSet<String>| {
        flags.difference(told).map(|flag| format!("`{of}`: {flag} isn't documented")).collect::<Vec<_>>()
    };
    faults.extend(missing("windlass", &flags(&top), &of_every));
    let names = commands(&top);
    assert!(names.contains(&"backup") && names.contains(&"verify"), "{names:?}");
    for name in names.into_iter().filter(|name| *name != "help") {
        let told = documented(section(&text, name));
        let own: BTreeSet<String> = flags(&help(&[name])).difference(&of_every).cloned().collect();
        faults.extend(missing(name, &own, &told));
        let known = flags(&help(&[name]));
        faults.extend(
            told.difference(&known).map(|flag| format!("`{name}`: {flag} is documented and doesn't exist")),
        );
        for sub in commands(&help(&[name])).into_iter().filter(|sub| *sub != "help") {
            if !section(&text, name).contains(&format!("`{name} {sub}")) {
                faults.push(format!("`{name} {sub}` isn't documented"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_json_object_is_documented_with_its_keys() {
    let sandbox = Sandbox::new();
    database(&sandbox.path("shop.db"), "wal", 20).close().unwrap();
    let rows: Vec<(String, String)> = table(&document());
    let mut seen = BTreeSet::new();
    let store = format!("fs:{}", sandbox.path("store").display());
    let commands: &[&[&str]] = &[
        &["init", "sqlite:shop.db", "--storage", &store],
        &["check"],
        &["backup", "--dry-run"],
        &["backup"],
        &["list"],
        &["show", "shop"],
        &["copy", "shop", "--from", &store, "--to", "fs:other?create_root=true"],
        &["verify"],
        &["restore", "shop"],
        &["restore", "shop", "--mode", "replace", "--yes"],
        &["restore", "shop", "--output", "plain"],
        &["backup"],
        &["prune", "--explain"],
        &["plugins", "list"],
        &["plugins", "info", "zstd"],
        &["plugins", "path"],
        &["config", "show"],
        &["restore", "nothing"],
    ];
    for command in commands {
        let arguments: Vec<&str> = ["--json"].iter().chain(*command).copied().collect();
        for line in sandbox.run(&arguments).stdout.lines() {
            let object: Value = serde_json::from_str(line).unwrap();
            let name = object["type"].as_str().unwrap();
            let (_, keys) =
                rows.iter().find(|(types, _)| types.contains(&format!("`{name}`"))).unwrap_or_else(|| {
                    panic!("docs/cli.md has no JSON type `{name}`, which {command:?} printed")
                });
            for key in object.as_object().unwrap().keys().filter(|key| *key != "type") {
                assert!(keys.contains(&format!("`{key}`")), "`{name}` has an undocumented key `{key}`");
            }
            seen.insert(name.to_owned());
        }
        if command[0] == "init" {
            let config = fs::read_to_string(sandbox.path("windlass.toml")).unwrap();
            sandbox.config(&format!("{config}\n[pipeline.shop.retention]\nkeep_last = 1\n"));
        }
    }
    let told: Vec<&str> = rows.iter().flat_map(|(types, _)| types.split('`').skip(1).step_by(2)).collect();
    let unseen: Vec<&&str> =
        told.iter().filter(|name| !seen.contains(**name) && **name != "warning").collect();
    assert_eq!(unseen, Vec::<&&str>::new(), "documented, and no command printed it");
}

/// The rows of the table of JSON types: the types, and the keys.
fn table(text: &str) -> Vec<(String, String)> {
    let (_, json) = text.split_once("## JSON").unwrap();
    let rows = json.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split(" | ").collect();
        (cells[0].to_owned(), cells[2].to_owned())
    })
    .collect()
}

#[test]
fn flags_are_found_in_helps_and_documents() {
    let help = "Commands:\n  list  lists\n          more\n\nOptions:\n  -c, --config <FILE>  reads --no\n      --all\n";
    assert_eq!(commands(help), ["list"]);
    assert_eq!(flags(help), ["--all", "--config"].map(str::to_owned).into());
    assert_eq!(
        documented("`--a`, `-b, --b FILE` --c `d --e`"),
        ["--a", "--b", "--e"].map(str::to_owned).into()
    );
}
