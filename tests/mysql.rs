//! MariaDB through the whole of it: the binary, the shared libraries, real servers.

mod common;

use std::fs;
use std::process::Command;

use common::Sandbox;
use windlass_test_servers::MariaDb;

/// A server with a database `shop`, and one with a decoy of the same name.
fn servers() -> (MariaDb, MariaDb) {
    // Each with its own place for temporary tables: when one starts, it removes those of the others in a common one.
    let start = || MariaDb::start_with(&["--tmpdir={dir}"]);
    let (shop, other) = (start(), start());
    shop.sql(
        "",
        "create database shop; use shop; create table orders (id int primary key, note text);
         insert into orders select seq, repeat(sha2(seq, 256), 20) from seq_1_to_2000;
         create view notes as select note from orders; create procedure hello() select 'hello';",
    );
    other.sql("", "create database shop; create table shop.decoy (a int)");
    (shop, other)
}

fn config(sandbox: &Sandbox, shop: &MariaDb, other: &MariaDb) {
    sandbox.write("password", shop.password());
    let source = |name: &str, server: &MariaDb| {
        let url = server.url("shop");
        format!(
            "[source.{name}]\nplugin = \"mysql\"\nurl = \"{url}\"\npassword = {{ file = \"password\" }}\n"
        )
    };
    sandbox.config(&format!(
        "{}{}[pipeline.shop]\nsource = \"shop\"\nfilters = [\"zstd\"]\nstorage = [\"fs:store\"]\n",
        source("shop", shop),
        source("other", other)
    ));
}

fn rows(server: &MariaDb, database: &str) -> String {
    server.sql(database, "select count(*), sum(crc32(note)) from notes")
}

#[test]
fn what_is_backed_up_comes_back_on_another_server_and_only_where_it_was_sent() {
    let ((shop, other), sandbox) = (servers(), Sandbox::new());
    config(&sandbox, &shop, &other);
    sandbox.ok(&["check"]);
    let said = sandbox.ok(&["backup"]);
    assert!(!said.contains(shop.password()));
    shop.sql("shop", "insert into orders values (9999, 'later')");
    // The decoy isn't empty: nothing without a mode.
    sandbox.run(&["restore", "shop", "--to", "other", "--yes"]).expect(12);
    assert_eq!(other.sql("shop", "show tables"), "decoy");
    sandbox.ok(&["restore", "shop", "--to", "other", "--set", "database=shop_copy", "--yes"]);
    assert!(rows(&other, "shop_copy").starts_with("2000\t"));
    assert_eq!(other.sql("shop", "show tables"), "decoy");
    assert!(rows(&shop, "shop").starts_with("2001\t"));
    let preview = sandbox.run(&["restore", "shop", "--mode", "replace", "--dry-run"]).expect(0);
    let preview = preview.stdout + &preview.stderr;
    assert!(preview.contains("shop_before_"), "{preview}");
    assert!(rows(&shop, "shop").starts_with("2001\t"), "a dry run changed something");
    sandbox.ok(&["restore", "shop", "--mode", "replace", "--yes"]);
    assert_eq!(rows(&shop, "shop"), rows(&other, "shop_copy"));
    let kept = shop.sql("", "show databases like 'shop\\_before\\_%'");
    assert!(rows(&shop, &kept).starts_with("2001\t"));
    sandbox.ok(&["restore", "shop", "--to", "other", "--set", "database=part", "--only", "orders", "--yes"]);
    assert_eq!(other.sql("part", "show tables"), "orders");
}

#[test]
fn restore_txt_loads_it_by_hand() {
    let ((shop, other), sandbox) = (servers(), Sandbox::new());
    config(&sandbox, &shop, &other);
    sandbox.ok(&["backup"]);
    let text = fs::read_to_string(sandbox.object("shop", "RESTORE.txt")).unwrap();
    assert!(!text.contains(shop.password()));
    let run =
        text.split_once("run, in this folder:\n").unwrap().1.split_once("\nWhen this folder").unwrap().0;
    other.sql("", "create database by_hand");
    for command in run.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let ran = Command::new("/bin/sh")
            .args(["-c", command])
            .current_dir(sandbox.object("shop", ""))
            .env_clear()
            .envs([
                ("PATH", "/usr/local/bin:/usr/bin:/bin"),
                ("DATABASE", "by_hand"),
                ("HOME", "/nonexistent"),
            ])
            .envs([("MYSQL_PWD", other.password()), ("MYSQL_HOST", other.host())])
            .env("MYSQL_TCP_PORT", other.port().to_string())
            .output()
            .unwrap();
        assert!(ran.status.success(), "{command}: {}", String::from_utf8_lossy(&ran.stderr));
    }
    assert_eq!(rows(&other, "by_hand"), rows(&shop, "shop"));
}

#[test]
fn a_stored_stream_that_was_tampered_with_changes_nothing() {
    let ((shop, other), sandbox) = (servers(), Sandbox::new());
    config(&sandbox, &shop, &other);
    sandbox.ok(&["backup"]);
    let object = sandbox.object("shop", "data.zst");
    let mut bytes = fs::read(&object).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&object, bytes).unwrap();
    sandbox.run(&["restore", "shop", "--to", "other", "--mode", "replace", "--yes"]).expect(4);
    assert_eq!(other.sql("shop", "show tables"), "decoy");
    assert_eq!(other.sql("", "show databases like 'shop%'"), "shop");
}
