//! Runs the command of a `{ command = […] }`: standard output is the value.
//!
//! No shell. Standard input is empty. The child leads its own process group, which is killed when the time is up.

use std::io::Read;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use windlass_plugin_api::{During as _, Error, ErrorKind, Result};

/// Longest value that a file or a command may give, in bytes.
pub(super) const MAX_BYTES: u64 = 1 << 20;

/// Runs `argv` in `folder` and gives what it wrote. An exit status but 0, a death by signal, more than 1 MiB of output
/// or a run of more than `limit` is an error. `argv` is not empty.
pub(super) fn output(argv: &[String], folder: &Path, limit: Duration) -> Result<Vec<u8>> {
    let program = &argv[0];
    let mut command = Command::new(program);
    command
        .args(&argv[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    if folder.is_dir() {
        command.current_dir(folder);
    }
    let mut child = command.spawn().during_with(|| format!("can't run `{program}`"))?;
    let ended = wait(&mut child, Instant::now() + limit);
    if ended.is_none() {
        kill(&mut child);
    }
    let Some((status, stdout, stderr)) = ended else {
        let message = format!("`{program}` took longer than {} s", limit.as_secs_f32());
        return Err(Error::new(ErrorKind::TimedOut, message));
    };
    if !status.success() {
        let mut error = Error::new(ErrorKind::Config, format!("`{program}` failed ({status})"));
        let last = String::from_utf8_lossy(&stderr);
        if let Some(line) = last.lines().rev().find(|line| !line.trim().is_empty()) {
            error.causes.push(line.chars().take(200).collect());
        }
        return Err(error);
    }
    if stdout.len() as u64 > MAX_BYTES {
        return Err(Error::new(ErrorKind::Config, format!("`{program}` wrote more than 1 MiB")));
    }
    Ok(stdout)
}

/// The exit status and both outputs; none when the time is up. A grandchild that keeps the pipes open counts.
fn wait(child: &mut Child, until: Instant) -> Option<(ExitStatus, Vec<u8>, Vec<u8>)> {
    let stdout = reader(child.stdout.take());
    let stderr = reader(child.stderr.take());
    let left = || until.saturating_duration_since(Instant::now());
    let stdout = stdout.recv_timeout(left()).ok()?;
    let stderr = stderr.recv_timeout(left()).ok()?;
    // Its pipes are closed, so it is about to end: std has no wait with a time limit.
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some((status, stdout, stderr)),
            Ok(None) if !left().is_zero() => std::thread::sleep(Duration::from_millis(1)),
            _ => return None,
        }
    }
}

/// Reads a pipe to its end; what is too long is read no further than to see that it is.
fn reader(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (send, receive) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(pipe) = pipe {
            // Dropping the pipe after the limit makes the child's next write fail, so it ends.
            _ = pipe.take(MAX_BYTES + 1).read_to_end(&mut bytes);
        }
        _ = send.send(bytes);
    });
    receive
}

fn kill(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    _ = child.kill();
    _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str, limit: Duration) -> Result<Vec<u8>> {
        output(&["sh".into(), "-c".into(), script.into()], Path::new("/"), limit)
    }

    #[test]
    fn standard_output_is_the_value() {
        assert_eq!(run("pwd; echo noise >&2", Duration::from_secs(10)).unwrap(), b"/\n");
    }

    #[test]
    fn a_failure_tells_status_and_the_last_line_of_stderr() {
        let error = run("echo out; echo first >&2; echo no such entry >&2; exit 3", Duration::from_secs(10))
            .unwrap_err();
        assert_eq!(error.to_string(), "`sh` failed (exit status: 3): no such entry");
        let error =
            output(&["no-such-program-at-all".into()], Path::new("/"), Duration::from_secs(10)).unwrap_err();
        assert!(error.to_string().starts_with("can't run `no-such-program-at-all`"), "{error}");
    }

    #[test]
    fn a_command_that_hangs_is_killed_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        // Ours stays open until the command is over, so that the reader can't miss it on a slow machine.
        let ours = std::fs::File::options().read(true).write(true).open(&pipe).unwrap();
        let script = format!("exec 9>{}; sleep 600 & wait", pipe.display());
        let reader = std::thread::spawn(move || std::fs::read_to_string(pipe));
        let error = run(&script, Duration::from_millis(500)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::TimedOut);
        drop(ours);
        // The end comes only once nobody has the pipe open for writing: the child and its own child are dead.
        assert_eq!(reader.join().unwrap().unwrap(), "");
    }

    #[test]
    fn output_without_end_is_cut() {
        let error = run("yes", Duration::from_secs(10)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Config, "{error}");
    }
}
