//! What ends a run from outside: time limits, signals, another run's lock. Nothing is left over and no child lives on.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use common::misbehaving::{config, text};
use common::{Ran, Sandbox, database, rows, until};
use rustix::process::{Pid, Signal, kill_process};

/// A run under way, past its first steps: it holds its locks and its source or storage is at work.
struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Running {
    /// Starts `arguments` and waits until the run says that it has begun.
    fn start(sandbox: &Sandbox, arguments: &[&str]) -> Self {
        let mut all = vec!["--json"];
        all.extend(arguments);
        let mut command = sandbox.command(&all);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("\"started\"") {
            line.clear();
            assert_ne!(stdout.read_line(&mut line).unwrap(), 0, "it ended before it had begun");
        }
        Self { child, stdout }
    }

    fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// How it ends; `stdout` is what it said after it had begun.
    fn end(mut self) -> Ran {
        let mut said = String::new();
        self.stdout.read_to_string(&mut said).unwrap();
        Ran { stdout: said, ..Ran::of(self.child.wait_with_output().unwrap()) }
    }
}

/// Whether the process of this number runs; one that nobody has waited for doesn't.
fn lives(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// A command that writes half a megabyte and its own number and its child's, and never ends.
fn endless_command(sandbox: &Sandbox, pipeline: &str) {
    let place = sandbox.path("");
    let (place, store) = (place.display(), sandbox.path("store"));
    let store = store.display();
    sandbox.config(&format!(
        r#"
        [source.endless]
        plugin = "command"
        dump_command = ["sh", "-c", "head -c 500000 /dev/zero; sleep 1000 & echo $! > {place}grandchild; echo $$ > {place}child; wait"]
        [storage.nas]
        plugin = "fs"
        root = "{store}"
        [pipeline.endless]
        source = "endless"
        storage = ["nas"]
        {pipeline}
        "#
    ));
}

/// The numbers of that command's two processes, once they stand there.
fn its_processes(sandbox: &Sandbox) -> [String; 2] {
    let read = |name: &str| fs::read_to_string(sandbox.path(name)).unwrap_or_default();
    until("the command", || read("child").ends_with('\n') && read("grandchild").ends_with('\n'));
    [read("child"), read("grandchild")]
}

#[track_caller]
fn are_dead(processes: &[String; 2]) {
    until("the death of all children", || !processes.iter().any(|pid| lives(pid)));
}

#[test]
fn a_source_that_blocks_for_ever_ends_by_its_timeout_and_is_left_behind() {
    let sandbox = Sandbox::new();
    let blocked = text(&sandbox, "behaviour = \"blocks\"\nbytes = 4000000", "", "");
    sandbox.config(&format!("{blocked}\ntimeout = \"1s\""));
    let ran = sandbox.run(&["backup"]).fails_with("timeout", &["shop: ", "longer than its `timeout` of 1s"]);
    ran.says("was left behind");
    assert_eq!(sandbox.files("store"), [""; 0]);
    config(&sandbox, "", "", "");
    sandbox.ok(&["backup"]);
    assert_eq!((sandbox.listed().len(), sandbox.records()), (1, Vec::new()));
}

#[test]
fn a_source_that_moves_nothing_ends_by_its_stall_timeout() {
    let sandbox = Sandbox::new();
    let waiting = text(&sandbox, "behaviour = \"waits\"", "", "");
    sandbox.config(&format!("{waiting}\nstall_timeout = \"1s\"\ntimeout = \"10m\""));
    let started = Instant::now();
    sandbox.run(&["backup"]).fails_with("stall", &["no byte moved for its `stall_timeout` of 1s"]);
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
    sandbox.nothing_is_left("stall");
}

#[test]
fn a_storage_that_hardly_moves_ends_by_the_timeout() {
    let sandbox = Sandbox::new();
    let stuck = text(&sandbox, "bytes = 4000000", "", "bytes_per_second = 1");
    sandbox.config(&format!("{stuck}\ntimeout = \"2s\""));
    sandbox.run(&["backup"]).fails_with("timeout", &["`timeout` of 2s"]);
    sandbox.nothing_is_left("timeout");
}

#[test]
fn a_timeout_kills_the_command_and_its_children() {
    let sandbox = Sandbox::new();
    endless_command(&sandbox, "timeout = \"1s\"");
    sandbox.run(&["backup"]).fails_with("timeout", &["`timeout` of 1s"]);
    are_dead(&its_processes(&sandbox));
    sandbox.nothing_is_left("timeout");
}

#[test]
fn every_signal_ends_a_backup_cleanly_with_its_code() {
    for (signal, code, name) in
        [(Signal::INT, 130, "SIGINT"), (Signal::TERM, 143, "SIGTERM"), (Signal::HUP, 129, "SIGHUP")]
    {
        let sandbox = Sandbox::new();
        endless_command(&sandbox, "filters = [{ plugin = \"zstd\" }]");
        let running = Running::start(&sandbox, &["backup"]);
        let processes = its_processes(&sandbox);
        running.send(signal);
        let ran = running.end().expect(code);
        assert!(ran.stdout.contains(&format!("ended by {name}")), "{}", ran.stdout);
        are_dead(&processes);
        sandbox.nothing_is_left(name);
    }
}

#[test]
fn a_killed_run_takes_its_children_with_it() {
    let sandbox = Sandbox::new();
    endless_command(&sandbox, "");
    let running = Running::start(&sandbox, &["backup"]);
    let processes = its_processes(&sandbox);
    running.send(Signal::KILL);
    running.end().expect(137);
    are_dead(&processes);
}

#[test]
fn a_second_signal_ends_what_does_not_come_back_on_the_spot() {
    let sandbox = Sandbox::new();
    config(&sandbox, "behaviour = \"blocks\"\nbytes = 4000000", "", "");
    let running = Running::start(&sandbox, &["backup"]);
    until("a half upload", || !sandbox.files("store").is_empty());
    let started = Instant::now();
    running.send(Signal::INT);
    std::thread::sleep(Duration::from_millis(300));
    running.send(Signal::INT);
    running.end().expect(130);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(sandbox.listed(), [""; 0]);
    config(&sandbox, "", "", "");
    sandbox.ok(&["backup"]);
    assert!(
        sandbox.files("store").iter().all(|file| file.starts_with("web1/")),
        "{:?}",
        sandbox.files("store")
    );
    assert_eq!((sandbox.listed().len(), sandbox.records()), (1, Vec::new()));
}

#[test]
fn a_signal_during_a_restore_leaves_the_database_as_it_was() {
    let sandbox = Sandbox::new();
    let path = sandbox.path("shop.db");
    let config = |rate: &str| {
        sandbox.config(&format!(
            "[source.shop]\nplugin = \"sqlite\"\npath = \"{}\"\n[storage.one]\nplugin = \"misbehaving\"\nroot = \"{}\"\n{rate}\n\
             [pipeline.shop]\nsource = \"shop\"\nstorage = [\"one\"]\n",
            path.display(),
            sandbox.path("store").display()
        ));
    };
    config("");
    database(&path, "delete", 2000).close().unwrap();
    sandbox.ok(&["backup"]);
    database(&path, "delete", 5).close().unwrap();
    let old = rows(&path);
    config("bytes_per_second = 100000");
    let running = Running::start(&sandbox, &["restore", "shop", "--mode", "replace", "--yes"]);
    until("a sibling", || !sandbox.siblings().is_empty());
    running.send(Signal::TERM);
    running.end().expect(143);
    assert_eq!(sandbox.siblings(), [""; 0]);
    assert!(rows(&path) == old);
}

#[test]
fn a_second_run_is_told_who_holds_the_lock_and_since_when() {
    let sandbox = Sandbox::new();
    config(&sandbox, "", "", "");
    let waiting = text(&sandbox, "behaviour = \"waits\"", "", "");
    let waiting = sandbox.write("waiting.toml", waiting);
    let first = Running::start(&sandbox, &["-c", waiting.to_str().unwrap(), "backup"]);
    let pid = format!("process {} holds it since 20", first.child.id());
    let second = sandbox.run(&["backup"]).fails_with_exit(11, "locked", &["`web1/shop` is locked", &pid]);
    second.says("--wait-lock");
    // A restore to the source that is being read has to wait as well; another host's run and a look don't.
    sandbox.run(&["restore", "shop", "--yes"]).expect(10);
    sandbox.ok(&["--host", "web2", "backup"]);
    sandbox.ok(&["list"]);
    first.send(Signal::TERM);
    first.end().expect(143);
    sandbox.ok(&["backup"]);
}

#[test]
fn a_restore_waits_for_no_backup_of_its_source() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("target")).unwrap();
    config(&sandbox, "", "", "");
    sandbox.ok(&["backup"]);
    let waiting = sandbox.write("waiting.toml", text(&sandbox, "behaviour = \"waits\"", "", ""));
    let backup = Running::start(&sandbox, &["-c", waiting.to_str().unwrap(), "backup"]);
    sandbox.run(&["restore", "shop"]).fails_with_exit(11, "restore", &["is locked", "(backup)"]);
    assert_eq!(sandbox.files("target"), [""; 0]);
    backup.send(Signal::TERM);
    backup.end().expect(143);
    let restore = Running::start(&sandbox, &["-c", waiting.to_str().unwrap(), "restore", "shop"]);
    sandbox.run(&["backup"]).fails_with_exit(11, "backup", &["is locked", "(restore)"]);
    restore.send(Signal::INT);
    restore.end().expect(130);
    assert_eq!(sandbox.files("target"), [""; 0]);
}

