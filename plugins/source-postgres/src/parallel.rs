//! The format `parallel`: several `pg_dump`s of one moment at the same time, each into a stream of its own.
//!
//! One session holds the tables and the moment. But each `pg_dump` locks its tables itself, and would stand for ever behind
//! an `ALTER TABLE` that came in between and waits for the holding session. So no stream is opened before every `pg_dump` has
//! begun to write, which it does once it has its locks; and until then all is given up and begun again if one is stuck. From
//! there on no change of the schema can come in between.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use windlass_plugin_api::{Context, Error, ErrorKind, Finished, Outputs, Result, Sink, StreamInfo};

use crate::dump::{End, dump_arguments, write};
use crate::facts::{self, Relation};
use crate::hold::Hold;
use crate::select::{Selection, quoted, select};
use crate::server::Login;
use crate::shares::shares;
use crate::survey::Survey;
use crate::{BLOBS, PARALLEL_DATA, PARALLEL_POST, PARALLEL_PRE, POST_DATA, PRE_DATA};

/// How many seconds a `pg_dump` waits for a lock at most: whoever stands before it waits for us.
const STUCK: u32 = 5;

/// How often all is begun again at least, however short `lock_timeout` is.
const ATTEMPTS: u32 = 3;

/// And at most, however fast it fails.
const MOST: u32 = 20;

/// One `pg_dump` and its stream.
struct Part {
    stream: String,
    format: &'static str,
    arguments: Vec<String>,
    bytes: Option<u64>,
}

/// Writes the streams, and gives the relations that are in them.
pub(crate) fn dump(cx: &Context, survey: &Survey<'_>, out: &dyn Outputs) -> Result<Vec<Relation>> {
    let patience = Duration::from_secs(survey.server.options.lock_timeout.into());
    let (began, mut attempts) = (Instant::now(), 0);
    loop {
        attempts += 1;
        // The first time what the survey saw is new enough: what the snapshot sees is compared with it.
        let tables = match attempts {
            1 => survey.selection.tables.clone(),
            _ => chosen(cx, survey, None)?.tables,
        };
        match attempt(cx, survey, &tables, out) {
            Ok(Attempt::Done(relations)) => return Ok(relations),
            Ok(Attempt::Stuck(error))
                if attempts == MOST || attempts >= ATTEMPTS && began.elapsed() > patience =>
            {
                return Err(error);
            }
            Ok(Attempt::Stuck(error)) => tracing::info!("the dump begins again: {error}"),
            Err(error) => return Err(error),
        }
        cx.go_on()?;
    }
}

/// How it went.
enum Attempt {
    Done(Vec<Relation>),
    /// Nothing was written: somebody changed the schema meanwhile, or waits to.
    Stuck(Error),
}

fn attempt(cx: &Context, survey: &Survey<'_>, tables: &[Relation], out: &dyn Outputs) -> Result<Attempt> {
    let hold = match Hold::take(cx, &survey.server, tables) {
        // A table that was there a moment ago.
        Err(error) if error.one_line().contains("does not exist") => return Ok(Attempt::Stuck(error)),
        hold => hold?,
    };
    let selection = match chosen(cx, survey, Some(&hold.snapshot)) {
        Err(error) if error.kind == ErrorKind::TimedOut => return Ok(Attempt::Stuck(error)),
        selection => selection?,
    };
    let held: BTreeSet<(&str, &str)> =
        tables.iter().map(|table| (table.schema.as_str(), table.name.as_str())).collect();
    if !selection.tables.iter().all(|table| held.contains(&(&table.schema, &table.name))) {
        return Ok(Attempt::Stuck(Error::failed("a table was made while the others were locked")));
    }
    let parts = parts(survey, &selection, &hold.snapshot);
    match run(cx, survey, &parts, out)? {
        Some(stuck) => Ok(Attempt::Stuck(stuck)),
        None => hold.finish().map(|()| Attempt::Done(selection.relations)),
    }
}

/// What is wanted of the relations that there are, or that `snapshot` sees.
fn chosen(cx: &Context, survey: &Survey<'_>, snapshot: Option<&str>) -> Result<Selection> {
    let server = &survey.server;
    let relations = match snapshot {
        Some(snapshot) => facts::relations_at(cx, server, snapshot, STUCK)?,
        None => facts::relations(cx, server, None)?,
    };
    // They are there to be chosen by name.
    let schemas = match server.options.schemas.is_empty() {
        true => Vec::new(),
        false => facts::schemas(cx, server, None)?,
    };
    select(server.options, relations, &schemas)
}

