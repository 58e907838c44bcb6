//! Reads one of a program's pipes from a thread of its own, so that the program never stands still on a full one.
//!
//! A pipe ends when its last writer closes it, and that may be a process which left the group and lives on: so a pump
//! also ends, after it has taken what is there, when the `stop` pipe does.

use std::io::{self, PipeReader, Read};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// A running pump. Dropping it detaches the thread.
pub(crate) struct Pump<T> {
    thread: JoinHandle<T>,
    /// Never gets anything; is hung up when the thread ends.
    ended: Receiver<()>,
}

impl<T: Send + 'static> Pump<T> {
    /// Gives all that `pipe` brings to `take`, in pieces, and at the end calls `end`.
    pub(crate) fn start(
        mut pipe: PipeReader,
        stop: Arc<PipeReader>,
        mut take: impl FnMut(&[u8]) + Send + 'static,
        end: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<Self> {
        let (alive, ended) = channel();
        let thread = Builder::new().name("windlass-pump".to_owned()).spawn(move || {
            let _alive = alive;
            let mut buffer = vec![0; 64 << 10];
            while let Ok(count) = next(&mut pipe, &stop, &mut buffer)
                && count > 0
            {
                take(&buffer[..count]);
            }
            end()
        })?;
        Ok(Self { thread, ended })
    }

    /// Whether the pipe has ended within `limit`.
    pub(crate) fn has_ended(&self, limit: Duration) -> bool {
        !matches!(self.ended.recv_timeout(limit), Err(RecvTimeoutError::Timeout))
    }

    /// What `end` gave; none if the thread panicked.
    pub(crate) fn join(self) -> Option<T> {
        self.thread.join().ok()
    }
}

/// The next piece of `pipe`; 0 when it has ended or nothing more is there and `stop` has.
fn next(pipe: &mut PipeReader, stop: &PipeReader, buffer: &mut [u8]) -> io::Result<usize> {
    let [readable, _] = ready([Some(&*pipe), Some(stop)], None)?;
    if readable { pipe.read(buffer) } else { Ok(0) }
}

/// Waits until one of `pipes` has something or has ended; says which. All false: `limit` has passed.
pub(crate) fn ready(pipes: [Option<&PipeReader>; 2], limit: Option<Duration>) -> io::Result<[bool; 2]> {
    let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
    loop {
        let mut fds: Vec<PollFd<'_>> = pipes
            .iter()
            .flatten()
            .map(|pipe| PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN))
            .collect();
        match poll(&mut fds, limit.as_ref()) {
            // A signal for someone else. The limit starts anew: it is about silence.
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => {
                let mut events = fds.iter().map(|fd| !fd.revents().is_empty());
                return Ok(pipes.map(|pipe| pipe.is_some() && events.next().unwrap_or(false)));
            }
        }
    }
}
