//! The restore: the stream through the screen and the client, into databases of its own where that is possible.

use windlass_plugin_api::{Context, Error, ErrorKind, Inputs, RestoreMode, RestoreOptions, Restored, Result};

use crate::about::About;
use crate::ahead::ahead;
use crate::errors::explained;
use crate::goal::known;
use crate::judge::{Part, Wanted};
use crate::late::Late;
use crate::names::identifier;
use crate::options::Keep;
use crate::screen::Screen;
use crate::server::Server;
use crate::steady::steady;
use crate::target::{Place, Way, accept, place_of, places};
use crate::users::Users;
use crate::{FORMAT, Mysql, SEVERAL, USERS, claim, swap};

/// A restore under way.
pub(crate) struct Work<'a> {
    pub(crate) server: Server<'a>,
    pub(crate) about: About,
    pub(crate) input: &'a dyn Inputs,
    pub(crate) how: &'a RestoreOptions,
    stream: String,
    /// The databases that are written, as they are.
    pub(crate) places: Vec<Place>,
}

/// Restores a snapshot's streams.
pub(crate) fn restore(
    cx: &Context,
    source: &Mysql,
    input: &dyn Inputs,
    how: &RestoreOptions,
) -> Result<Restored> {
    let server = Server::new(cx, source)?;
    server.prove_tls()?;
    let (stream, users) = streams(input)?;
    // Looked at again: the host asked before the user confirmed.
    let (about, places) = About::beside(&server, || places(&server, how))?;
    accept(&about, how)?;
    if let Some(full) = places.iter().find(|place| how.mode == RestoreMode::Fail && !place.found.is_empty()) {
        let message = format!("the database {} isn't empty", server.place(&full.found.name));
        return Err(Error::new(ErrorKind::Refused, message)
            .hint("Use `--mode replace`, or restore to another with `--set database=NAME`."));
    }
    let way = Way::choose(&server, &about, &places, how)?;
    let users = match users {
        Some(name) => Some(Users::read(input.open(&name)?)?).filter(|_| server.options.users),
        None => None,
    };
    for place in &places {
        claim::sweep(&server, &about, &place.found.name)?;
    }
    let work = Work { server, about, input, how, stream, places };
    let notes = match way {
        Way::Swap => swap::swap(&work)?,
        Way::InPlace(_) => work.in_place()?,
    };
    let place = place_of(&work.server, &work.places);
    // Last: rights on tables can only be given once these are there.
    let left_out = users.map(|users| users.make(&work.server)).transpose()?.unwrap_or_default();
    Ok(Restored { place, notes, left_out, ..Restored::default() })
}

impl Work<'_> {
    /// Loads the stream into `databases`, one for each place, and gives the code that was in it.
    pub(crate) fn load(&self, databases: &[String], asleep: bool) -> Result<Vec<Late>> {
        let known = known(self.how)?;
        let part = |(place, to): (&Place, &String)| Part {
            from: place.goal.from.clone(),
            to: to.clone(),
            only: place.goal.only.clone(),
        };
        let wanted = Wanted {
            parts: self.places.iter().zip(databases).map(part).collect(),
            known: known.map(|known| known.keys().cloned().collect()),
            drop_definer: self.server.options.definer == Keep::Drop,
            asleep,
            code_only: false,
        };
        let screen = Screen::new(self.input.open(&self.stream)?, wanted);
        // A stream of several says itself where it goes, once it is screened.
        let database = databases.first().filter(|_| known.is_none());
        let tool = self.server.loader(database.map(String::as_str), &self.server.options.restore_args)?;
        let (_, screen) = ahead(screen, |screen| tool.load(self.server.cx, screen).map_err(explained))?;
        match screen.missing().first() {
            Some(name) => {
                Err(Error::new(ErrorKind::NotFound, format!("the snapshot has no table or view `{name}`")))
            }
            None => Ok(screen.late()),
        }
    }

    fn in_place(&self) -> Result<Vec<String>> {
        let mut script = String::new();
        self.end_sessions()?;
        for place in &self.places {
            let name = identifier(&place.found.name);
            let replaces = self.how.mode == RestoreMode::Replace;
            if replaces && place.found.exists() {
                script += &format!("DROP DATABASE {name};\n");
            }
            if replaces || !place.found.exists() {
                script += &format!("CREATE DATABASE {name}{};\n", place.defaults());
            }
        }
        let names: Vec<String> = self.places.iter().map(|place| place.found.name.clone()).collect();
        let result = self
            .server
            .run(None, script.as_bytes())
            .and_then(|()| self.load(&names, false).map(|_| Vec::new()));
        result.map_err(|error| self.unmake(error))
    }

    /// Drops what wasn't there before the restore failed.
    fn unmake(&self, error: Error) -> Error {
        let new = self.places.iter().filter(|place| !place.found.exists());
        let drop = |place: &Place| format!("DROP DATABASE IF EXISTS {};\n", identifier(&place.found.name));
        let script: String = new.map(drop).collect();
        let calm = steady(self.server.cx);
        match self.server.within(&calm).run(None, script.as_bytes()) {
            Ok(()) => error,
            Err(undo) => error.hint(format!("What was made isn't dropped: {undo}.")),
        }
    }

    /// Ends the sessions of others, if that is wished.
    pub(crate) fn end_sessions(&self) -> Result<()> {
        if !self.server.options.force || self.how.mode == RestoreMode::Merge {
            return Ok(());
        }
        for place in &self.places {
            for (id, line) in crate::facts::sessions(&self.server, &place.found.name)? {
                tracing::info!("ending {line}");
                // It may have ended by itself.
                let _ = self.server.rows(&format!("KILL {id}"));
            }
        }
        Ok(())
    }
}

/// The stream with the data, and the one with the accounts.
fn streams(input: &dyn Inputs) -> Result<(String, Option<String>)> {
    let (users, data): (Vec<_>, Vec<_>) =
        input.streams().into_iter().partition(|(_, info)| info.stream_format == USERS);
    let [(name, info)] = data.as_slice() else {
        return Err(Error::new(ErrorKind::Unsupported, "a MySQL snapshot has exactly one stream of data"));
    };
    // A bare stream may have no format.
    match info.stream_format.as_str() {
        FORMAT | SEVERAL | "" => Ok((name.clone(), users.into_iter().next().map(|(name, _)| name))),
        format => {
            Err(Error::new(ErrorKind::Unsupported, format!("can't restore a stream of format `{format}`")))
        }
    }
}
