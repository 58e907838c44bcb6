//! An archive followed while it is written: that all the data which its table of contents announces did come.
//!
//! `pg_dump` writes no mark at the end of an archive, and a wrapper may end well though the program behind it didn't. What
//! comes is only looked at, never held up; the data itself is skipped by lengths.

use std::collections::BTreeMap;

use windlass_plugin_api::{Error, Result};

use crate::blocks::Blocks;
use crate::toc::Toc;
use crate::words::dotted;

/// Follows one archive.
pub(crate) enum Follow {
    /// In the table of contents, which is kept until it is whole; it is looked at again once it has so many bytes.
    Head(Vec<u8>, usize),
    /// Behind it, with the entries whose data hasn't begun.
    Data(Blocks, BTreeMap<i64, String>),
}

impl Follow {
    /// At the beginning.
    pub(crate) fn new() -> Self {
        Self::Head(Vec::new(), 1)
    }

    /// Looks at the next `bytes`.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Head(head, next_look) => {
                head.extend_from_slice(bytes);
                if head.len() < *next_look {
                    return Ok(());
                }
                // Twice as far each time: all looks together cost no more than two.
                *next_look = head.len() * 2;
                self.look()
            }
            Self::Data(blocks, missing) => blocks.take(bytes, |id, _| {
                missing.remove(&id);
            }),
        }
    }

    fn look(&mut self) -> Result<()> {
        let Self::Head(head, _) = self else { return Ok(()) };
        let Some((toc, length)) = Toc::parse(head)? else { return Ok(()) };
        let announced = toc.entries.iter().filter(|entry| entry.has_data);
        let missing = announced.map(|entry| (entry.id, dotted(&entry.schema, &entry.tag))).collect();
        let rest = head.split_off(length);
        *self = Self::Data(Blocks::new(toc.int_size()), missing);
        self.take(&rest)
    }

    /// An error if something is missing.
    pub(crate) fn end(mut self) -> Result<()> {
        self.look()?;
        let Self::Data(blocks, missing) = self else {
            return Err(Error::damaged("the archive stops before the end of its table of contents"));
        };
        if let Some(name) = missing.values().next() {
            return Err(Error::damaged(format!("the archive stops before the data of `{name}`")));
        }
        if !blocks.is_between() {
            return Err(Error::damaged("the archive stops in the middle of its last data"));
        }
        Ok(())
    }
}
