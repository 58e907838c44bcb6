//! Holds the documents to the world: links lead somewhere, commands and their flags exist.
//!
//! It doesn't run the commands; transcripts and examples have tests of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Every Markdown file of the repository, without what Git ignores.
fn documents() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if entry.file_type().unwrap().is_dir() {
                if name != "target" && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if name.ends_with(".md") {
                files.push(path);
            }
        }
    }
    files.sort();
    assert!(files.iter().any(|file| file.ends_with("CONTRIBUTING.md")), "{files:?}");
    files
}

/// A line, and the language of the fenced block that it stands in.
fn lines(text: &str) -> Vec<(usize, Option<String>, &str)> {
    let mut fence: Option<(String, String)> = None;
    let mut lines = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        let ticks: String = trimmed.chars().take_while(|c| *c == '`').collect();
        match &fence {
            Some((open, _)) if trimmed.trim_end() == *open => fence = None,
            Some((_, language)) => lines.push((at + 1, Some(language.clone()), line)),
            None if ticks.len() >= 3 => {
                fence = Some((ticks.clone(), trimmed[ticks.len()..].trim().to_owned()))
            }
            None => lines.push((at + 1, None, line)),
        }
    }
    lines
}

/// Without what stands in backticks.
fn prose(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("` `")
}

fn links(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for (number, language, line) in lines(text) {
        if language.is_some() {
            continue;
        }
        let prose = prose(line);
        let inline = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
        let defined = prose.starts_with('[').then(|| prose.split_once("]: ")).flatten().map(|(_, link)| link);
        links.extend(inline.chain(defined).map(|link| (number, link.trim().to_owned())));
    }
    links
}

/// The anchors that a renderer makes out of the headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let headings = lines(text).into_iter().filter(|(_, language, _)| language.is_none());
    let headings =
        headings.filter_map(|(_, _, line)| Some(line.trim_start_matches('#')).filter(|rest| *rest != line));
    headings
        .map(|heading| {
            let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            let slug = kept.collect::<String>().to_lowercase().replace(' ', "-");
            let times = seen.entry(slug.clone()).or_default();
            *times += 1;
            if *times == 1 { slug } else { format!("{slug}-{}", *times - 1) }
        })
        .collect()
}

