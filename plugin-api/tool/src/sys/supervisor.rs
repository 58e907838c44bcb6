//! The supervisor: awaits the program, obeys the host, and kills what is left.
//!
//! It runs in a forked image of the host, so everything here is async-signal-safe: system calls on values of the stack.
//! It doesn't judge: it passes on how the program ended, and the host makes a verdict of it.

use std::{mem, ptr};

use libc::{c_int, pid_t};

use super::launch::{Launch, close_descriptors, tell};
use super::{SURVIVORS, news, order};

/// The supervisor's own descriptors, in the places of stdin, stdout and stderr.
const ORDERS: c_int = 0;
const NEWS: c_int = 1;
const INPUT: c_int = 2;

/// How long to wait for killed processes to be gone. Longer takes only one that we may not kill, or a sick disk.
const SWEEP_MS: i64 = 5_000;

/// Never returns; see [`order`] for what ends it.
pub(super) fn run(program: pid_t, launch: &Launch) -> ! {
    settle(launch);
    let started = now_ms();
    let mut watch = Watch {
        program,
        grace_ms: launch.grace_ms,
        ended: false,
        limit_at: launch.limit_ms.map(|limit| started.saturating_add(limit)),
        kill_at: None,
    };
    loop {
        watch.notice_deaths();
        let now = now_ms();
        if watch.kill_at.is_some_and(|at| now >= at) {
            exit(watch.sweep(true));
        }
        if !watch.ended && watch.limit_at.is_some_and(|at| now >= at) {
            watch.limit_at = None;
            tell(NEWS, news::TIMED_OUT, 0);
            watch.terminate(now);
        }
        match next_order(watch.wait_ms(now)) {
            Some(Some(order::END_INPUT)) => close(INPUT),
            Some(Some(order::TERMINATE)) => watch.terminate(now),
            Some(Some(order::LEAVE)) => exit(watch.sweep(false)),
            Some(Some(_)) => exit(watch.sweep(true)),
            Some(None) => {
                // The host is gone. Only now may stdin close: at end-of-file many programs commit.
                let gone = watch.sweep(true);
                remove(launch);
                exit(gone);
            }
            None => {}
        }
    }
}

/// Lets go of all that is the host's: its descriptors (a lock or a pipe that stays open here would never end), its
/// folder, its signal handlers.
fn settle(launch: &Launch) {
    use std::os::fd::AsRawFd;
    // SAFETY: plain system calls; the three sources are open and above 2, because std filled 0, 1 and 2 before.
    // The handler does nothing and is only there so that a death interrupts `ppoll`.
    unsafe {
        libc::dup2(launch.orders.as_raw_fd(), ORDERS);
        libc::dup2(launch.news.as_raw_fd(), NEWS);
        match launch.input {
            Some(input) => libc::dup2(input, INPUT),
            None => libc::close(INPUT),
        };
        close_descriptors();
        libc::chdir(c"/".as_ptr());
        libc::prctl(libc::PR_SET_NAME, c"windlass-watch".as_ptr());
        for signal in (1..=libc::SIGRTMAX()).filter(|signal| *signal != libc::SIGCHLD) {
            libc::signal(signal, libc::SIG_IGN);
        }
        let mut deaths: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&mut deaths);
        libc::sigaddset(&mut deaths, libc::SIGCHLD);
        libc::sigprocmask(libc::SIG_BLOCK, &deaths, ptr::null_mut());
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = on_death as extern "C" fn(c_int) as libc::sighandler_t;
        libc::sigaction(libc::SIGCHLD, &action, ptr::null_mut());
    }
}

extern "C" fn on_death(_: c_int) {}

struct Watch {
    program: pid_t,
    grace_ms: i64,
    /// The program has ended. It stays a zombie until the sweep, so that its number, the group's, isn't given away.
    ended: bool,
    limit_at: Option<i64>,
    kill_at: Option<i64>,
}

impl Watch {
    /// Reaps orphans that have come to us, and tells of the program's end.
    fn notice_deaths(&mut self) {
        while !self.ended {
            // SAFETY: a zeroed siginfo is a valid one; the call only fills it. Its accessors are valid for SIGCHLD
            // information, which waitid gives.
            let (dead, code, status) = unsafe {
                let mut info: libc::siginfo_t = mem::zeroed();
                let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
                if libc::waitid(libc::P_ALL, 0, &mut info, flags) != 0 {
                    return;
                }
                (info.si_pid(), info.si_code, info.si_status())
            };
            if dead == 0 {
                return;
            }
            if dead == self.program {
                self.ended = true;
                tell(NEWS, if code == libc::CLD_EXITED { news::EXITED } else { news::KILLED }, status);
            } else {
                // SAFETY: reaps exactly the process that was just reported dead.
                unsafe { libc::waitpid(dead, ptr::null_mut(), libc::WNOHANG) };
            }
        }
    }

