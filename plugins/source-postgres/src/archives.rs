//! The archives of a parallel dump, each by itself or read as one.
//!
//! As one they are restored in one transaction, in parts, and among what is there, like any other archive. Each has its own
//! numbers for its entries; those of the rows are numbered anew, here and in the data behind.

use std::collections::BTreeMap;
use std::io::{self, Read};

use windlass_plugin_api::{Error, ErrorKind, Inputs, Reader, Result};

use crate::blocks::Blocks;
use crate::held_end::Held;
use crate::links::Links;
use crate::only::{ALWAYS, RELATIONS};
use crate::toc::{Entry, Toc};
use crate::{PARALLEL_DATA, PARALLEL_POST, PARALLEL_PRE};

/// One archive.
pub(crate) struct Archive {
    /// What is in it.
    pub toc: Toc,
    /// Its data, up to the stream's end.
    pub rest: Reader,
}

/// All of them.
pub(crate) struct Archives {
    /// Definitions. Its stream was read to its end.
    pub pre: Toc,
    /// Rows, sequences' values and large objects.
    pub data: Vec<Archive>,
    /// What is made last. Its stream was read to its end.
    pub post: Toc,
}

impl Archives {
    /// Opens all, and reads what is in them.
    pub(crate) fn open(input: &dyn Inputs) -> Result<Self> {
        let (mut pre, mut post, mut data) = (None, None, Vec::new());
        for (stream, info) in input.streams() {
            let open = || Toc::read(Box::new(Held::new(input.open(&stream)?)));
            match info.stream_format.as_str() {
                PARALLEL_PRE => pre = Some(definitions(open()?)?),
                PARALLEL_POST => post = Some(definitions(open()?)?),
                PARALLEL_DATA => {
                    let (toc, rest) = open()?;
                    data.push(Archive { toc, rest });
                }
                _ => {}
            }
        }
        let (Some(pre), Some(post)) = (pre, post) else {
            return Err(Error::new(ErrorKind::Unsupported, "one stream alone of a parallel dump can't be restored")
                .hint("Each stream is an archive of its own: `restore --output FILE` gives it to `pg_restore`, or name it `--format pg-custom/1`."));
        };
        if data.iter().any(|one| !one.toc.is_like(&pre)) || !post.is_like(&pre) {
            return Err(Error::damaged("the archives of the dump are of different versions"));
        }
        Ok(Self { pre, data, post })
    }

    /// What one archive of all would have to say.
    pub(crate) fn toc(&self) -> Result<Toc> {
        Ok(self.joined()?.0)
    }

    /// All as one archive: what is in it, and the data.
    pub(crate) fn into_one(self) -> Result<(Toc, Reader)> {
        let (toc, numbers) = self.joined()?;
        let mut rest: Reader = Box::new(io::empty());
        for (archive, numbers) in self.data.into_iter().zip(numbers) {
            let renumbered = Renumbered::new(archive.rest, toc.int_size(), numbers);
            rest = Box::new(rest.chain(renumbered));
        }
        // The end of each was held back; what stands behind the last data needs the end of all.
        Ok((toc, Box::new(Held::new(rest))))
    }

    /// The joined contents, and for each archive of data the new numbers by the old ones.
    fn joined(&self) -> Result<(Toc, Vec<BTreeMap<i64, i64>>)> {
        let mut toc = self.pre.clone();
        let (mut objects, mut links) = (BTreeMap::new(), Links::default());
        for entry in self.pre.entries.iter().filter(|entry| RELATIONS.contains(&entry.kind.as_str())) {
            objects.insert((&entry.schema, &entry.tag), entry.id);
            links.add(&entry.schema, &entry.tag, entry.id);
        }
        let mut next = toc.entries.iter().map(|entry| entry.id).max().unwrap_or(0) + 1;
        let mut all_numbers = Vec::new();
        for archive in self.data.iter().map(|archive| &archive.toc).chain([&self.post]) {
            let own = || archive.entries.iter().filter(|entry| is_own(entry));
            let numbers: BTreeMap<i64, i64> = own().map(|entry| entry.id).zip(next..).collect();
            for entry in own() {
                let mut needs = links.of(entry);
                needs.extend(objects.get(&(&entry.schema, &entry.tag)).filter(|_| is_of_relation(entry)));
                needs.extend(entry.needs.iter().filter_map(|id| numbers.get(id)));
                toc.append(archive, entry, next, needs);
                next += 1;
            }
            all_numbers.push(numbers);
        }
        Ok((toc, all_numbers))
    }
}

