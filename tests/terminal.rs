//! On a terminal: progress is a bar, and what would overwrite something is asked. `script` gives the terminal.

mod common;

use common::{Ran, Sandbox, binary};

/// Runs the binary on a terminal, where `answer` is typed.
fn on_terminal(sandbox: &Sandbox, arguments: &str, answer: &str) -> Ran {
    sandbox.on_terminal(&sandbox.path(""), &format!("{} {arguments}", binary()), answer)
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
