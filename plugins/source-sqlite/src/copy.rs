//! The copy that a backup of a database in rollback mode uploads from, so that writers wait only for the copying.
//!
//! Bytes of the file itself are copied while a read transaction is held: in rollback mode nobody writes to the main file
//! without an exclusive lock, so it is the snapshot. A reflink takes no time and no room; else the kernel copies, which
//! holds the lock about half as long as fetching the pages through SQLite would. The descriptor is the claim's, for
//! closing one of our own would drop the very lock that is held.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use windlass_plugin_api::{Context, Error, Result};

use crate::pages::PIECE;
use crate::place::Place;
use crate::reading::Reading;
use crate::sibling::Sibling;

/// Bytes in one request to the kernel: the lock's holder looks for a cancelled run between two.
const REQUEST: usize = 16 << 20;

/// Copies the database of `reading`, `bytes` bytes, into a sibling. The transaction may end afterwards.
pub fn make(cx: &Context, place: &Place, reading: &Reading, bytes: u64) -> Result<Sibling> {
    let sibling = Sibling::create(cx, place, "")?;
    let source = reading.claim().file(place)?;
    fill(cx, &source, &sibling.file, bytes).map_err(|error| {
        error.during(format!("can't copy `{}`", place.path.display())).hint(
            "The copy lies beside the database and is as large; `when_locked = \"hold\"` needs none but blocks writers.",
        )
    })?;
    reading.unchanged()?;
    Ok(sibling)
}

fn fill(cx: &Context, source: &File, target: &File, bytes: u64) -> Result<()> {
    let held = source.metadata()?.len();
    if held < bytes {
        return Err(Error::damaged(format!("it is {held} bytes long and should be {bytes}")));
    }
    if rustix::fs::ioctl_ficlone(target, source).is_ok() {
        return Ok(target.set_len(bytes)?);
    }
    let (mut from, mut to) = (0, 0);
    while from < bytes {
        cx.go_on()?;
        let want = usize::try_from(bytes - from).unwrap_or(REQUEST).min(REQUEST);
        match rustix::fs::copy_file_range(source, Some(&mut from), target, Some(&mut to), want) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => {
                if from == 0 && is_unsupported(error) {
                    return by_hand(cx, source, target, bytes);
                }
                return Err(io::Error::from(error).into());
            }
        }
    }
    // Some file systems say "end" where they mean "not here".
    if from < bytes { by_hand(cx, source, target, bytes) } else { Ok(()) }
}

fn is_unsupported(error: rustix::io::Errno) -> bool {
    use rustix::io::Errno;
    [Errno::XDEV, Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP, Errno::PERM, Errno::IO].contains(&error)
}

fn by_hand(cx: &Context, source: &File, target: &File, bytes: u64) -> Result<()> {
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    while at < bytes {
        cx.go_on()?;
        let want = usize::try_from(bytes - at).unwrap_or(PIECE).min(PIECE);
        source.read_exact_at(&mut piece[..want], at)?;
        target.write_all_at(&piece[..want], at)?;
        at += want as u64;
    }
    Ok(())
}
