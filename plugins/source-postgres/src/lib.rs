//! Windlass source: PostgreSQL databases.
//!
//! A backup is `pg_dump`'s archive or SQL text, of one moment, by the installed `pg_dump` that fits the server. A restore
//! fills an empty database in one transaction, or a sibling that takes the old database's name when it is whole.
//!
//! `backup` and `restore` are the two flows; `server` is how a server is reached, `facts` what it is asked, `toc` what an
//! archive says of itself, `script` how text is kept from running commands.

use windlass_plugin_api::{
    Contents, Context, Inputs, Item, Outputs, Plugin, Probe, RestoreOptions, Restored, Result, Source,
    Target, export_plugin,
};

mod archives;
mod backup;
mod blocks;
mod clear;
mod dump;
mod extensions;
mod facts;
mod follow;
mod globals;
mod grants;
mod held_end;
mod hold;
mod links;
mod load;
mod only;
mod options;
mod parallel;
mod parts;
mod preflight;
mod programs;
mod restore;
mod script;
mod select;
mod server;
mod shares;
mod sibling;
mod survey;
mod target;
mod toc;
mod url;
mod words;

pub use options::{Format, Keep, Options, SslMode};

export_plugin! {
    source Postgres {
        "name": "postgres",
        "summary": "PostgreSQL databases",
        "schemes": ["postgres", "postgresql"],
        "aliases": ["postgresql"],
        "reads": ["pg-custom/1", "pg-plain/1", "pg-globals/1", "pg-parallel-pre/1", "pg-parallel-data/1", "pg-parallel-post/1"],
        "writes": ["pg-custom/1", "pg-plain/1", "pg-globals/1", "pg-parallel-pre/1", "pg-parallel-data/1", "pg-parallel-post/1"],
    }
    options: "../options.schema.json"
}

/// The stream format of `pg_dump`'s archives.
pub const CUSTOM: &str = "pg-custom/1";

/// The stream format of `pg_dump`'s SQL text.
pub const PLAIN: &str = "pg-plain/1";

/// The stream format of `pg_dumpall --globals-only`.
pub const GLOBALS_FORMAT: &str = "pg-globals/1";

/// The stream formats of a parallel dump: archives of `pg_dump` too, each with a part of the database.
pub const PARALLEL_PRE: &str = "pg-parallel-pre/1";

/// Rows, sequences' values, or large objects.
pub const PARALLEL_DATA: &str = "pg-parallel-data/1";

/// Indexes, keys, triggers and the like: what is made once the rows are there.
pub const PARALLEL_POST: &str = "pg-parallel-post/1";

/// The streams of a parallel dump, besides `data-1` and so on.
const PRE_DATA: &str = "pre-data";
const BLOBS: &str = "blobs";
const POST_DATA: &str = "post-data";

/// The stream that holds the database.
const DATA: &str = "data";

/// What a snapshot's contents call a parallel dump.
const PARALLEL: &str = "pg-parallel";

/// The stream that holds roles and tablespaces.
const GLOBALS: &str = "globals";

/// The source.
pub struct Postgres {
    options: Options,
}

impl Plugin for Postgres {
    type Options = Options;

    fn new(options: Options, _: &Context) -> Result<Self> {
        options.judge()?;
        Ok(Self { options })
    }
}

impl Source for Postgres {
    fn probe(&mut self, cx: &Context) -> Result<Probe> {
        backup::probe(cx, &self.options)
    }

    fn discover(&mut self, cx: &Context) -> Result<Vec<Item>> {
        let options = Options { database: None, ..self.options.clone() };
        let server = server::Server::new(cx, &options, programs::Side::Backup)?;
        let from = server.database().unwrap_or(&options.maintenance_database);
        let names = facts::databases(cx, &server, Some(from))?;
        let item = |name: String| Item {
            options: [("database".to_owned(), name.clone().into())].into_iter().collect(),
            name,
            ..Item::default()
        };
        Ok(names.into_iter().map(item).collect())
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

    fn by_hand(&self, stream: &str, contents: &Contents) -> Option<String> {
        let detail = |key: &str| contents.details.get(key).and_then(|value| value.as_str());
        if stream == GLOBALS {
            return Some("psql -X --dbname=postgres".to_owned());
        }
        let database = words::database_argument(detail("database").unwrap_or("postgres"));
        Some(match detail("stream_format") {
            // One transaction each: the rows may be loaded at the same time.
            Some(PARALLEL) => format!("pg_restore --exit-on-error --single-transaction {database}"),
            Some(PLAIN) => format!("psql -X -v ON_ERROR_STOP=1 --single-transaction {database}"),
            _ => format!("pg_restore --exit-on-error --single-transaction {database}"),
        })
    }
}
