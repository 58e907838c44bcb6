//! Forks the supervisor, and in it the program.
//!
//! std's `Command` does the first fork (stdio, working folder, signal mask); everything after it happens in its
//! `pre_exec`, which never returns: the supervisor stays in it, the program leaves it by `execve`. The exec is done here
//! and not by std because std, when an exec fails, waits for the process it forked: the supervisor, which waits for it.

use std::ffi::{CStr, CString};
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::ptr;
use std::sync::Arc;

use libc::{c_char, c_int, c_long, c_uint, pid_t};

use super::{news, supervisor};

/// All that both forked processes need, made before the fork: after it nothing may allocate.
pub(crate) struct Launch {
    /// The program's file.
    pub path: CString,
    /// Its arguments, its own name first.
    pub argv: Vec<CString>,
    /// Its environment, `NAME=value` each.
    pub envp: Vec<CString>,
    /// The reading end of the orders.
    pub orders: PipeReader,
    /// The writing end of the news.
    pub news: PipeWriter,
    /// The writing end of the program's stdin; owned by the caller, who keeps it open over the spawn.
    pub input: Option<RawFd>,
    /// What the program inherits besides 0, 1 and 2, under the same numbers.
    pub passed: Vec<Arc<OwnedFd>>,
    /// Between TERM and KILL.
    pub grace_ms: i64,
    /// How long the program may run.
    pub limit_ms: Option<i64>,
    /// Files, then folders, that the supervisor removes if the host dies.
    pub remove: Vec<CString>,
}

/// Null-terminated pointer arrays as `execve` takes them.
struct Pointers(Vec<*const c_char>);

// SAFETY: the pointers point into `CString`s of a `Launch` that moves together with them (their heap buffers stay where
// they are) and that nobody changes.
unsafe impl Send for Pointers {}
// SAFETY: as above; they are only read.
unsafe impl Sync for Pointers {}

impl Pointers {
    fn to(strings: &[CString]) -> Self {
        Self(strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect())
    }

    // A method, so that closures capture the whole and with it `Send`.
    fn as_ptr(&self) -> *const *const c_char {
        self.0.as_ptr()
    }
}

/// Starts the supervisor and in it the program; `command` brings stdio and working folder. When this returns `Ok`, the
/// news pipe already holds `STARTED`, and `NOT_STARTED` if the exec failed. The child is the supervisor.
pub(crate) fn spawn(mut command: Command, launch: Launch) -> io::Result<Child> {
    let (argv, envp) = (Pointers::to(&launch.argv), Pointers::to(&launch.envp));
    // SAFETY: the closure runs in the forked child and makes only async-signal-safe calls: raw system calls, no
    // allocation, no lock, no panic (slices are iterated, not indexed).
    unsafe {
        command.pre_exec(move || split(&launch, argv.as_ptr(), envp.as_ptr()));
    }
    command.spawn()
}

/// Becomes the supervisor and the program. Returns only an error, and only in the first of them.
fn split(launch: &Launch, argv: *const *const c_char, envp: *const *const c_char) -> io::Result<()> {
    // SAFETY: plain system calls on plain values. A session of its own has no terminal: a program that asks for a
    // password there fails at once, where in a background group it would be stopped for ever.
    let supervisor = unsafe {
        libc::setsid();
        // Where the host ignores deaths (that is inherited), the kernel would throw the exit status away.
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        // Orphaned grandchildren come to the supervisor: so it can await them, and find those that left the group.
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1);
        libc::getpid()
    };
    // The raw call: fork(3) would run the handlers of every library in the host, which aren't async-signal-safe.
    // SAFETY: without flags but the exit signal this is fork(2); both processes have their own memory.
    let program = unsafe { libc::syscall(libc::SYS_clone, c_long::from(libc::SIGCHLD), 0, 0, 0, 0) } as pid_t;
    match program {
        -1 => Err(io::Error::last_os_error()),
        0 => exec(launch, supervisor, argv, envp),
        program => {
            // SAFETY: plain system call. The program does the same: whoever comes first, the group is there.
            unsafe { libc::setpgid(program, program) };
            tell(launch.news.as_raw_fd(), news::STARTED, program);
            supervisor::run(program, launch)
        }
    }
}

fn exec(launch: &Launch, supervisor: pid_t, argv: *const *const c_char, envp: *const *const c_char) -> ! {
    // SAFETY: plain system calls; `argv` and `envp` are null-terminated and outlive the call (see `Pointers`).
    unsafe {
        libc::setpgid(0, 0);
        // Belt and braces: should someone kill the supervisor, at least the direct child goes with it.
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        if libc::getppid() != supervisor {
            libc::_exit(127);
        }
        hide_descriptors();
        for passed in &launch.passed {
            libc::fcntl(passed.as_raw_fd(), libc::F_SETFD, 0);
        }
        libc::execve(CStr::as_ptr(&launch.path), argv, envp);
        tell(launch.news.as_raw_fd(), news::NOT_STARTED, *libc::__errno_location());
        libc::_exit(127)
    }
}

/// Marks every descriptor above 2 close-on-exec: libraries in the host may have forgotten to.
fn hide_descriptors() {
    // SAFETY: plain system calls on numbers; a number that isn't open is an error that doesn't matter.
    unsafe {
        let flag = c_long::from(libc::CLOSE_RANGE_CLOEXEC);
        if libc::syscall(libc::SYS_close_range, 3, c_uint::MAX, flag) != 0 {
            // Before Linux 5.11.
            for number in 3..open_limit() {
                libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC);
            }
        }
    }
}

/// Closes every descriptor above 2.
pub(super) fn close_descriptors() {
    // SAFETY: as above. Owners of these descriptors never run again in this process.
    unsafe {
        if libc::syscall(libc::SYS_close_range, 3, c_uint::MAX, 0) != 0 {
            // Before Linux 5.9.
            for number in 3..open_limit() {
                libc::close(number);
            }
        }
    }
}

fn open_limit() -> c_int {
    // SAFETY: asks for a number.
    let limit = unsafe { libc::sysconf(libc::_SC_OPEN_MAX) };
    c_int::try_from(limit).unwrap_or(65_536).clamp(1024, 65_536)
}

/// Writes one piece of news. Eight bytes are written whole or not at all (`PIPE_BUF`).
pub(super) fn tell(pipe: RawFd, what: i32, value: i32) {
    let message = [what, value];
    // SAFETY: the buffer is eight readable bytes. Nobody listening any more is not this process's concern.
    unsafe { libc::write(pipe, message.as_ptr().cast(), size_of_val(&message)) };
}
