//! Restoring from what a web server shows, through the whole of it: a backup is made to a folder, the folder is published, and on
//! another machine nothing but its address is needed.

mod common;

use std::fs;
use std::process::Command;

use common::{Sandbox, database, repo, rows};
use windlass_test_servers::Web;

/// A database, backed up twice to a folder that `server` shows; its rows.
fn published(sandbox: &Sandbox, server: &Web) -> String {
    database(&sandbox.path("shop.db"), "wal", 500).close().unwrap();
    let whole = rows(&sandbox.path("shop.db"));
    let store = format!("fs:{}", server.folder().display());
    sandbox.ok(&["backup", "sqlite:shop.db", "--storage", &store, "--filter", "zstd"]);
    sandbox.ok(&["backup", "sqlite:shop.db", "--storage", &store, "--filter", "zstd"]);
    whole
}

#[test]
fn a_published_folder_is_listed_verified_and_restored_by_its_address_alone() {
    let (server, here, there) = (Web::python(), Sandbox::new(), Sandbox::new());
    let whole = published(&here, &server);
    let url = server.url();
    assert_eq!(there.ok(&["--json", "list", "--storage", &url]).matches("\"snapshot\":").count(), 2);
    there.ok(&["verify", "shop", "--storage", &url, "--full"]);
    there.ok(&["restore", "shop", "--storage", &url, "--to", "sqlite:new.db"]);
    assert_eq!(rows(&there.path("new.db")), whole);
    // Damage on the way is found as anywhere else.
    let output =
        Command::new("find").arg(server.folder()).args(["-type", "f", "-name", "data*"]).output().unwrap();
    for file in String::from_utf8(output.stdout).unwrap().lines() {
        let mut bytes = fs::read(file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(file, bytes).unwrap();
    }
    there.run(&["verify", "shop", "--storage", &url]).expect(4);
}

#[test]
fn the_example_config_restores_with_a_password_and_refuses_to_back_up() {
    let (server, here, there) = (Web::rclone(), Sandbox::new(), Sandbox::new());
    let whole = published(&here, &server);
    let text = fs::read_to_string(repo().join("examples/pipelines/published.toml")).unwrap();
    let password = there.write("password", Web::PASSWORD);
    let text = text
        .replace("https://web.example/backups", &server.url())
        .replace("\"reader\"", &format!("\"{}\"", Web::USER))
        .replace("/run/secrets/web-password", &password.display().to_string())
        .replace("/srv/shop/shop.db", &there.path("new.db").display().to_string())
        .replace("/mnt/nas/backups", &there.path("store").display().to_string());
    there.config(&text);
    assert_eq!(there.ok(&["--json", "list", "--storage", "published"]).matches("\"snapshot\":").count(), 2);
    there.ok(&["verify", "shop", "--storage", "published"]);
    there.ok(&["restore", "shop", "--storage", "published"]);
    assert_eq!(rows(&there.path("new.db")), whole);
    for arguments in [
        vec!["backup", "--storage", "published"],
        vec!["backup", "--storage", "published", "--dry-run"],
        vec!["check", "--storage", "published"],
        vec!["copy", "shop", "--from", "published", "--to", "published"],
    ] {
        let refused = there.run(&arguments).expect(2);
        assert!(
            refused.stderr.contains("nothing can be stored in `published`: it can only be read"),
            "{refused:?}"
        );
        assert!(refused.stderr.contains("hint:"), "{refused:?}");
    }
    assert_eq!(server.log().matches("PUT").count(), 0);
}
