//! Copies a snapshot from storage to storage: the stored bytes as they are, proved by the manifest's hashes on the way.
//!
//! It is published as a backup does it: every object durable first, then the streams and what describes them, the manifest last.
//! Nothing that is there is overwritten, no filter is loaded and no key is needed.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use windlass_plugin_api::{CreateOptions, Error, ErrorKind, Reader, Result, Sink, Upload};

use super::copies::{Copies, Held, Notes};
use super::hop::{BUFFER_BYTES, WriteHop};
use super::landed;
use super::landing::Landing;
use super::leftovers::{self, Record};
use super::outputs::OpenStorage;
use super::plan::Engine;
use super::run::{Run, Ticker};
use super::verify::stored_stream;
use super::watch::{Limits, supervise};
use crate::catalog::snapshot::MANIFEST;
use crate::catalog::{Catalog, StreamRecord, hex};
use crate::exit::{Exit, Failure, Outcome};
use crate::report::CopyView;
use crate::run::lock::Lock;

/// What is to be copied where.
#[derive(Clone)]
pub struct Request {
    /// The snapshot and who has it.
    pub held: Held,
    /// The storage that lacks it, or a part of it.
    pub to: OpenStorage,
    /// Only say what would be copied.
    pub dry_run: bool,
}

/// Copies what the storage lacks; `None` if it lacks nothing.
pub fn copy(engine: &Arc<Engine>, request: &Request) -> Outcome<Option<CopyView>> {
    let run = Run::new(engine, request.held.manifest.id.clone());
    let name = request.held.manifest.key().to_string();
    let work = {
        let (engine, request, run) = (engine.clone(), request.clone(), run.clone());
        move || Copying { engine: &engine, request: &request, run: &run }.copy()
    };
    let outcome = supervise(&run.cancel, Limits::default(), &run.moved, work).and_then(|outcome| outcome);
    outcome
        .map_err(|failure| run.cancel.reason().map_or(failure, |reason| reason.failure()).in_pipeline(&name))
}

/// The locks of the pipeline `what` on all of `storages`, in one order for everybody.
pub fn lock<'a>(
    engine: &Engine,
    what: &str,
    storages: impl Iterator<Item = &'a OpenStorage>,
    doing: &str,
    wait: Duration,
) -> Outcome<Vec<Lock>> {
    let identities: BTreeSet<&str> = storages.map(|open| open.identity.as_str()).collect();
    let state = engine.state.get()?;
    let take = |identity: &str| Lock::take(state, (identity, what), doing, wait, &engine.cancel);
    identities.into_iter().map(take).collect()
}

struct Copying<'a> {
    engine: &'a Engine,
    request: &'a Request,
    run: &'a Run,
}

/// What one object is made of.
enum Content {
    Stream(StreamRecord),
    /// RESTORE.txt; its hash.
    Text(String),
    Manifest,
}

/// An object that the storage lacks.
struct Lacking {
    key: String,
    bytes: u64,
    content: Content,
}

/// An upload under way.
struct Written {
    key: String,
    bytes: u64,
    landing: Arc<Landing>,
}

