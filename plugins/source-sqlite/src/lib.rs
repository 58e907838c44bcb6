//! Windlass source: SQLite databases.
//!
//! A backup streams the pages of one read transaction, what is in the WAL included, or SQL text. A restore prepares a
//! hidden sibling, checks it and applies it in one step: renamed where nothing was, written through SQLite in one
//! transaction where a database is, so that other programs that have it open see the old rows or the new ones.
//!
//! `reading` and `copy` say how the source is left as it was, `apply` how the target is always wholly old or wholly new.

use windlass_plugin_api::{
    Contents, Context, Inputs, Outputs, Plugin, Probe, RestoreOptions, Restored, Result, Source, Target,
    export_plugin,
};
use windlass_tool::shell;

mod apply;
mod authorizer;
mod backup;
mod claim;
mod connect;
mod copy;
mod dump;
mod errors;
mod exclusive;
mod facts;
mod header;
mod holders;
mod image;
mod in_place;
mod literal;
mod load;
mod options;
mod pages;
mod place;
mod reading;
mod restore;
mod sibling;
mod split;
mod target;

pub use options::{Mode, Options, WhenLocked};

export_plugin! {
    source Sqlite {
        "name": "sqlite",
        "summary": "SQLite databases, while they are in use",
        "schemes": ["sqlite", "sqlite3"],
        "url_option": "path",
        "aliases": ["sqlite3"],
        "reads": ["sqlite/1", "sqlite-sql/1"],
        "writes": ["sqlite/1", "sqlite-sql/1"],
    }
    options: "../options.schema.json"
}

/// The stream format of a database file's bytes.
pub const PAGES: &str = "sqlite/1";

/// The stream format of SQL text that makes a database.
pub const SQL: &str = "sqlite-sql/1";

/// The source.
pub struct Sqlite {
    options: Options,
}

impl Plugin for Sqlite {
    type Options = Options;

    fn new(options: Options, _: &Context) -> Result<Self> {
        options.patience()?;
        Ok(Self { options })
    }
}

impl Source for Sqlite {
    fn probe(&mut self, cx: &Context) -> Result<Probe> {
        backup::probe(cx, &self.options)
    }

    fn backup(&mut self, cx: &Context, out: &dyn Outputs) -> Result<Contents> {
        backup::backup(cx, &self.options, out)
    }

    fn target(&mut self, cx: &Context, how: &RestoreOptions) -> Result<Target> {
        target::target(cx, &self.options, how)
    }

    fn restore(&mut self, cx: &Context, input: &dyn Inputs, how: &RestoreOptions) -> Result<Restored> {
        restore::restore(cx, &self.options, input, how)
    }

    fn by_hand(&self, _stream: &str, contents: &Contents) -> Option<String> {
        let name = self.options.path.file_name().map_or("restored.db".into(), |name| name.to_string_lossy());
        let file = shell::word(&format!("./{name}"));
        let recorded = contents.details.get("stream_format").and_then(|format| format.as_str());
        if recorded.unwrap_or(backup::format_of(self.options.mode)) == PAGES {
            return Some(format!("cat > {file}"));
        }
        let virtual_tables = contents.details.get("virtual_tables").and_then(|names| names.as_array());
        if virtual_tables.is_some_and(|names| !names.is_empty()) {
            // Newer shells protect what virtual tables are made of, also from a dump.
            return Some(format!("sqlite3 -bail -cmd '.dbconfig defensive off' {file}"));
        }
        Some(format!("sqlite3 -bail {file}"))
    }
}
