//! Nothing survives a cancel or the death of the host.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use common::{Run, lives, pids, sh};
use windlass_plugin_api::{Context, ErrorKind, Secret};
use windlass_tool::Tool;

/// A shell, a grandchild in its group, and one in a session of its own; each writes its number to `pids`.
const FAMILY: &str = "echo $$ >> pids
    sh -c 'echo $$ >> pids; exec sleep 1000' &
    setsid sh -c 'echo $$ >> pids; exec sleep 1000' &
    sleep 1000";

#[test]
fn a_cancel_ends_promptly_and_takes_the_whole_family() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::default();
    let tool = sh(FAMILY).working_dir(folder.path());
    let (cx, (told, ended)) = (run.cx(), channel());
    let thread = thread::spawn(move || {
        let result = tool.dump(&cx, &mut io::sink());
        told.send(()).unwrap();
        result
    });
    let family = pids(&folder.path().join("pids"), 3);
    assert!(family.iter().all(|pid| lives(*pid)));
    run.cancel();
    ended.recv_timeout(Duration::from_secs(3)).expect("the cancel didn't end it");
    assert_eq!(thread.join().unwrap().unwrap_err().kind, ErrorKind::Cancelled);
    assert!(!family.iter().any(|pid| lives(*pid)));
}

#[test]
fn a_program_that_ignores_term_is_killed_after_the_grace() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::default();
    let script = "trap '' TERM; echo $$ >> pids; while :; do sleep 1000; done";
    let tool = sh(script).working_dir(folder.path()).grace(Duration::from_millis(200));
    let cx = run.cx();
    let thread = thread::spawn(move || tool.load(&cx, io::empty()));
    let family = pids(&folder.path().join("pids"), 1);
    let start = Instant::now();
    run.cancel();
    assert_eq!(thread.join().unwrap().unwrap_err().kind, ErrorKind::Cancelled);
    assert!(start.elapsed() < Duration::from_secs(3));
    assert!(!lives(family[0]));
}

#[test]
fn a_good_end_kills_what_is_left_in_the_group_and_spares_a_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let script = "sh -c 'echo $$ > left; exec sleep 1000' >/dev/null 2>&1 &
        setsid sh -c 'echo $$ > daemon; exec sleep 1000' >/dev/null 2>&1 &
        while ! [ -s left ] || ! [ -s daemon ]; do :; done; echo ok";
    sh(script).working_dir(folder.path()).dump(&Context::default(), &mut io::sink()).unwrap();
    assert!(!lives(pids(&folder.path().join("left"), 1)[0]));
    let daemon = pids(&folder.path().join("daemon"), 1)[0];
    assert!(lives(daemon));
    Command::new("kill").arg(daemon.to_string()).status().unwrap();
}

#[test]
fn a_killed_supervisor_is_an_error_and_its_group_goes_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let script = "sh -c 'echo $$ >> pids; exec sleep 1000' & echo $$ >> pids; echo $PPID > parent; wait";
    let tool = sh(script).working_dir(folder.path());
    let thread = thread::spawn(move || tool.dump(&Context::default(), &mut io::sink()));
    let supervisor = pids(&folder.path().join("parent"), 1)[0];
    let family = pids(&folder.path().join("pids"), 2);
    Command::new("kill").args(["-9", &supervisor.to_string()]).status().unwrap();
    let error = thread.join().unwrap().unwrap_err();
    assert!(error.message.contains("killed together with its supervisor"), "{error}");
    common::until("the group is gone", || !family.iter().any(|pid| lives(*pid)));
}

/// Not a test by itself: the host that the tests below kill. Runs what the environment says.
#[test]
#[ignore = "started by the tests that kill it"]
fn host() {
    let Some(script) = env::var_os("HOST_SCRIPT") else { return };
    let mut tool = Tool::new("sh").arg("-c").arg(script);
    let secret = tool.secret_file("secret", "hunter2", &["hunter2"]).unwrap();
    fs::write("secret-path", secret.as_os_str().as_encoded_bytes()).unwrap();
    let _fd = tool.secret_descriptor(&Context::default(), &Secret::of("hunter2")).unwrap();
    let _ = tool.load(&Context::default(), io::repeat(b'x').take_slowly());
}

/// Gives a piece, then blocks for ever: a host in the middle of a restore.
struct Slowly<R>(R, bool);

trait TakeSlowly: Sized {
    fn take_slowly(self) -> Slowly<Self> {
        Slowly(self, false)
    }
}

impl<R: io::Read> TakeSlowly for R {}

impl<R: io::Read> io::Read for Slowly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if std::mem::replace(&mut self.1, true) {
            loop {
                thread::park();
            }
        }
        self.0.read(buffer)
    }
}

fn start_host(folder: &Path, script: &str) -> std::process::Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "host", "--ignored"])
        .current_dir(folder)
        .env("HOST_SCRIPT", script)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn kill_9_of_the_host_takes_the_whole_family_and_the_secret_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut host = start_host(folder.path(), FAMILY);
    let family = pids(&folder.path().join("pids"), 3);
    let secret = fs::read_to_string(folder.path().join("secret-path")).unwrap();
    assert!(Path::new(&secret).exists());
    host.kill().unwrap();
    host.wait().unwrap();
    common::until("the family is gone", || !family.iter().any(|pid| lives(*pid)));
    common::until("the secret is gone", || !Path::new(&secret).parent().unwrap().exists());
}

#[test]
fn kill_9_of_the_host_commits_nothing() {
    for _ in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let mut host = start_host(folder.path(), "echo $$ > pids; cat > data; echo committed > marker");
        let shell = pids(&folder.path().join("pids"), 1)[0];
        let data = folder.path().join("data");
        common::until("data has come", || fs::metadata(&data).is_ok_and(|data| data.len() > 0));
        host.kill().unwrap();
        host.wait().unwrap();
        common::until("the shell is gone", || !lives(shell));
        assert!(
            !folder.path().join("marker").exists(),
            "the end of the host was taken for the end of the input"
        );
    }
}
