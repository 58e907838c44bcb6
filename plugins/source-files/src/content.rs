//! The bytes of one file, read into the archive.
//!
//! The archive has announced a size by now, so exactly as many bytes are written whatever the file does meanwhile: one that
//! grows is cut, one that shrinks or can't be read on is filled up with zeros.

use std::io;

use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{Stat, fstat};
use rustix::io::Errno;
use windlass_plugin_api::Result;

use crate::archive::Extent;
use crate::archive::write::Writer;

/// How the reading went.
#[derive(Debug)]
pub enum Outcome {
    /// As announced.
    Whole,
    /// The file was written to meanwhile; the archive has its first part, or a mixture.
    Changed,
    /// The file ended after so many bytes; zeros stand for the rest.
    Short(u64),
    /// Reading failed after so many bytes; zeros stand for the rest.
    Failed(u64, io::Error),
}

/// Writes the first `stat.st_size` bytes of `file`, or its pieces.
pub fn copy(
    file: impl AsFd,
    stat: &Stat,
    extents: Option<&[Extent]>,
    archive: &mut Writer<'_>,
) -> Result<Outcome> {
    let size = stat.st_size as u64;
    let whole = [Extent { offset: 0, length: size }];
    let mut copy = Copy { file: file.as_fd(), archive, outcome: Outcome::Whole, reads: 0 };
    let mut written = 0;
    for extent in extents.unwrap_or(&whole) {
        copy.piece(*extent, size)?;
        written += extent.length;
    }
    let (outcome, reads) = (copy.outcome, copy.reads);
    archive.pad(written)?;
    Ok(match outcome {
        // What one read gives is one state of the file; several may see several.
        Outcome::Whole if reads > 1 && changed(file.as_fd(), stat) => Outcome::Changed,
        outcome => outcome,
    })
}

fn changed(file: BorrowedFd<'_>, before: &Stat) -> bool {
    fstat(file).is_ok_and(|now| {
        (now.st_size, now.st_mtime, now.st_mtime_nsec)
            != (before.st_size, before.st_mtime, before.st_mtime_nsec)
    })
}

struct Copy<'a, 'b> {
    file: BorrowedFd<'a>,
    archive: &'a mut Writer<'b>,
    outcome: Outcome,
    reads: u32,
}

impl Copy<'_, '_> {
    fn piece(&mut self, extent: Extent, size: u64) -> Result<()> {
        let (mut at, end) = (extent.offset, extent.offset + extent.length);
        // One byte more than announced tells growth without a call of its own.
        let beyond = u64::from(end == size);
        while at < end {
            if matches!(self.outcome, Outcome::Short(_) | Outcome::Failed(..)) {
                return self.archive.zeros(end - at);
            }
            let space = self.archive.space()?;
            let asked = usize::try_from(end - at + beyond).unwrap_or(usize::MAX).min(space.len());
            self.reads += 1;
            match rustix::io::pread(self.file, &mut space[..asked], at) {
                Ok(0) => self.outcome = Outcome::Short(at),
                Ok(count) => {
                    let taken = (count as u64).min(end - at);
                    self.archive.advance(taken as usize);
                    at += taken;
                    if count as u64 > taken {
                        self.outcome = Outcome::Changed;
                    }
                }
                Err(Errno::INTR) => {}
                Err(error) => self.outcome = Outcome::Failed(at, error.into()),
            }
        }
        Ok(())
    }
}
