//! Which tables a backup takes: `include`, `exclude` and `exclude_data` against what is there.

use globset::{GlobBuilder, GlobMatcher};
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::facts::{Database, Table};
use crate::options::Options;

/// A table and its database.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) database: &'a str,
    pub(crate) table: &'a Table,
}

impl Entry<'_> {
    /// `database.table`, as the dump programs write it.
    pub(crate) fn dotted(&self) -> String {
        format!("{}.{}", self.database, self.table.name)
    }

    fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self.table, other.table)
    }
}

/// What the options choose.
#[derive(Default)]
pub(crate) struct Selection<'a> {
    pub(crate) taken: Vec<Entry<'a>>,
    /// Those that are left out.
    pub(crate) left: Vec<Entry<'a>>,
    /// Those of which only the definition is taken.
    pub(crate) empty: Vec<Entry<'a>>,
}

/// Chooses. A pattern that fits nothing is an error. Of `several` databases one with a dot means `database.table`.
pub(crate) fn select<'a>(
    options: &Options,
    databases: &'a [Database],
    several: bool,
) -> Result<Selection<'a>> {
    let of = |database: &'a Database| {
        database.tables.iter().map(|table| Entry { database: &database.name, table })
    };
    let all: Vec<Entry<'a>> = databases.iter().flat_map(of).collect();
    let place = match databases {
        [database] => format!("table or view of `{}`", database.name),
        _ => "table or view of these databases".to_owned(),
    };
    let choose = |option: &str, patterns: &[String]| {
        fitting(option, patterns, &all, &place, |entry, pattern| {
            pattern.fits(&entry.table.name) || several && pattern.has_dot() && pattern.fits(&entry.dotted())
        })
    };
    let include = choose("include", &options.include)?;
    let exclude = choose("exclude", &options.exclude)?;
    let empty = choose("exclude_data", &options.exclude_data)?;
    let among = |entries: &[Entry<'_>], entry: &Entry<'_>| entries.iter().any(|other| other.is(entry));
    let (taken, left) = all
        .iter()
        .copied()
        .partition(|entry| (options.include.is_empty() || among(&include, entry)) && !among(&exclude, entry));
    Ok(Selection { taken, left, empty })
}

/// A name with globs.
pub(crate) struct Pattern<'a> {
    text: &'a str,
    glob: GlobMatcher,
}

impl Pattern<'_> {
    /// A name that holds a glob's signs is meant as it is written, if it is there.
    pub(crate) fn fits(&self, name: &str) -> bool {
        name == self.text || self.glob.is_match(name)
    }

    fn has_dot(&self) -> bool {
        self.text.contains('.')
    }
}

/// Those of `all` that fit one of the patterns of an option. A pattern that fits none is an error.
pub(crate) fn fitting<T: Copy>(
    option: &str,
    patterns: &[String],
    all: &[T],
    what: &str,
    fits: impl Fn(&T, &Pattern<'_>) -> bool,
) -> Result<Vec<T>> {
    let mut chosen = Vec::new();
    for text in patterns {
        let pattern = Pattern { text, glob: glob(option, text)? };
        let before = chosen.len();
        chosen.extend(all.iter().filter(|one| fits(one, &pattern)).copied());
        if chosen.len() == before {
            let message = format!("no {what} fits `{text}` in `{option}`");
            return Err(Error::new(ErrorKind::Config, message).hint("Names are compared with their case."));
        }
    }
    Ok(chosen)
}

fn glob(option: &str, pattern: &str) -> Result<GlobMatcher> {
    let glob = GlobBuilder::new(pattern).literal_separator(false).backslash_escape(true).build();
    let glob = glob.map_err(|error| {
        Error::new(ErrorKind::Config, format!("`{pattern}` in `{option}` is no pattern")).because(&error)
    })?;
    Ok(glob.compile_matcher())
}
