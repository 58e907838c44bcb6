//! Where private keys come from: pipes, which give them once, variables and commands.

mod common;

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;

use common::gpg::Gpg;
use common::{Ran, Sandbox, age_key as key, database, rows};

/// The config of a machine that makes backups: `pipeline` with `filter`.
fn pipeline(name: &str, filter: &str) -> String {
    format!(
        "[source.it]\nplugin = \"sqlite\"\npath = \"shop.db\"\n\
         [pipeline.{name}]\nsource = \"it\"\nstorage = [\"fs:store\"]\nfilters = [\"zstd\", {filter}]\n"
    )
}

fn to(recipient: &str) -> String {
    format!("{{ plugin = \"age\", recipients = [\"{recipient}\"] }}")
}

/// Runs it with `--identity` and a pipe that gives `key` once: a named one, then standard input.
fn with_pipes(sandbox: &Sandbox, arguments: &[&str], key: &[u8]) {
    let pipe = sandbox.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let (path, bytes) = (pipe.clone(), key.to_vec());
    let writer = thread::spawn(move || fs::write(path, bytes));
    sandbox.ok(&[arguments, &["--identity", "pipe"]].concat());
    writer.join().unwrap().unwrap();
    fs::remove_file(pipe).unwrap();

    let arguments = [arguments, &["--identity", "/dev/stdin"]].concat();
    let mut command = sandbox.command(&arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(key).unwrap();
    Ran::of(child.wait_with_output().unwrap()).expect(0);
}

#[test]
fn an_identity_that_can_be_read_only_once_serves_all_streams_of_a_snapshot() {
    let sandbox = Sandbox::new();
    database(&sandbox.path("shop.db"), "wal", 20);
    let (identity, public) = key(&sandbox, "key.txt");
    let gpg = Gpg::new();
    gpg.key_of("future-default", &sandbox.path(""), "gpg", "");
    // Not armored: no text.
    let keyring = gpg.run(&["--export-secret-keys"], b"");
    assert!(std::str::from_utf8(&keyring).is_err());
    let to_gpg = "{ plugin = \"openpgp\", recipient_files = [\"gpg.pub\"] }".to_owned();
    for (name, filter, key) in
        [("shop", to(&public), fs::read(identity).unwrap()), ("store", to_gpg, keyring)]
    {
        sandbox.config(&pipeline(name, &filter));
        sandbox.ok(&["backup"]);
        with_pipes(&sandbox, &["verify", name, "--full"], &key);
        with_pipes(&sandbox, &["restore", name, "--to", "sqlite:new.db", "--mode", "replace", "--yes"], &key);
        assert_eq!(rows(&sandbox.path("new.db")), rows(&sandbox.path("shop.db")), "{filter}");
        fs::remove_file(sandbox.path("new.db")).unwrap();
        for (nothing, told) in [("/dev/null", "it is empty"), ("/dev/zero", "1 MiB")] {
            let ran = sandbox.run(&["verify", name, "--full", "--identity", nothing]).expect(2);
            ran.says(nothing).says(told);
        }
    }
    // None of it on a disk.
    let files = sandbox.files("");
    assert!(!files.iter().any(|file| file.contains("identity") || file.contains("pipe")), "{files:?}");
}

#[test]
fn identities_come_from_the_environment_and_from_commands() {
    let sandbox = Sandbox::new();
    database(&sandbox.path("shop.db"), "wal", 20);
    let (identity, public) = key(&sandbox, "key.txt");
    let (_, other) = key(&sandbox, "other.txt");
    let text = fs::read_to_string(identity).unwrap();
    sandbox.config(&pipeline("shop", &to(&public)));
    sandbox.ok(&["backup"]);
    let command = "{ command = [\"cat\", \"key.txt\"] }";
    for identities in
        ["{ env = \"BACKUP_KEY\" }", command, &format!("[{{ file = \"other.txt\" }}, {command}]")]
    {
        let decode = format!("[decode.age]\nidentities = {identities}\n");
        sandbox.config(&format!("{}{decode}", pipeline("shop", &to(&public))));
        let run = |arguments: &[&str]| {
            Ran::of(sandbox.command(arguments).env("BACKUP_KEY", &text).output().unwrap()).expect(0)
        };
        run(&["check"]).prints("a sample came back");
        run(&["verify", "shop", "--full"]);
        run(&["restore", "shop", "--to", "sqlite:new.db"]);
        assert_eq!(rows(&sandbox.path("new.db")), rows(&sandbox.path("shop.db")), "{identities}");
        fs::remove_file(sandbox.path("new.db")).unwrap();
    }
    sandbox.config(&pipeline("shop", &to(&other)));
    sandbox.ok(&["backup"]);
    let decode = "[decode.age]\nidentities = { env = \"BACKUP_KEY\" }\n";
    sandbox.config(&format!("{}{decode}", pipeline("shop", &to(&other))));
    let restore = ["restore", "shop", "--to", "sqlite:new.db"];
    let ran = Ran::of(sandbox.command(&restore).env("BACKUP_KEY", &text).output().unwrap()).expect(1);
    ran.says("none of the 1 identities opens it");
}

#[test]
fn a_pipe_that_gives_no_identity_does_not_keep_a_run_from_being_ended() {
    let sandbox = Sandbox::new();
    let pipe = sandbox.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let child = sandbox.spawn(&["verify", "shop", "--storage", "fs:store", "--full", "--identity", "pipe"]);
    // Opened for writing once the run reads it; held open, so that it never ends.
    let held = fs::File::options().write(true).open(&pipe).unwrap();
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupt.unwrap().success());
    Ran::of(child.wait_with_output().unwrap()).expect(130).says("SIGINT");
    drop(held);
}

#[test]
fn check_tries_the_keys_that_are_here_whatever_is_missing_of_the_others() {
    let sandbox = Sandbox::new();
    database(&sandbox.path("shop.db"), "wal", 5);
    let (_, public) = key(&sandbox, "age.key");
    Gpg::new().key_of("future-default", &sandbox.path(""), "gpg", "");
    sandbox.write("broken", "nonsense\n");
    for (name, filter, good) in [
        ("age", to(&public), "age.key"),
        ("openpgp", "{ plugin = \"openpgp\", recipient_files = [\"gpg.pub\"] }".to_owned(), "gpg.sec"),
    ] {
        for (files, exit, told) in [
            ("\"gone\", \"gone/too\"", 0, "no identity here"),
            (&*format!("\"gone\", \"{good}\""), 0, "a sample came back"),
            ("\"gone\", \"broken\"", 2, "broken"),
        ] {
            let decode = format!("[decode.{name}]\nidentity_files = [{files}]\n");
            sandbox.config(&format!("{}{decode}", pipeline("shop", &filter)));
            sandbox.run(&["check"]).expect(exit).prints(told);
        }
    }
}
