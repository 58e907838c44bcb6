//! A storage that fails on request: a fixture for the tests of the host. Keeps objects in a folder.
//!
//! It goes wrong in the chosen ways and is honest otherwise. Nothing but a test names it. Errors, short writes and slowness
//! are [`Faulty`]'s; what no storage should be able to do, panics and lies, is done here.

mod folder;
mod wrong;

use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use windlass_plugin_api::{Context, ErrorKind, Plugin, Result};
use windlass_testkit::{Failure, Faulty, Operation};

use crate::folder::Folder;
use crate::wrong::Wrong;
pub use crate::wrong::{Hang, Lie, Misbehaving, Place};

windlass_plugin_api::export_plugin! {
    storage Misbehaving {
        "name": "misbehaving",
        "summary": "keeps objects in a folder and goes wrong on request",
        "schemes": ["misbehaving"],
        "url_option": "root",
    }
    options: "../options.schema.json"
}

/// Options of `misbehaving`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The folder that objects are kept in. It must be there.
    root: PathBuf,
    /// Calls that fail.
    #[serde(default)]
    fail: Vec<Fail>,
    /// The so many-th publish puts its object in place and fails all the same.
    #[serde(default)]
    publish_then_fail: Option<u64>,
    /// Every delete is denied.
    #[serde(default)]
    deny_delete: bool,
    /// At most so many bytes a second are written, and read.
    #[serde(default)]
    bytes_per_second: Option<u64>,
    /// A write takes, and a read gives, at most so many bytes.
    #[serde(default)]
    short_writes: Option<usize>,
    /// Where to panic.
    #[serde(default)]
    panic_in: Option<Place>,
    /// What to lie about.
    #[serde(default)]
    lie: Option<Lie>,
    /// Where to hang.
    #[serde(default)]
    hang: Option<Hang>,
    /// Bytes of every stream, by their place, that are read with a flipped bit.
    #[serde(default)]
    damaged_at: Vec<u64>,
    /// Reading a stream fails for ever at this place.
    #[serde(default)]
    breaks_at: Option<u64>,
    /// A file that each write adds a line to: the folder, and how many bytes were written in all.
    #[serde(default)]
    ledger: Option<PathBuf>,
    /// Before the so many-th write the folder is removed with all that is in it.
    #[serde(default)]
    vanish: Option<u64>,
}

/// Calls of one operation that fail.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fail {
    /// The operation.
    op: Operation,
    /// The first call that fails, counted from 1 over all objects.
    #[serde(default = "one")]
    nth: u64,
    /// All later calls fail as well.
    #[serde(default)]
    for_ever: bool,
    /// The call does its work and fails all the same.
    #[serde(default)]
    after: bool,
    /// Of what kind the error is: `full`, `denied`, `unavailable`, `failed`, …
    #[serde(default)]
    #[schemars(with = "String")]
    kind: ErrorKind,
}

fn one() -> u64 {
    1
}

impl Plugin for Misbehaving {
    type Options = Options;

    fn new(options: Options, _: &Context) -> Result<Self> {
        let mut storage = Faulty::new(Folder::new(options.root.clone()));
        for fail in options.fail {
            let mut failure = Failure::new(fail.op, fail.nth, fail.kind);
            failure.times = (!fail.for_ever).then_some(1);
            failure.after = fail.after;
            storage = storage.fail(failure);
        }
        if let Some(nth) = options.publish_then_fail {
            storage = storage.publish_then_fail(nth);
        }
        if options.deny_delete {
            storage = storage.deny_delete();
        }
        if let Some(rate) = options.bytes_per_second {
            storage = storage.bytes_per_second(rate);
        }
        if let Some(bytes) = options.short_writes {
            storage = storage.short(bytes);
        }
        let wrong = Wrong {
            panic_in: options.panic_in,
            lie: options.lie,
            vanish: options.vanish.map(|nth| (nth, options.root.clone())),
            hang: options.hang,
            damaged_at: options.damaged_at,
            breaks_at: options.breaks_at,
            ledger: options.ledger.map(|ledger| (ledger, options.root)),
            ..Wrong::default()
        };
        Ok(Self::around(Arc::new(storage), wrong))
    }
}
