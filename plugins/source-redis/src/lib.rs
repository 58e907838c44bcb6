//! Windlass source: Redis and Valkey.
//!
//! A backup asks the server for a full synchronisation, as a replica does, and stores the RDB that comes: one moment of
//! all databases, streamed without a temporary file, its checksum proved on the way. A restore reads the RDB key by key and
//! gives each to a running server with `RESTORE`, or writes an RDB file for one that is stopped. The protocol is spoken
//! directly: no client program, and no client library, which don't serve replication.
//!
//! `sync` is the replica's side, `rdb` finds where each value ends, `load` gives keys to a server, `staging` makes a
//! restore all or nothing where the server has room for that; `ledger` and `leftovers` find what a killed one left there.

mod address;
mod backup;
mod connection;
mod errors;
mod file;
mod ledger;
mod leftovers;
mod load;
mod options;
mod probe;
mod rdb;
mod resp;
mod restore;
mod server;
mod slots;
mod staging;
mod sync;
mod target;
mod tls;
mod transport;

use windlass_plugin_api::{
    Contents, Context, Inputs, Outputs, Plugin, Probe, RestoreMode, RestoreOptions, Restored, Result, Source,
    Target, export_plugin,
};

use crate::rdb::Summary;

pub use options::Options;

export_plugin! {
    source Redis {
        "name": "redis",
        "summary": "Redis and Valkey, all databases of a server",
        "schemes": ["redis", "rediss", "valkey", "valkeys", "redis+unix"],
        "aliases": ["valkey"],
        "reads": ["redis-rdb/1"],
        "writes": ["redis-rdb/1"],
    }
    options: "../options.schema.json"
}

/// The stream format: an RDB, with the magic `REDIS` or `VALKEY` and its own version in its first nine bytes.
pub const FORMAT: &str = "redis-rdb/1";

/// The name of the one stream.
pub(crate) const STREAM: &str = "data";

/// The source.
pub struct Redis {
    options: Options,
    /// What a preview has read already: the restore needn't read it once more before it writes.
    scanned: Option<Summary>,
}

impl Plugin for Redis {
    type Options = Options;

    fn new(options: Options, _: &Context) -> Result<Self> {
        options.judge()?;
        Ok(Self { options, scanned: None })
    }
}

impl Source for Redis {
    fn probe(&mut self, cx: &Context) -> Result<Probe> {
        probe::probe(cx, &self.options)
    }

    fn backup(&mut self, cx: &Context, out: &dyn Outputs) -> Result<Contents> {
        backup::backup(cx, &self.options, out)
    }

    fn target(&mut self, cx: &Context, how: &RestoreOptions) -> Result<Target> {
        match &self.options.rdb_file {
            Some(path) => file::target(path, how),
            None => target::target(cx, &self.options, how),
        }
    }

    fn preview(&mut self, cx: &Context, input: &dyn Inputs, how: &RestoreOptions) -> Result<Vec<String>> {
        if self.options.rdb_file.is_some() || how.mode == RestoreMode::Fail {
            return Ok(Vec::new());
        }
        let summary = restore::scan(cx, input, how)?;
        let effect = format!("{} in the snapshot", summary.words());
        self.scanned = Some(summary);
        Ok(vec![effect])
    }

    fn restore(&mut self, cx: &Context, input: &dyn Inputs, how: &RestoreOptions) -> Result<Restored> {
        match &self.options.rdb_file {
            Some(path) => file::restore(cx, path, input, how),
            None => restore::restore(cx, &self.options, input, how, self.scanned.take()),
        }
    }

    fn by_hand(&self, _stream: &str, _contents: &Contents) -> Option<String> {
        // A server that is started in that folder loads it: `redis-server --dir . --dbfilename dump.rdb`.
        Some("cat > dump.rdb".to_owned())
    }
}
