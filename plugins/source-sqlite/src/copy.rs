//! How a backup of a database in rollback mode keeps writers waiting for no longer than a copy takes.
//!
//! The file's own bytes are read while a read transaction is held: in rollback mode nobody writes to the main file without
//! an exclusive lock, so it is the snapshot. A storage that takes them about as fast as a disk is served straight from it.
//! When a short [grace](grace) is over and not all is uploaded, a thread copies the rest into a sibling and lets go of the
//! lock; the upload goes on from there, however slow. A reflink takes no time and no room; else the kernel copies. The
//! descriptor is the claim's, for closing one of our own would drop the very lock that is held.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use windlass_plugin_api::{Context, Error, Result};

use crate::claim::Claim;
use crate::pages::PIECE;
use crate::place::Place;
use crate::reading::Reading;
use crate::sibling::Sibling;

/// Bytes in one request to the kernel: a cancelled run is noticed between two.
const REQUEST: usize = 4 << 20;

/// How long an upload of `bytes` bytes may hold the lock before a copy is begun: about as long as copying takes, and at
/// most a second.
pub fn grace(bytes: u64) -> Duration {
    Duration::from_micros(bytes / 1000).min(Duration::from_secs(1))
}

/// The snapshot's bytes, wherever they are by now.
pub struct Shelf {
    bytes: u64,
    live: Arc<File>,
    state: Mutex<State>,
    moved: Condvar,
    // Behind the descriptor, which must be closed before the last claim ends.
    _claim: Claim,
}

#[derive(Default)]
struct State {
    /// Where the bytes are once the lock is gone.
    copy: Option<Sibling>,
    /// What lies before this was taken and needn't be copied.
    taken: u64,
    /// The taker has ended, well or not.
    done: bool,
    /// The lock is gone.
    ended: bool,
}

/// Calls `take` with the bytes of the database of `reading`, and ends its transaction after `grace` or when all was taken.
/// The result counts only if nobody wrote to the file meanwhile; an error of the copying comes first.
pub fn and_take<T>(
    cx: &Context,
    place: &Place,
    reading: Reading,
    (bytes, grace): (u64, Duration),
    take: impl FnOnce(&Shelf) -> Result<T>,
) -> Result<T> {
    let claim = Claim::new(place)?;
    let live = claim.file(place)?;
    let held = live.metadata()?.len();
    if held < bytes {
        return Err(Error::damaged(format!(
            "`{}` is {held} bytes long and should be {bytes}",
            place.path.display()
        )));
    }
    let shelf = Shelf { bytes, live, state: Mutex::default(), moved: Condvar::new(), _claim: claim };
    thread::scope(|scope| {
        let shelf = &shelf;
        let keeper = scope.spawn(move || {
            // Also when this panics: whoever waits must be woken.
            let _ended = Ended(shelf);
            let outcome = shelf.keep(cx, place, &reading, grace);
            drop(reading);
            outcome
        });
        let taken = take(shelf);
        shelf.lock().done = true;
        shelf.moved.notify_all();
        let kept = keeper.join().unwrap_or_else(|_| Err(Error::failed("the copying thread panicked")));
        match (kept, taken) {
            (Err(error), _) => Err(error),
            (Ok(()), taken) => taken,
        }
    })
}

impl Shelf {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fills `part` with the bytes from `at` on.
    pub fn read(&self, part: &mut [u8], at: u64) -> Result<()> {
        // Held over the read, so that the lock isn't let go of in the middle of it.
        let mut state = self.lock();
        match &state.copy {
            Some(copy) => copy.file.read_exact_at(part, at)?,
            // The keeper's own error is the one that is told.
            None if state.ended => return Err(Error::failed("the copy failed")),
            None => self.live.read_exact_at(part, at)?,
        }
        state.taken = at + part.len() as u64;
        Ok(())
    }

    /// Waits for the copy, and returns where it is. Only for a taker that has read nothing yet.
    pub fn whole(&self, cx: &Context) -> Result<PathBuf> {
        let mut state = self.lock();
        loop {
            if let Some(copy) = &state.copy {
                return Ok(copy.path.clone());
            }
            if state.ended {
                return Err(Error::failed("the copy failed"));
            }
            cx.go_on()?;
            let waited = self.moved.wait_timeout(state, Duration::from_millis(100));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Holds the lock as long as it may, and copies what is left then. The lock can go when this returns.
    fn keep(&self, cx: &Context, place: &Place, reading: &Reading, grace: Duration) -> Result<()> {
        let until = Instant::now() + grace;
        let mut state = self.lock();
        while !state.done {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.moved.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let (done, taken) = (state.done, state.taken);
        drop(state);
        if done {
            return reading.unchanged();
        }
        let sibling = Sibling::create(cx, place, "")?;
        self.fill(cx, &sibling.file, taken).map_err(|error| {
            error.during(format!("can't copy `{}`", place.path.display())).hint(
                "The copy lies beside the database and is as large; `when_locked = \"hold\"` needs none but blocks writers.",
            )
        })?;
        reading.unchanged()?;
        self.lock().copy = Some(sibling);
        Ok(())
    }

    /// Copies from `at` to the end, or until the taker has ended.
    fn fill(&self, cx: &Context, target: &File, at: u64) -> Result<()> {
        if rustix::fs::ioctl_ficlone(target, &*self.live).is_ok() {
            return Ok(target.set_len(self.bytes)?);
        }
        let (mut from, mut to) = (at, at);
        while from < self.bytes && !self.lock().done {
            cx.go_on()?;
            let want = usize::try_from(self.bytes - from).unwrap_or(REQUEST).min(REQUEST);
            match rustix::fs::copy_file_range(&*self.live, Some(&mut from), target, Some(&mut to), want) {
                // Some file systems say "end" where they mean "not here".
                Ok(0) => return self.fill_by_hand(cx, target, from),
                Ok(_) => {}
                Err(error) if from == at && is_unsupported(error) => {
                    return self.fill_by_hand(cx, target, from);
                }
                Err(error) => return Err(io::Error::from(error).into()),
            }
        }
        Ok(())
    }

    fn fill_by_hand(&self, cx: &Context, target: &File, mut at: u64) -> Result<()> {
        let mut piece = vec![0; PIECE];
        while at < self.bytes && !self.lock().done {
            cx.go_on()?;
            let want = usize::try_from(self.bytes - at).unwrap_or(PIECE).min(PIECE);
            self.live.read_exact_at(&mut piece[..want], at)?;
            target.write_all_at(&piece[..want], at)?;
            at += want as u64;
        }
        Ok(())
    }
}

struct Ended<'a>(&'a Shelf);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.moved.notify_all();
    }
}

fn is_unsupported(error: rustix::io::Errno) -> bool {
    use rustix::io::Errno;
    [Errno::XDEV, Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP, Errno::PERM, Errno::IO].contains(&error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_is_never_held_much_longer_than_a_copy_takes() {
        assert_eq!(grace(0), Duration::ZERO);
        assert_eq!(grace(10_000_000), Duration::from_millis(10));
        assert_eq!(grace(u64::MAX), Duration::from_secs(1));
    }
}