fn parts(survey: &Survey<'_>, selection: &Selection, snapshot: &str) -> Vec<Part> {
    let options = survey.server.options;
    let wait = options.lock_timeout.min(STUCK);
    let arguments = |section: &str, chosen: &[String]| {
        let mut own = vec![format!("--snapshot={snapshot}"), format!("--section={section}")];
        own.extend_from_slice(chosen);
        dump_arguments(survey, "custom", wait, own)
    };
    let part =
        |stream: &str, format, arguments, bytes| Part { stream: stream.to_owned(), format, arguments, bytes };
    let shares = shares(&selection.relations, options.jobs as usize);
    let others = shares[1..].iter().flat_map(|share| &share.tables);
    let mut rest = selection.arguments.clone();
    rest.extend(others.map(|table| format!("--exclude-table-data={}", quoted(table))));
    rest.push("-B".to_owned());
    let mut parts = vec![part(PRE_DATA, PARALLEL_PRE, arguments("pre-data", &selection.arguments), None)];
    for (index, share) in shares.iter().enumerate() {
        let own = || share.tables.iter().map(|table| format!("--table={}", quoted(table))).collect();
        let chosen = if index == 0 { rest.clone() } else { own() };
        let name = format!("data-{}", index + 1);
        parts.push(part(&name, PARALLEL_DATA, arguments("data", &chosen), Some(share.bytes)));
    }
    if selection.is_whole {
        let only = ["--exclude-schema=*".to_owned(), "-b".to_owned()];
        parts.push(part(BLOBS, PARALLEL_DATA, arguments("data", &only), None));
    }
    parts.push(part(POST_DATA, PARALLEL_POST, arguments("post-data", &selection.arguments), None));
    parts
}

/// Runs all `parts` at the same time. Gives an error if nothing was written yet and it is worth another attempt.
fn run(cx: &Context, survey: &Survey<'_>, parts: &[Part], out: &dyn Outputs) -> Result<Option<Error>> {
    let (news, heard) = channel();
    let given_up = Arc::new(AtomicBool::new(false));
    thread::scope(|scope| {
        let mut doors = Vec::new();
        for part in parts {
            let (door, sink) = channel();
            let gate = Gate { news: news.clone(), sink, open: None, given_up: given_up.clone() };
            let tool = survey.server.tool(cx, &survey.dump, Login::User, &part.arguments)?;
            let news = news.clone();
            scope.spawn(move || {
                let ended = write(cx, &tool, Box::new(gate), End::Archive);
                // Whoever listens may have gone: then nobody asks.
                let _ = news.send(News::Ended(
                    ended.map_err(|error| error.during(format!("stream `{}`", part.stream))),
                ));
            });
            doors.push(door);
        }
        drop(news);
        let outcome = direct(parts, doors, &heard, out);
        given_up.store(outcome.is_err(), Ordering::SeqCst);
        outcome
    })
}

/// Hears of all that runs, and opens the streams once all are ready.
fn direct(
    parts: &[Part],
    doors: Vec<Sender<Box<dyn Sink>>>,
    heard: &Receiver<News>,
    out: &dyn Outputs,
) -> Result<Option<Error>> {
    let mut ready = 0;
    while ready < parts.len() {
        match heard.recv() {
            Ok(News::Ready) => ready += 1,
            Ok(News::Ended(Err(error))) if error.kind == ErrorKind::TimedOut => return Ok(Some(error)),
            Ok(News::Ended(ended)) => {
                ended?;
                return Err(Error::failed("`pg_dump` wrote nothing"));
            }
            Err(_) => return Err(Error::new(ErrorKind::Broken, "the dumps ended without a word")),
        }
    }
    for (part, door) in parts.iter().zip(doors) {
        let info = StreamInfo::new(part.format);
        let info = match part.bytes {
            Some(bytes) => info.size_hint(bytes),
            None => info,
        };
        // It waits for this; if it died meanwhile, that is heard.
        let _ = door.send(out.create(&part.stream, info)?);
    }
    for _ in parts {
        match heard.recv() {
            Ok(News::Ended(ended)) => ended?,
            _ => return Err(Error::new(ErrorKind::Broken, "a dump ended without a word")),
        }
    }
    Ok(None)
}

/// What a part says.
enum News {
    /// Its first bytes are there: it has its locks.
    Ready,
    Ended(Result<()>),
}

/// The sink of a part: nothing passes before it is open.
struct Gate {
    news: Sender<News>,
    sink: Receiver<Box<dyn Sink>>,
    open: Option<Box<dyn Sink>>,
    given_up: Arc<AtomicBool>,
}

impl Gate {
    fn open(&mut self) -> Result<&mut Box<dyn Sink>> {
        if self.open.is_none() {
            let _ = self.news.send(News::Ready);
            self.open = self.sink.recv().ok();
        }
        self.open.as_mut().ok_or_else(given_up)
    }
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.given_up.load(Ordering::Relaxed) {
            return Err(given_up().into_io());
        }
        self.open().map_err(Error::into_io)?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.open().map_err(Error::into_io)?.flush()
    }
}

impl Sink for Gate {
    fn finish(&mut self) -> Result<Finished> {
        self.open()?.finish()
    }
}

/// Nobody gets to see it: another part's error came first.
fn given_up() -> Error {
    Error::failed("another part of the dump failed")
}