    fn terminate(&mut self, now: i64) {
        if self.kill_at.is_none() {
            self.kill_at = Some(now.saturating_add(self.grace_ms));
            self.signal_group(libc::SIGTERM);
            // A stopped process doesn't see TERM.
            self.signal_group(libc::SIGCONT);
        }
    }

    fn signal_group(&self, signal: c_int) {
        // SAFETY: plain system call. The number is the group's as long as its leader isn't reaped.
        unsafe { libc::kill(-self.program, signal) };
    }

    /// Until when to sleep, in milliseconds.
    fn wait_ms(&self, now: i64) -> Option<i64> {
        let limit_at = if self.ended { None } else { self.limit_at };
        [limit_at, self.kill_at].into_iter().flatten().min().map(|at| (at - now).max(0))
    }

    /// Kills the group and awaits it; with `everything` also what left the group (a session of its own) but still
    /// descends from us. True when all of it is gone.
    ///
    /// One KILL to the group is enough: the kernel lets no member fork past it. Orphans become our children, so that
    /// killing our children until there are none reaches every descendant.
    fn sweep(&self, everything: bool) -> bool {
        self.signal_group(libc::SIGKILL);
        let give_up = now_ms() + SWEEP_MS;
        loop {
            let of = if everything && kill_children() { -1 } else { -self.program };
            if reap(of) {
                return true;
            }
            if now_ms() > give_up {
                return false;
            }
            sleep_ms(1);
        }
    }
}

/// Reaps dead children in `of` (as of `waitpid`). True when no child is left in it.
fn reap(of: pid_t) -> bool {
    loop {
        // SAFETY: plain system call.
        match unsafe { libc::waitpid(of, ptr::null_mut(), libc::WNOHANG) } {
            0 => return false,
            // ECHILD; EINTR can't be, for nothing is waited for.
            -1 => return true,
            _ => {}
        }
    }
}

/// Kills every direct child. False where the kernel doesn't list them.
fn kill_children() -> bool {
    let mut text = [0u8; 4096];
    // SAFETY: the path is a C string, the buffer is as long as said, the descriptor is ours.
    let count = unsafe {
        let list = libc::open(c"/proc/thread-self/children".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if list < 0 {
            return false;
        }
        let count = libc::read(list, text.as_mut_ptr().cast(), text.len());
        libc::close(list);
        count
    };
    let mut number: pid_t = 0;
    // A number cut at the end of the buffer has no blank behind it and waits for the next round.
    for byte in text.iter().take(usize::try_from(count).unwrap_or(0)) {
        if byte.is_ascii_digit() {
            number = number.wrapping_mul(10).wrapping_add(pid_t::from(byte - b'0'));
        } else if number > 0 {
            // SAFETY: plain system call. A child of ours keeps its number until we reap it.
            unsafe { libc::kill(mem::take(&mut number), libc::SIGKILL) };
        }
    }
    true
}

/// The next order; `Some(None)` when the host is gone, `None` when time has passed or a child has died.
fn next_order(wait_ms: Option<i64>) -> Option<Option<u8>> {
    let mut fd = libc::pollfd { fd: ORDERS, events: libc::POLLIN, revents: 0 };
    let time = wait_ms.map(timespec);
    let time = time.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: one pollfd, a timespec that lives to the end of the call or none, and an empty mask: a death, blocked
    // everywhere else, is let through here, so none is missed.
    let ready = unsafe {
        let mut nothing: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&mut nothing);
        libc::ppoll(&mut fd, 1, time, &nothing)
    };
    if ready <= 0 {
        return None;
    }
    let mut order = 0u8;
    // SAFETY: one writable byte.
    match unsafe { libc::read(ORDERS, ptr::from_mut(&mut order).cast(), 1) } {
        1 => Some(Some(order)),
        0 => Some(None),
        _ => None,
    }
}

fn remove(launch: &Launch) {
    for path in &launch.remove {
        // SAFETY: a C string. One of the two fits, as it is a file or a folder.
        unsafe {
            libc::unlink(path.as_ptr());
            libc::rmdir(path.as_ptr());
        }
    }
}

fn close(number: c_int) {
    // SAFETY: closing twice is an error that doesn't matter: nothing opens descriptors meanwhile.
    unsafe { libc::close(number) };
}

fn exit(gone: bool) -> ! {
    // SAFETY: ends the process without running the host's exit handlers.
    unsafe { libc::_exit(if gone { 0 } else { SURVIVORS }) }
}

fn sleep_ms(ms: i64) {
    let time = timespec(ms);
    // SAFETY: no descriptors, a timespec that outlives the call.
    unsafe { libc::ppoll(ptr::null_mut(), 0, &time, ptr::null()) };
}

fn timespec(ms: i64) -> libc::timespec {
    libc::timespec { tv_sec: ms / 1000, tv_nsec: (ms % 1000) * 1_000_000 }
}

fn now_ms() -> i64 {
    // SAFETY: fills a timespec on the stack.
    let now = unsafe {
        let mut now: libc::timespec = mem::zeroed();
        libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now);
        now
    };
    now.tv_sec * 1000 + now.tv_nsec / 1_000_000
}
