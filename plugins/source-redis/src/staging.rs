//! A restore that is seen all at once or not at all: keys are prepared in empty databases, which one transaction swaps
//! with the real ones.
//!
//! Until that transaction nothing that is there was touched; whatever goes wrong, what was prepared is removed again. A
//! database into which somebody else wrote meanwhile is neither swapped nor removed. Each of them has a mark (`ledger`), by
//! which the next restore knows what this one left if it is killed.

use std::collections::BTreeMap;

use windlass_plugin_api::{Context, Error, ErrorKind, Reader, RestoreMode, Result};

use crate::connection::Connection;
use crate::ledger::{Ledger, MARK, connection_name};
use crate::leftovers;
use crate::load::{self, Loader};
use crate::options::Options;
use crate::rdb::{Record, Records, Summary};
use crate::resp::Reply;
use crate::server::Server;
use crate::target::listed;

/// A restore in the making.
pub struct Staging<'a> {
    cx: &'a Context,
    options: &'a Options,
    mode: RestoreMode,
    /// Empty databases that aren't used yet.
    spare: Vec<u32>,
    /// Where each database of the snapshot is prepared.
    places: BTreeMap<u32, u32>,
}

impl<'a> Staging<'a> {
    /// Prepares in `spare`, in mode fail or replace.
    pub fn new(cx: &'a Context, options: &'a Options, mode: RestoreMode, mut spare: Vec<u32>) -> Self {
        spare.reverse();
        Self { cx, options, mode, spare, places: BTreeMap::new() }
    }

    /// Restores all that `records` gives.
    pub fn restore(mut self, connection: &mut Connection, records: &mut Records<Reader>) -> Result<Summary> {
        let name = connection_name(&self.cx.run());
        connection.call(&[b"CLIENT", b"SETNAME", name.as_bytes()])?;
        let mut sent = BTreeMap::new();
        let mut summary = Summary::default();
        let done = self
            .prepare(connection, records, &mut summary, &mut sent)
            .and_then(|(functions, ledger)| self.apply(connection, records, &functions, ledger, &sent));
        match done {
            Ok(()) => Ok(summary),
            Err(error) => {
                connection.close();
                Err(take_back(self.cx, self.options, &sent, Some(&self.cx.run()), error))
            }
        }
    }

    /// `sent` counts keys by database, their marks among them.
    fn prepare(
        &mut self,
        connection: &mut Connection,
        records: &mut Records<Reader>,
        summary: &mut Summary,
        sent: &mut BTreeMap<u32, u64>,
    ) -> Result<(Vec<u8>, Ledger)> {
        let mut functions = Vec::new();
        let mut loader = Loader::new(self.cx, connection, records.header());
        loader.ledger = Some(Ledger::new(&self.cx.run()));
        while let Some(record) = records.next()? {
            summary.count(&record);
            match record {
                Record::Key(key) => {
                    let place = match self.places.get(&key.database) {
                        Some(place) => *place,
                        None => self.place_for(key.database, &mut loader, sent)?,
                    };
                    *sent.entry(place).or_default() += 1;
                    loader.key(key, place)?;
                }
                Record::Function(library) => functions.extend(library),
                Record::Fact | Record::LeftOut(_) => {}
            }
        }
        loader.settle()?;
        let ledger = loader.ledger.take().unwrap_or_else(|| Ledger::new(&self.cx.run()));
        Ok((functions, ledger))
    }

    fn place_for(
        &mut self,
        database: u32,
        loader: &mut Loader<'_>,
        sent: &mut BTreeMap<u32, u64>,
    ) -> Result<u32> {
        let place = self.spare.pop().ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, "the snapshot holds more databases than its backup said")
        })?;
        loader.claim(place)?;
        sent.insert(place, 1);
        self.places.insert(database, place);
        Ok(place)
    }

    /// Functions first, for only they can still be refused; then everything else in one transaction.
    fn apply(
        &self,
        connection: &mut Connection,
        records: &Records<Reader>,
        functions: &[u8],
        mut ledger: Ledger,
        sent: &BTreeMap<u32, u64>,
    ) -> Result<()> {
        // From here on the server itself sees to it that nobody removes what was prepared.
        for place in self.places.values() {
            watch(connection, *place, &ledger.text(*place))?;
        }
        let server = Server::ask(connection)?;
        self.nobody_wrote(&server, sent)?;
        let before = match connection.ask(&[b"FUNCTION", b"DUMP"])? {
            Reply::Bulk(Some(dump)) if !functions.is_empty() => Some(dump),
            _ => None,
        };
        if !functions.is_empty() {
            let how = if self.mode == RestoreMode::Replace { "FLUSH" } else { "APPEND" };
            load::functions(connection, records.header(), functions, how)?;
        }
        let swapped = self.swap(connection, &server, functions.is_empty());
        if let (Err(_), Some(before)) = (&swapped, before) {
            // The libraries that were there come back; the swap's error is the one to tell.
            let _ = connection.ask(&[b"FUNCTION", b"RESTORE", &before, b"FLUSH"]);
        }
        swapped
    }

    /// Fewer keys than were sent may be there: some have expired.
    fn nobody_wrote(&self, server: &Server, sent: &BTreeMap<u32, u64>) -> Result<()> {
        let more = server.keys.iter().find(|(place, keys)| sent.get(place).is_some_and(|sent| *keys > sent));
        let strange =
            server.keys.keys().find(|number| self.mode == RestoreMode::Fail && !sent.contains_key(number));
        if let Some(number) = more.map(|(number, _)| number).or(strange) {
            let text = format!("somebody wrote to the database {number} meanwhile");
            return Err(Error::new(ErrorKind::Refused, text).hint("Stop those who write, and restore again."));
        }
        Ok(())
    }

    fn swap(&self, connection: &mut Connection, server: &Server, flush_functions: bool) -> Result<()> {
        let mut commands: Vec<Vec<String>> = Vec::new();
        let mut add = |words: &[&str]| commands.push(words.iter().map(|word| (*word).to_owned()).collect());
        for place in self.places.values() {
            add(&["SELECT", &place.to_string()]);
            add(&["DEL", MARK]);
        }
        for (database, place) in &self.places {
            add(&["SWAPDB", &database.to_string(), &place.to_string()]);
        }
        // What was there before lies in the prepared databases now, and in those that the snapshot doesn't have.
        let places: Vec<u32> = self.places.values().copied().collect();
        let others =
            server.keys.keys().filter(|number| !self.places.contains_key(number) && !places.contains(number));
        for number in places.iter().chain(others) {
            add(&["SELECT", &number.to_string()]);
            add(&["FLUSHDB", "ASYNC"]);
        }
        if flush_functions && self.mode == RestoreMode::Replace && server.libraries > 0 {
            add(&["FUNCTION", "FLUSH"]);
        }
        transaction(connection, &commands)
    }
}

