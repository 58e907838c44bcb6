//! What a dump gives, and every way in which it is not good.

mod common;

use std::io::{self, Write};
use std::time::{Duration, Instant};

use common::{Run, sh};
use windlass_plugin_api::{Context, Error, ErrorKind};
use windlass_tool::Tool;

fn dump(tool: &Tool) -> (windlass_plugin_api::Result<windlass_tool::Outcome>, Vec<u8>) {
    let mut out = Vec::new();
    (tool.dump(&Context::default(), &mut out), out)
}

#[test]
fn a_good_dump_arrives_whole() {
    let (outcome, out) = dump(&sh("seq 1 300000; echo a warning >&2"));
    let outcome = outcome.unwrap();
    assert_eq!(out.len() as u64, outcome.bytes);
    assert!(out.starts_with(b"1\n2\n") && out.ends_with(b"\n300000\n"));
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, "a warning\n"));
}

#[test]
fn exit_1_after_good_output_is_an_error_with_the_last_words() {
    let (outcome, out) = dump(&sh("echo data; echo first >&2; echo disk gone >&2; exit 1"));
    let error = outcome.unwrap_err();
    assert_eq!(out, b"data\n");
    assert_eq!(error.to_string(), "`sh` ended with exit code 1: first: disk gone");
    assert_eq!(error.details["exit_status"], 1);
    assert_eq!(error.details["stderr"], "first\ndisk gone\n");
}

#[test]
fn an_accepted_exit_code_is_good() {
    assert_eq!(dump(&sh("exit 3").accept_exit(&[0, 3])).0.unwrap().code, 3);
    assert!(dump(&sh("exit 4").accept_exit(&[0, 3])).0.is_err());
}

#[test]
fn death_by_signal_is_an_error_that_names_it() {
    let error = dump(&sh("echo data; kill -SEGV $$")).0.unwrap_err();
    assert_eq!(error.message, "`sh` was killed by signal 11 (SIGSEGV)");
    assert_eq!(error.details["signal"], "SIGSEGV");
    let error = dump(&sh("kill -9 0")).0.unwrap_err();
    assert_eq!(error.details["signal"], "SIGKILL");
    assert!(error.hint.unwrap().contains("memory"));
}

#[test]
fn a_shell_that_finds_no_command_is_told_apart() {
    let error = dump(&sh("pg_dmup shop")).0.unwrap_err();
    assert!(error.hint.as_ref().unwrap().contains("doesn't find a command"), "{error:?}");
}

#[test]
fn secrets_never_appear() {
    let tool = sh("echo \"$TOKEN hunter2 $MY_PASSWORD postgres://u:geheim@h/d\" >&2; echo hunter2; exit 1")
        .redact("hunter2")
        .env("MY_PASSWORD", "open sesame")
        .secret_env(&Context::default(), "TOKEN", &windlass_plugin_api::Secret::of("t0ken"))
        .unwrap();
    let error = dump(&tool).0.unwrap_err();
    assert_eq!(error.details["stderr"], "*** *** *** postgres://u:***@h/d\n");
    let all = format!("{error:?} {tool:?}");
    for secret in ["hunter2", "sesame", "t0ken", "geheim"] {
        assert!(!all.contains(secret), "{all}");
    }
}

struct FullAfter(usize);

impl Write for FullAfter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(Error::new(ErrorKind::Full, "no space").detail("stage", "storage").into_io());
        }
        self.0 -= 1;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_error_of_the_writer_comes_back_as_itself_and_the_program_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    let script = format!(
        "echo $$ >> {0}; sh -c 'echo $$ >> {0}; exec sleep 1000' & until grep -q $! {0}; do :; done; exec yes",
        file.display()
    );
    let error = sh(&script).dump(&Context::default(), &mut FullAfter(3)).unwrap_err();
    assert_eq!(error, Error::new(ErrorKind::Full, "no space").detail("stage", "storage"));
    for pid in common::pids(&file, 2) {
        assert!(!common::lives(pid));
    }
}

#[test]
fn a_writer_that_panics_leaves_no_program_behind() {
    struct Panics;
    impl Write for Panics {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            panic!("on purpose")
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    let tool = sh(&format!("echo $$ > {}; exec yes", file.display()));
    std::panic::catch_unwind(|| tool.dump(&Context::default(), &mut Panics)).unwrap_err();
    assert!(!common::lives(common::pids(&file, 1)[0]));
}

#[test]
fn a_descendant_that_keeps_stdout_open_is_an_error_and_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    // `setsid`, so that only a search for descendants finds it.
    let script = format!(
        "setsid sh -c 'echo $$ > {0}; exec sleep 1000' & while ! [ -s {0} ]; do :; done",
        file.display()
    );
    let start = Instant::now();
    let error = dump(&sh(&script).drain_limit(Duration::from_millis(200))).0.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut);
    assert!(error.to_string().contains("keeps its output open"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(4));
    assert!(!common::lives(common::pids(&file, 1)[0]));
}

#[test]
fn what_a_descendant_writes_after_the_program_has_ended_still_counts() {
    // Until it is collected a program that has ended is a zombie.
    let (outcome, out) =
        dump(&sh("(until grep -q 'State:.Z' /proc/$$/status; do :; done; echo late) & echo early"));
    outcome.unwrap();
    assert_eq!(out, b"early\nlate\n");
}

#[test]
fn a_time_limit_ends_a_program() {
    let start = Instant::now();
    let tool = sh("trap '' TERM; echo here; sleep 1000 & wait; sleep 1000");
    let tool = tool.time_limit(Duration::from_millis(100)).grace(Duration::from_millis(100));
    let error = dump(&tool).0.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut);
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_cancelled_run_starts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let marker = folder.path().join("marker");
    let run = Run::default();
    run.cancel();
    let error = sh(&format!("touch {}", marker.display())).dump(&run.cx(), &mut io::sink()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Cancelled);
    assert!(!marker.exists());
}

#[test]
fn a_short_answer_is_bounded() {
    assert_eq!(sh("echo yes").output(&Context::default()).unwrap().1, b"yes\n");
    let error = sh("head -c 2000000 /dev/zero").output(&Context::default()).unwrap_err();
    assert!(error.to_string().contains("longer than 1 MiB"), "{error}");
}
