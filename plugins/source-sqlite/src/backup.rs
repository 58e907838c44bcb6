//! The backup: what is read, under which lock, and what is told of it.
//!
//! `probe` tells the same beforehand. How pages or SQL text come out is in `pages` and `dump`.

use std::collections::BTreeMap;
use std::time::Duration;

use rusqlite::Connection;
use windlass_plugin_api::{Contents, Context, ErrorKind, Outputs, Probe, Result, Sink, StreamInfo};

use crate::facts::Facts;
use crate::options::{Mode, Options, WhenLocked};
use crate::place::Place;
use crate::reading::{Journal, Reading};
use crate::sibling;
use crate::{PAGES, SQL, connect, copy, dump, pages};

/// Growth of the `-wal` during a backup that is worth telling.
const WAL_GROWTH: u64 = 64 << 20;

/// What is done instead of a copy where there can't be one.
const NO_COPY: &str = "The database's folder can't be written to, so no copy can be made beside it: every writer waits \
                       until the upload has ended, as with `when_locked = \"hold\"`.";

/// What `check` and `backup` tell before anything is read.
pub fn probe(cx: &Context, options: &Options) -> Result<Probe> {
    let place = Place::existing(&options.path)?;
    sibling::sweep(&place);
    let mut probe = Probe { versions: versions(), ..Probe::default() };
    let reading = match Reading::begin(cx, &place, options.patience()?, false) {
        // What SQLite answers to a reader that may not write where a journal must be rolled back.
        Err(error) if error.kind == ErrorKind::Denied && place.companion_bytes("-journal") > 0 => {
            probe.warnings.push(
                "A writer died in the middle of a transaction; the backup will roll its journal back first."
                    .to_owned(),
            );
            probe.estimate_bytes = place.stat()?.map(|found| found.len());
            return Ok(probe);
        }
        reading => reading?,
    };
    let facts = Facts::read(reading.conn())?;
    probe.estimate_bytes = Some(facts.bytes());
    describe_locking(&mut probe, options, &place, reading.journal, &facts);
    Ok(probe)
}

fn describe_locking(probe: &mut Probe, options: &Options, place: &Place, journal: Journal, facts: &Facts) {
    let mib = facts.bytes() >> 20;
    match (journal, options.when_locked) {
        (Journal::Wal, _) => probe.notes.push(
            "WAL mode: writers go on during a backup; the `-wal` file grows by what they write until it has ended."
                .to_owned(),
        ),
        (Journal::Still, _) => probe.notes.push("Nothing is locked: nobody can write to this database.".to_owned()),
        (Journal::Rollback, WhenLocked::Copy) if !place.takes_siblings() => {
            probe.warnings.push(NO_COPY.to_owned());
        }
        (Journal::Rollback, WhenLocked::Copy) => {
            probe.notes.push(format!(
                "Rollback-journal mode, `when_locked = \"copy\"`: writers wait until {mib} MiB are uploaded or, \
                 where that is slower, copied beside the database (about {} s, less with reflinks).",
                1 + mib.div_ceil(500)
            ));
            if place.free_bytes().is_some_and(|free| free < facts.bytes()) {
                probe.warnings.push(format!(
                    "The copy needs {mib} MiB beside the database, and that much isn't free; without reflinks the \
                     backup will fail: make room, or set `when_locked = \"hold\"`."
                ));
            }
        }
        (Journal::Rollback, WhenLocked::Hold) => probe.warnings.push(format!(
            "Rollback-journal mode, `when_locked = \"hold\"`: every writer waits until {mib} MiB are uploaded; WAL mode \
             or `when_locked = \"copy\"` avoids that."
        )),
    }
}

/// Makes the snapshot's one stream.
pub fn backup(cx: &Context, options: &Options, out: &dyn Outputs) -> Result<Contents> {
    let place = Place::existing(&options.path)?;
    sibling::sweep(&place);
    let wal_before = place.companion_bytes("-wal");
    let mut reading = Reading::begin(cx, &place, options.patience()?, true)?;
    let facts = Facts::read(reading.conn())?;
    let mut contents = Contents {
        consistency_point: Some(facts.consistency_point()),
        versions: versions(),
        warnings: std::mem::take(&mut reading.warnings),
        details: facts.details(reading.journal, format_of(options.mode)),
        ..Contents::default()
    };
    let wants_copy = reading.journal == Journal::Rollback && options.when_locked == WhenLocked::Copy;
    if wants_copy && place.takes_siblings() {
        from_copy(cx, options, &place, reading, &facts, out)?;
    } else {
        let mut sink = create(options.mode, &facts, out)?;
        from_transaction(cx, options.mode, reading.conn(), &facts, &mut *sink)?;
        // Before the stream is finished: what may be torn must not look whole.
        reading.unchanged()?;
        sink.finish()?;
    }
    let grown = place.companion_bytes("-wal").saturating_sub(wal_before);
    if grown > WAL_GROWTH || (grown > 1 << 20 && grown > facts.bytes() / 5) {
        contents.warnings.push(format!(
            "The `-wal` file grew by {} MiB while the backup read; it shrinks again at a later checkpoint.",
            grown >> 20
        ));
    }
    Ok(contents)
}

fn create(mode: Mode, facts: &Facts, out: &dyn Outputs) -> Result<Box<dyn Sink>> {
    out.create("data", StreamInfo::new(format_of(mode)).size_hint(facts.bytes()))
}

fn from_copy(
    cx: &Context,
    options: &Options,
    place: &Place,
    reading: Reading,
    facts: &Facts,
    out: &dyn Outputs,
) -> Result<()> {
    let bytes = facts.bytes();
    // SQL comes out far slower than a copy is made, so it waits for that.
    let grace = if options.mode == Mode::Pages { copy::grace(bytes) } else { Duration::ZERO };
    let mut sink = copy::and_take(cx, place, reading, (bytes, grace), |shelf| {
        let mut sink = create(options.mode, facts, out)?;
        match options.mode {
            Mode::Pages => pages::of_shelf(cx, bytes, &mut sink, |part, at| shelf.read(part, at))?,
            Mode::Sql => {
                let conn = connect::open_still(cx, &shelf.whole(cx)?)?;
                from_transaction(cx, options.mode, &conn, facts, &mut *sink)?;
            }
        }
        Ok(sink)
    })?;
    sink.finish()?;
    Ok(())
}

fn from_transaction(
    cx: &Context,
    mode: Mode,
    conn: &Connection,
    facts: &Facts,
    sink: &mut dyn Sink,
) -> Result<()> {
    match mode {
        Mode::Pages => {
            let written = pages::of_transaction(cx, conn, sink)?;
            debug_assert_eq!(written, facts.bytes());
        }
        Mode::Sql => dump::write(cx, conn, sink)?,
    }
    Ok(())
}

/// The stream format of a mode.
pub fn format_of(mode: Mode) -> &'static str {
    match mode {
        Mode::Pages => PAGES,
        Mode::Sql => SQL,
    }
}

fn versions() -> BTreeMap<String, String> {
    BTreeMap::from([("sqlite".to_owned(), rusqlite::version().to_owned())])
}
