//! Backups on another machine by FTP with TLS, through the whole of it: the binary, the shared library, real servers.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{Ran, Sandbox, database, repo, rows, until};
use rustix::fs::{FileType, Mode};
use windlass_test_servers::{Pyftpd, Vsftpd};

const WRONG: &str = "wrong-Geheim-9a4e";
const DATABASE: &str = "plugin = \"sqlite\"\npath = \"shop.db\"";

/// Backs `source` up to `server`, with `more` lines of the storage.
fn config(sandbox: &Sandbox, server: &Vsftpd, source: &str, more: &str) {
    sandbox.config(&format!(
        "[source.shop]\n{source}\n[storage.nas]\nplugin = \"ftp\"\nhost = \"127.0.0.1\"\nport = {}\nuser = \"anonymous\"\n\
         path = \"{}\"\nca_file = \"{}\"\n{more}\n[pipeline.shop]\nsource = \"shop\"\nstorage = [\"nas\"]\n",
        server.port(),
        server.data().display(),
        server.ca_file().display(),
    ));
}

/// Every file in the server's folder, by path.
fn stored(folder: &Path) -> Vec<String> {
    let output =
        Command::new("find").arg(folder).args(["-mindepth", "1", "-printf", "%P\n"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// How many bytes lie in half uploads.
fn half_bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder.join(".windlass-uploads")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|found| found.len()).sum()
}

#[test]
fn what_is_backed_up_is_listed_verified_and_restored() {
    let (server, sandbox) = (Vsftpd::start(), Sandbox::new());
    let whole = {
        database(&sandbox.path("shop.db"), "wal", 500).close().unwrap();
        rows(&sandbox.path("shop.db"))
    };
    config(&sandbox, &server, DATABASE, "");
    let checked = sandbox.run(&["check"]).expect(0);
    let said = checked.stdout.clone() + &checked.stderr;
    assert!(said.contains("An answer of the server takes"), "{checked:?}");
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
    let (server, sandbox) = (Vsftpd::start(), Sandbox::new());
    database(&sandbox.path("shop.db"), "wal", 50).close().unwrap();
    let (port, data, authority) = (server.port(), server.data(), server.ca_file());
    let (data, authority) = (data.display(), authority.display());
    let url = format!("ftp://anonymous@127.0.0.1:{port}{data}/new?create_root=true&ca_file={authority}");
    sandbox.ok(&["backup", "sqlite:shop.db", "--storage", &url]);
    assert!(server.data().join("new/web1/shop").is_dir());
    assert!(sandbox.ok(&["list", "--storage", &url]).contains("shop@"));
    sandbox.ok(&["verify", "shop", "--storage", &url]);
    sandbox.ok(&["restore", "shop", "--storage", &url, "--to", "sqlite:new.db"]);
    assert_eq!(rows(&sandbox.path("new.db")), rows(&sandbox.path("shop.db")));
}

#[test]
fn a_run_that_is_killed_leaves_nothing_visible_and_the_next_one_clears_up() {
    let (server, sandbox) = (Vsftpd::start(), Sandbox::new());
    let gate = sandbox.path("gate");
    rustix::fs::mknodat(rustix::fs::CWD, &gate, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let slow = "plugin = \"command\"\ndump_command = [\"sh\", \"-c\", \"head -c 9000000 /dev/zero; cat gate\"]\n\
                working_dir = \".\"";
    config(&sandbox, &server, slow, "");
    let mut child = sandbox.spawn(&["backup"]);
    until("the first bytes", || half_bytes(&server.data()) > 1_000_000);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(half_bytes(&server.data()) > 1_000_000, "it has cleared up, so it wasn't killed");
    assert_eq!(sandbox.ok(&["--json", "list"]).matches("\"snapshot\":").count(), 0);
    fs::remove_file(&gate).unwrap();
    sandbox.write("gate", "the end");
    sandbox.ok(&["backup"]);
    assert!(!server.data().join(".windlass-uploads").exists(), "{:?}", stored(&server.data()));
    sandbox.ok(&["verify", "--full"]);
}

#[test]
fn a_backup_whose_connections_are_cut_goes_on_and_is_whole() {
    let (server, sandbox) = (Vsftpd::start(), Sandbox::new());
    let dump = "plugin = \"command\"\ndump_command = [\"sh\", \"-c\", \"head -c 24000000 /dev/urandom\"]";
    config(&sandbox, &server, dump, "limit = \"12MB/s\"");
    let child = sandbox.spawn(&["backup"]);
    until("the first bytes", || half_bytes(&server.data()) > 1_000_000);
    assert!(server.cut() > 0);
    Ran::of(child.wait_with_output().unwrap()).expect(0);
    sandbox.ok(&["verify", "--full"]);
}

#[test]
fn a_download_whose_connection_is_cut_goes_on() {
    let (server, sandbox) = (Vsftpd::start(), Sandbox::new());
    let dump = "plugin = \"command\"\ndump_command = [\"sh\", \"-c\", \"head -c 24000000 /dev/urandom\"]";
    config(&sandbox, &server, dump, "");
    sandbox.ok(&["backup"]);
    until("no connection", || server.connections().is_empty());
    config(&sandbox, &server, dump, "limit.down = \"8MB/s\"");
    let child = sandbox.spawn(&["-v", "verify", "shop"]);
    until("the download", || !server.connections().is_empty());
    server.cut();
    let ran = Ran::of(child.wait_with_output().unwrap()).expect(0);
    assert!(ran.stderr.contains("is tried again"), "{ran:?}");
}

#[test]
fn wrong_credentials_are_told_at_once_and_stand_nowhere() {
    let (server, sandbox) = (Pyftpd::start(), Sandbox::new());
    database(&sandbox.path("shop.db"), "wal", 5).close().unwrap();
    sandbox.config(&format!(
        "[source.shop]\n{DATABASE}\n[storage.nas]\nplugin = \"ftp\"\nhost = \"127.0.0.1\"\nport = {}\nuser = \"{}\"\n\
         path = \"/\"\npassword = {{ file = \"password\" }}\nca_file = \"{}\"\n[pipeline.shop]\nsource = \"shop\"\n\
         storage = [\"nas\"]\n",
        server.port(),
        Pyftpd::USER,
        server.ca_file().display(),
    ));
    sandbox.write("password", WRONG);
    let refused = sandbox.run(&["-vvv", "backup"]).expect(1);
    assert!(refused.stderr.contains("the server refuses `backup` with the password"), "{refused:?}");
    assert!(!refused.stderr.contains("tried again") && refused.stderr.contains("hint:"), "{refused:?}");
    sandbox.write("password", Pyftpd::PASSWORD);
    let stored = sandbox.run(&["-vvv", "backup"]).expect(0);
    for secret in [WRONG, Pyftpd::PASSWORD] {
        for ran in [&refused, &stored] {
            assert!(!ran.stderr.contains(secret) && !ran.stdout.contains(secret), "`{secret}`: {ran:?}");
        }
    }
    sandbox.ok(&["verify", "--full"]);
    assert_eq!(fs::read_dir(server.data().join("web1/shop")).unwrap().count(), 1);
}

#[test]
fn the_example_config_backs_up_to_a_server_that_has_nothing_else() {
    let (server, sandbox) = (Pyftpd::start(), Sandbox::new());
    fs::create_dir(server.data().join("backups")).unwrap();
    let text = fs::read_to_string(repo().join("examples/pipelines/ftp.toml")).unwrap();
    sandbox.write("www/index.html", "<p>hello</p>");
    let password = sandbox.write("password", Pyftpd::PASSWORD);
    let text = text
        .replace("\"nas.example\"", &format!("\"127.0.0.1\"\nport = {}", server.port()))
        .replace("/etc/windlass/nas.pem", &server.ca_file().display().to_string())
        .replace("/run/secrets/nas-password", &password.display().to_string())
        .replace("/srv/www", &sandbox.path("www").display().to_string());
    sandbox.config(&text);
    sandbox.ok(&["check"]);
    sandbox.ok(&["backup"]);
    sandbox.ok(&["verify", "--full"]);
    assert!(server.data().join("backups/web1/www").is_dir());
    fs::remove_file(sandbox.path("www/index.html")).unwrap();
    sandbox.ok(&["restore", "www"]);
    assert_eq!(fs::read_to_string(sandbox.path("www/index.html")).unwrap(), "<p>hello</p>");
}
