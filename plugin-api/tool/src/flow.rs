//! The three ways to run a tool: stdout into a writer, a reader into stdin, a short answer.

use std::io::{self, PipeReader, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use windlass_plugin_api::{Context, During, Error, Result};

use crate::redact::Redactor;
use crate::running::{Running, left_open};
use crate::said::{Said, shown};
use crate::tool::Tool;
use crate::verdict::{Verdict, with_stderr};

const BUFFER: usize = 256 << 10;

/// The most that [`Tool::output`] keeps, in bytes.
const OUTPUT_LIMIT: usize = 1 << 20;

/// How a run went that went well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The exit code: 0, or another that was [accepted](Tool::accept_exit).
    pub code: i32,
    /// The bytes that went through: of stdout in a dump, into stdin in a load.
    pub bytes: u64,
    /// What was said on stderr: the first 16 KiB and the last 48 KiB, redacted. Empty if nothing was.
    pub stderr: String,
}

impl Tool {
    /// Runs the program and writes its stdout into `out`, from the calling thread.
    ///
    /// `Ok` only if the program exited with an accepted code, its stdout was read to the end, and `out` took all of it. An
    /// error of `out` comes back as itself, after the program was killed. Ends soon after a cancel.
    pub fn dump(&self, cx: &Context, out: &mut dyn Write) -> Result<Outcome> {
        cx.go_on()?;
        let redactor = Arc::new(self.redactor());
        let mut running = self.start(false, &redactor)?;
        let _guard = running.end_on_cancel(cx);
        let mut buffer = vec![0; BUFFER];
        let mut bytes = 0;
        loop {
            match running.read_stdout(&mut buffer, self.drain) {
                Ok(0) => break,
                Ok(count) => {
                    if let Err(error) = out.write_all(&buffer[..count]) {
                        running.kill();
                        return Err(error.into());
                    }
                    bytes += count as u64;
                }
                Err(error) => return Err(self.failed(error, &running.kill(), &redactor)),
            }
        }
        running.wait();
        self.judge(running, bytes, &redactor)
    }

    /// Runs the program and feeds it `input` on stdin, from the calling thread. Its stdout goes to the log, line by line.
    ///
    /// `Ok` only if `input` was read to its end, the program took all of it (unless [allowed](Self::allow_unread)) and then
    /// exited with an accepted code. On an error of `input` the program and all that it started are killed and awaited
    /// *before* stdin is closed, so that nothing can take the failure for the end of the input and commit; the same holds
    /// when the host dies. The error comes back as itself.
    pub fn load(&self, cx: &Context, mut input: impl Read) -> Result<Outcome> {
        cx.go_on()?;
        let redactor = Arc::new(self.redactor());
        let mut running = self.start(true, &redactor)?;
        let _guard = running.end_on_cancel(cx);
        let (name, clean) = (self.name(), redactor.clone());
        let log = move |line: &[u8]| tracing::info!("{name}: {}", shown(line, &clean));
        let stdout = running.stdout_lines(&redactor, log).during("can't start a thread")?;
        let (bytes, refused) = feed(&mut running, &mut input)?;
        let rest = if refused { None } else { running.end_input() };
        running.wait();
        if !self.accepts(running.verdict()) {
            return self.judge(running, bytes, &redactor);
        }
        if !self.allow_unread && (refused || rest.is_some_and(|rest| unread(&rest) > 0)) {
            return Err(self.failed(left_unread(&self.name()), &running.kill(), &redactor));
        }
        if refused {
            io::copy(&mut input, &mut io::sink())?;
        }
        if stdout.is_some_and(|stdout| !stdout.has_ended(self.drain)) {
            return Err(self.failed(left_open(self.drain), &running.kill(), &redactor));
        }
        self.judge(running, bytes, &redactor)
    }

    /// Runs the program and gives what it wrote to stdout, up to 1 MiB; more is an error.
    pub fn output(&self, cx: &Context) -> Result<(Outcome, Vec<u8>)> {
        struct Short(Vec<u8>);
        impl Write for Short {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                if self.0.len() + bytes.len() > OUTPUT_LIMIT {
                    return Err(Error::failed("the program's answer is longer than 1 MiB").into_io());
                }
                self.0.write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut answer = Short(Vec::new());
        let outcome = self.dump(cx, &mut answer)?;
        Ok((outcome, answer.0))
    }

    fn accepts(&self, verdict: Verdict) -> bool {
        matches!(verdict, Verdict::Exited(code) if self.accepted.contains(&code))
    }

    /// Clears up behind a program that has ended, and judges it.
    fn judge(&self, mut running: Running, bytes: u64, redactor: &Redactor) -> Result<Outcome> {
        match running.verdict() {
            Verdict::Exited(code) if self.accepted.contains(&code) => {
                let stderr = running.leave().text(redactor);
                Ok(Outcome { code, bytes, stderr })
            }
            verdict => Err(verdict.error(&self.name(), &running.kill().text(redactor))),
        }
    }

    fn failed(&self, error: Error, said: &Said, redactor: &Redactor) -> Error {
        with_stderr(error.during(format!("`{}` failed", self.name())), &said.text(redactor))
    }
}

/// Feeds `input` to the program. Gives the bytes that went, and whether the program refused to take more.
fn feed(running: &mut Running, input: &mut dyn Read) -> Result<(u64, bool)> {
    let mut buffer = vec![0; BUFFER];
    let mut bytes = 0;
    loop {
        let count = match input.read(&mut buffer) {
            Ok(0) => return Ok((bytes, false)),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                running.kill();
                return Err(error.into());
            }
        };
        if running.has_ended()? {
            return Ok((bytes, true));
        }
        let Some(stdin) = running.stdin() else { return Ok((bytes, true)) };
        match stdin.write_all(&buffer[..count]) {
            Ok(()) => bytes += count as u64,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok((bytes, true)),
            Err(error) => return Err(error).during("can't write to a program's input"),
        }
    }
}

/// The bytes in a pipe that nobody has read.
fn unread(pipe: &PipeReader) -> u64 {
    rustix::io::ioctl_fionread(pipe).unwrap_or(0)
}

fn left_unread(name: &str) -> Error {
    Error::failed(format!("`{name}` ended well without reading all of its input"))
        .hint("A restore must take the whole stream: check the command.")
}

/// Long enough for any program to say its version.
pub(crate) const QUESTION: Duration = Duration::from_secs(10);
