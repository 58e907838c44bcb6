//! Which databases a backup takes: the one that `database` names, or all that fit `databases`.

use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::facts::{self, OWN};
use crate::select::fitting;
use crate::server::Server;

/// The databases of a backup.
#[derive(Debug)]
pub(crate) enum Which {
    /// One, whose name isn't in the dump.
    One(String),
    /// Several in one dump that names them; also if it is only one now.
    Several(Vec<String>),
}

impl Which {
    /// What the options say, of what the server has.
    pub(crate) fn of(server: &Server<'_>) -> Result<Self> {
        let options = server.options;
        if options.databases.is_empty() {
            return server.database().map(|name| Self::One(name.to_owned()));
        }
        if let Ok(name) = server.database() {
            let message = format!("`databases` and the database `{name}` exclude each other in a backup");
            return Err(Error::new(ErrorKind::Config, message)
                .hint("Take it out of the URL or of `database`, or name it in `databases`."));
        }
        let own = options.databases.iter().find(|name| OWN.contains(&name.to_ascii_lowercase().as_str()));
        if let Some(own) = own {
            let message = format!("`{own}` in `databases` is the server's own and can't be restored");
            return Err(Error::new(ErrorKind::Config, message).hint("Accounts come with `users = true`."));
        }
        let all = facts::databases(server)?;
        let names: Vec<&str> = all.iter().map(String::as_str).collect();
        let choose = |option: &str, patterns: &[String]| {
            fitting(option, patterns, &names, "database of the server", |name, pattern| pattern.fits(name))
        };
        let wanted = choose("databases", &options.databases)?;
        let left = choose("exclude_databases", &options.exclude_databases)?;
        let taken: Vec<String> = all
            .iter()
            .filter(|name| wanted.contains(&name.as_str()) && !left.contains(&name.as_str()))
            .cloned()
            .collect();
        if taken.is_empty() {
            return Err(Error::new(ErrorKind::Config, "`exclude_databases` leaves nothing of `databases`"));
        }
        Ok(Self::Several(taken))
    }

    /// Their names.
    pub(crate) fn names(&self) -> Vec<&str> {
        match self {
            Self::One(name) => vec![name],
            Self::Several(names) => names.iter().map(String::as_str).collect(),
        }
    }

    /// Whether the dump names its databases.
    pub(crate) fn is_several(&self) -> bool {
        matches!(self, Self::Several(_))
    }
}