#[test]
fn every_relative_link_leads_to_a_file_and_a_heading() {
    let mut faults = Vec::new();
    for file in documents() {
        let text = fs::read_to_string(&file).unwrap();
        for (number, link) in links(&text) {
            if ["http://", "https://", "mailto:"].iter().any(|scheme| link.starts_with(scheme)) {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() { file.clone() } else { file.parent().unwrap().join(path) };
            let place = format!("{}:{number}: `{link}`", file.display());
            if !target.exists() {
                faults.push(format!("{place} leads nowhere"));
            } else if !anchor.is_empty() && !anchors(&fs::read_to_string(&target).unwrap()).contains(anchor) {
                faults.push(format!("{place}: no such heading"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_make_target_that_a_document_names_exists() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    for file in documents() {
        let text = fs::read_to_string(&file).unwrap();
        let inline = text.split('`').skip(1).step_by(2).filter(|code| code.starts_with("make "));
        let fenced = command_lines(&text);
        for command in inline.map(str::to_owned).chain(fenced.into_iter().map(|(_, command)| command)) {
            let Some(targets) = command.strip_prefix("make ") else { continue };
            for target in targets.split_whitespace() {
                let exists = makefile.lines().any(|line| line.starts_with(&format!("{target}:")));
                assert!(exists, "{}: `{command}`: there is no such target", file.display());
            }
        }
    }
}

#[test]
fn every_windlass_command_in_the_documents_exists_with_its_flags() {
    let mut helps = Helps::default();
    assert!(commands_in(helps.of(&[])).contains("help"), "`windlass --help` lists no commands");
    let mut checked = 0;
    let mut faults = Vec::new();
    for file in documents() {
        for (number, line) in command_lines(&fs::read_to_string(&file).unwrap()) {
            for words in windlass_calls(&line) {
                checked += 1;
                faults.extend(
                    helps
                        .faults(&words)
                        .into_iter()
                        .map(|fault| format!("{}:{number}: {fault}", file.display())),
                );
            }
        }
    }
    assert!(checked > 0, "no document shows a command: what is checked here?");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What a reader would type: lines of `sh` blocks, and those after a prompt in `console` blocks. Continued lines are
/// joined.
fn command_lines(text: &str) -> Vec<(usize, String)> {
    let mut commands: Vec<(usize, String)> = Vec::new();
    let mut continued = false;
    for (number, language, line) in lines(text) {
        let typed = match language.as_deref() {
            Some("sh" | "bash") => Some(line),
            Some("console") if continued => Some(line.strip_prefix("> ").unwrap_or(line)),
            Some("console") => line.strip_prefix("$ ").or_else(|| line.strip_prefix("# ")),
            _ => None,
        };
        let Some(typed) = typed.map(str::trim) else { continue };
        let (typed, goes_on) = typed.strip_suffix('\\').map_or((typed, false), |typed| (typed, true));
        match commands.last_mut().filter(|_| continued) {
            Some((_, command)) => *command = format!("{command}{typed}"),
            None => commands.push((number, typed.to_owned())),
        }
        continued = goes_on;
    }
    commands
}

/// The arguments of each call of windlass in a line of shell.
fn windlass_calls(line: &str) -> Vec<Vec<String>> {
    let mut calls = Vec::new();
    for part in shell_words(line).split(|word| ["|", "||", "&&", "&", ";", "(", ")"].contains(&word.as_str()))
    {
        let is_prefix = |word: &&String| {
            *word == "sudo" || word.split_once('=').is_some_and(|(k, _)| !k.starts_with('-'))
        };
        let mut words = part.iter().skip_while(is_prefix);
        if words.next().is_some_and(|program| program == "windlass" || program.ends_with("/windlass")) {
            let redirect = |word: &&String| !word.starts_with(['>', '<']) && !word.starts_with("2>");
            calls.push(words.take_while(redirect).cloned().collect());
        }
    }
    calls
}

/// Words by white space, quotes and operators; a comment ends the line.
fn shell_words(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    for c in line.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => word.get_or_insert_default().push(c),
            None if c == '\'' || c == '"' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c == '#' && word.is_none() => break,
            None if c.is_whitespace() => words.extend(word.take()),
            None if "|&;()".contains(c) => {
                words.extend(word.take());
                match words
                    .last_mut()
                    .filter(|last| last.len() == 1 && "|&".contains(c) && last.starts_with(c))
                {
                    Some(last) => last.push(c),
                    None => words.push(c.to_string()),
                }
            }
            None => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// What `--help` says, by subcommand.
#[derive(Default)]
struct Helps(BTreeMap<Vec<String>, String>);

impl Helps {
    fn faults(&mut self, words: &[String]) -> Vec<String> {
        let mut path = Vec::new();
        let mut faults = Vec::new();
        let mut unknown = None;
        for word in words.iter().filter(|word| !word.starts_with('-')) {
            let commands = commands_in(self.of(&path));
            if commands.contains(word) {
                path.push(word.clone());
            } else if !commands.is_empty() && !self.is_value(words, word) {
                unknown.get_or_insert_with(|| word.clone());
            }
        }
        if let Some(word) = unknown.filter(|_| !commands_in(self.of(&path)).is_empty()) {
            faults.push(format!("`windlass {}` has no command `{word}`", path.join(" ")));
        }
        for flag in words.iter().take_while(|word| *word != "--").filter(|word| word.len() > 1) {
            let Some(name) = flag_name(flag) else { continue };
            let known = self.of(&path).split([' ', ',', '=', '[', ']', '.', '\n']).any(|word| word == name);
            if !known {
                faults.push(format!("`windlass {}` has no flag `{name}`", path.join(" ")));
            }
        }
        faults
    }

    /// Whether `word` follows a flag that takes a value.
    fn is_value(&mut self, words: &[String], word: &str) -> bool {
        let Some(at) = words.iter().position(|other| other == word) else { return false };
        let Some(flag) = at.checked_sub(1).and_then(|before| flag_name(&words[before])) else { return false };
        let help = self.of(&[]);
        help.lines().any(|line| {
            let line = line.trim_start();
            line.starts_with('-') && line.split([' ', ',']).any(|word| word == flag) && line.contains('<')
        })
    }

    fn of(&mut self, path: &[String]) -> &str {
        self.0.entry(path.to_vec()).or_insert_with(|| {
            let output =
                Command::new(env!("CARGO_BIN_EXE_windlass")).args(path).arg("--help").output().unwrap();
            assert!(output.status.success(), "windlass {} --help", path.join(" "));
            String::from_utf8(output.stdout).unwrap()
        })
    }
}

/// `--flag` of `--flag=value`, `-v` of `-vv`.
fn flag_name(word: &str) -> Option<String> {
    if word.starts_with("--") {
        return (word.len() > 2).then(|| word.split('=').next().unwrap_or(word).to_owned());
    }
    let letter = word.strip_prefix('-')?.chars().next()?;
    letter.is_ascii_alphabetic().then(|| format!("-{letter}"))
}

fn commands_in(help: &str) -> BTreeSet<String> {
    let after = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = after.take_while(|line| line.starts_with("  ") || line.is_empty());
    let named = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    named.filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect()
}

#[test]
fn links_anchors_and_commands_are_found() {
    let text = "# A `b` c!\n[x](a.md#b) and `[y](no)`\n```console\n$ FOO=1 windlass -c 'a b' backup \\\n> shop | cat\nout\n\
                $ true && windlass list # windlass no\n```\n```toml\nwindlass = 1\n```\n## A b c\n[z]: d.md\n";
    assert_eq!(links(text), [(2, "a.md#b".to_owned()), (13, "d.md".to_owned())]);
    assert_eq!(anchors(text), ["a-b-c", "a-b-c-1"].map(String::from).into());
    let calls: Vec<_> = command_lines(text).iter().flat_map(|(_, line)| windlass_calls(line)).collect();
    assert_eq!(calls, [vec!["-c", "a b", "backup", "shop"], vec!["list"]]);
}

#[test]
fn a_command_or_flag_that_is_not_there_is_told() {
    let mut helps = Helps::default();
    helps.0.insert(vec![], "Commands:\n  list  lists\n\nOptions:\n  -c, --config <FILE>  read\n".to_owned());
    helps.0.insert(
        vec!["list".to_owned()],
        "Options:\n  -c, --config <FILE>  read\n      --since=<T>\n".to_owned(),
    );
    let mut told = |line: &str| helps.faults(&shell_words(line)).join("; ");
    assert_eq!(told("-c file list --since=2d shop"), "");
    assert_eq!(told("lst --config file"), "`windlass ` has no command `lst`");
    assert_eq!(
        told("list --sinc 2d -x"),
        "`windlass list` has no flag `--sinc`; `windlass list` has no flag `-x`"
    );
}
