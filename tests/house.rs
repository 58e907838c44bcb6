//! Holds the sources to the rules of the house that no lint knows: sizes, module docs, where `unsafe` may stand, and that
//! the engine names no plugin.

use std::fs;
use std::path::{Path, PathBuf};

/// Where `unsafe` may stand: the ABI, the loader, and the rooms of system calls that std and rustix don't have.
const UNSAFE_ROOMS: [&str; 4] =
    ["plugin-api/src/ffi/", "host/src/plugins/load.rs", "host/src/run/ioprio.rs", "plugin-api/tool/src/sys"];

/// Names of plugins that are also words of the engine: these are told from others only as a whole string.
const COMMON_WORDS: [&str; 5] = ["age", "command", "files", "fs", "objects"];

/// What plugin authors' crates get along with the api, all of it.
const API_DEPENDENCIES: [&str; 6] = ["abi_stable", "log", "schemars", "serde", "serde_json", "tracing-core"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// The sources of this workspace, by their path in it. A frozen copy of an older api isn't edited any more.
fn sources(below: &[&str]) -> Vec<(String, String)> {
    let mut folders: Vec<PathBuf> =
        below.iter().map(|folder| root().join(folder)).filter(|f| f.exists()).collect();
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = entry.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            if entry.is_dir() {
                let is_foreign = name.ends_with("/target") || name == "tests/skew";
                folders.extend((!is_foreign).then_some(entry));
            } else if name.ends_with(".rs") {
                sources.push((name, fs::read_to_string(entry).unwrap()));
            }
        }
    }
    assert!(sources.len() > 3, "{below:?}");
    sources
}

fn all() -> Vec<(String, String)> {
    sources(&["host", "plugin-api", "plugins", "tests", "examples"])
}

/// The code of a source and its string literals, without comments.
#[derive(Default, Debug, PartialEq)]
struct Split {
    code: String,
    strings: Vec<String>,
}

