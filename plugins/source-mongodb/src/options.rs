//! The options of the source. Their doc comments are the reference documentation.
//!
//! Whether a server answers isn't judged here: that belongs to the first call that needs it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use windlass_plugin_api::{Error, ErrorKind, Result, Secret};

/// Options of `mongodb`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The deployment as MongoDB's programs take it: `mongodb://user@host1,host2/database?replicaSet=rs0` or
    /// `mongodb+srv://…`, with the parameters of the official driver. In place of `host` and `port`.
    pub url: Option<Url>,
    /// The server's name or address. It is spoken to directly, whatever replica set it belongs to. Default: `127.0.0.1`.
    pub host: Option<String>,
    /// The server's port. Default: 27017.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// The user to sign in as.
    pub user: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// The database that knows the user. Default: what the URL says, else `admin`.
    pub auth_source: Option<String>,
    /// The database that is backed up, or restored to: what a snapshot holds of one database is restored under this
    /// name. Default: the one in the URL. Without any, all databases but `admin`, `config` and `local`, each under its name.
    pub database: Option<String>,
    /// Back up only these collections and views, with globs (`*`, `?`, `[ab]`). A name that nothing fits is an error.
    pub include: Vec<String>,
    /// Leave these collections and views out, with globs. A name that nothing fits is an error.
    pub exclude: Vec<String>,
    /// How all collections come to be of one moment.
    pub consistency: Consistency,
    /// For how many seconds the server can still read a past moment. Default: what its parameter
    /// `minSnapshotHistoryWindowInSeconds` says, else 300.
    #[schemars(range(min = 1, max = 31_536_000))]
    pub history_window: Option<u32>,
    /// How many MiB of documents a backup reads each second at least, its storage included. With the size of the data that
    /// tells whether a run fits the history window.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub read_rate: u32,
    /// Back up users and roles too, and on restore make those that are missing; those that are there stay as they are.
    pub users: bool,
    /// End what others run on the databases that a restore with `--mode replace` replaces.
    pub force: bool,
    /// Drop the replaced collections once a restore with `--mode replace` has gone well, rather than keep them in the
    /// database `<database>_before_<snapshot id>`.
    pub drop_before: bool,
    /// Use TLS, with a certificate that is verified.
    pub tls: bool,
    /// Certificates in PEM form that the server's is judged by. Default: those that Mozilla trusts.
    #[schemars(extend("format" = "path"))]
    pub tls_ca: Option<PathBuf>,
    /// Our own certificate and its key in one PEM file, for a server that asks for one.
    #[schemars(extend("format" = "path"))]
    pub tls_cert_key: Option<PathBuf>,
    /// How many seconds finding a server, connecting and signing in may take.
    #[schemars(range(min = 1, max = 3600))]
    pub connect_timeout: u32,
    /// How many seconds the server may take for one answer: a batch of documents read or written. Building an index on
    /// restore has no limit.
    #[schemars(range(min = 1, max = 86400))]
    pub timeout: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            url: None,
            host: None,
            port: None,
            user: None,
            password: None,
            auth_source: None,
            database: None,
            include: Vec::new(),
            exclude: Vec::new(),
            consistency: Consistency::default(),
            history_window: None,
            read_rate: 20,
            users: false,
            force: false,
            drop_before: false,
            tls: false,
            tls_ca: None,
            tls_cert_key: None,
            connect_timeout: 10,
            timeout: 300,
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

/// How all collections come to be of one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Consistency {
    /// What the deployment can: a snapshot where the run fits the history window, else the oplog, else none, which
    /// every run warns of.
    #[default]
    Auto,
    /// A snapshot session: all is read as of the moment of the first read. A replica set or sharded cluster of version
    /// 5.0 or later; a run that takes longer than the history window fails.
    Snapshot,
    /// What was written meanwhile is added from the oplog, and applied on restore: all is of the moment of the end. A
    /// replica set, and the right to read `local` and `config`.
    Oplog,
    /// Each collection as it is when it is read.
    None,
}

impl Options {
    /// How long connecting may take.
    pub fn connect_patience(&self) -> Duration {
        Duration::from_secs(self.connect_timeout.max(1).into())
    }

    /// How long one answer may take.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.timeout.max(1).into())
    }

    /// What the types can't say.
    pub(crate) fn judge(&self) -> Result<()> {
        let wrong = |message: String| Err(Error::new(ErrorKind::Config, message));
        if self.url.is_some() && (self.host.is_some() || self.port.is_some()) {
            return wrong("`url` and `host` or `port` both say where the server is".to_owned());
        }
        if self.password.is_some() && self.user.is_none() && self.url.is_none() {
            return wrong("`password` is given, but no `user`".to_owned());
        }
        if !self.tls && self.url.is_none() && (self.tls_ca.is_some() || self.tls_cert_key.is_some()) {
            return wrong("certificates are given, but TLS isn't used: set `tls = true`".to_owned());
        }
        match &self.database {
            Some(name) if !is_database(name) => wrong(format!("`{name}` can't be the name of a database")),
            _ => Ok(()),
        }
    }
}

/// Whether a server takes `name` for a database.
pub(crate) fn is_database(name: &str) -> bool {
    !name.is_empty() && name.len() < 64 && !name.contains(['/', '\\', '.', ' ', '"', '$', '\0'])
}
