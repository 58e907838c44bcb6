//! The table of contents at the head of a `pg_dump` archive: read and looked through.
//!
//! It tells before anything is touched what the archive needs: extensions, roles, the version of `pg_restore`; and which
//! entries make up one table. It reads no data; `write` puts it together again. The bytes that were read are kept and handed
//! on, so the stream is read once.
//! The layout is that of `pg_backup_archiver.c` (`ReadHead`, `ReadToc`), versions 1.14 to 1.16.

use std::io::Read;

use windlass_plugin_api::{Error, ErrorKind, Reader, Result};

mod write;

pub(crate) use write::Own;

/// No table of contents of a sane database is longer, in bytes.
const LIMIT: usize = 256 << 20;

/// How an entry says that it has no data.
const NO_DATA: u8 = 3;

/// One entry: an object, or the rows of one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entry {
    /// How `pg_restore --use-list` and other entries name it.
    pub id: i64,
    /// `TABLE`, `TABLE DATA`, `INDEX`, …
    pub kind: String,
    /// Its schema; empty for what has none.
    pub schema: String,
    /// Its name; for comments and privileges the kind and the name.
    pub tag: String,
    /// The SQL that makes it.
    pub definition: String,
    /// Its owner; empty for what has none.
    pub owner: String,
    /// The entries that it needs.
    pub needs: Vec<i64>,
    /// Its rows, or large objects, stand behind the table of contents.
    pub has_data: bool,
    /// Where the definition and the owner stand in the head.
    definition_at: (usize, usize),
    owner_at: (usize, usize),
    needs_at: (usize, usize),
    /// Where the whole entry stands there.
    at: (usize, usize),
}

/// What the head of an archive says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Toc {
    /// The archive's version: 1.14, 1.15, 1.16.
    pub version: (u8, u8),
    /// The version of the server that was dumped.
    pub server: String,
    /// The entries in the archive's order.
    pub entries: Vec<Entry>,
    /// Bytes of an integer.
    int_size: usize,
    /// Bytes of the place of an entry's data.
    offset_size: usize,
    /// Where in the head the number of entries stands.
    count_at: (usize, usize),
    head: Vec<u8>,
}

impl Toc {
    /// Reads the head of `input`, and gives the rest of it.
    pub(crate) fn read(input: Reader) -> Result<(Self, Reader)> {
        let mut reading = Reading { input, head: Vec::new(), int_size: 0, is_short: false };
        let mut toc = reading.toc()?;
        toc.head = reading.head;
        Ok((toc, reading.input))
    }

    /// The table of contents at the beginning of `bytes`, and its length. None as long as it isn't there whole.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>> {
        let mut reading = Reading { input: bytes, head: Vec::new(), int_size: 0, is_short: false };
        match reading.toc() {
            Ok(toc) => Ok(Some((toc, reading.head.len()))),
            Err(_) if reading.is_short => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Bytes of an integer, without its sign.
    pub(crate) fn int_size(&self) -> usize {
        self.int_size
    }

    /// The first `pg_restore` that reads this archive.
    pub(crate) fn needed_major(&self) -> u64 {
        match self.version.1 {
            0..=14 => 12,
            15 => 16,
            _ => 17,
        }
    }

    /// The extensions in it.
    pub(crate) fn extensions(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.kind == "EXTENSION")
    }
}

struct Reading<R> {
    input: R,
    head: Vec<u8>,
    int_size: usize,
    /// The input ended before the head did.
    is_short: bool,
}

