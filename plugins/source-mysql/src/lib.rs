//! Windlass source: MySQL and MariaDB databases.
//!
//! A backup is one run of `mariadb-dump` or `mysqldump` in one transaction, without a lock over all tables; its own trailer
//! and its exit status are the verdict. A restore goes through the client, screened statement by statement, into a database
//! of its own, whose tables then take the place of the old ones in one step (`swap`).
//!
//! It speaks no protocol of its own: everything goes through the two programs, here, in a container or behind `ssh`.

use serde_json::Map;
use windlass_plugin_api::{
    Contents, Context, Inputs, Item, Outputs, Plugin, Probe, RestoreOptions, Restored, Result, Source,
    Target, export_plugin,
};

mod about;
mod accounts;
mod ahead;
mod backup;
mod bounded;
mod claim;
mod errors;
mod facts;
mod goal;
mod judge;
mod late;
mod lock;
mod login;
mod modes;
mod names;
mod options;
mod programs;
mod restore;
mod rewrite;
mod rights;
mod scan;
mod screen;
mod select;
mod server;
mod statement;
mod steady;
mod survey;
mod swap;
mod target;
mod ties;
mod tokens;
mod trailer;
mod url;
mod users;
mod which;

use programs::Programs;
use survey::Survey;

pub use options::{Keep, Options, Tls, Url};

export_plugin! {
    source Mysql {
        "name": "mysql",
        "summary": "MySQL and MariaDB databases",
        "schemes": ["mysql", "mariadb"],
        "aliases": ["mariadb"],
        "reads": ["mysql-sql/1", "mysql-databases/1", "mysql-users/1"],
        "writes": ["mysql-sql/1", "mysql-databases/1", "mysql-users/1"],
    }
    options: "../options.schema.json"
}

/// The stream's name.
const STREAM: &str = "data";

/// The stream format: SQL as the dump programs write it, of one database and without its name.
const FORMAT: &str = "mysql-sql/1";

/// The same of several databases: each statement belongs to the database that was named last.
const SEVERAL: &str = "mysql-databases/1";

/// The format of the stream with accounts: `CREATE USER`, `CREATE ROLE`, `GRANT` and `SET DEFAULT ROLE`, one a line.
const USERS: &str = "mysql-users/1";

/// The source `mysql`.
pub struct Mysql {
    options: Options,
    programs: Programs,
    /// What `probe` saw, for the backup that comes right behind it.
    seen: Option<Survey>,
}

impl Plugin for Mysql {
    type Options = Options;

    fn new(options: Options, _: &Context) -> Result<Self> {
        options.judge()?;
        Ok(Self { options, programs: Programs::default(), seen: None })
    }
}

impl Source for Mysql {
    fn probe(&mut self, cx: &Context) -> Result<Probe> {
        let (probe, seen) = backup::probe(cx, self)?;
        self.seen = seen;
        Ok(probe)
    }

    fn discover(&mut self, cx: &Context) -> Result<Vec<Item>> {
        let names = facts::databases(&server::Server::new(cx, self)?)?;
        let item = |name: String| Item {
            options: Map::from_iter([("database".to_owned(), name.clone().into())]),
            name,
            ..Item::default()
        };
        Ok(names.into_iter().map(item).collect())
    }

    fn backup(&mut self, cx: &Context, out: &dyn Outputs) -> Result<Contents> {
        let seen = self.seen.take();
        backup::backup(cx, self, seen, out)
    }

    fn target(&mut self, cx: &Context, how: &RestoreOptions) -> Result<Target> {
        target::target(cx, self, how)
    }

    fn restore(&mut self, cx: &Context, input: &dyn Inputs, how: &RestoreOptions) -> Result<Restored> {
        restore::restore(cx, self, input, how)
    }

    fn by_hand(&self, stream: &str, contents: &Contents) -> Option<String> {
        // Newer dumps put the client into its sandbox themselves.
        let client = "mariadb --binary-mode --comments --local-infile=0 --default-character-set=utf8mb4";
        Some(match (stream, contents.details.contains_key("databases")) {
            // An account that is there is an error, and no reason to stop.
            (users::STREAM, _) => format!("{client} --force"),
            (_, true) => format!("{client} --max-allowed-packet=1G"),
            // The database must exist; its name is the reader's to say.
            (_, false) => format!("{client} --max-allowed-packet=1G \"${{DATABASE:?}}\""),
        })
    }
}
