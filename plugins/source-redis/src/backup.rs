//! Backup: the RDB of one full synchronisation, passed on to the sink as it comes and proved on the way.

use std::time::{Duration, Instant};

use serde_json::json;
use windlass_plugin_api::{Contents, Context, Error, ErrorKind, Outputs, Result, Sink, StreamInfo};

use crate::connection::Connection;
use crate::options::Options;
use crate::rdb::Header;
use crate::rdb::checksum::{Passing, Proof};
use crate::server::Server;
use crate::sync::{self, Framing, Sync};
use crate::{FORMAT, STREAM};

/// A storage that took no bytes for so long is named where the server cut the transfer.
const SLOW: Duration = Duration::from_millis(500);

/// Backs the server up.
pub fn backup(cx: &Context, options: &Options, out: &dyn Outputs) -> Result<Contents> {
    let server = Server::ask(&mut Connection::open(cx, options)?)?;
    let mut sync = Sync::begin(cx, options, &server)?;
    let hint = sync.length().or(server.data_bytes());
    let info = StreamInfo::new(FORMAT);
    let mut sink = out.create(STREAM, hint.map_or(info.clone(), |bytes| info.size_hint(bytes)))?;
    let (mut passing, mut storage) = (Passing::new(), Storage::default());
    loop {
        cx.go_on()?;
        let passed = sync.pass(|bytes| {
            passing.pass(bytes);
            storage.write(&mut *sink, bytes)
        });
        match passed {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) if is_cut(&error) && !storage.failed => {
                return Err(explain(cx, options, &sync, &storage, error));
            }
            Err(error) => return Err(error),
        }
    }
    let (header, proof) = passing.end().map_err(|error| error.during("the server sent a damaged RDB"))?;
    let consistency_point = sync.consistency_point.clone();
    drop(sync);
    sink.finish()?;
    Ok(contents(&server, consistency_point, header, proof))
}

/// What is known of the sink's patience.
#[derive(Default)]
struct Storage {
    longest: Duration,
    failed: bool,
}

impl Storage {
    fn write(&mut self, sink: &mut dyn Sink, bytes: &[u8]) -> Result<()> {
        let started = Instant::now();
        let written = sink.write_all(bytes);
        self.longest = self.longest.max(started.elapsed());
        self.failed = written.is_err();
        Ok(written?)
    }
}

fn is_cut(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::Unavailable | ErrorKind::TimedOut)
}

/// A transfer that was cut: by a server that is gone, or by one that lost its patience with a slow storage.
fn explain(cx: &Context, options: &Options, sync: &Sync, storage: &Storage, error: Error) -> Error {
    let Ok(limits) = Connection::open(cx, options).and_then(|mut connection| sync::limits(&mut connection))
    else {
        return error.during("the server is gone");
    };
    let mut text = "the server ended the transfer".to_owned();
    if storage.longest >= SLOW {
        text.push_str(&format!(
            ": the storage once took no bytes for {:.1} s",
            storage.longest.as_secs_f64()
        ));
    }
    if !limits.is_empty() {
        text.push_str(&format!("; the server's {}", limits.join(", its ")));
    }
    let raise = match sync.framing {
        Framing::Mark(_) => {
            "set `diskless = false`, so that the server waits for the storage, or raise its `repl-timeout`"
        }
        Framing::Length(_) => "raise the server's `repl-timeout`",
    };
    // Nearer to the cause than the hint that it came with.
    Error { hint: None, ..error }.during(text).hint(format!(
        "Its log says why. If it met a limit: {raise} and the `replica` part of its `client-output-buffer-limit`, or back up to a faster storage."
    ))
}

fn contents(server: &Server, point: Option<String>, header: Header, proof: Proof) -> Contents {
    let mut contents = Contents { consistency_point: point, ..Contents::default() };
    contents.versions.insert("server".into(), server.name());
    contents.versions.insert("rdb".into(), header.version.to_string());
    let databases: Vec<_> =
        server.keys.iter().map(|(number, keys)| json!({ "database": number, "keys": keys })).collect();
    contents.details.insert("databases".into(), databases.into());
    contents.details.insert("data_bytes".into(), server.data_bytes().into());
    if proof == Proof::None {
        contents.warnings.push(
            "The server writes no checksum into its RDB (`rdbchecksum no`), so damage before the storage can't be seen."
                .into(),
        );
    }
    contents
}
