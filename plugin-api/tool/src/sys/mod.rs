//! The one room of this crate with `unsafe`: what happens between fork and exec.
//!
//! ```text
//! host ──fork──▶ supervisor ──fork──▶ program ──▶ its own children …
//!   │ orders (pipe) ──▶│                └─ leader of a process group of its own
//!   │◀── news (pipe) ──│
//! ```
//!
//! A plugin is a library inside a host that it doesn't know, so there is no helper binary to exec: the supervisor is the
//! forked image of the host itself. It holds nothing of the host's but its end of the two pipes and the writing end of
//! the program's stdin; it never allocates, never locks, never returns. When the orders pipe ends, for whatever reason,
//! the host is gone and the supervisor kills all that descends from it.
//!
//! Deliberately not used: `PR_SET_PDEATHSIG` alone (only the direct child, tied to the parent's *thread*), a shell as a
//! watchdog (would have to be there, and shows up with arguments), a process group of the host's (no one kills it).

#![allow(unsafe_code)]

mod launch;
mod supervisor;

pub(crate) use launch::{Launch, spawn};

/// What the host tells the supervisor, a byte each. The end of the pipe means that the host is gone.
pub(crate) mod order {
    /// The program has had all of its input: let go of its stdin, so that it sees end-of-file.
    pub(crate) const END_INPUT: u8 = b'e';
    /// Ask the group to end, and kill it when the grace has passed.
    pub(crate) const TERMINATE: u8 = b't';
    /// Kill everything now, and exit when all of it is gone.
    pub(crate) const KILL: u8 = b'k';
    /// The program has ended: kill what is left of its group, and exit.
    pub(crate) const LEAVE: u8 = b'q';
}

/// What the host hears: two native `i32`, one of these and a value.
pub(crate) mod news {
    /// The program's process (and group) number.
    pub(crate) const STARTED: i32 = 1;
    /// `execve` failed with this error number. Comes from the would-be program.
    pub(crate) const NOT_STARTED: i32 = 2;
    /// The program exited with this code.
    pub(crate) const EXITED: i32 = 3;
    /// The program was killed by this signal.
    pub(crate) const KILLED: i32 = 4;
    /// The time limit has passed; the group is being ended.
    pub(crate) const TIMED_OUT: i32 = 5;
}

/// The supervisor's exit code when something of the group could not be killed (another user's process).
pub(crate) const SURVIVORS: i32 = 1;
