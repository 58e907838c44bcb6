//! Which way makes all collections of a backup be of one moment: a snapshot session, the oplog, or none.
//!
//! Chooses and says why; reads nothing but sizes and limits. The ways themselves are in `backup` and `oplog`.

use bson::doc;
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::connect::Server;
use crate::oplog;
use crate::options::{Consistency, Options};

/// How long servers keep their history unless they are told otherwise.
const WINDOW: u64 = 300;

/// What makes the collections be of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Snapshot,
    Oplog,
    None,
}

/// The way that was chosen, and what the user should know of it.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) way: Way,
    pub(crate) warning: Option<String>,
    pub(crate) note: String,
}

/// What a deployment can, and what it would take.
#[derive(Clone, Copy, Debug)]
struct Able {
    /// A replica set.
    oplog: bool,
    /// A replica set or sharded cluster of version 5.0 or later.
    snapshot: bool,
    replicated: bool,
    /// Seconds that the run may take, by its size.
    seconds: u64,
    /// Seconds that a past moment can be read.
    window: u64,
}

/// Chooses. `bytes` is how much there is to read.
pub(crate) async fn choose(server: &Server, options: &Options, bytes: u64) -> Result<Choice> {
    let member = server.hello.contains_key("setName");
    let replicated = member || server.hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid");
    // Version 5.0.
    let recent = server.hello.get("maxWireVersion").and_then(number).unwrap_or(0) >= 13;
    let able = Able {
        oplog: member,
        snapshot: replicated && recent,
        replicated,
        seconds: bytes / (u64::from(options.read_rate.max(1)) << 20),
        window: window(server, options).await,
    };
    let wants_oplog = wanted(options.consistency, able)? == Way::Oplog;
    let refused = if wants_oplog { oplog::readable(server).await.err() } else { None };
    match refused {
        Some(error) if options.consistency == Consistency::Oplog || !able.snapshot => {
            if options.consistency == Consistency::Auto && error.kind == ErrorKind::Denied {
                return Ok(told(Way::None, able, options, Some("the oplog can't be read")));
            }
            Err(error)
        }
        Some(_) => Ok(told(Way::Snapshot, able, options, None)),
        None => Ok(told(wanted(options.consistency, able)?, able, options, None)),
    }
}

/// The way by what is asked for and what can be; an error if the one asked for can't.
fn wanted(asked: Consistency, able: Able) -> Result<Way> {
    let fits = able.seconds <= able.window;
    match asked {
        Consistency::None => Ok(Way::None),
        Consistency::Snapshot if able.snapshot => Ok(Way::Snapshot),
        Consistency::Snapshot => Err(Error::new(
            ErrorKind::Unsupported,
            format!("no snapshot of all collections is to be had: {}", why(able)),
        )),
        Consistency::Oplog if able.oplog => Ok(Way::Oplog),
        Consistency::Oplog => Err(Error::new(
            ErrorKind::Unsupported,
            "there is no oplog to be read: the server is no member of a replica set",
        )),
        Consistency::Auto if able.snapshot && (fits || !able.oplog) => Ok(Way::Snapshot),
        Consistency::Auto if able.oplog => Ok(Way::Oplog),
        Consistency::Auto => Ok(Way::None),
    }
}

fn told(way: Way, able: Able, options: &Options, why_not: Option<&str>) -> Choice {
    let Able { seconds, window, .. } = able;
    let too_long = format!(
        "The backup may take {seconds} seconds by its size, and the server keeps its history for {window}: if it takes longer \
         it fails. Let the user read `local` and `config`, so that the oplog can be used, or raise `read_rate` if it is faster."
    );
    let (note, warning) = match way {
        Way::Snapshot => (
            format!(
                "consistent by a snapshot session (about {seconds} of {window} seconds of the server's history)"
            ),
            (seconds > window).then_some(too_long),
        ),
        Way::Oplog => ("consistent by the oplog, as of the end of the run".to_owned(), None),
        Way::None => {
            let why = match options.consistency {
                Consistency::None => "the option `consistency` says so",
                _ => why_not.unwrap_or_else(|| why(able)),
            };
            let text = format!(
                "Not consistent: each collection is read while it may change, and at a time of its own, because {why}."
            );
            ("not consistent".to_owned(), Some(text))
        }
    };
    Choice { way, warning, note }
}

fn why(able: Able) -> &'static str {
    match able.replicated {
        false => "the server is no member of a replica set",
        true => "the server is older than version 5.0",
    }
}

/// How many seconds of its past the server can read.
async fn window(server: &Server, options: &Options) -> u64 {
    if let Some(seconds) = options.history_window {
        return seconds.into();
    }
    // It may not be asked by everybody, and only members of a replica set know it.
    let name = "minSnapshotHistoryWindowInSeconds";
    let reply =
        server.command("ask for the history window", "admin", doc! { "getParameter": 1, name: 1 }).await;
    reply.ok().and_then(|reply| number(reply.get(name)?)).unwrap_or(WINDOW)
}

/// A count, in whichever type of number the server gives it.
pub(crate) fn number(value: &bson::Bson) -> Option<u64> {
    match value {
        bson::Bson::Int32(number) => u64::try_from(*number).ok(),
        bson::Bson::Int64(number) => u64::try_from(*number).ok(),
        bson::Bson::Double(number) if *number >= 0.0 => Some(*number as u64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABLE: Able = Able { oplog: true, snapshot: true, replicated: true, seconds: 10, window: 300 };

    #[test]
    fn a_snapshot_is_taken_where_the_run_fits_the_window_and_the_oplog_where_it_does_not() {
        let auto = |able| wanted(Consistency::Auto, able).unwrap();
        assert_eq!(auto(ABLE), Way::Snapshot);
        assert_eq!(auto(Able { seconds: 301, ..ABLE }), Way::Oplog);
        // A sharded cluster has no one oplog: the run is tried, and may fail.
        let sharded = Able { oplog: false, seconds: 301, ..ABLE };
        assert_eq!(auto(sharded), Way::Snapshot);
        assert!(told(Way::Snapshot, sharded, &Options::default(), None).warning.is_some());
        assert!(told(Way::Snapshot, ABLE, &Options::default(), None).warning.is_none());
        let old = Able { snapshot: false, ..ABLE };
        assert_eq!(auto(old), Way::Oplog);
        let alone = Able { oplog: false, snapshot: false, replicated: false, ..ABLE };
        assert_eq!(auto(alone), Way::None);
        for asked in [Consistency::Snapshot, Consistency::Oplog] {
            assert_eq!(wanted(asked, alone).unwrap_err().kind, ErrorKind::Unsupported);
        }
    }
}