/// Looks for our mark in `place`. Whatever happens to it from now on, a transaction won't be applied.
fn watch(connection: &mut Connection, place: u32, text: &str) -> Result<()> {
    connection.call(&[b"SELECT", place.to_string().as_bytes()])?;
    connection.call(&[b"WATCH", MARK.as_bytes()])?;
    if connection.call(&[b"GET", MARK.as_bytes()])?.text().as_deref() == Some(text) {
        return Ok(());
    }
    Err(load::removed())
}

/// Removes what was sent to databases that were empty, also for a cancelled run, and says in `error` what couldn't be
/// removed. `sent`: keys by database; `marked`: the run whose mark must be in each of them.
pub fn take_back(
    cx: &Context,
    options: &Options,
    sent: &BTreeMap<u32, u64>,
    marked: Option<&str>,
    error: Error,
) -> Error {
    if sent.is_empty() {
        return error;
    }
    let tidy_up = |mut connection: Connection| {
        if let Some(run) = marked {
            leftovers::wait_for_end(&mut connection, run, options.connect_patience())?;
        }
        let is_left = |(place, sent): &(&u32, &u64)| empty(&mut connection, **place, **sent, marked).is_err();
        Ok(sent.iter().filter(is_left).map(|(place, _)| *place).collect())
    };
    let left: Result<Vec<u32>> = Connection::open_to_tidy_up(cx, options).and_then(tidy_up);
    let left = left.unwrap_or_else(|_| sent.keys().copied().collect());
    if left.is_empty() {
        return error;
    }
    tracing::warn!("what was written to the {} could not be removed", listed(&left));
    let next = match marked {
        Some(_) => "the next restore removes it, where nobody else wrote to it",
        None => "look, and remove it with `FLUSHDB`",
    };
    // Nearer to what must be done than the hint that it came with.
    let hint = format!(
        "What was there is as it was, but a part of the snapshot may be in the {}: {next}.",
        listed(&left)
    );
    Error { hint: None, ..error }.hint(hint)
}

/// Empties `place`, unless there is more than we put in, or it isn't ours any more.
fn empty(connection: &mut Connection, place: u32, sent: u64, marked: Option<&str>) -> Result<()> {
    let foreign = || Error::new(ErrorKind::Refused, "somebody wrote to it meanwhile");
    connection.call(&[b"SELECT", place.to_string().as_bytes()])?;
    match connection.call(&[b"DBSIZE"])? {
        Reply::Integer(0) => return Ok(()),
        Reply::Integer(keys) if u64::try_from(keys).is_ok_and(|keys| keys <= sent) => {}
        _ => return Err(foreign()),
    }
    if let Some(run) = marked
        && leftovers::entry(connection, place)?.is_none_or(|entry| entry.run != run)
    {
        return Err(foreign());
    }
    connection.call(&[b"FLUSHDB", b"ASYNC"]).map(drop)
}

/// All `commands` or none of them.
fn transaction(connection: &mut Connection, commands: &[Vec<String>]) -> Result<()> {
    connection.call(&[b"MULTI"])?;
    for command in commands {
        let args: Vec<&[u8]> = command.iter().map(String::as_bytes).collect();
        connection.call(&args)?;
    }
    match connection.call(&[b"EXEC"])? {
        Reply::Array(Some(replies)) => {
            let failed = replies.iter().zip(commands).find_map(|(reply, command)| match reply {
                Reply::Error(text) => Some(crate::errors::from_reply(&command.join(" "), text)),
                _ => None,
            });
            failed.map_or(Ok(()), Err)
        }
        _ => Err(load::removed()),
    }
}
