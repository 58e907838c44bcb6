//! Which files a backup takes: `include`, `exclude` and `.gitignore`.
//!
//! It only judges paths; the walk asks it and prunes.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use globset::{Candidate, GlobBuilder, GlobSet, GlobSetBuilder};
use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::options::Options;

/// The compiled patterns of the options.
#[derive(Debug)]
pub struct Select {
    include: Option<Patterns>,
    exclude: Patterns,
}

impl Select {
    /// Compiles the patterns; an error of kind `Config` names the one that is wrong.
    pub fn new(options: &Options) -> Result<Self> {
        let include =
            if options.include.is_empty() { None } else { Some(Patterns::new("include", &options.include)?) };
        Ok(Self { include, exclude: Patterns::new("exclude", &options.exclude)? })
    }

    /// Whether `path` (below its root) and all in it is left out.
    pub fn excludes(&self, path: &[u8], folder: bool) -> bool {
        self.exclude.matches(path, folder)
    }

    /// Whether `path` itself is asked for. That a folder above it was is for the caller to know.
    pub fn includes(&self, path: &[u8], folder: bool) -> bool {
        self.include.as_ref().is_none_or(|include| include.matches(path, folder))
    }

    /// Whether everything is included that isn't excluded.
    pub fn includes_all(&self) -> bool {
        self.include.is_none()
    }

    /// The `include` patterns that matched nothing so far: most likely misspelled.
    pub fn unmatched(&self) -> Vec<String> {
        self.include.as_ref().map(Patterns::unmatched).unwrap_or_default()
    }
}

#[derive(Debug)]
struct Patterns {
    set: GlobSet,
    texts: Vec<String>,
    folders_only: Vec<bool>,
    /// Which pattern has matched so far, and scratch room for the set.
    used: RefCell<(Vec<bool>, Vec<usize>)>,
}

impl Patterns {
    fn new(option: &str, texts: &[String]) -> Result<Self> {
        let mut set = GlobSetBuilder::new();
        for text in texts {
            let wrong = |error: &dyn std::error::Error| {
                Error::new(
                    ErrorKind::Config,
                    format!("`{option}` has a pattern that can't be read: `{text}`"),
                )
                .because(error)
            };
            let glob = GlobBuilder::new(&anchored(text))
                .literal_separator(true)
                .backslash_escape(true)
                .build()
                .map_err(|error| wrong(&error))?;
            set.add(glob);
        }
        Ok(Self {
            set: set.build().map_err(|error| Error::new(ErrorKind::Config, error.to_string()))?,
            texts: texts.to_vec(),
            folders_only: texts.iter().map(|text| text.ends_with('/')).collect(),
            used: RefCell::new((vec![false; texts.len()], Vec::new())),
        })
    }

    fn matches(&self, path: &[u8], folder: bool) -> bool {
        if self.texts.is_empty() {
            return false;
        }
        let mut used = self.used.borrow_mut();
        let (used, found) = &mut *used;
        self.set.matches_candidate_into(&Candidate::from_bytes(path), found);
        found.retain(|&number| folder || !self.folders_only[number]);
        found.iter().for_each(|&number| used[number] = true);
        !found.is_empty()
    }

    fn unmatched(&self) -> Vec<String> {
        let used = self.used.borrow();
        self.texts.iter().zip(&used.0).filter(|(_, used)| !**used).map(|(text, _)| text.clone()).collect()
    }
}

/// The pattern as globset wants it: one without `/` (but at its end) is for any depth.
fn anchored(text: &str) -> String {
    let body = text.strip_suffix('/').unwrap_or(text);
    match body.strip_prefix('/') {
        Some(from_root) => from_root.to_owned(),
        None if body.contains('/') => body.to_owned(),
        None => format!("**/{body}"),
    }
}

/// The rules of one folder's `.gitignore`, out of its text; and the lines that couldn't be read.
pub fn gitignore(text: &[u8]) -> (Gitignore, Vec<String>) {
    let mut builder = GitignoreBuilder::new("");
    let mut wrong = Vec::new();
    for line in String::from_utf8_lossy(text).lines() {
        if builder.add_line(None, line).is_err() {
            wrong.push(line.to_owned());
        }
    }
    (builder.build().unwrap_or_else(|_| Gitignore::empty()), wrong)
}

/// What `rules` say of `path` below their folder: `None`, nothing; `Some(true)`, leave it out.
pub fn ignored(rules: &Gitignore, path: &[u8], folder: bool) -> Option<bool> {
    match rules.matched(Path::new(OsStr::from_bytes(path)), folder) {
        Match::None => None,
        Match::Ignore(_) => Some(true),
        Match::Whitelist(_) => Some(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exclude(patterns: &[&str]) -> Select {
        let exclude = patterns.iter().map(|text| (*text).to_owned()).collect();
        Select::new(&Options { exclude, ..Options::default() }).unwrap()
    }

    #[test]
    fn a_bare_name_matches_at_any_depth_and_a_path_from_the_root() {
        let select = exclude(&["*.tmp", "/cache", "a/*.log", "deep/**/x", "only/"]);
        for (path, folder, out) in [
            (&b"x.tmp"[..], false, true),
            (b"a/b/x.tmp", false, true),
            (b"cache", true, true),
            (b"a/cache", true, false),
            (b"a/x.log", false, true),
            (b"a/b/x.log", false, false),
            (b"deep/x", false, true),
            (b"deep/1/2/x", false, true),
            (b"only", true, true),
            (b"only", false, false),
            (b"not-utf8-\xff.tmp", false, true),
        ] {
            assert_eq!(select.excludes(path, folder), out, "{}", String::from_utf8_lossy(path));
        }
    }

    #[test]
    fn a_pattern_that_cannot_be_read_is_named() {
        let options = Options { include: vec!["[a".to_owned()], ..Options::default() };
        let error = Select::new(&options).unwrap_err();
        assert!(error.kind == ErrorKind::Config && error.message.contains("`[a`"), "{error}");
    }

    #[test]
    fn an_include_that_matched_nothing_is_known() {
        let options = Options { include: vec!["*.jpg".into(), "*.jgp".into()], ..Options::default() };
        let select = Select::new(&options).unwrap();
        assert!(select.includes(b"a/b.jpg", false) && !select.includes(b"a/b.txt", false));
        assert_eq!(select.unmatched(), ["*.jgp"]);
    }

    #[test]
    fn gitignore_rules_are_gits() {
        let (rules, wrong) = gitignore(b"*.o\n!keep.o\nbuild/\n# words\n");
        assert_eq!(wrong, Vec::<String>::new());
        assert_eq!(ignored(&rules, b"a/x.o", false), Some(true));
        assert_eq!(ignored(&rules, b"keep.o", false), Some(false));
        assert_eq!(ignored(&rules, b"build", true), Some(true));
        assert_eq!(ignored(&rules, b"build", false), None);
    }
}
