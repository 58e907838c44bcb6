//! Restore to a running server: reads the RDB key by key and gives each to the server.
//!
//! Where the server has room, in empty databases that are swapped in at the end (`staging`); otherwise in place, after
//! the whole RDB was read once, so that nothing in it can surprise when half of it is written.

use std::collections::BTreeMap;

use windlass_plugin_api::{
    Context, Error, ErrorKind, Inputs, Reader, RestoreMode, RestoreOptions, Restored, Result,
};

use crate::connection::Connection;
use crate::leftovers;
use crate::load::{self, Loader};
use crate::options::Options;
use crate::rdb::{Header, Record, Records, Summary};
use crate::server::Server;
use crate::slots::Slots;
use crate::staging::{self, Staging};
use crate::target::{self, Plan};
use crate::{FORMAT, STREAM};

/// Opens the one stream.
pub fn open(input: &dyn Inputs) -> Result<Reader> {
    let streams = input.streams();
    let fits = |format: &str| format.is_empty() || format == FORMAT;
    match streams.iter().find(|(name, info)| name == STREAM && fits(&info.stream_format)) {
        Some((name, _)) if streams.len() == 1 => input.open(name),
        _ => Err(Error::new(ErrorKind::Unsupported, format!("this is no snapshot of one stream `{FORMAT}`"))),
    }
}

/// Reads the whole stream and writes nothing: what it holds, or what is wrong with it.
pub fn scan(cx: &Context, input: &dyn Inputs, how: &RestoreOptions) -> Result<Summary> {
    target::accept(how)?;
    let mut records = Records::begin(open(input)?)?;
    let mut summary = Summary::default();
    while let Some(record) = records.next()? {
        cx.go_on()?;
        summary.count(&record);
    }
    Ok(summary)
}

/// Restores to the server that the options name.
pub fn restore(
    cx: &Context,
    options: &Options,
    input: &dyn Inputs,
    how: &RestoreOptions,
    scanned: Option<Summary>,
) -> Result<Restored> {
    target::accept(how)?;
    let mut connection = Connection::open(cx, options)?;
    let mut server = Server::ask(&mut connection)?;
    target::may_be_written(&server)?;
    let leftovers = leftovers::find(&mut connection, &server)?;
    leftovers::set_aside(&leftovers, &mut server)?;
    // Asked again: the host asked before the user confirmed.
    if how.mode == RestoreMode::Fail && !server.is_empty() {
        let text = format!("`{}` isn't empty", target::place(&server, options)?);
        return Err(Error::new(ErrorKind::Refused, text));
    }
    let mut records = Records::begin(open(input)?)?;
    records.header().fits(server.rdb_version, &server.name())?;
    let mut notes = leftovers::sweep(&mut connection, &leftovers)?;
    let plan = Plan::of(options, &server, &mut connection, how)?;
    let summary = match plan {
        Plan::Staged { spare } => {
            let staging = Staging::new(cx, options, how.mode, spare);
            staging.restore(&mut connection, &mut records)?
        }
        Plan::InPlace { .. } => {
            let summary = scanned.map_or_else(|| scan(cx, input, how), Ok)?;
            load::databases(&mut connection, &summary)?;
            if server.is_cluster() {
                summary.slots.must_be_in(&Slots::served(&mut connection)?)?;
            }
            let mut sent = BTreeMap::new();
            let written = in_place(cx, &mut connection, &mut records, how.mode, &mut sent);
            written.map_err(|error| match how.mode {
                // The server was empty.
                RestoreMode::Fail => staging::take_back(cx, options, &sent, None, error),
                _ => error.during("the restore ended in the middle, and a part of the keys is there"),
            })?;
            summary
        }
    };
    notes.push(format!("Restored {}.", summary.words()));
    let left_out = summary.left_out;
    Ok(Restored { place: target::place(&server, options)?, notes, left_out, ..Restored::default() })
}

/// Sends all keys to where they belong, then the functions. `sent` counts keys by database.
fn in_place(
    cx: &Context,
    connection: &mut Connection,
    records: &mut Records<Reader>,
    mode: RestoreMode,
    sent: &mut BTreeMap<u32, u64>,
) -> Result<()> {
    if mode == RestoreMode::Replace {
        connection.call(&[b"FLUSHALL", b"ASYNC"])?;
    }
    let header = records.header();
    let mut loader = Loader::new(cx, connection, header);
    loader.replaces = mode != RestoreMode::Fail;
    let mut functions = Vec::new();
    while let Some(record) = records.next()? {
        match record {
            Record::Key(key) => {
                let to = key.database;
                *sent.entry(to).or_default() += 1;
                loader.key(key, to)?;
            }
            Record::Function(library) => functions.extend(library),
            Record::Fact | Record::LeftOut(_) => {}
        }
    }
    loader.settle()?;
    apply_functions(connection, header, &functions, mode)
}

/// Brings the functions; in mode `replace` those that are there go, also where the snapshot has none.
fn apply_functions(
    connection: &mut Connection,
    header: Header,
    functions: &[u8],
    mode: RestoreMode,
) -> Result<()> {
    if functions.is_empty() {
        if mode == RestoreMode::Replace {
            // Unknown to servers without functions, which have none to remove.
            connection.ask(&[b"FUNCTION", b"FLUSH"])?;
        }
        return Ok(());
    }
    let how = match mode {
        RestoreMode::Fail => "APPEND",
        RestoreMode::Replace => "FLUSH",
        RestoreMode::Merge => "REPLACE",
    };
    load::functions(connection, header, functions, how)
}
