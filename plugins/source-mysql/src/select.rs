//! Which tables a backup takes: `include`, `exclude` and `exclude_data` against what is there.

use globset::{GlobBuilder, GlobMatcher};
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::facts::{Database, Table};
use crate::options::Options;

/// What the options choose.
#[derive(Default)]
pub(crate) struct Selection<'a> {
    pub(crate) taken: Vec<&'a Table>,
    /// Names of those that are left out.
    pub(crate) left: Vec<&'a str>,
    /// Names of those of which only the definition is taken.
    pub(crate) empty: Vec<&'a str>,
}

/// Chooses. A pattern that fits nothing is an error.
pub(crate) fn select<'a>(options: &Options, database: &'a Database) -> Result<Selection<'a>> {
    let include = fitting("include", &options.include, database)?;
    let exclude = fitting("exclude", &options.exclude, database)?;
    let empty = fitting("exclude_data", &options.exclude_data, database)?;
    let (taken, left): (Vec<&Table>, Vec<&Table>) = database.tables.iter().partition(|table| {
        let name = table.name.as_str();
        (options.include.is_empty() || include.contains(&name)) && !exclude.contains(&name)
    });
    Ok(Selection { taken, left: left.into_iter().map(|table| table.name.as_str()).collect(), empty })
}

fn fitting<'a>(option: &str, patterns: &[String], database: &'a Database) -> Result<Vec<&'a str>> {
    let mut all = Vec::new();
    for pattern in patterns {
        let glob = glob(option, pattern)?;
        // A name that holds a glob's signs is meant as it is written, if it is there.
        let fits = |name: &&str| *name == pattern || glob.is_match(name);
        let names: Vec<&str> = database.tables.iter().map(|table| table.name.as_str()).filter(fits).collect();
        if names.is_empty() {
            let message = format!("no table or view of `{}` fits `{pattern}` in `{option}`", database.name);
            return Err(Error::new(ErrorKind::Config, message).hint("Names are compared with their case."));
        }
        all.extend(names);
    }
    Ok(all)
}

fn glob(option: &str, pattern: &str) -> Result<GlobMatcher> {
    let glob = GlobBuilder::new(pattern).literal_separator(false).backslash_escape(true).build();
    let glob = glob.map_err(|error| {
        Error::new(ErrorKind::Config, format!("`{pattern}` in `{option}` is no pattern")).because(&error)
    })?;
    Ok(glob.compile_matcher())
}