impl Copying<'_> {
    fn copy(&self) -> Outcome<Option<CopyView>> {
        let started = Instant::now();
        let Request { held, to, dry_run } = self.request;
        if !dry_run {
            // First of all: what a dead run has left must not be taken for what is there.
            leftovers::remove_from(self.engine, &held.manifest.pipeline, to, &self.run.cx);
        }
        let lacking = self.lacking()?;
        if lacking.is_empty() {
            return Ok(None);
        }
        let stored_bytes = lacking.iter().map(|object| object.bytes).sum();
        if !dry_run {
            self.perform(&lacking, stored_bytes)?;
        }
        Ok(Some(CopyView {
            snapshot: held.manifest.key().to_string(),
            host: held.manifest.host.clone(),
            from: held.copies.iter().map(|open| open.name.clone()).collect(),
            to: to.name.clone(),
            objects: lacking.len(),
            stored_bytes,
            seconds: started.elapsed().as_secs_f64(),
            dry_run: *dry_run,
        }))
    }

    fn perform(&self, lacking: &[Lacking], bytes: u64) -> Outcome<()> {
        let (to, key) = (&self.request.to, self.request.held.manifest.key());
        let _ticker = Ticker::start(self.engine, self.run, "copy", &key.to_string(), Some(bytes));
        let record = Record::begin(self.engine.state.get()?, &key, std::iter::once(to))?;
        let mut published = Vec::new();
        let result = self.write(lacking).and_then(|written| self.publish(written, &mut published));
        let unclean = match &result {
            Err(_) => leftovers::take_back(self.engine, &key, to, published),
            Ok(()) => Vec::new(),
        };
        record.end(unclean);
        result
    }

    /// What the storage lacks, the manifest last. An error if something else is in the way.
    fn lacking(&self) -> Outcome<Vec<Lacking>> {
        let Request { held, to, .. } = self.request;
        let (cx, manifest) = (&self.run.cx, &held.manifest);
        let catalog = Catalog::new(to.storage.as_ref(), cx);
        let is_whole = match catalog.manifest(&manifest.key()) {
            Ok(found) if found == *manifest => true,
            Ok(_) => return Err(self.in_the_way("another manifest is there")),
            Err(error) if error.kind == ErrorKind::NotFound => false,
            Err(error) if error.kind == ErrorKind::Damaged => return Err(self.in_the_way(&error.one_line())),
            Err(error) => return Err(self.at_target(error)),
        };
        let streams = manifest.streams.iter().chain([&manifest.contents]).cloned().map(Content::Stream);
        let text = Content::Text(manifest.restore_txt.stored_sha256.clone());
        let mut lacking = Vec::new();
        for ((key, bytes, _), content) in manifest.objects().into_iter().zip(streams.chain([text])) {
            let found = to.storage.stat(cx, &key).map_err(|error| self.at_target(error))?;
            match found {
                None => lacking.push(Lacking { key, bytes, content }),
                Some(object) if object.size_bytes != bytes => {
                    let what = format!("`{key}` has {} bytes there instead of {bytes}", object.size_bytes);
                    return Err(self.in_the_way(&what));
                }
                // What a manifest stands beside is for a verify to prove; what none describes yet must be right.
                Some(_) if is_whole => {}
                Some(_) => self.prove(&key, &content)?,
            }
        }
        if !is_whole {
            let key = manifest.key().object(MANIFEST);
            lacking.push(Lacking { key, bytes: 0, content: Content::Manifest });
        }
        Ok(lacking)
    }

    /// What is there already is what would be copied.
    fn prove(&self, key: &str, content: &Content) -> Outcome<()> {
        let proved = self
            .read(Copies::one(&self.request.to), content)
            .and_then(|mut reader| std::io::copy(&mut reader, &mut std::io::sink()).map_err(Error::from));
        match proved {
            Ok(_) => Ok(()),
            Err(error) if error.kind == ErrorKind::Damaged => {
                Err(self.in_the_way(&format!("something else is there as `{key}`")))
            }
            Err(error) => Err(self.at_target(error)),
        }
    }

    /// Uploads every object and makes it durable; nothing is visible.
    fn write(&self, lacking: &[Lacking]) -> Outcome<Vec<Written>> {
        let notes = self.request.held.notes(self.engine);
        lacking.iter().map(|object| self.write_one(object, &notes)).collect()
    }

    fn write_one(&self, object: &Lacking, notes: &Arc<Notes>) -> Outcome<Written> {
        let held = &self.request.held;
        let (mut reader, bytes) = match &object.content {
            Content::Manifest => {
                let bytes = self.manifest()?;
                let length = bytes.len() as u64;
                (Box::new(std::io::Cursor::new(bytes)) as Reader, length)
            }
            content => {
                let copies = held.holding(&object.key, object.bytes, notes, self.run);
                let copies = copies.map_err(|(error, open)| Failure::from(error).at(open.stage))?;
                (self.read(copies, content).map_err(|error| self.at_origin(error))?, object.bytes)
            }
        };
        let upload = self.create(&object.key, bytes).map_err(|error| self.at_target(error))?;
        let landing = Landing::new(upload);
        let result = self.pour(&mut reader, &landing);
        if result.is_err() {
            landing.abort();
        }
        result.map(|()| Written { key: object.key.clone(), bytes, landing })
    }

    fn create(&self, key: &str, bytes: u64) -> Result<Box<dyn Upload>> {
        let how = CreateOptions {
            if_absent: true,
            size_hint: Some(bytes),
            run: self.run.id.to_string(),
            ..CreateOptions::default()
        };
        self.request.to.storage.create(&self.run.cx, key, &how)
    }

    /// Reads on this thread and writes on another.
    fn pour(&self, reader: &mut Reader, landing: &Arc<Landing>) -> Outcome<()> {
        let mut hop = WriteHop::new(landing.sink(), "storage")?;
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let count = reader.read(&mut buffer).map_err(|error| self.at_origin(error.into()))?;
            if count == 0 {
                break;
            }
            hop.write_all(&buffer[..count]).map_err(|error| self.at_target(error.into()))?;
        }
        hop.finish().map_err(|error| self.at_target(error))?;
        Ok(())
    }

    /// The bytes of an object, which end only if they are what the manifest says.
    fn read(&self, copies: Copies, content: &Content) -> Result<Reader> {
        let (reading, key) = (self.run.reading(), self.request.held.manifest.key());
        match content {
            Content::Stream(record) => stored_stream(copies, &key, record, None).stored(&reading),
            Content::Text(sha256) => self.text(&copies, sha256),
            Content::Manifest => Err(Error::failed("a manifest is read as a whole")),
        }
    }

    /// RESTORE.txt of the first storage that has it as it was.
    fn text(&self, copies: &Copies, sha256: &str) -> Result<Reader> {
        let text = &self.request.held.manifest.restore_txt;
        let key = self.request.held.manifest.key().object(&text.name);
        let mut last = Error::damaged(format!("`{key}` is damaged"));
        for open in copies.list() {
            let mut bytes = Vec::new();
            let read = open
                .storage
                .open(&self.run.cx, &key, None)
                .and_then(|reader| Ok(reader.take(text.stored_bytes + 1).read_to_end(&mut bytes)?));
            match read {
                Ok(_) if hex(&Sha256::digest(&bytes)) == sha256 => {
                    return Ok(Box::new(std::io::Cursor::new(bytes)));
                }
                Ok(_) => {}
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The manifest's own bytes: it is the same everywhere.
    fn manifest(&self) -> Outcome<Vec<u8>> {
        let held = &self.request.held;
        let mut last = Failure::from(Error::damaged("no storage has the manifest"));
        for open in &held.copies {
            match Catalog::new(open.storage.as_ref(), &self.run.cx).manifest_bytes(&held.manifest.key()) {
                Ok((manifest, bytes)) if manifest == held.manifest => return Ok(bytes),
                Ok(_) => {}
                Err(error) => last = Failure::from(error).at(open.stage.clone()),
            }
        }
        Err(last)
    }

    fn publish(&self, written: Vec<Written>, published: &mut Vec<String>) -> Outcome<()> {
        let sizes: Vec<_> = written.iter().map(|object| (object.key.clone(), object.bytes)).collect();
        let count = written.len();
        for (number, object) in written.into_iter().enumerate() {
            if number + 1 == count {
                // The manifest, mostly: what it names must be there, also what was there before.
                let named = self.request.held.manifest.objects();
                let named = named.into_iter().map(|(key, bytes, _)| (key, bytes));
                self.look(&named.filter(|(key, _)| *key != object.key).collect::<Vec<_>>())?;
            }
            self.run.cx.go_on().map_err(Failure::from)?;
            // Before it is known: what a storage that dies has published must be taken back, too.
            published.push(object.key.clone());
            match object.landing.publish() {
                Ok(stored) if stored.size_bytes == object.bytes => {}
                Ok(stored) => {
                    let (kept, key) = (stored.size_bytes, &object.key);
                    let what =
                        format!("it says that it stored {kept} bytes of `{key}`, not {}", object.bytes);
                    return Err(self.at_target(Error::new(ErrorKind::Broken, what)));
                }
                Err(error) => {
                    if error.kind == ErrorKind::AlreadyExists {
                        // Somebody else's: it isn't ours to take back.
                        published.pop();
                    }
                    return Err(self.at_target(error));
                }
            }
        }
        self.look(&sizes)
    }

    /// Looks whether what was published is there.
    fn look(&self, published: &[(String, u64)]) -> Outcome<()> {
        let (prefix, run) = (self.request.held.manifest.key().prefix(), self.run);
        let to = self.request.to.storage.as_ref();
        landed::look(to, &prefix, published, (&run.cx, &run.cancel)).map_err(|error| self.at_target(error))
    }

    fn in_the_way(&self, what: &str) -> Failure {
        let snapshot = self.request.held.manifest.key();
        let what = format!("`{snapshot}` can't be copied there: {what}");
        self.at_target(Error::new(ErrorKind::AlreadyExists, what)).hint(
            "Nothing is overwritten: remove what is there, its `manifest.json` first, if it isn't needed.",
        )
    }

    /// Whatever goes wrong there is no damage of the snapshot.
    fn at_target(&self, error: Error) -> Failure {
        Failure::new(Exit::Failed, error).at(self.request.to.stage.clone())
    }

    /// The first fault was that of the storage that is read.
    fn at_origin(&self, error: Error) -> Failure {
        self.run.faults.cause_of(error.into())
    }
}
