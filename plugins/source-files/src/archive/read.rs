//! Reads an archive member by member from a stream, whoever wrote it.
//!
//! It holds one header and one block of data in memory. It judges the format only; whether a path is safe is the business
//! of the restore.

use std::io::{self, Read};

use windlass_plugin_api::{Context, Reader, Result};

use super::header::{self, Block};
use super::pax::{Records, Sparse};
use super::{BLOCK, Extent, Kind, MAX_HEADER, Member, Time, broken, padding, sparse};

/// The size of the read buffer.
const BUFFER: usize = 256 * 1024;

/// An archive that is being read.
pub struct Archive<'a> {
    cx: &'a Context,
    input: Reader,
    buffer: Box<[u8]>,
    /// What of the buffer is read and not yet used.
    filled: std::ops::Range<usize>,
    /// How many stored bytes of the present member's data are still to come.
    left: u64,
    /// The zeros behind them.
    padding: usize,
    global: Records,
}

/// What the headers before a member's own one say.
#[derive(Default)]
struct Before {
    records: Option<Records>,
    long_path: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl<'a> Archive<'a> {
    /// The archive in `input`.
    pub fn new(cx: &'a Context, input: Reader) -> Self {
        let buffer = vec![0; BUFFER].into();
        Self { cx, input, buffer, filled: 0..0, left: 0, padding: 0, global: Records::default() }
    }

    /// The next member, or `None` behind the last, once the stream's end is reached. What is left of the data of the
    /// member before is skipped. An end without the mark of an end is an error.
    pub fn next_member(&mut self) -> Result<Option<Member>> {
        self.skip()?;
        let mut before = Before::default();
        loop {
            let Some(block) = self.block()? else {
                return Err(broken("it is truncated"));
            };
            if block.iter().all(|&byte| byte == 0) {
                self.end()?;
                return Ok(None);
            }
            header::check(&block)?;
            match block[156] {
                b'x' | b'X' => {
                    let mut records = self.global.clone();
                    records.read(&self.extension(&block)?)?;
                    before.records = Some(records);
                }
                b'g' => {
                    let text = self.extension(&block)?;
                    self.global.read(&text)?;
                }
                b'L' => before.long_path = Some(header::text(&self.extension(&block)?).to_vec()),
                b'K' => before.long_link = Some(header::text(&self.extension(&block)?).to_vec()),
                // A volume's label is no member.
                b'V' => self.begin(header::unsigned(&block[124..136])?),
                _ => return self.member(&block, before).map(Some),
            }
            self.skip()?;
        }
    }

    /// The member of `block` and of what came before it; its data come next.
    fn member(&mut self, block: &Block, before: Before) -> Result<Member> {
        let mut records = before.records.unwrap_or_else(|| self.global.clone());
        let mut path = records.path.take().or(before.long_path).unwrap_or_else(|| header::path(block));
        let mut kind = kind(block[156])?;
        if kind == Kind::File && path.ends_with(b"/") {
            // How folders were told before there was a type for them.
            kind = Kind::Folder;
        }
        let stored = match kind {
            // The size of what isn't a file says nothing of the stream.
            Kind::File => records.size.map_or_else(|| header::unsigned(&block[124..136]), Ok)?,
            _ => 0,
        };
        self.begin(stored);
        let (size, extents) = match kind {
            Kind::File => self.pieces(block, stored, &mut records.sparse)?,
            _ => (0, None),
        };
        path = records.sparse.name.take().unwrap_or(path);
        let mtime = records.mtime.map_or_else(|| header_time(block), Ok)?;
        Ok(Member {
            path,
            kind,
            mode: (header::number(&block[100..108])? & 0o7777) as u32,
            uid: records.uid.map_or_else(|| header::unsigned(&block[108..116]), Ok)?,
            gid: records.gid.map_or_else(|| header::unsigned(&block[116..124]), Ok)?,
            mtime,
            size,
            link: records
                .link
                .or(before.long_link)
                .unwrap_or_else(|| header::text(&block[157..257]).to_vec()),
            xattrs: records.xattrs,
            extents,
        })
    }

    /// The real size of a file of `stored` bytes and, of a sparse one, its pieces.
    fn pieces(
        &mut self,
        block: &Block,
        stored: u64,
        about: &mut Sparse,
    ) -> Result<(u64, Option<Vec<Extent>>)> {
        let (size, extents) = if block[156] == b'S' {
            (header::unsigned(&block[483..495])?, self.old_sparse_map(block)?)
        } else if about.version.0 >= 1 {
            let size = about.size.ok_or_else(|| broken("a sparse file has no size"))?;
            (size, self.sparse_map()?)
        } else if about.size.is_some() || !about.map.is_empty() {
            (about.size.unwrap_or(stored), std::mem::take(&mut about.map))
        } else {
            return Ok((stored, None));
        };
        sparse::check(&extents, size, self.left)?;
        Ok((size, Some(extents)))
    }

    /// Some of the present member's stored data, at most `most` bytes; empty at their end.
    pub fn data(&mut self, most: u64) -> Result<&[u8]> {
        let most = self.left.min(most);
        if most == 0 {
            return Ok(&[]);
        }
        if self.filled.is_empty() {
            self.fill(0)?;
        }
        let count = self.filled.len().min(usize::try_from(most).unwrap_or(usize::MAX));
        if count == 0 {
            return Err(broken("it is truncated in the middle of a file"));
        }
        let begin = self.filled.start;
        self.filled.start += count;
        self.left -= count as u64;
        Ok(&self.buffer[begin..begin + count])
    }

    fn begin(&mut self, stored: u64) {
        self.left = stored;
        self.padding = padding(stored);
    }

    fn skip(&mut self) -> Result<()> {
        while !self.data(u64::MAX)?.is_empty() {}
        self.left = std::mem::take(&mut self.padding) as u64;
        while !self.data(u64::MAX)?.is_empty() {}
        Ok(())
    }

    /// Reads more behind the first `keep` bytes of the buffer, which are moved to its beginning.
    fn fill(&mut self, keep: usize) -> Result<usize> {
        self.cx.go_on()?;
        self.buffer.copy_within(self.filled.clone(), 0);
        self.filled = 0..keep;
        loop {
            match self.input.read(&mut self.buffer[keep..]) {
                Ok(count) => {
                    self.filled.end += count;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The next 512 bytes; `None` where the stream ends exactly here.
    fn block(&mut self) -> Result<Option<Block>> {
        while self.filled.len() < BLOCK {
            let have = self.filled.len();
            if self.fill(have)? == 0 {
                return if have == 0 { Ok(None) } else { Err(broken("it is truncated")) };
            }
        }
        let mut block = [0; BLOCK];
        block.copy_from_slice(&self.buffer[self.filled.start..self.filled.start + BLOCK]);
        self.filled.start += BLOCK;
        Ok(Some(block))
    }

    /// The data of an extension header, whole.
    fn extension(&mut self, block: &Block) -> Result<Vec<u8>> {
        let size = header::unsigned(&block[124..136])?;
        if size > MAX_HEADER {
            return Err(broken(format_args!("a header is {size} bytes long")));
        }
        self.begin(size);
        let mut text = Vec::new();
        loop {
            let part = self.data(u64::MAX)?;
            if part.is_empty() {
                return Ok(text);
            }
            text.extend_from_slice(part);
        }
    }

    /// Behind the first block of zeros: nothing but zeros may follow, up to the end of the stream. A second archive there
    /// would be lost without a word.
    fn end(&mut self) -> Result<()> {
        loop {
            if self.buffer[self.filled.clone()].iter().any(|&byte| byte != 0) {
                return Err(broken("something follows its end"));
            }
            self.filled = 0..0;
            if self.fill(0)? == 0 {
                return Ok(());
            }
        }
    }

    /// The map before the data of GNU's sparse form 1.0.
    fn sparse_map(&mut self) -> Result<Vec<Extent>> {
        let (extents, taken) = sparse::read_map(|block| {
            *block = self.block()?.ok_or_else(|| broken("it is truncated"))?;
            Ok(())
        })?;
        self.left =
            self.left.checked_sub(taken).ok_or_else(|| broken("a sparse map is longer than its file"))?;
        Ok(extents)
    }

    /// The map in the header of GNU's old sparse form, and in the blocks behind it.
    fn old_sparse_map(&mut self, block: &Block) -> Result<Vec<Extent>> {
        let mut extents = Vec::new();
        add_old(&mut extents, &block[386..482])?;
        let mut goes_on = block[482] != 0;
        while goes_on {
            let more = self.block()?.ok_or_else(|| broken("it is truncated"))?;
            add_old(&mut extents, &more[..504])?;
            goes_on = more[504] != 0;
            if extents.len() > sparse::MAX_READ {
                return Err(broken("a sparse map has too many pieces"));
            }
        }
        Ok(extents)
    }
}

fn add_old(extents: &mut Vec<Extent>, fields: &[u8]) -> Result<()> {
    for field in fields.chunks_exact(24).take_while(|field| field[0] != 0) {
        extents.push(Extent {
            offset: header::unsigned(&field[..12])?,
            length: header::unsigned(&field[12..])?,
        });
    }
    Ok(())
}

fn kind(letter: u8) -> Result<Kind> {
    Ok(match letter {
        b'0' | 0 | b'7' | b'S' => Kind::File,
        b'1' => Kind::Hardlink,
        b'2' => Kind::Symlink,
        b'3' | b'4' => Kind::Device,
        b'5' => Kind::Folder,
        b'6' => Kind::Fifo,
        _ => return Err(broken(format_args!("a member is of the unknown type `{}`", letter.escape_ascii()))),
    })
}

fn header_time(block: &Block) -> Result<Time> {
    let seconds =
        i64::try_from(header::number(&block[136..148])?).map_err(|_| broken("a time is out of range"))?;
    Ok(Time { seconds, nanoseconds: 0 })
}