/// Not of the archive itself or of the database, as each archive has it.
fn is_own(entry: &Entry) -> bool {
    !ALWAYS.contains(&entry.kind.as_str()) && !entry.kind.starts_with("DATABASE")
}

/// It is the content of a relation, and is called as that one is.
fn is_of_relation(entry: &Entry) -> bool {
    ["TABLE DATA", "SEQUENCE SET", "MATERIALIZED VIEW DATA"].contains(&entry.kind.as_str())
}

/// Of an archive without data all is read and proved at once.
fn definitions((toc, mut rest): (Toc, Reader)) -> Result<Toc> {
    let more = io::copy(&mut rest, &mut io::sink())?;
    match more {
        0 => Ok(toc),
        _ => Err(Error::damaged("an archive that should hold definitions alone holds data")),
    }
}

/// The data of an archive with other numbers.
struct Renumbered {
    input: Reader,
    blocks: Blocks,
    int_size: usize,
    numbers: BTreeMap<i64, i64>,
    buffer: Vec<u8>,
    at: usize,
    /// Up to here it may be given out: the number behind isn't whole.
    ready: usize,
    ended: bool,
}

const PIECE: usize = 256 << 10;

impl Renumbered {
    fn new(input: Reader, int_size: usize, numbers: BTreeMap<i64, i64>) -> Self {
        let blocks = Blocks::new(int_size);
        Self { input, blocks, int_size, numbers, buffer: Vec::new(), at: 0, ready: 0, ended: false }
    }

    fn fetch(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.ready);
        (self.at, self.ready) = (0, 0);
        let start = self.buffer.len();
        self.buffer.resize(start + PIECE, 0);
        let count = loop {
            match self.input.read(&mut self.buffer[start..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.buffer.truncate(start + count);
        self.ended = count == 0;
        if self.ended && !self.blocks.is_between() {
            return Err(Error::damaged("the archive stops in the middle of its data").into_io());
        }
        let mut found = Vec::new();
        self.blocks
            .take(&self.buffer[start..], |id, end| found.push((id, start + end)))
            .map_err(Error::into_io)?;
        for (id, end) in found {
            let new =
                self.numbers.get(&id).copied().ok_or_else(|| {
                    Error::damaged("the archive holds data that it doesn't announce").into_io()
                })?;
            let bytes = new.unsigned_abs().to_le_bytes();
            self.buffer[end - self.int_size..end].copy_from_slice(&bytes[..self.int_size]);
        }
        self.ready = self.buffer.len() - self.blocks.of_number();
        Ok(())
    }
}

impl Read for Renumbered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.ready && !self.ended {
            self.fetch()?;
        }
        let count = buffer.len().min(self.ready - self.at);
        buffer[..count].copy_from_slice(&self.buffer[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// Gives its bytes a few at a time.
    struct Slowly(Cursor<Vec<u8>>, usize);

    impl Read for Slowly {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = buffer.len().min(self.1);
            self.0.read(&mut buffer[..most])
        }
    }

    #[test]
    fn data_gets_other_numbers_however_it_is_cut() {
        let block =
            |id: u8| [vec![1, 0, id, 0, 0, 0], vec![0, 2, 0, 0, 0, 9, 9], vec![0, 0, 0, 0, 0]].concat();
        let input = [block(5), block(7), block(5)].concat();
        for size in [1, 2, 3, 4, 5, 6, 7, 100] {
            let reader: Reader = Box::new(Slowly(Cursor::new(input.clone()), size));
            let mut renumbered = Renumbered::new(reader, 4, [(5, 15), (7, 17)].into());
            let mut out = Vec::new();
            renumbered.read_to_end(&mut out).unwrap();
            assert_eq!(out, [block(15), block(17), block(15)].concat(), "{size}");
        }
        let cut: Reader = Box::new(Cursor::new(input[..20].to_vec()));
        let error =
            Renumbered::new(cut, 4, [(5, 15), (7, 17)].into()).read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(Error::from(error).kind, ErrorKind::Damaged);
    }
}
