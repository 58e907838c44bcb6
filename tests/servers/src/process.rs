//! One server process under a watchdog, so that nothing is left running.
//!
//! The watchdog is a shell that starts the server and reads orders from a pipe. When the test process dies, also by
//! `kill -9`, the pipe ends and so does the server. Both lie in process groups of their own: what a test runner sends to
//! the group of the tests must not end the watchdog before the server. It doesn't know what it watches.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Arguments: the signal that ends the server, its folder, its command. The group is killed as well: a server may have
/// children. It is continued before: a test may have stopped it. `keep` keeps the folder; any other order, and the end of orders, removes it.
const WATCHDOG: &str = r#"
signal=$1 folder=$2
shift 2
setsid "$@" </dev/null >>"$folder/log" 2>&1 &
server=$!
echo "$server"
read -r order
kill "-$signal" "-$server" 2>/dev/null || kill "-$signal" "$server" 2>/dev/null
kill -CONT "-$server" 2>/dev/null
wait "$server"
kill -KILL "-$server" 2>/dev/null
[ "$order" = keep ] || rm -rf "$folder"
"#;

/// How a server is run.
pub(crate) struct Launch {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Its environment, beside `PATH`, `HOME`, `TZ` and the locale.
    pub env: Vec<(&'static str, String)>,
    /// The signal that ends it at once.
    pub signal: &'static str,
}

/// A running server, and the shell that watches it.
pub(crate) struct Process {
    watchdog: Child,
    pid: u32,
}

impl Process {
    /// Starts it in `folder`, where its output goes into the file `log`. It may die at once.
    #[track_caller]
    pub fn spawn(launch: &Launch, folder: &Path) -> Self {
        let mut watchdog = clean("sh", folder)
            .args(["-c", WATCHDOG, "watchdog", launch.signal])
            .arg(folder)
            .args(&launch.argv)
            .envs(launch.env.iter().map(|(name, value)| (name, value)))
            .current_dir(folder)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("can't start `sh`");
        let mut line = String::new();
        BufReader::new(watchdog.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let pid = line.trim().parse().unwrap_or_else(|_| panic!("the watchdog said {line:?}"));
        Self { watchdog, pid }
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    pub fn is_alive(&self) -> bool {
        is_alive(self.pid)
    }

    /// Ends the server and waits until it is gone. Its folder goes too, unless it is to be kept.
    pub fn end(mut self, keep: bool) {
        let order: &[u8] = if keep { b"keep\n" } else { b"end\n" };
        let _ = self.watchdog.stdin.take().unwrap().write_all(order);
        let _ = self.watchdog.wait();
    }
}

/// Whether this process runs: one that ended and wasn't awaited doesn't.
pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['Z', 'X']))
}

/// The processes that a process has started and that run.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|child| parent(*child) == Some(pid)).collect()
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let (state, rest) = rest.split_once(' ')?;
    (state != "Z").then(|| rest.split(' ').next()?.parse().ok()).flatten()
}

/// A command with an environment of its own: what the user's holds for a client or a server (`PGHOST`, `MYSQL_HOST`)
/// must not lead a test elsewhere.
pub(crate) fn clean(program: impl AsRef<OsStr>, home: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("TZ", "UTC")
        .env("LC_ALL", "C.UTF-8");
    command
}
