//! PostgreSQL through the whole of it: the binary, the shared libraries, real servers.

mod common;

use std::fs;
use std::process::Command;

use common::{Sandbox, until};
use windlass_test_servers::Postgres;

/// A server with the database `shop`.
fn server() -> Postgres {
    let server = Postgres::start(15);
    server.sql("postgres", "create database shop");
    server
}

fn fill(server: &Postgres, rows: u32) {
    server.sql(
        "shop",
        &format!(
            "create table orders (id int primary key, what text); \
             insert into orders select n, repeat(md5(n::text), 4) from generate_series(1, {rows}) n"
        ),
    );
}

/// Backs `shop` of one server up with zstd, as the pipeline `shop`; `copy` is the same database on the other.
fn config(sandbox: &Sandbox, shop: &Postgres, copy: &Postgres) {
    let source = |name: &str, server: &Postgres| {
        let url = server.url("shop");
        format!(
            "[source.{name}]\nplugin = \"postgres\"\nurl = \"{url}\"\npassword = {{ file = \"password\" }}\n"
        )
    };
    sandbox.write("password", shop.password());
    sandbox.config(&format!(
        "{}{}[pipeline.shop]\nsource = \"shop\"\nfilters = [\"zstd\"]\nstorage = [\"fs:store\"]\n",
        source("shop", shop),
        source("copy", copy)
    ));
}

/// As [`config`], with the format `parallel` and roles.
fn parallel_config(sandbox: &Sandbox, shop: &Postgres, copy: &Postgres) {
    config(sandbox, shop, copy);
    let path = sandbox.path("windlass.toml");
    let text = fs::read_to_string(&path).unwrap();
    let text = text
        .replace("plugin = \"postgres\"\n", "plugin = \"postgres\"\nformat = \"parallel\"\nglobals = true\n");
    fs::write(path, text).unwrap();
}

/// How many orders there are, and a digest of them; nothing if there is no such table.
fn digest(server: &Postgres, database: &str) -> String {
    match server.sql(database, "select to_regclass('orders')").as_str() {
        "" => String::new(),
        _ => server.sql(database, "select count(*), md5(string_agg(what, ',' order by id)) from orders"),
    }
}

/// Runs a command of RESTORE.txt beside it, with the login of `server`.
fn by_hand(sandbox: &Sandbox, server: &Postgres, command: &str) {
    let ended = Command::new("/bin/sh")
        .args(["-ec", command])
        .current_dir(sandbox.object("shop", ""))
        .env("PGHOST", server.host())
        .env("PGPORT", server.port().to_string())
        .env("PGUSER", server.user())
        .env("PGPASSWORD", server.password())
        .status()
        .unwrap();
    assert!(ended.success(), "{command}");
}

/// Kills a restore while it fills its database, and runs it once more.
fn kill_and_repeat(configure: fn(&Sandbox, &Postgres, &Postgres)) {
    let (shop, sandbox) = (server(), Sandbox::new());
    fill(&shop, 100_000);
    configure(&sandbox, &shop, &shop);
    sandbox.ok(&["backup"]);
    let whole = digest(&shop, "shop");
    shop.sql("shop", "delete from orders where id > 10");
    let before = digest(&shop, "shop");
    let arguments = ["restore", "shop", "--mode", "replace", "--yes"];
    let mut child = sandbox.spawn(&arguments);
    let sibling = "select count(*) from pg_stat_activity where datname like 'shop\\_new\\_%'";
    until("the sibling is being filled", || shop.sql("postgres", sibling) != "0");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(digest(&shop, "shop"), before);
    until("the programs have ended", || shop.sql("postgres", sibling) == "0");
    sandbox.ok(&arguments);
    assert_eq!(digest(&shop, "shop"), whole);
    let left = "select count(*) from pg_database where datname like '%\\_new\\_%'";
    assert_eq!(shop.sql("postgres", left), "0");
}

/// Changes the last byte of each of `objects` in turn, and restores in every way.
fn damage(configure: fn(&Sandbox, &Postgres, &Postgres), objects: &[&str]) {
    let (shop, sandbox) = (server(), Sandbox::new());
    fill(&shop, 5000);
    configure(&sandbox, &shop, &shop);
    sandbox.ok(&["backup"]);
    shop.sql("shop", "delete from orders where id > 10");
    let before = digest(&shop, "shop");
    for object in objects {
        let object = sandbox.object("shop", object);
        let good = fs::read(&object).unwrap();
        let mut bytes = good.clone();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&object, bytes).unwrap();
        for arguments in [["--mode", "replace"], ["--mode", "merge"], ["--set", "database=staging"]] {
            let all = [&["restore", "shop", "--yes"][..], &arguments].concat();
            sandbox.run(&all).expect(4);
        }
        fs::write(&object, good).unwrap();
        assert_eq!(digest(&shop, "shop"), before);
        let databases =
            "select string_agg(datname, ' ' order by datname) from pg_database where not datistemplate";
        assert_eq!(shop.sql("postgres", databases), "postgres shop");
    }
}

