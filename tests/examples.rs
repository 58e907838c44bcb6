//! Runs what stands in examples/: every config backs up, loses what it backed up, and restores it; the plugin of another
//! vendor is built in a target folder of its own and used.
//!
//! The configs name folders such as `/srv/shop`; here these lie in the sandbox. Those of servers are run in
//! examples_servers.rs, that of a Django site in examples_django.rs.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Ran, Sandbox, database, repo, rows};

const CONFIGS: [&str; 23] = [
    "azblob",
    "b2",
    "bucket",
    "command",
    "dropbox",
    "etcd",
    "everything",
    "files",
    "ftp",
    "gcs",
    "gdrive",
    "gently",
    "onedrive",
    "optional-storage",
    "postgres",
    "published",
    "retention",
    "s3",
    "secrets",
    "sftp",
    "sqlite",
    "two-storages",
    "webdav",
];

/// What the configs' paths begin with.
const ROOTS: [&str; 3] = ["/srv/", "/mnt/", "/run/secrets/"];

/// A sandbox with all the configs, their paths in it, and the folders of their storages.
fn examples() -> Sandbox {
    let sandbox = Sandbox::new();
    let here = sandbox.path("").canonicalize().unwrap();
    let root = repo().join("examples/pipelines");
    for name in toml_files(&root) {
        let text = fs::read_to_string(root.join(&name)).unwrap();
        let inside = |text: String, root: &&str| text.replace(root, &format!("{}{root}", here.display()));
        sandbox.write(&name, ROOTS.iter().fold(text, inside));
    }
    for folder in ["mnt/nas/backups", "mnt/usb/backups", "srv", "run/secrets"] {
        fs::create_dir_all(sandbox.path(folder)).unwrap();
    }
    sandbox
}

fn toml_files(root: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root).unwrap().map(|entry| entry.unwrap()) {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            names.extend(toml_files(&entry.path()).into_iter().map(|below| format!("{name}/{below}")));
        } else {
            names.push(name);
        }
    }
    names.sort();
    names
}

fn with(sandbox: &Sandbox, config: &str, arguments: &[&str]) -> Ran {
    let config = format!("{config}.toml");
    sandbox.run(&[&["-c", &config], arguments].concat())
}

fn ok(sandbox: &Sandbox, config: &str, arguments: &[&str]) -> String {
    with(sandbox, config, arguments).expect(0).stdout
}

fn shop(sandbox: &Sandbox) -> PathBuf {
    let path = sandbox.path("srv/shop/shop.db");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    database(&path, "wal", 50).close().unwrap();
    path
}

