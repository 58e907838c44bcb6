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

/// Runs what RESTORE.txt says on the server `to`.
fn by_hand(sandbox: &Sandbox, to: &MariaDb) {
    let text = fs::read_to_string(sandbox.object("shop", "RESTORE.txt")).unwrap();
    assert!(!text.contains(to.password()));
    let run =
        text.split_once("run, in this folder:\n").unwrap().1.split_once("\nWhen this folder").unwrap().0;
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
            .envs([("MYSQL_PWD", to.password()), ("MYSQL_HOST", to.host())])
            .env("MYSQL_TCP_PORT", to.port().to_string())
            .output()
            .unwrap();
        assert!(ran.status.success(), "{command}: {}", String::from_utf8_lossy(&ran.stderr));
    }
}

#[test]
fn restore_txt_loads_it_by_hand() {
    let ((shop, other), sandbox) = (servers(), Sandbox::new());
    config(&sandbox, &shop, &other);
    sandbox.ok(&["backup"]);
    other.sql("", "create database by_hand");
    by_hand(&sandbox, &other);
    assert_eq!(rows(&other, "by_hand"), rows(&shop, "shop"));
}

#[test]
fn several_databases_and_their_accounts_come_back_by_one_command_and_by_hand() {
    let ((shop, other), sandbox) = (servers(), Sandbox::new());
    let third = MariaDb::start();
    shop.sql(
        "",
        "create database log; create table log.l (a int); insert into log.l values (3);
        create user anna identified by 'anna-secret'; grant select on log.l to anna",
    );
    sandbox.write("password", shop.password());
    let source = |name: &str, server: &MariaDb| {
        format!(
            "[source.{name}]\nplugin = \"mysql\"\nurl = \"{}\"\npassword = {{ file = \"password\" }}\n\
             databases = [\"*\"]\nusers = true\n",
            server.url("")
        )
    };
    let pipeline = "[pipeline.shop]\nsource = \"shop\"\nfilters = [\"zstd\"]\nstorage = [\"fs:store\"]\n";
    sandbox.config(&(source("shop", &shop) + &source("other", &other) + pipeline));
    let said = sandbox.run(&["check"]).expect(0);
    assert!((said.stdout + &said.stderr).contains("2 databases"));
    sandbox.ok(&["backup"]);
    let log = || other.sql("", "select a from log.l; show grants for anna");
    // The decoy in `shop` stands in the way of all of it, but not of the other one.
    sandbox.run(&["restore", "shop", "--to", "other", "--yes"]).expect(12);
    assert_eq!(other.sql("", "show databases like 'log'"), "");
    sandbox.ok(&["restore", "shop", "--to", "other", "--only", "log", "--yes"]);
    assert!(log().starts_with("3\n") && log().contains("GRANT SELECT ON `log`.`l`"), "{}", log());
    assert_eq!(other.sql("shop", "show tables"), "decoy");
    sandbox.ok(&["restore", "shop", "--to", "other", "--only", "shop", "--set", "database=copy", "--yes"]);
    assert_eq!(rows(&other, "copy"), rows(&shop, "shop"));
    sandbox.ok(&["restore", "shop", "--to", "other", "--mode", "replace", "--yes"]);
    assert_eq!(rows(&other, "shop"), rows(&shop, "shop"));
    by_hand(&sandbox, &third);
    assert_eq!(rows(&third, "shop"), rows(&shop, "shop"));
    assert!(
        third
            .sql("", "select a from log.l; show grants for anna")
            .ends_with("GRANT SELECT ON `log`.`l` TO `anna`@`%`")
    );
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

#[test]
fn what_a_killed_restore_leaves_is_swept_by_the_next_one_and_never_while_it_runs() {
    let ((shop, other), sandbox) = (servers(), Sandbox::new());
    sandbox.write("password", shop.password());
    // A client that hangs in the middle of a load, while a file says so.
    let hanging = "#!/bin/bash\ncd \"$(dirname \"$0\")\"\ncase \"$*\" in *--database=shop_new_*) [ -e hang ] &&\n\
        { (head -c 300000; touch hung; exec sleep 600) | /usr/bin/mariadb \"$@\"; exit 9; };; esac\n\
        exec /usr/bin/mariadb \"$@\"\n";
    let client = sandbox.write("bin/mariadb", hanging);
    fs::set_permissions(client, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    // Two pipelines over one database: the host would keep two restores of one apart.
    let pipeline = |name: &str| {
        format!(
            "[source.{name}]\nplugin = \"mysql\"\nurl = \"{}\"\npassword = {{ file = \"password\" }}\nbin_dirs = [{:?}]\n\
             drop_before = true\n[pipeline.{name}]\nsource = \"{name}\"\nstorage = [\"fs:store\"]\n",
            shop.url("shop"),
            sandbox.path("bin")
        )
    };
    sandbox.config(&(pipeline("shop") + &pipeline("again")));
    sandbox.ok(&["backup", "--all"]);
    let wanted = rows(&shop, "shop");
    shop.sql("shop", "delete from orders where id > 5");
    // Called so, but not by us.
    shop.sql("", "create database shop_new_mine; create table shop_new_mine.t (a int)");
    let left = || {
        shop.sql(
            "",
            "select schema_name from information_schema.schemata where schema_name like 'shop\\_new\\_2%'",
        )
    };

    sandbox.write("bin/hang", "");
    let mut killed = sandbox.spawn(&["restore", "shop", "--mode", "replace", "--yes"]);
    common::until("the load hangs", || sandbox.path("bin/hung").exists());
    let sibling = left();
    assert!(sibling.starts_with("shop_new_"), "{sibling}");
    fs::remove_file(sandbox.path("bin/hang")).unwrap();
    // While it runs, another restore to the same database passes it by.
    sandbox.ok(&["restore", "again", "--mode", "replace", "--yes"]);
    assert_eq!(left(), sibling);
    assert_eq!(rows(&shop, "shop"), wanted);
    assert!(!sandbox.ok(&["check"]).contains(&sibling));

    killed.kill().unwrap();
    killed.wait().unwrap();
    common::until("its sessions end", || shop.sql("", &format!("select is_free_lock('{sibling}')")) == "1");
    assert_eq!((left(), rows(&shop, "shop")), (sibling.clone(), wanted.clone()));
    let said = sandbox.run(&["check"]);
    assert!((said.stdout + &said.stderr).contains(&sibling), "check doesn't tell of it");
    let said = sandbox.run(&["restore", "shop", "--mode", "replace", "--dry-run"]).expect(0);
    assert!((said.stdout + &said.stderr).contains(&sibling), "the dry run doesn't tell of it");
    sandbox.ok(&["restore", "shop", "--mode", "replace", "--yes"]);
    assert_eq!(shop.sql("", "show databases like 'shop%'"), "shop\nshop_new_mine");
    assert_eq!((shop.sql("shop_new_mine", "show tables").as_str(), rows(&shop, "shop")), ("t", wanted));
    assert_eq!(other.sql("", "show databases like 'shop%'"), "shop");
}

#[test]
fn each_database_is_a_snapshot_of_its_own_and_a_broken_one_fails_alone() {
    let (server, sandbox) = (MariaDb::start(), Sandbox::new());
    let make = |n: u32| {
        format!(
            "create database db{n:02}; create table db{n:02}.t (a int); insert into db{n:02}.t values ({n});"
        )
    };
    server.sql("", &(0..24).map(make).collect::<String>());
    // A view whose table is gone can't be dumped.
    server.sql("db07", "create view v as select a from t; drop table t");
    sandbox.write("password", server.password());
    sandbox.config(&format!(
        "[source.all]\nplugin = \"mysql\"\nurl = \"{}\"\npassword = {{ file = \"password\" }}\nmax_runs = 2\n\
         [pipeline.all]\nsource = \"all\"\nstorage = [\"fs:store\"]\neach = {{ database = \"*\" }}\n",
        server.url("")
    ));
    server.sql("", "flush status");
    let ran = sandbox.run(&["backup", "--jobs", "8"]).expect(1);
    let errors: Vec<&str> = ran.stderr.lines().filter(|line| line.starts_with("error:")).collect();
    assert!(matches!(errors.as_slice(), [one] if one.contains("all/db07")), "{errors:?}");
    let verified = sandbox.ok(&["--json", "verify", "all"]);
    assert_eq!(verified.lines().filter(|line| line.contains("\"damage\":[]")).count(), 23, "{verified}");
    // Two runs at once, each with its dump and a question beside it.
    let most = server.sql("", "show global status like 'Max_used_connections'");
    let most: u32 = most.split('\t').nth(1).unwrap().parse().unwrap();
    assert!(most <= 6, "{most} connections at once");
    server.sql("", "drop database db11");
    sandbox.ok(&["restore", "all/db11", "--yes"]);
    assert_eq!(server.sql("db11", "select a from t"), "11");
}