#[test]
fn what_is_backed_up_comes_back_on_another_server_and_only_there() {
    let (shop, copy, sandbox) = (server(), server(), Sandbox::new());
    fill(&shop, 5000);
    let before = digest(&shop, "shop");
    config(&sandbox, &shop, &copy);
    assert!(sandbox.ok(&["check", "shop"]).contains("pg_dump"));
    sandbox.ok(&["backup"]);
    shop.sql("shop", "delete from orders where id > 10");
    let later = digest(&shop, "shop");
    sandbox.ok(&["restore", "shop", "--to", "copy", "--yes"]);
    assert_eq!((digest(&copy, "shop"), digest(&shop, "shop")), (before.clone(), later.clone()));
    sandbox.run(&["restore", "shop", "--to", "copy", "--yes"]).expect(12);
    copy.sql("shop", "delete from orders");
    sandbox.ok(&["restore", "shop", "--to", "copy", "--mode", "replace", "--yes"]);
    assert_eq!((digest(&copy, "shop"), digest(&shop, "shop")), (before.clone(), later.clone()));
    // A staging database of another name, on the same server.
    sandbox.ok(&["restore", "shop", "--set", "database=staging", "--yes"]);
    assert_eq!((digest(&shop, "staging"), digest(&shop, "shop")), (before, later));
}

#[test]
fn sessions_in_the_way_of_a_restore_are_ended_by_force_alone() {
    let (shop, copy, sandbox) = (server(), server(), Sandbox::new());
    fill(&shop, 10);
    fill(&copy, 3);
    config(&sandbox, &shop, &copy);
    sandbox.ok(&["backup"]);
    let mut session = Command::new(copy.bin_dir().join("psql"))
        .args([
            "-X",
            "-q",
            "-d",
            &copy.url("shop"),
            "-c",
            "set application_name = 'the shop'; select pg_sleep(120)",
        ])
        .env("PGPASSWORD", copy.password())
        .spawn()
        .unwrap();
    let connected = "select count(*) from pg_stat_activity where application_name = 'the shop'";
    until("the session", || copy.sql("postgres", connected) == "1");
    let restore = ["restore", "shop", "--to", "copy", "--mode", "replace", "--yes"];
    let before = digest(&copy, "shop");
    let refused = sandbox.run(&restore).expect(12);
    assert!(refused.stderr.contains("the shop") && refused.stderr.contains("--force"), "{}", refused.stderr);
    assert_eq!((digest(&copy, "shop"), copy.sql("postgres", connected)), (before, "1".to_owned()));
    sandbox.ok(&[&restore[..], &["--force"]].concat());
    assert_eq!(digest(&copy, "shop"), digest(&shop, "shop"));
    assert!(!session.wait().unwrap().success(), "its session was ended");
}

#[test]
fn a_damaged_snapshot_leaves_the_target_as_it_was() {
    damage(config, &["data.zst"]);
}

#[test]
fn a_restore_that_is_killed_leaves_the_old_database_and_the_next_one_works() {
    kill_and_repeat(config);
}

#[test]
fn the_commands_of_restore_txt_restore_the_database() {
    let (shop, copy, sandbox) = (server(), server(), Sandbox::new());
    fill(&shop, 5000);
    config(&sandbox, &shop, &copy);
    sandbox.ok(&["backup"]);
    let text = fs::read_to_string(sandbox.object("shop", "RESTORE.txt")).unwrap();
    let command = text.lines().find(|line| line.contains("pg_restore")).unwrap_or_else(|| panic!("{text}"));
    by_hand(&sandbox, &copy, command);
    assert_eq!(digest(&copy, "shop"), digest(&shop, "shop"));
}

#[test]
fn a_parallel_dump_comes_back_whole_in_parts_and_by_hand() {
    let (shop, copy, hand, sandbox) = (server(), server(), server(), Sandbox::new());
    fill(&shop, 20_000);
    shop.sql(
        "shop",
        "create table lines as select id, what from orders; create index on lines (id); \
        alter table lines add foreign key (id) references orders; select lo_from_bytea(7, 'large')",
    );
    parallel_config(&sandbox, &shop, &copy);
    sandbox.ok(&["backup"]);
    sandbox.ok(&["verify", "--full"]);
    let whole = digest(&shop, "shop");
    let rest = "select count(*), max(id), (select count(*) from pg_indexes where tablename = 'lines'), \
        (select count(*) from pg_constraint where contype = 'f'), convert_from(lo_get(7), 'UTF8') from lines";
    sandbox.ok(&["restore", "shop", "--to", "copy", "--yes"]);
    assert_eq!((digest(&copy, "shop"), copy.sql("shop", rest)), (whole.clone(), shop.sql("shop", rest)));
    copy.sql("shop", "drop table lines; delete from orders");
    sandbox.ok(&["restore", "shop", "--to", "copy", "--mode", "replace", "--yes"]);
    assert_eq!((digest(&copy, "shop"), copy.sql("shop", rest)), (whole.clone(), shop.sql("shop", rest)));
    sandbox.ok(&["restore", "shop", "--set", "database=one", "--only", "orders", "--yes"]);
    assert_eq!(
        (digest(&shop, "one"), shop.sql("one", "select to_regclass('lines') is null")),
        (whole.clone(), "t".into())
    );
    // Every command of RESTORE.txt, in its order.
    let text = fs::read_to_string(sandbox.object("shop", "RESTORE.txt")).unwrap();
    let commands: Vec<&str> =
        text.lines().filter(|line| line.contains("| psql") || line.contains("| pg_restore")).collect();
    assert_eq!(commands.len(), 6, "{text}");
    for command in commands {
        by_hand(&sandbox, &hand, command);
    }
    assert_eq!((digest(&hand, "shop"), hand.sql("shop", rest)), (whole, shop.sql("shop", rest)));
}

#[test]
fn a_parallel_restore_that_is_killed_leaves_the_old_database_and_the_next_one_works() {
    kill_and_repeat(parallel_config);
}

#[test]
fn a_damaged_part_of_a_parallel_dump_leaves_the_target_as_it_was() {
    damage(parallel_config, &["data-1.zst", "post-data.zst"]);
}
