//! What a config may say of a MySQL or MariaDB database, and what of it can be judged without a server.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use windlass_plugin_api::{Error, ErrorKind, Result, Secret};

/// Options of `mysql`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Server and database: `mysql://user@host:port/database`, or with the scheme `mariadb`. A password in it is taken out
    /// and handled as `password`. The options below win over its parts.
    pub url: Option<Url>,
    /// The server's name or address. Without it the tools' own ways hold: their option files, else the local socket.
    pub host: Option<String>,
    /// The server's port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// A Unix socket, in place of `host` and `port`.
    #[schemars(extend("format" = "path"))]
    pub socket: Option<PathBuf>,
    /// The account to log in as.
    pub user: Option<String>,
    /// The password. It goes to the programs in a private option file, which wins over `~/.my.cnf`. Without it
    /// `~/.my.cnf` and the tools' other ways hold.
    pub password: Option<Secret>,
    /// The database that is backed up, or restored to.
    pub database: Option<String>,
    /// Several databases in one backup, as of one moment, with globs (`*`, `?`, `[ab]`); in place of `database`. The
    /// server's own are never among them. A name that nothing fits is an error.
    pub databases: Vec<String>,
    /// Not these of `databases`, with globs. A name that nothing fits is an error.
    pub exclude_databases: Vec<String>,
    /// Back up the server's accounts and what they were granted, as a stream of its own; on restore make those that are
    /// missing. One that is there stays as it is.
    pub users: bool,
    /// How much of TLS to ask for; by default what the tools do by themselves.
    pub tls: Option<Tls>,
    /// The authorities that the server's certificate must come from, in PEM form.
    #[schemars(extend("format" = "path"))]
    pub tls_ca: Option<PathBuf>,
    /// Our own certificate, in PEM form.
    #[schemars(extend("format" = "path"))]
    pub tls_cert: Option<PathBuf>,
    /// The key of our own certificate.
    #[schemars(extend("format" = "path"))]
    pub tls_key: Option<PathBuf>,
    /// How many seconds to wait for a connection.
    #[schemars(range(min = 1, max = 3600))]
    pub connect_timeout: u32,
    /// How many seconds to wait for a table that somebody else has locked before the run fails.
    #[schemars(range(min = 1, max = 86400))]
    pub lock_timeout: u32,
    /// How many seconds a single statement of a dump may take, reading a whole table among them. Without it there is no
    /// limit. MariaDB's dump program only.
    #[schemars(range(min = 1, max = 604800))]
    pub statement_timeout: Option<u32>,
    /// Only these tables and views, with globs (`*`, `?`, `[ab]`). All by default. A name that nothing fits is an error.
    /// Of several databases a pattern with a dot means `database.table`, also in the next two.
    pub include: Vec<String>,
    /// Not these tables and views, with globs. A name that nothing fits is an error.
    pub exclude: Vec<String>,
    /// Of these tables the definition, but not the rows; with globs. MariaDB's dump program only.
    pub exclude_data: Vec<String>,
    /// Back up procedures and functions.
    pub routines: bool,
    /// Back up triggers.
    pub triggers: bool,
    /// Back up events.
    pub events: bool,
    /// Record the position in the binary log, and MariaDB's GTID, that the snapshot holds. It needs the right to read the
    /// log's position. MariaDB tells it without a lock; MySQL locks all tables for a moment.
    pub binlog_position: bool,
    /// What becomes of the definers of views, triggers, routines and events on restore: `drop` makes whoever restores the
    /// definer, for servers that don't have these accounts.
    pub definer: Keep,
    /// End the sessions of others that use the database when a restore replaces it.
    pub force: bool,
    /// Drop the replaced database once a restore with `--mode replace` has gone well, rather than keep it as
    /// `<database>_before_<snapshot id>`.
    pub drop_before: bool,
    /// Folders to look for `mariadb-dump`, `mariadb`, `mysqldump` and `mysql` in, before `PATH`.
    #[schemars(schema_with = "paths")]
    pub bin_dirs: Vec<PathBuf>,
    /// How to reach the dump program elsewhere: a program and its arguments, the last of which is `mariadb-dump` or
    /// `mysqldump`, such as `["docker", "exec", "db", "mariadb-dump"]`. The client is called in the same way. A password
    /// can't travel with it: set up an option file there.
    pub dump_command: Vec<String>,
    /// The same for restores; the last argument is `mariadb` or `mysql`, and stdin must be passed on:
    /// `["docker", "exec", "-i", "db", "mariadb"]`.
    pub restore_command: Vec<String>,
    /// Further arguments of the dump program.
    pub dump_args: Vec<String>,
    /// Further arguments of the client that loads.
    pub restore_args: Vec<String>,
    /// Variables for all programs. For the password there is `password`.
    pub env: BTreeMap<String, String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            url: None,
            host: None,
            port: None,
            socket: None,
            user: None,
            password: None,
            database: None,
            databases: Vec::new(),
            exclude_databases: Vec::new(),
            users: false,
            tls: None,
            tls_ca: None,
            tls_cert: None,
            tls_key: None,
            connect_timeout: 10,
            lock_timeout: 60,
            statement_timeout: None,
            include: Vec::new(),
            exclude: Vec::new(),
            exclude_data: Vec::new(),
            routines: true,
            triggers: true,
            events: true,
            binlog_position: false,
            definer: Keep::Keep,
            force: false,
            drop_before: false,
            bin_dirs: Vec::new(),
            dump_command: Vec::new(),
            restore_command: Vec::new(),
            dump_args: Vec::new(),
            restore_args: Vec::new(),
            env: BTreeMap::new(),
        }
    }
}

/// A URL, which may hold a password.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Url(pub(crate) String);

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Url(…)")
    }
}

/// How much of TLS to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    /// None.
    Disable,
    /// Always, with any certificate.
    Require,
    /// Always, with a certificate of a known authority for this host.
    Verify,
}

/// What becomes of something on restore.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// As in the snapshot.
    #[default]
    Keep,
    /// Left away.
    Drop,
}

fn paths(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "array", "items": { "type": "string", "format": "path" } })
}

/// The names that a dump program has, and the client's beside each.
pub(crate) const PROGRAMS: [(&str, &str); 2] = [("mariadb-dump", "mariadb"), ("mysqldump", "mysql")];

impl Options {
    /// What the types can't say.
    pub(crate) fn judge(&self) -> Result<()> {
        let wrong = |message: String| Err(Error::new(ErrorKind::Config, message));
        if let Some(name) = self.env.keys().find(|name| name.is_empty() || name.contains(['=', '\0'])) {
            return wrong(format!("`{name}` can't be the name of a variable"));
        }
        let ends = |command: &[String], names: [&str; 2]| {
            command.last().is_none_or(|word| names.contains(&word.rsplit('/').next().unwrap_or_default()))
        };
        if !ends(&self.dump_command, PROGRAMS.map(|(dump, _)| dump)) {
            return wrong("the last word of `dump_command` must be `mariadb-dump` or `mysqldump`".to_owned());
        }
        if !ends(&self.restore_command, PROGRAMS.map(|(_, client)| client)) {
            return wrong("the last word of `restore_command` must be `mariadb` or `mysql`".to_owned());
        }
        if self.databases.is_empty() && !self.exclude_databases.is_empty() {
            return wrong("`exclude_databases` takes away from `databases`, which is missing".to_owned());
        }
        if self.tls == Some(Tls::Disable) && (self.tls_ca.is_some() || self.tls_cert.is_some()) {
            return wrong("`tls = \"disable\"` and certificates exclude each other".to_owned());
        }
        Ok(())
    }
}
