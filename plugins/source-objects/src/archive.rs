//! The two ends of the archive: tar as the `tar` crate makes and reads it, with errors of the stream as they came.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tar::{Builder, EntryType, Header};
use windlass_plugin_api::{
    Context, Error, ErrorKind, Inputs, Object, Outputs, Reader, Result, Sink, StreamInfo,
};

/// The stream's name and format.
const STREAM: &str = "data";
const FORMAT: &str = "tar/1";

/// The crate writes headers by themselves: they are gathered.
const GATHERED: usize = 128 * 1024;

/// An archive that is being written.
pub struct Writer(Builder<Out>);

impl Writer {
    pub fn create(out: &dyn Outputs) -> Result<Self> {
        let sink = out.create(STREAM, StreamInfo::new(FORMAT))?;
        Ok(Self(Builder::new(Out { sink, gathered: Vec::with_capacity(GATHERED), has_failed: false })))
    }

    /// Adds `object` as `name`; `bytes` must give as many as it has.
    pub fn add(&mut self, name: &str, object: &Object, bytes: impl Read) -> Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_size(object.size_bytes);
        header.set_mode(0o644);
        header.set_mtime(object.modified.and_then(|at| u64::try_from(at).ok()).unwrap_or_default());
        self.0.append_data(&mut header, name, bytes).map_err(Error::from)
    }

    pub fn finish(self) -> Result<()> {
        let mut out = self.0.into_inner()?;
        out.pass_on()?;
        out.sink.finish().map(drop)
    }
}

/// The sink behind a buffer. Dropped, it passes nothing on; after an error neither.
struct Out {
    sink: Box<dyn Sink>,
    gathered: Vec<u8>,
    has_failed: bool,
}

impl Out {
    fn pass_on(&mut self) -> io::Result<()> {
        let result = self.sink.write_all(&self.gathered);
        self.gathered.clear();
        self.has_failed = result.is_err();
        result
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.has_failed {
            return Err(Error::failed("the stream has failed before").into());
        }
        let count = bytes.len().min(GATHERED - self.gathered.len());
        self.gathered.extend_from_slice(&bytes[..count]);
        if self.gathered.len() == GATHERED {
            self.pass_on()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file of an archive that is being read.
pub struct Member<'a> {
    /// Counted from 0, over everything in the archive.
    pub number: u64,
    pub name: String,
    pub size_bytes: u64,
    pub bytes: &'a mut dyn Read,
}

/// What else is in an archive.
pub struct Other {
    pub name: String,
    pub what: &'static str,
}

/// Calls `take` for each file of the archive and `tell` for what is neither a file nor a folder. Reads to the stream's end.
pub fn each(
    cx: &Context,
    input: &dyn Inputs,
    mut take: impl FnMut(Member<'_>) -> Result<()>,
    mut tell: impl FnMut(Other),
) -> Result<()> {
    let fault = Arc::new(Mutex::new(None));
    let mut archive = tar::Archive::new(Kept { reader: open(input)?, fault: fault.clone() });
    let torn = |error: io::Error| {
        let own = fault.lock().unwrap_or_else(PoisonError::into_inner).take();
        own.unwrap_or_else(|| Error::damaged(format!("the archive is broken: {error}")))
    };
    for (number, entry) in archive.entries().map_err(torn)?.enumerate() {
        cx.go_on()?;
        let mut entry = entry.map_err(torn)?;
        let path = entry.path_bytes().into_owned();
        let name = String::from_utf8_lossy(&path);
        let name = name.strip_prefix("./").unwrap_or(&name).to_owned();
        let mut other = |what| tell(Other { name: name.clone(), what });
        match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous => {}
            EntryType::Directory | EntryType::XGlobalHeader => continue,
            EntryType::Symlink | EntryType::Link => {
                other("a link");
                continue;
            }
            _ => {
                other("neither a file nor a folder");
                continue;
            }
        }
        if is_sparse(&mut entry).map_err(torn)? {
            other("a file with holes");
            continue;
        }
        if std::str::from_utf8(&path).is_err() {
            other("a file whose name isn't UTF-8");
            continue;
        }
        let size_bytes = entry.size();
        take(Member { number: number as u64, name, size_bytes, bytes: &mut entry })?;
    }
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    Ok(())
}

/// The map of what is where stands before the bytes, in a form that the crate doesn't read.
fn is_sparse(entry: &mut tar::Entry<'_, impl Read>) -> io::Result<bool> {
    let Some(extensions) = entry.pax_extensions()? else { return Ok(false) };
    for extension in extensions {
        if extension?.key_bytes().starts_with(b"GNU.sparse.") {
            return Ok(true);
        }
    }
    Ok(false)
}

fn open(input: &dyn Inputs) -> Result<Reader> {
    let streams = input.streams();
    let fits = |format: &str| format.is_empty() || format == FORMAT;
    match streams.iter().find(|(name, _)| name == STREAM).or(streams.first()) {
        Some((name, info)) if fits(&info.stream_format) => input.open(name),
        Some((name, info)) => Err(Error::new(
            ErrorKind::Unsupported,
            format!("the stream `{name}` is `{}`, not `{FORMAT}`", info.stream_format),
        )),
        None => Err(Error::damaged("the snapshot has no stream")),
    }
}

/// Keeps the error of a stream, which the crate may wrap.
struct Kept {
    reader: Reader,
    fault: Arc<Mutex<Option<Error>>>,
}

impl Read for Kept {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.reader.read(into).map_err(|error| {
            if error.kind() == io::ErrorKind::Interrupted {
                return error;
            }
            let error = Error::from(error);
            *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
            error.into()
        })
    }
}