#[test]
fn with_wait_lock_the_second_run_waits_its_turn() {
    let sandbox = Sandbox::new();
    config(&sandbox, "", "", "");
    let waiting = sandbox.write("waiting.toml", text(&sandbox, "behaviour = \"waits\"", "", ""));
    let first = Running::start(&sandbox, &["-c", waiting.to_str().unwrap(), "backup"]);
    sandbox.run(&["backup", "--wait-lock", "300ms"]).fails_with_exit(11, "too short", &["is locked"]);
    let second = sandbox.spawn(&["backup", "--wait-lock", "60s"]);
    first.send(Signal::TERM);
    first.end().expect(143);
    Ran::of(second.wait_with_output().unwrap()).expect(0);
    assert_eq!(sandbox.listed().len(), 1);
}

#[test]
fn a_lock_ends_with_its_process() {
    let sandbox = Sandbox::new();
    let waiting = sandbox.write("waiting.toml", text(&sandbox, "behaviour = \"waits\"", "", ""));
    let first = Running::start(&sandbox, &["-c", waiting.to_str().unwrap(), "backup"]);
    first.send(Signal::KILL);
    first.end().expect(137);
    config(&sandbox, "", "", "");
    sandbox.ok(&["backup"]);
    assert_eq!((sandbox.listed().len(), sandbox.records()), (1, Vec::new()));
}
