//! The restore: the stream through the screen and the client, into a database of its own where that is possible.

use std::collections::BTreeSet;

use windlass_plugin_api::{Context, Error, ErrorKind, Inputs, RestoreMode, RestoreOptions, Restored, Result};

use crate::FORMAT;
use crate::errors::explained;
use crate::facts::Database;
use crate::late::Late;
use crate::names::identifier;
use crate::options::{Keep, Options};
use crate::rewrite::Rewrite;
use crate::screen::{Screen, Wanted};
use crate::server::Server;
use crate::swap;
use crate::target::{Way, accept, detail};

/// A restore under way.
pub(crate) struct Work<'a> {
    pub(crate) server: Server<'a>,
    pub(crate) input: &'a dyn Inputs,
    pub(crate) how: &'a RestoreOptions,
    stream: String,
    /// What is in the target.
    pub(crate) found: Database,
}

/// Restores the snapshot's one stream.
pub(crate) fn restore(
    cx: &Context,
    options: &Options,
    input: &dyn Inputs,
    how: &RestoreOptions,
) -> Result<Restored> {
    let server = Server::new(cx, options)?;
    server.prove_tls()?;
    accept(&server, how)?;
    let stream = the_stream(input)?;
    // Looked at again: the host asked before the user confirmed.
    let found = Database::look(&server, server.database()?)?;
    if how.mode == RestoreMode::Fail && !found.is_empty() {
        let message = format!("the database {} isn't empty", server.place(&found.name));
        return Err(Error::new(ErrorKind::Refused, message)
            .hint("Use `--mode replace`, or restore to another with `--set database=NAME`."));
    }
    let way = Way::choose(&server, &found, how)?;
    let work = Work { server, input, how, stream, found };
    let notes = match way {
        Way::Swap => swap::swap(&work)?,
        Way::InPlace(_) => work.in_place()?,
    };
    Ok(Restored { place: work.server.place(&work.found.name), notes, ..Restored::default() })
}

impl Work<'_> {
    /// Loads the stream into `database`, and gives the code that was in it.
    pub(crate) fn load(&self, database: &str, asleep: bool) -> Result<Late> {
        let wanted = Wanted {
            only: self.how.only.iter().map(|name| name.as_bytes().to_vec()).collect::<BTreeSet<_>>(),
            rewrite: self.rewrite(),
            database: database.to_owned(),
            asleep,
            code_only: false,
        };
        let mut screen = Screen::new(self.input.open(&self.stream)?, wanted);
        let tool = self.server.loader(Some(database), &self.server.options.restore_args)?;
        tool.load(self.server.cx, &mut screen).map_err(explained)?;
        match screen.missing().first() {
            Some(name) => {
                Err(Error::new(ErrorKind::NotFound, format!("the snapshot has no table or view `{name}`")))
            }
            None => Ok(screen.late()),
        }
    }

    pub(crate) fn rewrite(&self) -> Rewrite {
        Rewrite {
            from: detail(self.how, "database").and_then(|name| name.as_str()).map(str::to_owned),
            drop_definer: self.server.options.definer == Keep::Drop,
        }
    }

    /// Character set and collation that the database gets: the snapshot's, else what it has.
    pub(crate) fn defaults(&self) -> String {
        let word = |name: &str| {
            let word = detail(self.how, name)?.as_str()?;
            // It comes out of the snapshot and goes into a statement.
            let plain = !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            plain.then(|| word.to_owned())
        };
        let recorded = word("character_set").zip(word("collation"));
        match recorded.or_else(|| self.found.charset.clone()) {
            Some((charset, collation)) => format!(" CHARACTER SET {charset} COLLATE {collation}"),
            None => String::new(),
        }
    }

    fn in_place(&self) -> Result<Vec<String>> {
        let name = identifier(&self.found.name);
        let mut script = String::new();
        if self.how.mode == RestoreMode::Replace && self.found.exists() {
            self.end_sessions()?;
            script += &format!("DROP DATABASE {name};\n");
        }
        if self.how.mode == RestoreMode::Replace || !self.found.exists() {
            script += &format!("CREATE DATABASE {name}{};\n", self.defaults());
        }
        self.server.run(None, script.as_bytes())?;
        self.load(&self.found.name, false)?;
        Ok(Vec::new())
    }

    /// Ends the sessions of others, if that is wished.
    pub(crate) fn end_sessions(&self) -> Result<()> {
        if !self.server.options.force {
            return Ok(());
        }
        for (id, line) in crate::facts::sessions(&self.server, &self.found.name)? {
            tracing::info!("ending {line}");
            // It may have ended by itself.
            let _ = self.server.rows(&format!("KILL {id}"));
        }
        Ok(())
    }
}

/// The only stream.
fn the_stream(input: &dyn Inputs) -> Result<String> {
    let mut streams = input.streams();
    let (Some((name, info)), true) = (streams.pop(), streams.is_empty()) else {
        return Err(Error::new(ErrorKind::Unsupported, "a MySQL snapshot has exactly one stream"));
    };
    // A bare stream may have no format.
    match info.stream_format.as_str() {
        FORMAT | "" => Ok(name),
        format => {
            Err(Error::new(ErrorKind::Unsupported, format!("can't restore a stream of format `{format}`")))
        }
    }
}
