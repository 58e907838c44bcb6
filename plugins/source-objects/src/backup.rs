//! A backup: each object becomes a file of the archive.
//!
//! An object that another one replaces while it is read can't be read to its end. Its file is filled up with zeros and the newer
//! object follows under the same name: whoever extracts the archive gets that one, and a restore passes the filled one over.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use serde_json::{Map, json};
use windlass_plugin_api::{Contents, Context, Error, ErrorKind, Object, Outputs, Progress, Reader, Result};

use crate::ahead::{self, SMALL_BYTES, Turn};
use crate::archive::Writer;
use crate::place::{Place, is_name};

/// How often an object may be replaced while it is read.
const ATTEMPTS: u32 = 5;

/// So many things that were left out are named.
const NAMED: usize = 100;

/// Under this name the contents say which files of the archive were filled up, by their number.
pub const FILLED: &str = "filled_up";

/// Backs `place` up.
pub fn backup(cx: &Context, place: &Place, out: &dyn Outputs) -> Result<Contents> {
    let mut backup = Backup {
        cx,
        place,
        archive: Writer::create(out)?,
        count: 0,
        bytes: 0,
        filled: Vec::new(),
        vanished: 0,
        replaced: 0,
        contents: Contents::default(),
        denied: None,
        shown: Instant::now(),
    };
    ahead::each(cx, place, |turn| backup.turn(turn))?;
    backup.finish()
}

struct Backup<'a> {
    cx: &'a Context,
    place: &'a Place,
    archive: Writer,
    /// Files in the archive, filled ones included.
    count: u64,
    bytes: u64,
    filled: Vec<u64>,
    vanished: u64,
    replaced: u64,
    contents: Contents,
    /// The first refusal to read an object.
    denied: Option<Error>,
    shown: Instant,
}

impl Backup<'_> {
    fn turn(&mut self, turn: Turn) -> Result<()> {
        self.show();
        let Turn { object, bytes } = turn;
        let name = self.place.name(&object.key).to_owned();
        if name.is_empty() || (name.ends_with('/') && object.size_bytes == 0) {
            // What some tools make in place of a folder.
            return Ok(());
        }
        if !is_name(&name) {
            self.leave_out(format!("`{}`: a segment of its key is no name", object.key));
            return Ok(());
        }
        match bytes {
            Some(Ok(bytes)) if bytes.len() as u64 <= SMALL_BYTES => {
                // What was read is what it is now.
                let object = Object { size_bytes: bytes.len() as u64, ..object };
                self.add(&name, &object, bytes.as_slice())
            }
            Some(Err(error)) => self.unread(&object.key, error),
            _ => self.large(&name, &object.key),
        }
    }

    fn add(&mut self, name: &str, object: &Object, bytes: impl Read) -> Result<()> {
        self.archive.add(name, object, bytes)?;
        self.count += 1;
        self.bytes += object.size_bytes;
        Ok(())
    }

    fn large(&mut self, name: &str, key: &str) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let looked = self.place.storage.stat(self.cx, key).and_then(|object| {
                object.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("`{key}` isn't there any more")))
            });
            let opened = looked.and_then(|object| Ok((self.place.storage.open(self.cx, key, None)?, object)));
            let (reader, object) = match opened {
                Ok(opened) => opened,
                Err(error) => return self.unread(key, error),
            };
            let place = self.place;
            let mut whole =
                Whole { cx: self.cx, place, reader, left: object.size_bytes, object, is_filled: false };
            let object = whole.object.clone();
            self.add(name, &object, &mut whole)?;
            if !whole.is_filled && whole.ends()? {
                return Ok(());
            }
            self.filled.push(self.count - 1);
            self.replaced += 1;
        }
        self.leave_out(format!("`{key}`: it was replaced {ATTEMPTS} times while it was read"));
        Ok(())
    }

    /// What it means that an object can't be read.
    fn unread(&mut self, key: &str, error: Error) -> Result<()> {
        match error.kind {
            ErrorKind::NotFound => self.vanished += 1,
            ErrorKind::Denied => {
                self.leave_out(format!("`{key}`: {}", error.one_line()));
                self.denied.get_or_insert(error);
            }
            _ => return Err(error.during(format!("can't read the object `{key}`"))),
        }
        Ok(())
    }

    fn leave_out(&mut self, what: String) {
        self.contents.left_out_count += 1;
        if self.contents.left_out.len() < NAMED {
            self.contents.left_out.push(what);
        }
    }

    fn show(&mut self) {
        if self.shown.elapsed() > Duration::from_millis(200) {
            self.shown = Instant::now();
            let (message, unit) = ("reading objects".to_owned(), "objects".to_owned());
            self.cx.progress(&Progress { message, done: self.count, unit, ..Progress::default() });
        }
    }

    fn finish(self) -> Result<Contents> {
        // One that may not be read is told; that none may be is no backup.
        if let (0, Some(error)) = (self.count, self.denied) {
            return Err(error.during(format!("no object of {} could be read", self.place.shown())));
        }
        self.archive.finish()?;
        let mut contents = self.contents;
        let mut warn = |count: u64, what: &str| {
            if count > 0 {
                contents.warnings.push(format!("While the backup ran, {count} {what}."));
            }
        };
        warn(self.vanished, "objects were removed: they aren't in the snapshot");
        warn(self.replaced, "times an object was replaced while it was read: the snapshot has the newer one");
        let objects = self.count - self.filled.len() as u64;
        contents.details = Map::from_iter([
            ("objects".to_owned(), json!(objects)),
            ("size_bytes".to_owned(), json!(self.bytes)),
            (FILLED.to_owned(), json!(self.filled)),
        ]);
        Ok(contents)
    }
}

/// As many bytes of an object as it was said to have.
struct Whole<'a> {
    cx: &'a Context,
    place: &'a Place,
    object: Object,
    reader: Reader,
    left: u64,
    /// It was replaced: zeros stand for the rest.
    is_filled: bool,
}

impl Whole<'_> {
    /// Whether it has changed since it was looked at; otherwise `error` is what it is.
    fn is_other(&self, error: Error) -> Result<()> {
        let now = self.place.storage.stat(self.cx, &self.object.key)?;
        if now.as_ref() == Some(&self.object) {
            return Err(error.during(format!("can't read the object `{}`", self.object.key)));
        }
        Ok(())
    }

    /// Whether nothing follows what was taken. More bytes are those of another object.
    fn ends(&mut self) -> Result<bool> {
        match self.reader.read(&mut [0]) {
            Ok(count) => Ok(count == 0),
            Err(error) => self.is_other(error.into()).map(|()| false),
        }
    }
}

impl Read for Whole<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let wanted = into.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        let into = &mut into[..wanted];
        if self.is_filled {
            self.cx.go_on()?;
            into.fill(0);
            self.left -= wanted as u64;
            return Ok(wanted);
        }
        let error = match self.reader.read(into) {
            Ok(0) => Error::damaged(format!("it ends {} bytes too early", self.left)),
            Ok(count) => {
                self.left -= count as u64;
                return Ok(count);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => Error::from(error),
        };
        self.is_other(error)?;
        self.is_filled = true;
        self.read(into)
    }
}
