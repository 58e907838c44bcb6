//! One running program, seen through its supervisor.
//!
//! It owns the program's pipes *and* its life, so that no path, not even a panic, closes the one before the other has
//! ended: at end-of-file on stdin many programs commit what they have so far.

use std::ffi::CString;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use windlass_plugin_api::{CancelGuard, Context, During, Error, ErrorKind, Result};

use crate::pump::{Pump, ready};
use crate::redact::Redactor;
use crate::said::{Lines, Said};
use crate::sys::{self, Launch, news, order};
use crate::verdict::Verdict;

/// The host's ends of everything; made by [`Tool::start`](crate::Tool).
pub(crate) struct Running {
    supervisor: Option<Child>,
    orders: Arc<Orders>,
    news: PipeReader,
    group: i32,
    not_started: Option<i32>,
    end: Option<Verdict>,
    timed_out: bool,
    cancelled: Arc<AtomicBool>,
    stdin: Option<PipeWriter>,
    stdout: Option<PipeReader>,
    stderr: Option<Pump<Said>>,
    stop: Option<PipeWriter>,
    stopped: Arc<PipeReader>,
}

/// The writing end of the orders; closed only by the death of this process or the last use.
struct Orders(Mutex<PipeWriter>);

impl Orders {
    /// A supervisor that is no more needs no orders.
    fn give(&self, order: u8) {
        let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(&[order]);
    }
}

/// What [`Running::start`] needs besides the program.
pub(crate) struct Start {
    pub command: std::process::Command,
    pub path: CString,
    pub argv: Vec<CString>,
    pub envp: Vec<CString>,
    pub feed: bool,
    pub passed: Vec<Arc<OwnedFd>>,
    pub remove: Vec<CString>,
    pub grace: Duration,
    pub limit: Option<Duration>,
}

impl Running {
    /// Starts the program. An error of the exec is `Err` with the operating system's number.
    pub(crate) fn start(start: Start, redactor: &Arc<Redactor>) -> io::Result<Self> {
        let mut command = start.command;
        let (orders, give_orders) = io::pipe()?;
        let (hear_news, news) = io::pipe()?;
        let (stdout, its_stdout) = io::pipe()?;
        let (stderr, its_stderr) = io::pipe()?;
        let (stopped, stop) = io::pipe()?;
        let stdin = if start.feed {
            let (its_stdin, stdin) = io::pipe()?;
            widen(&stdin);
            command.stdin(its_stdin);
            Some(stdin)
        } else {
            command.stdin(std::process::Stdio::null());
            None
        };
        widen(&stdout);
        command.stdout(its_stdout).stderr(its_stderr);
        let launch = Launch {
            path: start.path,
            argv: start.argv,
            envp: start.envp,
            orders,
            news,
            input: stdin.as_ref().map(AsRawFd::as_raw_fd),
            passed: start.passed,
            grace_ms: milliseconds(start.grace),
            limit_ms: start.limit.map(milliseconds),
            remove: start.remove,
        };
        let supervisor = sys::spawn(command, launch)?;
        let mut running = Self {
            supervisor: Some(supervisor),
            orders: Arc::new(Orders(Mutex::new(give_orders))),
            news: hear_news,
            group: 0,
            not_started: None,
            end: None,
            timed_out: false,
            cancelled: Arc::default(),
            stdin,
            stdout: Some(stdout),
            stderr: None,
            stop: Some(stop),
            stopped: Arc::new(stopped),
        };
        running.hear_of_start()?;
        running.stderr = Some(running.listen(stderr, redactor)?);
        Ok(running)
    }

    fn hear_of_start(&mut self) -> io::Result<()> {
        while self.group == 0 && self.end.is_none() {
            self.hear();
        }
        self.hear_what_is_there()?;
        self.not_started.map_or(Ok(()), |errno| Err(io::Error::from_raw_os_error(errno)))
    }

    fn listen(&self, stderr: PipeReader, redactor: &Arc<Redactor>) -> io::Result<Pump<Said>> {
        let (lines, said) = (Lines::new(redactor), Said::default());
        let kept = Arc::new(Mutex::new((lines, said)));
        let keep = kept.clone();
        let take = move |bytes: &[u8]| {
            let (lines, said) = &mut *keep.lock().unwrap_or_else(PoisonError::into_inner);
            lines.push(bytes, &mut |line| said.add(line));
        };
        let end = move || {
            let (lines, said) = &mut *kept.lock().unwrap_or_else(PoisonError::into_inner);
            lines.end(&mut |line| said.add(line));
            std::mem::take(said)
        };
        Pump::start(stderr, self.stopped.clone(), take, end)
    }

    /// Reads stdout from a thread, and gives each line to `each`.
    pub(crate) fn stdout_lines(
        &mut self,
        redactor: &Redactor,
        each: impl Fn(&[u8]) + Send + Sync + 'static,
    ) -> io::Result<Option<Pump<()>>> {
        let Some(stdout) = self.stdout.take() else { return Ok(None) };
        let lines = Arc::new(Mutex::new(Lines::new(redactor)));
        let (rest, each) = (lines.clone(), Arc::new(each));
        let last = each.clone();
        let take = move |bytes: &[u8]| {
            lines.lock().unwrap_or_else(PoisonError::into_inner).push(bytes, &mut |line| each(&line));
        };
        let end = move || rest.lock().unwrap_or_else(PoisonError::into_inner).end(&mut |line| last(&line));
        Pump::start(stdout, self.stopped.clone(), take, end).map(Some)
    }