/// A program of somebody else.
fn script(sandbox: &Sandbox, path: &str, text: &str) {
    let file = sandbox.write(path, text);
    fs::set_permissions(file, fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn every_config_is_run_here() {
    let names = toml_files(&repo().join("examples/pipelines"));
    let top: Vec<&str> =
        names.iter().filter(|name| !name.contains('/')).filter_map(|n| n.strip_suffix(".toml")).collect();
    assert_eq!(top, CONFIGS);
}

#[test]
fn every_config_is_valid_on_the_machine_that_it_is_written_for() {
    let sandbox = examples();
    script(&sandbox, "srv/site/manage.py", "#!/bin/sh\n");
    script(&sandbox, "srv/ledger/dump", "#!/bin/sh\n");
    let own = ["ledger-token", "ledger-key", "cloud-password"];
    for secret in own.into_iter().chain([
        "b2-key",
        "drive-client",
        "drive-token",
        "dropbox-token",
        "nas-password",
        "onedrive-token",
        "web-password",
    ]) {
        sandbox.write(&format!("run/secrets/{secret}"), "s");
    }
    for config in CONFIGS {
        ok(&sandbox, config, &["check", "--offline"]);
    }
}

#[test]
fn sqlite_comes_back_and_what_was_replaced_is_kept() {
    let sandbox = examples();
    let path = shop(&sandbox);
    let before = rows(&path);
    ok(&sandbox, "sqlite", &["check"]);
    ok(&sandbox, "sqlite", &["backup"]);
    let connection = database(&path, "wal", 7);
    let lost = rows(&path);
    connection.close().unwrap();
    assert_ne!(lost, before);
    ok(&sandbox, "sqlite", &["restore", "shop", "--mode", "replace", "--yes"]);
    assert_eq!(rows(&path), before);
    let kept =
        sandbox.files("srv/shop").into_iter().find(|name| name.starts_with("shop.db.before-")).unwrap();
    assert_eq!(rows(&sandbox.path("srv/shop").join(kept)), lost);
}

#[test]
fn files_come_back_without_what_is_excluded_and_one_of_them_elsewhere() {
    let sandbox = examples();
    for (path, text) in [
        ("media/2024/cat.jpg", "cat"),
        ("media/2024/half.tmp", "half"),
        ("media/thumbnails/cat.jpg", "small"),
        ("media/2024/cache/x", "x"),
        ("etc/site.conf", "debug = false"),
    ] {
        sandbox.write(&format!("srv/site/{path}"), text);
    }
    ok(&sandbox, "files", &["backup"]);
    fs::remove_dir_all(sandbox.path("srv/site/media")).unwrap();
    sandbox.write("srv/site/etc/site.conf", "debug = true");
    ok(&sandbox, "files", &["restore", "site", "--mode", "replace", "--yes"]);
    assert_eq!(sandbox.files("srv/site"), ["etc/site.conf", "media/2024/cat.jpg"]);
    assert_eq!(fs::read_to_string(sandbox.path("srv/site/etc/site.conf")).unwrap(), "debug = false");

    let target = format!("target={}", sandbox.path("look").display());
    ok(&sandbox, "files", &["restore", "site", "--set", &target, "--only", "media/2024/cat.jpg"]);
    assert_eq!(sandbox.files("look"), ["media/2024/cat.jpg"]);
}

#[test]
fn a_backup_that_gives_way_comes_back() {
    let sandbox = examples();
    let path = shop(&sandbox);
    let whole = rows(&path);
    ok(&sandbox, "gently", &["backup"]);
    database(&path, "wal", 3).close().unwrap();
    ok(&sandbox, "gently", &["restore", "shop", "--mode", "replace", "--yes"]);
    assert_eq!(rows(&path), whole);
    let shown = ok(&sandbox, "gently", &["config", "show"]);
    for value in ["pipeline.shop.nice = 10 ", "storage.nas.limit.down = \"400 Mbit/s\" "] {
        assert!(shown.contains(value), "{shown}");
    }
}

#[test]
fn two_storages_hold_the_same_and_one_that_is_away_is_told() {
    let sandbox = examples();
    let path = shop(&sandbox);
    let before = rows(&path);
    ok(&sandbox, "two-storages", &["backup"]);
    assert_eq!(sandbox.files("mnt/nas/backups"), sandbox.files("mnt/usb/backups"));
    let listed = ok(&sandbox, "two-storages", &["list"]);
    assert!(listed.matches("shop@").count() == 1 && listed.contains("  nas, usb  ok\n"), "{listed}");
    fs::remove_dir_all(sandbox.path("mnt/nas")).unwrap();
    fs::remove_file(&path).unwrap();
    with(&sandbox, "two-storages", &["restore", "shop"])
        .expect(0)
        .says("warning: what it has isn't considered");
    assert_eq!(rows(&path), before);
    with(&sandbox, "two-storages", &["backup"]).expect(1);
    assert_eq!(sandbox.files("mnt/usb/backups").len(), 4, "each must succeed: nothing new in the other");
}

#[test]
fn a_disk_that_is_away_gets_later_what_it_missed() {
    let sandbox = examples();
    let path = shop(&sandbox);
    let before = rows(&path);
    fs::rename(sandbox.path("mnt/usb"), sandbox.path("mnt/away")).unwrap();
    with(&sandbox, "optional-storage", &["backup"]).expect(3).says("storage usb (fs@").says("is left out");
    fs::rename(sandbox.path("mnt/away"), sandbox.path("mnt/usb")).unwrap();
    assert!(ok(&sandbox, "optional-storage", &["list"]).contains("  nas      ok, missing in usb\n"));
    ok(&sandbox, "optional-storage", &["reconcile"]);
    assert_eq!(sandbox.files("mnt/nas/backups"), sandbox.files("mnt/usb/backups"));
    let second = format!("fs:{}?create_root=true", sandbox.path("mnt/usb/second").display());
    ok(&sandbox, "optional-storage", &["copy", "shop", "--from", "nas", "--to", &second]);
    assert_eq!(sandbox.files("mnt/nas/backups"), sandbox.files("mnt/usb/second"));
    fs::remove_dir_all(sandbox.path("mnt/nas")).unwrap();
    fs::remove_file(&path).unwrap();
    ok(&sandbox, "optional-storage", &["restore", "shop"]);
    assert_eq!(rows(&path), before);
}

#[test]
fn what_a_policy_keeps_stays_and_the_rest_goes() {
    let sandbox = examples();
    let path = shop(&sandbox);
    ok(&sandbox, "retention", &["backup", "--tag", "release=1.4"]);
    for _ in 0..3 {
        ok(&sandbox, "retention", &["backup"]);
    }
    let told = ok(&sandbox, "retention", &["prune", "--dry-run", "--explain"]);
    assert!(
        told.contains(": keep_tags release\n") && told.contains("Would prune shop in nas: 1 removed"),
        "{told}"
    );
    ok(&sandbox, "retention", &["prune"]);
    assert_eq!(sandbox.files("mnt/nas/backups").len(), 3 * 4);
    let before = rows(&path);
    fs::remove_file(&path).unwrap();
    ok(&sandbox, "retention", &["restore", "shop"]);
    assert_eq!(rows(&path), before);
}

#[test]
fn secrets_reach_the_program_and_nothing_else() {
    let sandbox = examples();
    sandbox.write("run/secrets/ledger-token", "open sesame\n");
    sandbox.write("run/secrets/ledger-key", "rosebud\n");
    script(
        &sandbox,
        "srv/ledger/dump",
        "#!/bin/sh\nset -eu\necho \"$LEDGER_USER\" >user\ntest \"$LEDGER_TOKEN-$LEDGER_KEY\" = \"open sesame-rosebud\"\ncat ledger\n",
    );
    script(&sandbox, "srv/ledger/load", "#!/bin/sh\ncat >ledger\n");
    sandbox.write("srv/ledger/ledger", "1 + 1 = 2\n");
    let ran = Ran::of(
        sandbox
            .command(&["-vvv", "-c", "secrets.toml", "backup"])
            .env("LEDGER_USER", "clerk")
            .output()
            .unwrap(),
    )
    .expect(0);
    assert_eq!(fs::read_to_string(sandbox.path("srv/ledger/user")).unwrap(), "clerk\n");
    fs::remove_file(sandbox.path("srv/ledger/ledger")).unwrap();
    ok(&sandbox, "secrets", &["restore", "ledger", "--mode", "replace", "--yes"]);
    assert_eq!(fs::read_to_string(sandbox.path("srv/ledger/ledger")).unwrap(), "1 + 1 = 2\n");

    let shown = ok(&sandbox, "secrets", &["config", "show"]);
    let stored = sandbox.files("mnt/nas/backups");
    let stored: String = stored
        .iter()
        .map(|name| {
            String::from_utf8_lossy(&fs::read(sandbox.path("mnt/nas/backups").join(name)).unwrap())
                .into_owned()
        })
        .collect();
    for secret in ["sesame", "rosebud"] {
        assert!(
            ![&ran.stdout, &ran.stderr, &shown, &stored].iter().any(|text| text.contains(secret)),
            "{secret}"
        );
    }
}

#[test]
fn everything_is_backed_up_with_what_is_shared_and_what_is_its_own() {
    let sandbox = examples();
    let path = shop(&sandbox);
    let before = rows(&path);
    let blog = sandbox.path("srv/blog/blog.db");
    fs::create_dir_all(blog.parent().unwrap()).unwrap();
    database(&blog, "delete", 5).close().unwrap();
    let posts = rows(&blog);
    sandbox.write("srv/shop/media/cat.jpg", "cat");
    ok(&sandbox, "everything", &["check"]);
    ok(&sandbox, "everything", &["backup", "--all", "--jobs", "2"]);
    for object in ["blog/data.zst", "shop/data.zst", "shop-media/data"] {
        let (pipeline, name) = object.split_once('/').unwrap();
        let files = sandbox.files(&format!("mnt/nas/backups/web1/{pipeline}"));
        assert!(files.iter().any(|file| file.ends_with(&format!("/{name}"))), "{object}: {files:?}");
    }
    let tagged = ["list", "--tag", "site=example.org", "--tag", "team=blog"];
    assert_eq!(ok(&sandbox, "everything", &tagged).matches("blog@").count(), 1);
    fs::remove_dir_all(sandbox.path("srv")).unwrap();
    for (name, folder) in [("shop", "srv/shop"), ("shop-media", "srv/shop"), ("blog", "srv/blog")] {
        fs::create_dir_all(sandbox.path(folder)).unwrap();
        ok(&sandbox, "everything", &["restore", name]);
    }
    assert_eq!((rows(&path), rows(&blog)), (before, posts));
    assert_eq!(fs::read_to_string(sandbox.path("srv/shop/media/cat.jpg")).unwrap(), "cat");
}

/// The folder with the plugin of another vendor, built as its author would, in a target folder of its own.
fn acme() -> PathBuf {
    let target = repo().join("target/examples");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    for arguments in [&["build"][..], &["test"]] {
        let output = Command::new(&cargo)
            .args(arguments)
            .args(["--offline", "--locked", "--quiet"])
            .current_dir(repo().join("examples/plugin"))
            .env("CARGO_TARGET_DIR", &target)
            .output()
            .unwrap();
        assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    target.join("debug")
}

#[test]
fn a_plugin_of_another_vendor_is_built_passes_its_suite_and_is_used() {
    let plugins = acme();
    let plugins = plugins.to_str().unwrap();
    let sandbox = Sandbox::new();
    sandbox.write("media/a.txt", "a text that can be read");
    let store = format!("fs:{}", sandbox.path("store").display());
    let backup =
        ["--plugin-dir", plugins, "backup", "files:media", "--storage", &store, "--filter", "acme/xor"];
    sandbox.ok(&backup);
    let stored = fs::read(sandbox.object("media", "data.xor")).unwrap();
    let plain: Vec<u8> = stored.iter().map(|byte| byte ^ 0x55).collect();
    let holds = |bytes: &[u8]| bytes.windows(10).any(|window| window == b"a text tha");
    assert!(holds(&plain) && !holds(&stored));

    let restore = ["restore", "media", "--storage", &store, "--to", "files:media", "--set", "target=back"];
    sandbox.run(&restore).expect(1).says("acme/xor").says("install that plugin");
    sandbox.ok(&[&["--plugin-dir", plugins], &restore[..]].concat());
    assert_eq!(fs::read_to_string(sandbox.path("back/media/a.txt")).unwrap(), "a text that can be read");
    sandbox.ok(&["--plugin-dir", plugins, "verify", "--full", "media", "--storage", &store]);
}

/// Otherwise it can't be built where only the workspace's dependencies were fetched.
#[test]
fn the_example_plugin_locks_no_version_that_the_workspace_has_not() {
    let locked = |path: &str| -> Vec<(String, String)> {
        let text = fs::read_to_string(repo().join(path)).unwrap();
        let table: toml::Table = text.parse().unwrap();
        let packages =
            table["package"].as_array().unwrap().iter().filter(|package| package.get("source").is_some());
        let text = |package: &toml::Value, key: &str| package[key].as_str().unwrap().to_owned();
        packages.map(|package| (text(package, "name"), text(package, "version"))).collect()
    };
    let workspace = locked("Cargo.lock");
    for package in locked("examples/plugin/Cargo.lock") {
        assert!(
            workspace.contains(&package),
            "{package:?}: copy Cargo.lock to examples/plugin and build it there"
        );
    }
}
