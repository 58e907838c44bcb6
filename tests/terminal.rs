//! On a terminal: progress is a bar, and what would overwrite something is asked. `script` gives the terminal.

mod common;

use std::io::Write;
use std::process::Stdio;

use common::{Ran, Sandbox, binary};

/// Runs the binary on a terminal of its own, where `answer` is typed. Its standard error comes on standard output.
fn on_terminal(sandbox: &Sandbox, arguments: &str, answer: &str) -> Ran {
    let mut command = std::process::Command::new("script");
    command
        .args(["-q", "-e", "-c", &format!("{} {arguments}", binary()), "/dev/null"])
        .current_dir(sandbox.path(""))
        .env("HOME", sandbox.path(""))
        .env("WINDLASS_HOST", "web1")
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("`script` (Debian: bsdutils) is needed");
    // The end of input would hang the terminal up, so it stays open until the program has ended.
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(answer.as_bytes()).unwrap();
    let ran = Ran::of(child.wait_with_output().unwrap());
    drop(stdin);
    ran
}

#[test]
fn a_terminal_sees_a_bar_while_a_backup_runs() {
    let sandbox = Sandbox::new();
    let ran = on_terminal(
        &sandbox,
        "backup 'misbehaving:none?bytes=3000000&slow_bytes_per_second=2000000' --storage fs:store",
        "",
    )
    .expect(0);
    assert!(ran.stdout.contains("MiB/s"), "no bar in {}", ran.stdout);
    assert!(ran.stdout.contains("Stored none@"), "{}", ran.stdout);
    assert_eq!(sandbox.listed().len(), 1);
}

#[test]
fn a_question_is_asked_on_a_terminal_and_only_a_yes_overwrites() {
    let sandbox = Sandbox::new();
    let media = sandbox.path("media");
    sandbox.write("media/a", "old");
    sandbox.ok(&["backup", "files:media", "--storage", "fs:store"]);
    sandbox.write("media/a", "new");
    let restore = "restore media --storage fs:store --to files:media --mode replace";
    for (answer, code, content) in [("n\n", 12, "new"), ("\n", 12, "new"), ("yes\n", 0, "old")] {
        let ran = on_terminal(&sandbox, restore, answer).expect(code);
        assert!(ran.stdout.contains("[y/N]"), "{}", ran.stdout);
        assert_eq!(std::fs::read_to_string(media.join("a")).unwrap(), content, "after {answer:?}");
    }
}
