//! The system call that sets the I/O class of a thread: the host's one room with `unsafe` beside the loader.
//!
//! Neither std, rustix nor libc has a function for `ioprio_set`, and calling the program `ionice` would make a run depend on
//! it. It decides nothing: see [`super::priority`].
#![allow(unsafe_code)]

use std::io;

use crate::config::IoClass;

/// `IOPRIO_WHO_PROCESS` of linux/ioprio.h: in spite of its name, one thread.
const WHO_PROCESS: libc::c_int = 1;
/// The calling thread.
const SELF: libc::c_int = 0;
const CLASS_SHIFT: u32 = 13;
const BEST_EFFORT: libc::c_int = 2;
const IDLE: libc::c_int = 3;

/// Puts the calling thread into `class`; what it starts from now on inherits that.
pub fn set(class: IoClass) -> io::Result<()> {
    let value = match class {
        IoClass::Idle => IDLE << CLASS_SHIFT,
        IoClass::BestEffort(level) => (BEST_EFFORT << CLASS_SHIFT) | libc::c_int::from(level),
    };
    // SAFETY: `ioprio_set(int, int, int)` takes three numbers by value and touches no memory of ours.
    let result = unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, SELF, value) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
