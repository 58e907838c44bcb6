//! Writes an archive into a sink, through one buffer that files are read straight into.

use std::io::Write;

use windlass_plugin_api::{Context, Finished, Result, Sink};

use super::header::{Fields, MAX_ID, MAX_LONG, split};
use super::{BLOCK, Kind, MAX_HEADER, Member, padding, pax, sparse};

/// The size of the buffer: the sink gets writes of this size.
const BUFFER: usize = 256 * 1024;

/// An archive that is being written.
pub struct Writer<'a> {
    cx: &'a Context,
    sink: Box<dyn Sink>,
    buffer: Box<[u8]>,
    length: usize,
    records: Vec<u8>,
}

impl<'a> Writer<'a> {
    /// An archive that goes into `sink`.
    pub fn new(cx: &'a Context, sink: Box<dyn Sink>) -> Self {
        Self { cx, sink, buffer: vec![0; BUFFER].into(), length: 0, records: Vec::new() }
    }

    /// Writes the header of `member`. Exactly as many bytes as it announces (its size, or that of its pieces) must be put
    /// behind it, and then [`pad`](Self::pad) called with that number.
    pub fn member(&mut self, member: &Member) -> Result<()> {
        let map = member.extents.as_ref().map(|extents| sparse::map(extents, member.size));
        let stored = match (&member.extents, &map) {
            (Some(extents), Some(map)) => sparse::stored(extents) + map.len() as u64,
            _ if member.kind == Kind::File => member.size,
            _ => 0,
        };
        self.records(member, stored);
        if !self.records.is_empty() {
            let records = std::mem::take(&mut self.records);
            self.put(&extended(records.len() as u64).block())?;
            self.put(&records)?;
            self.pad(records.len() as u64)?;
            self.records = records;
        }
        let sparse_name = map.as_ref().map(|_| neutral_name(b"GNUSparseFile.0/", &member.path));
        let fields = Fields {
            path: sparse_name.as_deref().unwrap_or(&member.path),
            letter: letter(member.kind),
            mode: member.mode & 0o7777,
            uid: fitting(member.uid, MAX_ID),
            gid: fitting(member.gid, MAX_ID),
            size: fitting(stored, MAX_LONG),
            mtime: fitting(u64::try_from(member.mtime.seconds).unwrap_or(0), MAX_LONG),
            link: &member.link,
        };
        self.put(&fields.block())?;
        map.map_or(Ok(()), |map| self.put(&map))
    }

    /// Fills `self.records` with what the ustar header of `member` can't say.
    fn records(&mut self, member: &Member, stored: u64) {
        let records = &mut self.records;
        records.clear();
        if member.extents.is_some() {
            pax::put(records, b"GNU.sparse.major", b"1");
            pax::put(records, b"GNU.sparse.minor", b"0");
            pax::put(records, b"GNU.sparse.name", &member.path);
            pax::put_number(records, b"GNU.sparse.realsize", member.size);
        } else if split(&member.path).is_none() || is_foreign_text(&member.path) {
            pax::put(records, b"path", &member.path);
        }
        if member.link.len() > 100 || is_foreign_text(&member.link) {
            pax::put(records, b"linkpath", &member.link);
        }
        if stored > MAX_LONG {
            pax::put_number(records, b"size", stored);
        }
        if member.uid > MAX_ID {
            pax::put_number(records, b"uid", member.uid);
        }
        if member.gid > MAX_ID {
            pax::put_number(records, b"gid", member.gid);
        }
        let in_header = u64::try_from(member.mtime.seconds).is_ok_and(|seconds| seconds <= MAX_LONG);
        if member.mtime.nanoseconds > 0 || !in_header {
            pax::put_time(records, b"mtime", member.mtime);
        }
        for xattr in &member.xattrs {
            pax::put_xattr(records, xattr);
        }
    }

    /// Appends `bytes`.
    pub fn put(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let space = self.space()?;
            let count = space.len().min(bytes.len());
            space[..count].copy_from_slice(&bytes[..count]);
            self.advance(count);
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// Appends `count` zeros.
    pub fn zeros(&mut self, mut count: u64) -> Result<()> {
        while count > 0 {
            let space = self.space()?;
            let part = space.len().min(usize::try_from(count).unwrap_or(usize::MAX));
            space[..part].fill(0);
            self.advance(part);
            count -= part as u64;
        }
        Ok(())
    }

    /// Fills up the last block behind `size` bytes of data.
    pub fn pad(&mut self, size: u64) -> Result<()> {
        self.zeros(padding(size) as u64)
    }

    /// Room for at least one more byte, to be filled and then told by [`advance`](Self::advance).
    pub fn space(&mut self) -> Result<&mut [u8]> {
        if self.length == self.buffer.len() {
            self.flush()?;
        }
        Ok(&mut self.buffer[self.length..])
    }

    /// Says that `count` bytes of [`space`](Self::space) are data now.
    pub fn advance(&mut self, count: usize) {
        self.length += count;
    }

    fn flush(&mut self) -> Result<()> {
        self.cx.go_on()?;
        self.sink.write_all(&self.buffer[..self.length])?;
        self.length = 0;
        Ok(())
    }

    /// Ends the archive and its stream.
    pub fn finish(mut self) -> Result<Finished> {
        self.zeros(2 * BLOCK as u64)?;
        self.flush()?;
        self.sink.finish()
    }
}

/// Whether the pax records that `xattrs` need may be too long to be read again.
pub fn too_long(member: &Member) -> bool {
    let xattrs: usize = member.xattrs.iter().map(|(name, value)| 3 * name.len() + value.len() + 64).sum();
    (xattrs + 2 * member.path.len() + member.link.len()) as u64 + 1024 > MAX_HEADER
}

/// Text that isn't ASCII is UTF-8 in pax records and of no certain charset in headers. What isn't UTF-8 can stand in
/// either only as it is.
fn is_foreign_text(text: &[u8]) -> bool {
    !text.is_ascii() && std::str::from_utf8(text).is_ok()
}

fn fitting(number: u64, most: u64) -> u64 {
    if number <= most { number } else { 0 }
}

fn letter(kind: Kind) -> u8 {
    match kind {
        Kind::File => b'0',
        Kind::Hardlink => b'1',
        Kind::Symlink => b'2',
        Kind::Device => b'3',
        Kind::Folder => b'5',
        Kind::Fifo => b'6',
    }
}

/// The header before pax records of `size` bytes. Its name matters only to programs that don't know pax.
fn extended(size: u64) -> Fields<'static> {
    Fields {
        path: b"PaxHeaders/record",
        letter: b'x',
        mode: 0o644,
        uid: 0,
        gid: 0,
        size,
        mtime: 0,
        link: b"",
    }
}

/// `prefix` and the end of the last part of `path`, ASCII, in a header's length.
fn neutral_name(prefix: &[u8], path: &[u8]) -> Vec<u8> {
    let base = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let tail = &base[base.len().saturating_sub(60)..];
    let ascii = tail.iter().map(|byte| if byte.is_ascii_graphic() { *byte } else { b'_' });
    prefix.iter().copied().chain(ascii).collect()
}