impl<R: Read> Reading<R> {
    fn toc(&mut self) -> Result<Toc> {
        if self.bytes(5)? != b"PGDMP" {
            return Err(foreign());
        }
        let (major, minor) = (self.byte()?, self.byte()?);
        self.byte()?;
        if major != 1 || !(14..=16).contains(&minor) {
            let message = format!("the archive's version is {major}.{minor}, and 1.14 to 1.16 are known");
            return Err(Error::new(ErrorKind::Unsupported, message)
                .hint("`restore --output FILE` gives the archive to any `pg_restore`."));
        }
        self.int_size = self.byte()?.into();
        let offset_size = usize::from(self.byte()?);
        if !(1..=8).contains(&self.int_size) || !(1..=8).contains(&offset_size) {
            return Err(damaged());
        }
        if self.byte()? != 1 {
            return Err(Error::new(ErrorKind::Unsupported, "the archive isn't of `pg_dump`'s custom format"));
        }
        if minor >= 15 {
            self.byte()?;
        } else {
            self.int()?;
        }
        for _ in 0..7 {
            self.int()?;
        }
        self.text()?;
        let server = self.text()?.unwrap_or_default();
        self.text()?;
        let start = self.head.len();
        let count = self.int()?;
        let count_at = (start, self.head.len());
        let mut entries = Vec::new();
        for _ in 0..count {
            entries.push(self.entry(minor, offset_size)?);
        }
        Ok(Toc {
            version: (major, minor),
            server,
            entries,
            int_size: self.int_size,
            offset_size,
            count_at,
            head: Vec::new(),
        })
    }

    fn entry(&mut self, minor: u8, offset_size: usize) -> Result<Entry> {
        let begin = self.head.len();
        let mut entry = Entry { id: self.int()?, ..Entry::default() };
        self.int()?;
        self.text()?;
        self.text()?;
        entry.tag = self.text()?.unwrap_or_default();
        entry.kind = self.text()?.unwrap_or_default();
        self.int()?;
        let start = self.head.len();
        entry.definition = self.text()?.unwrap_or_default();
        entry.definition_at = (start, self.head.len());
        // How to drop and how to copy it.
        self.text()?;
        self.text()?;
        entry.schema = self.text()?.unwrap_or_default();
        // Where and how it is stored.
        self.text()?;
        self.text()?;
        if minor >= 16 {
            self.int()?;
        }
        let start = self.head.len();
        entry.owner = self.text()?.unwrap_or_default();
        entry.owner_at = (start, self.head.len());
        self.text()?;
        let start = self.head.len();
        while let Some(id) = self.text()? {
            entry.needs.push(id.parse().map_err(|_| damaged())?);
        }
        entry.needs_at = (start, self.head.len());
        entry.has_data = self.byte()? != NO_DATA;
        self.bytes(offset_size)?;
        entry.at = (begin, self.head.len());
        Ok(entry)
    }

    /// The next `count` bytes.
    fn bytes(&mut self, count: usize) -> Result<&[u8]> {
        let start = self.head.len();
        if count > LIMIT - start.min(LIMIT) {
            return Err(damaged());
        }
        let got = self.input.by_ref().take(count as u64).read_to_end(&mut self.head).map_err(Error::from)?;
        if got < count {
            self.is_short = true;
            return Err(if start == 0 { foreign() } else { damaged() });
        }
        Ok(&self.head[start..])
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.bytes(1)?[0])
    }

    fn int(&mut self) -> Result<i64> {
        let size = self.int_size;
        let bytes = self.bytes(size + 1)?;
        let value = bytes[1..].iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        let value = i64::try_from(value).map_err(|_| damaged())?;
        Ok(if bytes[0] == 0 { value } else { -value })
    }

    /// Text; none where the archive has a null. What isn't UTF-8 is for people only.
    fn text(&mut self) -> Result<Option<String>> {
        let length = self.int()?;
        let Ok(length) = usize::try_from(length) else { return Ok(None) };
        Ok(Some(String::from_utf8_lossy(self.bytes(length)?).into_owned()))
    }
}

fn foreign() -> Error {
    Error::damaged("the stream is no archive of `pg_dump`")
        .hint("SQL text is restored with `--format pg-plain/1`.")
}

fn damaged() -> Error {
    Error::damaged("the archive's table of contents can't be read")
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn what_is_no_archive_is_told() {
        for bytes in [&b""[..], b"PGD", b"-- PostgreSQL database dump", b"PGDMP\x01\x0e\x00\x04\x08\x01"] {
            let error = Toc::read(Box::new(Cursor::new(bytes.to_vec()))).err().unwrap();
            assert_eq!(error.kind, ErrorKind::Damaged, "{error}");
        }
    }
}
