//! On a terminal: progress is a bar, and what would overwrite something is asked. `script` gives the terminal.

mod common;

use common::{Ran, Sandbox, binary, database};

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

#[test]
fn a_signal_ends_a_question_at_once_and_nothing_is_changed() {
    let sandbox = Sandbox::new();
    sandbox.write("media/a", "old");
    sandbox.ok(&["backup", "files:media", "--storage", "fs:store"]);
    sandbox.write("media/a", "new");
    sandbox.write("whole.tar", "mine");
    for arguments in ["--to files:media --mode replace", "--output whole.tar"] {
        let command = format!("{} restore media --storage fs:store {arguments}", binary());
        let ran = sandbox.on_terminal_at(&sandbox.path(""), &command, "[y/N]", "\x03").expect(130);
        assert!(!ran.stdout.contains("left behind"), "{}", ran.stdout);
    }
    assert_eq!(std::fs::read_to_string(sandbox.path("media/a")).unwrap(), "new");
    assert_eq!(std::fs::read_to_string(sandbox.path("whole.tar")).unwrap(), "mine");
}

#[test]
fn a_signal_ends_the_question_for_a_passphrase_and_the_terminal_shows_again_what_is_typed() {
    let sandbox = Sandbox::new();
    drop(database(&sandbox.path("shop.db"), "delete", 5));
    sandbox.config(
        "[source.it]\nplugin = \"sqlite\"\npath = \"shop.db\"\n[pipeline.shop]\nsource = \"it\"\nstorage = [\"fs:store\"]\n\
         filters = [{ plugin = \"age\", work_factor = 10, passphrase = \"open sesame\" }]\n",
    );
    sandbox.ok(&["backup"]);
    // Ctrl-C reaches the shell too, which has to go on and ask the terminal.
    let command = format!("trap : INT; {} restore shop --to sqlite:new.db; echo ended $?; stty -a", binary());
    let ran = sandbox.on_terminal_at(&sandbox.path(""), &command, "Passphrase", "\x03").expect(0);
    assert!(ran.stdout.contains("ended 130") && !ran.stdout.contains("left behind"), "{}", ran.stdout);
    assert!(ran.stdout.contains(" echo "), "{}", ran.stdout);
    assert!(!sandbox.path("new.db").exists());
}