    /// Ends the program when the run is cancelled.
    pub(crate) fn end_on_cancel(&self, cx: &Context) -> CancelGuard {
        let (orders, cancelled) = (self.orders.clone(), self.cancelled.clone());
        cx.on_cancel(move || {
            cancelled.store(true, Ordering::SeqCst);
            orders.give(order::TERMINATE);
        })
    }

    /// The program's stdin, until [`end_input`](Self::end_input).
    pub(crate) fn stdin(&mut self) -> Option<&mut PipeWriter> {
        self.stdin.as_mut()
    }

    /// Lets the program see end-of-file, and gives an end from which what it leaves unread can be counted: a reader of
    /// the same pipe, which must not exist before, for then the program's closing its stdin would not be noticed.
    pub(crate) fn end_input(&mut self) -> Option<PipeReader> {
        let stdin = self.stdin.take()?;
        let again = std::fs::File::open(format!("/proc/self/fd/{}", stdin.as_raw_fd())).ok();
        self.orders.give(order::END_INPUT);
        again.map(|file| PipeReader::from(OwnedFd::from(file)))
    }

    /// The next piece of stdout; 0 at its end, and as soon as the program has ended badly. An error when it has ended
    /// well, and stdout stays open without a byte for `drain`.
    pub(crate) fn read_stdout(&mut self, buffer: &mut [u8], drain: Duration) -> Result<usize> {
        while !self.ended_badly() {
            let limit = self.end.map(|_| drain);
            let news = self.end.is_none().then_some(&self.news);
            match ready([self.stdout.as_ref(), news], limit).during("can't wait for a program")? {
                [_, true] => self.hear(),
                [true, _] => {
                    let Some(stdout) = &mut self.stdout else { return Ok(0) };
                    return stdout.read(buffer).during("can't read a program's output");
                }
                [false, false] => return Err(left_open(drain)),
            }
        }
        Ok(0)
    }

    /// Whether the program has ended by now.
    pub(crate) fn has_ended(&mut self) -> io::Result<bool> {
        self.hear_what_is_there()?;
        Ok(self.end.is_some())
    }

    /// Waits for the program to end.
    pub(crate) fn wait(&mut self) {
        while self.end.is_none() {
            self.hear();
        }
    }

    /// Whether it has ended otherwise than by exiting on its own. Exit codes are the caller's to judge.
    fn ended_badly(&self) -> bool {
        self.end.is_some() && !matches!(self.verdict(), Verdict::Exited(_))
    }

    /// How it ended. Call [`wait`](Self::wait) before.
    pub(crate) fn verdict(&self) -> Verdict {
        if self.cancelled.load(Ordering::SeqCst) {
            Verdict::Cancelled
        } else if self.timed_out {
            Verdict::TimedOut
        } else {
            self.end.unwrap_or(Verdict::Lost)
        }
    }

    /// Ends what the program left behind in its group, and gives what was said on stderr.
    pub(crate) fn leave(&mut self) -> Said {
        self.finish(order::LEAVE);
        self.said()
    }

    /// Kills the program and all that descends from it, and waits until they are gone. Only then does stdin close.
    pub(crate) fn kill(&mut self) -> Said {
        self.finish(order::KILL);
        self.said()
    }

    fn finish(&mut self, order: u8) {
        let Some(mut supervisor) = self.supervisor.take() else { return };
        self.orders.give(order);
        let ended = supervisor.wait();
        if ended.as_ref().is_ok_and(|status| status.signal().is_some()) {
            // Someone killed the supervisor. Its number is only ours while the group has members; else nothing is hit.
            if let Some(group) = Pid::from_raw(self.group) {
                let _ = kill_process_group(group, Signal::KILL);
            }
        }
        if ended.is_ok_and(|status| status.code() == Some(sys::SURVIVORS)) {
            tracing::warn!(
                "some processes could not be killed: they run as another user, or hang in the kernel"
            );
            // They must not take the end of our life for the end of their input: leave it open as long as we live.
            if let Some(stdin) = self.stdin.take() {
                std::mem::forget(stdin);
            }
        }
        self.end.get_or_insert(Verdict::Lost);
        self.stop = None;
    }

    fn said(&mut self) -> Said {
        self.stderr.take().and_then(Pump::join).unwrap_or_default()
    }

    fn hear_what_is_there(&mut self) -> io::Result<()> {
        while self.end.is_none() && ready([Some(&self.news), None], Some(Duration::ZERO))?[0] {
            self.hear();
        }
        Ok(())
    }

    /// Takes in one piece of news; waits for it.
    fn hear(&mut self) {
        let mut message = [0; 8];
        if self.news.read_exact(&mut message).is_err() {
            self.end = Some(Verdict::Lost);
            return;
        }
        let [a, b, c, d, e, f, g, h] = message;
        let value = i32::from_ne_bytes([e, f, g, h]);
        match i32::from_ne_bytes([a, b, c, d]) {
            news::STARTED => self.group = value,
            news::NOT_STARTED => self.not_started = Some(value),
            news::EXITED => self.end = Some(Verdict::Exited(value)),
            news::KILLED => self.end = Some(Verdict::Killed(value)),
            news::TIMED_OUT => self.timed_out = true,
            _ => {}
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.finish(order::KILL);
    }
}

pub(crate) fn left_open(drain: Duration) -> Error {
    Error::new(ErrorKind::TimedOut, "a process that the program left behind keeps its output open")
        .because(&Error::failed(format!(
            "nothing came for {} s after the program had ended",
            drain.as_secs()
        )))
        .hint("Let the command wait for everything it starts, or redirect the output of what should live on.")
}

/// A pipe holds 64 KiB unless asked; more saves task switches. Refused where the user has too many: no harm.
fn widen(pipe: impl std::os::fd::AsFd) {
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, 256 << 10);
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