fn split(source: &str) -> Split {
    let mut split = Split::default();
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        if rest.starts_with("//") {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
        } else if rest.starts_with("/*") {
            rest = rest.find("*/").map_or("", |end| &rest[end + 2..]);
        } else if let Some((text, after)) = raw_string(rest).or_else(|| string(rest)) {
            split.strings.push(text);
            split.code.push('"');
            rest = after;
        } else if let Some(after) = quoted_char(rest) {
            rest = after;
        } else {
            split.code.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    split
}

fn raw_string(rest: &str) -> Option<(String, &str)> {
    let hashes = rest.strip_prefix('r')?;
    let open = hashes.find('"').filter(|at| hashes[..*at].chars().all(|c| c == '#'))?;
    let close = format!("\"{}", &hashes[..open]);
    let text = &hashes[open + 1..];
    let end = text.find(&close)?;
    Some((text[..end].to_owned(), &text[end + close.len()..]))
}

fn string(rest: &str) -> Option<(String, &str)> {
    let text = rest.strip_prefix('"')?;
    let mut escaped = false;
    let end = text.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    Some((text[..end].to_owned(), &text[end + 1..]))
}

/// `'"'` and the like, which must not open a string; lifetimes are left alone.
fn quoted_char(rest: &str) -> Option<&str> {
    let inner = rest.strip_prefix('\'')?;
    let length = if inner.starts_with('\\') { 2 } else { inner.chars().next()?.len_utf8() };
    inner.get(length..)?.strip_prefix('\'')
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

#[track_caller]
fn none(faults: Vec<String>) {
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_source_file_has_more_than_450_lines() {
    let long = all().into_iter().map(|(name, source)| (name, source.lines().count()));
    none(
        long.filter(|(_, count)| *count > 450)
            .map(|(name, count)| format!("{name}: {count} lines"))
            .collect(),
    );
}

#[test]
fn every_source_file_says_what_it_is() {
    let silent = all().into_iter().filter(|(_, source)| !source.starts_with("//!"));
    none(silent.map(|(name, _)| format!("{name}: no module doc")).collect());
}

#[test]
fn unsafe_stands_only_in_its_rooms() {
    let outside =
        all().into_iter().filter(|(name, _)| !UNSAFE_ROOMS.iter().any(|room| name.starts_with(room)));
    // `#[unsafe(no_mangle)]` is an attribute, which `export_plugin!` needs.
    let uses = outside
        .filter(|(_, source)| words(&split(source).code.replace("#[unsafe(", "")).any(|w| w == "unsafe"));
    none(uses.map(|(name, _)| format!("{name}: `unsafe` outside its rooms")).collect());
}

#[test]
fn the_engine_names_no_plugin() {
    let plugins: Vec<String> = fs::read_dir(root().join("plugins"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|folder| Some(folder.split_once('-')?.1.to_owned()))
        .collect();
    assert!(plugins.iter().any(|name| name == "sqlite"), "{plugins:?}");
    let mut faults = Vec::new();
    for (name, source) in sources(&["host/src"]) {
        if name.contains("/tests") {
            continue;
        }
        let found = split(without_tests(&source));
        for plugin in &plugins {
            let in_strings =
                found.strings.iter().any(|string| match COMMON_WORDS.contains(&plugin.as_str()) {
                    true => string == plugin && !is_config_word(plugin),
                    false => words(string).any(|word| word == plugin),
                });
            let in_code = !COMMON_WORDS.contains(&plugin.as_str())
                && words(&found.code).any(|word| word.to_lowercase().split('_').any(|part| part == plugin));
            if in_strings || in_code {
                faults.push(format!("{name}: names the plugin `{plugin}`"));
            }
        }
    }
    none(faults);
}

/// What comes before the module of unit tests.
fn without_tests(source: &str) -> &str {
    let is_module = |(at, mark): &(usize, &str)| {
        source[at + mark.len()..]
            .lines()
            .next()
            .is_some_and(|line| line.contains("mod ") && line.ends_with('{'))
    };
    source.match_indices("#[cfg(test)]\n").find(is_module).map_or(source, |(at, _)| &source[..at])
}

/// `{ command = […] }` is where a config's value may come from.
fn is_config_word(word: &str) -> bool {
    word == "command"
}

#[test]
fn neither_the_engine_nor_the_api_depends_on_what_it_must_not_know() {
    let dependencies = |manifest: &str| -> Vec<String> {
        let text = fs::read_to_string(root().join(manifest)).unwrap();
        let section =
            text.split("\n[dependencies]\n").nth(1).unwrap().split("\n[").next().unwrap().to_owned();
        section.lines().filter_map(|line| Some(line.split_once(" = ")?.0.trim().to_owned())).collect()
    };
    let plugin = |name: &String| {
        ["source", "filter", "storage", "notifier"]
            .iter()
            .any(|kind| name.starts_with(&format!("windlass-{kind}-")))
    };
    let host = dependencies("host/Cargo.toml");
    assert!(host.contains(&"windlass-plugin-api".to_owned()));
    assert_eq!(host.into_iter().filter(plugin).collect::<Vec<_>>(), Vec::<String>::new());
    assert_eq!(dependencies("plugin-api/Cargo.toml"), API_DEPENDENCIES);
}

#[test]
fn only_the_module_of_tests_is_left_out() {
    let source = "a\n#[cfg(test)]\nfn b() {}\nc\n#[cfg(test)]\npub(crate) mod tests {\n d }\n";
    assert_eq!(without_tests(source), "a\n#[cfg(test)]\nfn b() {}\nc\n");
    assert_eq!(without_tests("a\n"), "a\n");
}

#[test]
fn comments_and_strings_are_told_from_code() {
    let source =
        "//! unsafe\nlet a = \"b \\\" // c\"; /* d */ let e = r#\"f \" g\"#; let h = '\"'; fn i<'j>() {}\n";
    let found = split(source);
    assert_eq!(found.strings, ["b \\\" // c", "f \" g"]);
    assert_eq!(words(&found.code).collect::<Vec<_>>(), ["let", "a", "let", "e", "let", "h", "fn", "i", "j"]);
}
