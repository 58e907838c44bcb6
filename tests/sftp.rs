//! Backups on another machine by SFTP, through the whole of it: the binary, the shared library, a real server.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{Ran, Sandbox, database, repo, rows, until};
use rustix::fs::{FileType, Mode};
use windlass_test_servers::{RcloneSftp, Sshd};

const WRONG: &str = "wrong-Geheim-9a4e";

/// Backs the database `shop.db` up to `server`, with `more` lines of the storage.
fn config(sandbox: &Sandbox, server: &Sshd, source: &str, more: &str) {
    sandbox.config(&format!(
        "[source.shop]\n{source}\n[storage.nas]\nplugin = \"sftp\"\nhost = \"127.0.0.1\"\nport = {}\nuser = \"{}\"\n\
         path = \"{}\"\nkey_file = \"{}\"\nhost_key = \"{}\"\n{more}\n[pipeline.shop]\nsource = \"shop\"\n\
         storage = [\"nas\"]\n",
        server.port(),
        server.user(),
        server.data().display(),
        server.key_file().display(),
        server.host_key("ed25519"),
    ));
}

const DATABASE: &str = "plugin = \"sqlite\"\npath = \"shop.db\"";

/// Every file in the server's folder, by path.
fn stored(folder: &Path) -> Vec<String> {
    let output =
        Command::new("find").arg(folder).args(["-mindepth", "1", "-printf", "%P\n"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn what_is_backed_up_is_listed_verified_and_restored() {
    let (server, sandbox) = (Sshd::start(), Sandbox::new());
    let whole = {
        database(&sandbox.path("shop.db"), "wal", 500).close().unwrap();
        rows(&sandbox.path("shop.db"))
    };
    config(&sandbox, &server, DATABASE, "");
    let checked = sandbox.run(&["check"]).expect(0);
    assert!(
        (checked.stdout.clone() + &checked.stderr).contains("An answer of the server takes"),
        "{checked:?}"
    );
    for what in ["1 MiB up in", "down in", "clock"] {
        assert!((checked.stdout.clone() + &checked.stderr).contains(what), "`{what}` isn't in {checked:?}");
    }
    assert_eq!(stored(&server.data()), [""; 0], "a check leaves something");
    sandbox.ok(&["backup"]);
    sandbox.ok(&["backup", "--tag", "second=yes"]);
    assert_eq!(sandbox.ok(&["--json", "list"]).matches("\"snapshot\":").count(), 2);
    sandbox.ok(&["verify", "--full"]);
    sandbox.ok(&["restore", "shop", "--to", "sqlite:new.db"]);
    assert_eq!(rows(&sandbox.path("new.db")), whole);
    let files = stored(&server.data());
    assert!(!files.iter().any(|file| file.contains(".windlass")), "{files:?}");
}

#[test]
fn a_url_needs_no_config() {
    let (server, sandbox) = (Sshd::start(), Sandbox::new());
    database(&sandbox.path("shop.db"), "wal", 50).close().unwrap();
    // The key of the server is known as ssh knows it.
    sandbox.write(".ssh/known_hosts", fs::read(server.known_hosts()).unwrap());
    let url = format!("{}/new?create_root=true&key_file={}", server.url(), server.key_file().display());
    sandbox.ok(&["backup", "sqlite:shop.db", "--storage", &url]);
    assert!(server.data().join("new/web1/shop").is_dir());
    assert!(sandbox.ok(&["list", "--storage", &url]).contains("shop@"));
    sandbox.ok(&["verify", "shop", "--storage", &url]);
    sandbox.ok(&["restore", "shop", "--storage", &url, "--to", "sqlite:new.db"]);
    assert_eq!(rows(&sandbox.path("new.db")), rows(&sandbox.path("shop.db")));
    fs::remove_file(sandbox.path(".ssh/known_hosts")).unwrap();
    let refused = sandbox.run(&["list", "--storage", &url]);
    assert!(refused.code != 0 && refused.stderr.contains("isn't known"), "{refused:?}");
    assert!(refused.stderr.contains("host_key = \"SHA256:"), "{refused:?}");
}

#[test]
fn a_run_that_is_killed_leaves_nothing_visible_and_the_next_one_clears_up() {
    let (server, sandbox) = (Sshd::start(), Sandbox::new());
    let gate = sandbox.path("gate");
    rustix::fs::mknodat(rustix::fs::CWD, &gate, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let slow = "plugin = \"command\"\ndump_command = [\"sh\", \"-c\", \"head -c 9000000 /dev/zero; cat gate\"]\n\
                working_dir = \".\"";
    config(&sandbox, &server, slow, "");
    let mut child = sandbox.spawn(&["backup"]);
    let uploads = server.data().join(".windlass-uploads");
    let bytes = || {
        let entries = fs::read_dir(&uploads).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.metadata().ok()).map(|found| found.len()).sum::<u64>()
    };
    until("the first bytes", || bytes() > 1_000_000);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(bytes() > 1_000_000, "it has cleared up, so it wasn't killed");
    sandbox.run(&["list"]).expect(0);
    assert_eq!(sandbox.ok(&["--json", "list"]).matches("\"snapshot\":").count(), 0);
    fs::remove_file(&gate).unwrap();
    sandbox.write("gate", "the end");
    sandbox.ok(&["backup"]);
    assert!(!uploads.exists(), "{:?}", stored(&server.data()));
    sandbox.ok(&["verify", "--full"]);
}

#[test]
fn a_backup_whose_connection_is_cut_makes_no_snapshot_and_leaves_nothing() {
    let (server, sandbox) = (Sshd::start(), Sandbox::new());
    config(
        &sandbox,
        &server,
        "plugin = \"command\"\ndump_command = [\"sh\", \"-c\", \"head -c 400000000 /dev/zero\"]",
        "limit = \"8MB/s\"",
    );
    let child = sandbox.spawn(&["backup"]);
    let uploads = server.data().join(".windlass-uploads");
    until("the upload", || fs::read_dir(&uploads).is_ok_and(|mut names| names.next().is_some()));
    assert!(server.cut() > 0);
    let ran = Ran::of(child.wait_with_output().unwrap()).expect(1);
    assert!(
        ran.stderr.contains("the connection ended") || ran.stderr.contains("connection broke"),
        "{ran:?}"
    );
    assert_eq!(stored(&server.data()), [""; 0]);
}

#[test]
fn a_download_whose_connection_is_cut_goes_on() {
    let (server, sandbox) = (Sshd::start(), Sandbox::new());
    let dump = "plugin = \"command\"\ndump_command = [\"sh\", \"-c\", \"head -c 12000000 /dev/urandom\"]";
    config(&sandbox, &server, dump, "");
    sandbox.ok(&["backup"]);
    config(&sandbox, &server, dump, "limit.down = \"6MB/s\"");
    let child = sandbox.spawn(&["verify", "shop"]);
    until("the download", || !server.connections().is_empty());
    server.cut();
    let ran = Ran::of(child.wait_with_output().unwrap()).expect(0);
    assert!(ran.stderr.contains("is tried again"), "{ran:?}");
}

#[test]
fn wrong_credentials_are_told_at_once_and_stand_nowhere() {
    let (server, sandbox) = (RcloneSftp::start(), Sandbox::new());
    database(&sandbox.path("shop.db"), "wal", 5).close().unwrap();
    sandbox.config(&format!(
        "[source.shop]\n{DATABASE}\n[storage.nas]\nplugin = \"sftp\"\nhost = \"127.0.0.1\"\nport = {}\nuser = \"{}\"\n\
         path = \"/\"\npassword = {{ file = \"password\" }}\nhost_key = \"{}\"\n[pipeline.shop]\nsource = \"shop\"\n\
         storage = [\"nas\"]\n",
        server.port(),
        server.user(),
        server.host_key(),
    ));
    sandbox.write("password", WRONG);
    let refused = sandbox.run(&["-vvv", "backup"]).expect(1);
    assert!(refused.stderr.contains("the server refuses `backup` with the password"), "{refused:?}");
    assert!(!refused.stderr.contains("tried again") && refused.stderr.contains("hint:"), "{refused:?}");
    sandbox.write("password", server.password());
    let stored = sandbox.run(&["-vvv", "backup"]).expect(0);
    for secret in [WRONG, server.password()] {
        for ran in [&refused, &stored] {
            assert!(!ran.stderr.contains(secret) && !ran.stdout.contains(secret), "`{secret}`: {ran:?}");
        }
    }
    sandbox.ok(&["verify", "--full"]);
    assert_eq!(fs::read_dir(server.data().join("web1/shop")).unwrap().count(), 1);
}

#[test]
fn the_example_config_backs_up_to_another_machine() {
    let (server, sandbox) = (Sshd::start(), Sandbox::new());
    let text = fs::read_to_string(repo().join("examples/pipelines/sftp.toml")).unwrap();
    sandbox.write("www/index.html", "<p>hello</p>");
    let pin = "SHA256:";
    let from = text.find(pin).unwrap();
    let fingerprint = &text[from..from + text[from..].find('"').unwrap()];
    let known =
        Command::new("ssh-keygen").arg("-lf").arg(server.dir().join("host_ed25519.pub")).output().unwrap();
    let known = String::from_utf8(known.stdout).unwrap().split(' ').nth(1).unwrap().to_owned();
    let text = text
        .replace("\"nas.example\"", &format!("\"127.0.0.1\"\nport = {}", server.port()))
        .replace("\"backup\"", &format!("\"{}\"", server.user()))
        .replace("\"/backups\"", &format!("\"{}\"", server.data().display()))
        .replace("/etc/windlass/id_ed25519", &server.key_file().display().to_string())
        .replace(fingerprint, &known)
        .replace("/srv/www", &sandbox.path("www").display().to_string());
    sandbox.config(&text);
    sandbox.ok(&["check"]);
    sandbox.ok(&["backup"]);
    sandbox.ok(&["verify", "--full"]);
    fs::remove_file(sandbox.path("www/index.html")).unwrap();
    sandbox.ok(&["restore", "www"]);
    assert_eq!(fs::read_to_string(sandbox.path("www/index.html")).unwrap(), "<p>hello</p>");
}
