//! What lies where a restore would write. Looks only; `restore` acts on what is found here.

use windlass_plugin_api::{Context, Error, ErrorKind, RestoreMode, RestoreOptions, Result, Target};

use crate::facts::Facts;
use crate::holders;
use crate::options::Options;
use crate::place::{Place, Stamp};
use crate::reading::Reading;

/// What is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing; or only companions of a database that is gone.
    Missing {
        /// Companions without a database.
        strays: Vec<&'static str>,
    },
    /// A database.
    Database {
        /// Tables in it; `None` if they couldn't be counted now.
        tables: Option<usize>,
    },
    /// A file that SQLite doesn't take for a sound database.
    Foreign {
        /// What SQLite says.
        why: String,
    },
}

impl Found {
    /// Looks at `place`.
    pub fn at(cx: &Context, place: &Place, options: &Options) -> Result<Self> {
        let Some(found) = place.stat()? else {
            return Ok(Self::Missing { strays: place.companions() });
        };
        if found.len() == 0 {
            return Ok(Self::Database { tables: Some(0) });
        }
        let read = Reading::begin(cx, place, options.patience()?, false).and_then(|r| Facts::read(r.conn()));
        match read {
            Ok(facts) => Ok(Self::Database { tables: Some(facts.tables.len()) }),
            Err(error) if error.kind == ErrorKind::Damaged => Ok(Self::Foreign { why: error.one_line() }),
            Err(error) if error.kind == ErrorKind::Cancelled => Err(error),
            // Locked, or with a journal that must be rolled back: certainly a database, and certainly not empty.
            Err(_) => Ok(Self::Database { tables: None }),
        }
    }

    /// Nothing that a restore could overwrite.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Missing { strays } => strays.is_empty(),
            Self::Database { tables } => *tables == Some(0),
            Self::Foreign { .. } => false,
        }
    }

    fn effects(&self, place: &Place, options: &Options, how: &RestoreOptions) -> Vec<String> {
        let path = place.path.display();
        let mut effects = match self {
            Self::Missing { strays } if strays.is_empty() => vec![format!("makes the database `{path}`")],
            Self::Missing { strays } => vec![
                format!("makes the database `{path}`"),
                format!("sets aside {} of a database that is gone", strays.join(", ")),
            ],
            Self::Database { tables: Some(0) } => vec![format!("fills the empty database `{path}`")],
            Self::Database { tables: Some(1) } => {
                vec![format!("replaces the database `{path}` with its table")]
            }
            Self::Database { tables: Some(tables) } => {
                vec![format!("replaces the database `{path}` with its {tables} tables")]
            }
            Self::Database { tables: None } => vec![format!("replaces the database `{path}`")],
            Self::Foreign { why } => {
                vec![format!("replaces the file `{path}`, which isn't a sound database ({why})")]
            }
        };
        if options.safety_copy && !self.is_empty() && place.stat().is_ok_and(|found| found.is_some()) {
            effects.push(format!("keeps what is there as `{}`", before(place, how).display()));
        }
        effects
    }
}

/// The host's question before a restore.
pub fn target(cx: &Context, options: &Options, how: &RestoreOptions) -> Result<Target> {
    accept(how)?;
    let place = Place::wanted(&options.path)?;
    let found = Found::at(cx, &place, options)?;
    let stat = place.stat()?;
    Ok(Target {
        place: place.path.display().to_string(),
        empty: found.is_empty(),
        size_bytes: stat.as_ref().map(|stat| stat.len() + place.companion_bytes("-wal")),
        modified: stat.and_then(|_| Stamp::of(&place).ok()).map(|stamp| stamp.modified()),
        sessions: holders::of(&place).lines(),
        effects: found.effects(&place, options, how),
        // Every kind of restore prepares and checks a sibling first and applies it only behind end-of-file.
        atomic: true,
        ..Target::default()
    })
}

/// Refuses what this source can't do.
pub fn accept(how: &RestoreOptions) -> Result<()> {
    if how.mode == RestoreMode::Merge {
        return Err(Error::new(ErrorKind::Unsupported, "a database can't be merged into another")
            .hint("Use `--mode replace`, or restore to another file and copy the rows over yourself."));
    }
    if !how.only.is_empty() {
        return Err(Error::new(ErrorKind::Unsupported, "a SQLite snapshot can only be restored whole")
            .hint("Restore to another file and copy the tables over yourself."));
    }
    Ok(())
}

/// Where a safety copy goes, before it is known whether that name is free.
pub fn before(place: &Place, how: &RestoreOptions) -> std::path::PathBuf {
    // The id may come out of a manifest: it names a file beside the target and nothing else.
    let id: String = how
        .snapshot
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' })
        .collect();
    place.beside(&format!(".before-{}", if id.is_empty() { "restore" } else { &id }))
}
