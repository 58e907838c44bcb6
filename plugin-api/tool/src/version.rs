//! Asks a program for its version.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use windlass_plugin_api::{Context, During, Error, Result};

use crate::flow::QUESTION;
use crate::tool::Tool;

/// What a program says of its version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The numbers, of which there may be any count: `[16, 4]`. First, so that versions compare by them.
    pub numbers: Vec<u64>,
    /// The line that it stood in, redacted: `pg_dump (PostgreSQL) 16.4`.
    pub line: String,
}

impl Version {
    /// The first thing in `text` that looks like a version: digits with a dot between, else a number that begins a word.
    ///
    /// ```
    /// use windlass_tool::Version;
    /// assert_eq!(Version::parse("pg_dump (PostgreSQL) 16.4 (Debian 16.4-1)").unwrap().to_string(), "16.4");
    /// assert_eq!(Version::parse("zstd v1.5.6").unwrap().numbers, [1, 5, 6]);
    /// assert_eq!(Version::parse("psql (PostgreSQL) 18beta1").unwrap().numbers, [18]);
    /// assert!(Version::parse("no number").is_none());
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        let found = |parse: fn(&str) -> Option<Vec<u64>>| {
            text.lines().find_map(|line| {
                let numbers =
                    line.split(|c: char| c.is_whitespace() || "(),;:/-".contains(c)).find_map(parse)?;
                Some(Self { numbers, line: line.trim().to_owned() })
            })
        };
        found(|word| numbers(word).filter(|numbers| numbers.len() > 1)).or_else(|| found(numbers))
    }

    /// The first number.
    pub fn major(&self) -> u64 {
        self.numbers.first().copied().unwrap_or(0)
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let numbers: Vec<String> = self.numbers.iter().map(u64::to_string).collect();
        f.write_str(&numbers.join("."))
    }
}

/// The numbers that a word begins with, behind an optional `v`.
fn numbers(word: &str) -> Option<Vec<u64>> {
    let word = word.strip_prefix(['v', 'V']).unwrap_or(word);
    let digits = word.find(|c: char| !c.is_ascii_digit() && c != '.').map_or(word, |end| &word[..end]);
    let numbers: Vec<u64> = digits.split('.').map_while(|number| number.parse().ok()).collect();
    (!numbers.is_empty()).then_some(numbers)
}

/// A program's file, what it was asked, and what of the file changes with an upgrade.
type Key = (PathBuf, String, (u64, i64, i64));

static KNOWN: Mutex<Option<HashMap<Key, Version>>> = Mutex::new(None);

impl Tool {
    /// Its version, as `program <question>` says on stdout or stderr, such as `--version`; other arguments of this tool are
    /// left away. Takes at most 10 s. Asked once for each file of a process's life, and again when the file has changed.
    pub fn version(&self, cx: &Context, question: &str) -> Result<Version> {
        let path = self.path()?;
        let file = path.metadata().during_with(|| format!("can't look at `{}`", path.display()))?;
        let key = (path.clone(), question.to_owned(), (file.ino(), file.mtime(), file.mtime_nsec()));
        if let Some(known) = self.known(&key) {
            return Ok(known);
        }
        let asked =
            Self { args: vec![question.into()], program: path.into(), limit: Some(QUESTION), ..self.clone() };
        let (outcome, stdout) =
            asked.output(cx).during_with(|| format!("can't tell the version of `{}`", self.name()))?;
        let text = self.redactor().clean(&String::from_utf8_lossy(&stdout)) + "\n" + &outcome.stderr;
        let version = Version::parse(&text)
            .ok_or_else(|| Error::failed(format!("`{} {question}` names no version", self.name())))?;
        KNOWN
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert_default()
            .insert(key, version.clone());
        Ok(version)
    }

    fn known(&self, key: &Key) -> Option<Version> {
        KNOWN.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.get(key).cloned()
    }
}
