//! How a program ended, and the error that this is.

use windlass_plugin_api::{Error, ErrorKind};

/// How many of the last lines of stderr become causes of an error; all that is kept is in its `stderr` detail.
const CAUSES: usize = 3;

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It exited with this code.
    Exited(i32),
    /// A signal that we didn't send killed it.
    Killed(i32),
    /// It ran longer than [`Tool::time_limit`](crate::Tool::time_limit), and was killed.
    TimedOut,
    /// The run was cancelled, and it was killed.
    Cancelled,
    /// Its supervisor was killed, and it with it.
    Lost,
}

impl Verdict {
    /// The error that this is for the program `name` that said `stderr` (redacted).
    pub(crate) fn error(self, name: &str, stderr: &str) -> Error {
        let error = match self {
            Self::Exited(code) => {
                Error::failed(format!("`{name}` ended with exit code {code}")).detail("exit_status", code)
            }
            Self::Killed(signal) => {
                let signal_name = signal_name(signal);
                Error::failed(format!("`{name}` was killed by signal {signal} ({signal_name})"))
                    .detail("exit_status", 128 + signal)
                    .detail("signal", signal_name)
            }
            Self::TimedOut => Error::new(ErrorKind::TimedOut, format!("`{name}` took longer than it may")),
            Self::Cancelled => return Error::cancelled(),
            Self::Lost => Error::failed(format!("`{name}` was killed together with its supervisor")),
        };
        with_stderr(
            match self.hint() {
                Some(hint) => error.hint(hint),
                None => error,
            },
            stderr,
        )
    }

    fn hint(self) -> Option<&'static str> {
        match self {
            Self::Exited(127) => {
                Some("A shell says 127 when it doesn't find a command: check its name and `PATH`.")
            }
            Self::Exited(126) => Some("A shell says 126 when it may not run a command: check its mode."),
            Self::Killed(9) | Self::Lost => {
                Some("The system kills programs when memory runs out: look for `oom` in the kernel's log.")
            }
            _ => None,
        }
    }
}

/// Adds what a program said: the last lines as causes, all of it as the detail `stderr`.
pub(crate) fn with_stderr(mut error: Error, stderr: &str) -> Error {
    if stderr.trim().is_empty() {
        return error;
    }
    let lines: Vec<&str> = stderr.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    error.causes.extend(lines[lines.len().saturating_sub(CAUSES)..].iter().map(|line| (*line).to_owned()));
    error.detail("stderr", stderr)
}

fn signal_name(signal: i32) -> String {
    let known = [
        (1, "SIGHUP"),
        (2, "SIGINT"),
        (3, "SIGQUIT"),
        (4, "SIGILL"),
        (6, "SIGABRT"),
        (7, "SIGBUS"),
        (8, "SIGFPE"),
        (9, "SIGKILL"),
        (11, "SIGSEGV"),
        (13, "SIGPIPE"),
        (14, "SIGALRM"),
        (15, "SIGTERM"),
        (24, "SIGXCPU"),
        (25, "SIGXFSZ"),
        (31, "SIGSYS"),
    ];
    known
        .iter()
        .find(|(number, _)| *number == signal)
        .map_or_else(|| format!("signal {signal}"), |(_, name)| (*name).to_owned())
}
