//! The copy that a backup of a database in rollback mode uploads from, so that writers wait only for the copying.
//!
//! Bytes of the file itself are copied while a read transaction is held: in rollback mode nobody writes to the main file
//! without an exclusive lock, so it is the snapshot. A reflink takes no time and no room; else the kernel copies, which
//! holds the lock about half as long as fetching the pages through SQLite would. The descriptor is the claim's, for
//! closing one of our own would drop the very lock that is held.
//!
//! A thread copies and lets go of the lock; meanwhile the caller may already take what the [`Mark`] says is there.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use windlass_plugin_api::{Context, Error, Result};

use crate::pages::PIECE;
use crate::place::Place;
use crate::reading::Reading;
use crate::sibling::Sibling;

/// Bytes in one request to the kernel: between two, the mark is moved and a cancelled run is noticed.
const REQUEST: usize = 4 << 20;

/// Copies the database of `reading`, `bytes` bytes, into a sibling, ends the transaction as soon as that is done, and
/// meanwhile calls `take`. Its result counts only if the copy is good: an error of the copying comes first.
pub fn and_take<T>(
    cx: &Context,
    place: &Place,
    reading: Reading,
    bytes: u64,
    take: impl FnOnce(&Sibling, &Mark) -> Result<T>,
) -> Result<T> {
    let sibling = Sibling::create(cx, place, "")?;
    let mark = Mark::default();
    thread::scope(|scope| {
        let copying = scope.spawn(|| {
            // Also when this panics: whoever waits at the mark must be woken.
            let _end = EndOf(&mark);
            let outcome = copy(cx, place, &reading, &sibling, bytes, &mark);
            drop(reading);
            outcome
        });
        let taken = take(&sibling, &mark);
        if taken.is_err() {
            mark.change(|state| state.unwanted = true);
        }
        let copied = copying.join().unwrap_or_else(|_| Err(Error::failed("the copying thread panicked")));
        match (copied, taken) {
            (Err(error), _) if !mark.change(|state| state.stopped) => Err(error),
            (_, taken) => taken,
        }
    })
}

fn copy(
    cx: &Context,
    place: &Place,
    reading: &Reading,
    sibling: &Sibling,
    bytes: u64,
    mark: &Mark,
) -> Result<()> {
    let source = reading.claim().file(place)?;
    fill(cx, &source, &sibling.file, bytes, mark).map_err(|error| {
        error.during(format!("can't copy `{}`", place.path.display())).hint(
            "The copy lies beside the database and is as large; `when_locked = \"hold\"` needs none but blocks writers.",
        )
    })?;
    reading.unchanged()?;
    mark.change(|state| state.whole = true);
    Ok(())
}

/// How far the copying is.
#[derive(Default)]
pub struct Mark {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    copied: u64,
    whole: bool,
    ended: bool,
    /// Nobody wants the rest any more.
    unwanted: bool,
    /// The copying ended for that reason.
    stopped: bool,
}

impl Mark {
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.moved.notify_all();
        result
    }

    /// Waits until more than `behind` bytes are copied, and returns how many are.
    pub fn wait(&self, cx: &Context, behind: u64) -> Result<u64> {
        self.wait_for(cx, |state| state.copied > behind)
    }

    /// Waits until all is copied, proved and unlocked.
    pub fn wait_whole(&self, cx: &Context) -> Result<()> {
        self.wait_for(cx, |state| state.ended).map(|_| ())
    }

    fn wait_for(&self, cx: &Context, is_there: impl Fn(&State) -> bool) -> Result<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if state.ended && !state.whole {
                // The copying's own error is the one that is told.
                return Err(Error::failed("the copy failed"));
            }
            if is_there(&state) {
                return Ok(state.copied);
            }
            cx.go_on()?;
            state = self
                .moved
                .wait_timeout(state, Duration::from_millis(100))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn advance(&self, copied: u64) -> Result<()> {
        self.change(|state| {
            state.copied = copied;
            state.stopped = state.unwanted;
            if state.stopped { Err(Error::cancelled()) } else { Ok(()) }
        })
    }
}

struct EndOf<'a>(&'a Mark);

impl Drop for EndOf<'_> {
    fn drop(&mut self) {
        self.0.change(|state| state.ended = true);
    }
}

fn fill(cx: &Context, source: &File, target: &File, bytes: u64, mark: &Mark) -> Result<()> {
    let held = source.metadata()?.len();
    if held < bytes {
        return Err(Error::damaged(format!("it is {held} bytes long and should be {bytes}")));
    }
    if rustix::fs::ioctl_ficlone(target, source).is_ok() {
        target.set_len(bytes)?;
        return mark.advance(bytes);
    }
    let (mut from, mut to) = (0, 0);
    while from < bytes {
        cx.go_on()?;
        let want = usize::try_from(bytes - from).unwrap_or(REQUEST).min(REQUEST);
        match rustix::fs::copy_file_range(source, Some(&mut from), target, Some(&mut to), want) {
            Ok(0) => break,
            Ok(_) => mark.advance(from)?,
            Err(error) => {
                if from == 0 && is_unsupported(error) {
                    return by_hand(cx, source, target, bytes, mark);
                }
                return Err(io::Error::from(error).into());
            }
        }
    }
    // Some file systems say "end" where they mean "not here".
    if from < bytes { by_hand(cx, source, target, bytes, mark) } else { Ok(()) }
}

fn is_unsupported(error: rustix::io::Errno) -> bool {
    use rustix::io::Errno;
    [Errno::XDEV, Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP, Errno::PERM, Errno::IO].contains(&error)
}

fn by_hand(cx: &Context, source: &File, target: &File, bytes: u64, mark: &Mark) -> Result<()> {
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    while at < bytes {
        cx.go_on()?;
        let want = usize::try_from(bytes - at).unwrap_or(PIECE).min(PIECE);
        source.read_exact_at(&mut piece[..want], at)?;
        target.write_all_at(&piece[..want], at)?;
        at += want as u64;
        mark.advance(at)?;
    }
    Ok(())
}
