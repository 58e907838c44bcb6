//! What a config may say of a PostgreSQL database, and what of it can be judged without a server.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use windlass_plugin_api::{Error, ErrorKind, Result, Secret};

/// Options of `postgres`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Server and database as libpq's URL: `postgres://user@host:port/database?sslmode=verify-full`. A password in it is
    /// taken out and handled as `password`. The options below win over its parts.
    pub url: Option<String>,
    /// The server's name, address, or folder of its socket. Without it libpq's own ways hold: `PGHOST`, the service file,
    /// the local socket.
    pub host: Option<String>,
    /// The server's port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// The role to log in as.
    pub user: Option<String>,
    /// The password. It goes to the programs in a private file. Without it `PGPASSFILE`, `~/.pgpass`, the service file and
    /// `PGPASSWORD` hold.
    pub password: Option<Secret>,
    /// The database that is backed up, or restored to.
    pub database: Option<String>,
    /// A name in libpq's service file, for all that isn't set here.
    pub service: Option<String>,
    /// How much of TLS to ask for; libpq's default is `prefer`, which doesn't prove the server.
    pub sslmode: Option<SslMode>,
    /// The authorities that the server's certificate must come from.
    #[schemars(extend("format" = "path"))]
    pub sslrootcert: Option<PathBuf>,
    /// Our own certificate.
    #[schemars(extend("format" = "path"))]
    pub sslcert: Option<PathBuf>,
    /// The key of our own certificate.
    #[schemars(extend("format" = "path"))]
    pub sslkey: Option<PathBuf>,
    /// How many seconds to wait for a connection.
    #[schemars(range(min = 1, max = 3600))]
    pub connect_timeout: u32,
    /// How many seconds a backup waits for the lock of a table that somebody else holds before it fails.
    #[schemars(range(min = 1, max = 86400))]
    pub lock_timeout: u32,
    /// How many seconds a question to the server may take. It doesn't limit the dump itself.
    #[schemars(range(min = 1, max = 86400))]
    pub statement_timeout: u32,
    /// What a backup writes.
    pub format: Format,
    /// With `format = "parallel"`: how many dumps of rows run at the same time, each into a stream of its own. It takes three
    /// or four connections more.
    #[schemars(range(min = 1, max = 64))]
    pub jobs: u32,
    /// Only these schemas: names or globs. All by default.
    pub schemas: Vec<String>,
    /// Only these tables, views and sequences, as `schema.name` or `name`, with globs. What isn't one (functions, types) is
    /// then left out, as with `pg_dump --table`.
    pub include: Vec<String>,
    /// Not these tables, views and sequences, as `schema.name` or `name`, with globs.
    pub exclude: Vec<String>,
    /// Of these tables the definition, but not the rows.
    pub exclude_data: Vec<String>,
    /// Back up the server's roles and tablespaces too, as a stream of its own. On restore the roles that are missing are
    /// made, and those that exist stay as they are.
    pub globals: bool,
    /// Put the roles' password hashes into `globals`: only a superuser may read them.
    pub role_passwords: bool,
    /// Whether restored objects get back their owners; `drop` gives all of them to the role that restores.
    pub owner: Keep,
    /// Whether restored objects get back what was granted on them.
    pub privileges: Keep,
    /// On restore, roles by their name in the snapshot and what they are called here: for owners and grants. Only for
    /// snapshots of the format `custom`.
    pub role_map: BTreeMap<String, String>,
    /// The database to connect to where the one to restore to is made, renamed or missing.
    pub maintenance_database: String,
    /// The role that makes extensions on restore where `user` may not.
    pub admin_user: Option<String>,
    /// Its password.
    pub admin_password: Option<Secret>,
    /// End the sessions of others that stand in a restore's way.
    pub force: bool,
    /// Drop the replaced database once a restore with `--mode replace` has gone well, rather than keep it as
    /// `<database>_before_<snapshot id>`.
    pub drop_before: bool,
    /// Folders to look for `pg_dump`, `pg_restore`, `pg_dumpall` and `psql` in, before `PATH` and the usual places.
    #[schemars(schema_with = "paths")]
    pub bin_dirs: Vec<PathBuf>,
    /// How to reach `pg_dump` elsewhere: a program and its arguments, the last of which is `pg_dump`, such as
    /// `["docker", "exec", "db", "pg_dump"]`. `psql` and `pg_dumpall` are called in the same way. The password doesn't
    /// travel with it: set up the login there.
    pub dump_command: Vec<String>,
    /// The same for restores; the last argument is `pg_restore`, and stdin must be passed on:
    /// `["docker", "exec", "-i", "db", "pg_restore"]`.
    pub restore_command: Vec<String>,
    /// Further arguments of `pg_dump`.
    pub dump_args: Vec<String>,
    /// Further arguments of `pg_restore`.
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
            user: None,
            password: None,
            database: None,
            service: None,
            sslmode: None,
            sslrootcert: None,
            sslcert: None,
            sslkey: None,
            connect_timeout: 10,
            lock_timeout: 60,
            statement_timeout: 60,
            format: Format::Custom,
            jobs: 2,
            schemas: Vec::new(),
            include: Vec::new(),
            exclude: Vec::new(),
            exclude_data: Vec::new(),
            globals: false,
            role_passwords: false,
            owner: Keep::Keep,
            privileges: Keep::Keep,
            role_map: BTreeMap::new(),
            maintenance_database: "postgres".to_owned(),
            admin_user: None,
            admin_password: None,
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

/// What a backup writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `pg_dump`'s own archive, not compressed: parts of it can be restored. `pg_restore` reads it.
    #[default]
    Custom,
    /// SQL text for `psql`.
    Plain,
    /// Several archives of one moment, written at the same time: definitions, `jobs` shares of the rows, large objects.
    Parallel,
}

/// How much of TLS to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// None.
    Disable,
    /// Only if the server insists.
    Allow,
    /// If the server can.
    Prefer,
    /// Always, with any certificate.
    Require,
    /// Always, with a certificate of a known authority.
    VerifyCa,
    /// Always, with a certificate of a known authority for this host.
    VerifyFull,
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

impl SslMode {
    /// As libpq writes it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

impl Options {
    /// What the types can't say.
    pub(crate) fn judge(&self) -> Result<()> {
        let wrong = |message: String| Err(Error::new(ErrorKind::Config, message));
        for name in self.env.keys() {
            if name.is_empty() || name.contains(['=', '\0']) {
                return wrong(format!("`{name}` can't be the name of a variable"));
            }
        }
        for (name, command, last) in [
            ("dump_command", &self.dump_command, "pg_dump"),
            ("restore_command", &self.restore_command, "pg_restore"),
        ] {
            let ends_well = command.last().is_none_or(|word| word.rsplit('/').next() == Some(last));
            if !ends_well {
                return wrong(format!("the last word of `{name}` must be `{last}`"));
            }
        }
        if self.role_passwords && !self.globals {
            return wrong("`role_passwords` means nothing without `globals = true`".to_owned());
        }
        Ok(())
    }

    /// What a program is told to leave away.
    pub(crate) fn dropped(&self) -> impl Iterator<Item = String> {
        let words = [(self.owner, "--no-owner"), (self.privileges, "--no-privileges")];
        words.into_iter().filter(|(keep, _)| *keep == Keep::Drop).map(|(_, word)| word.to_owned())
    }

    /// How long a question to the server may take in all.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(u64::from(self.connect_timeout) + u64::from(self.statement_timeout) + 5)
    }
}
