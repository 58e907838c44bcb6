//! Every database of a server as a snapshot of its own: `each` with real servers.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use common::{Sandbox, until};
use windlass_test_servers::{MariaDb, Postgres};

/// A pipeline `fleet` of `each` database of a server.
fn config(
    sandbox: &Sandbox,
    plugin: &str,
    (port, user, password): (u16, &str, &str),
    source: &str,
    each: &str,
) {
    let file = sandbox.write("password", password);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    sandbox.config(&format!(
        "[source.server]\nplugin = \"{plugin}\"\nhost = \"127.0.0.1\"\nport = {port}\nuser = \"{user}\"\n\
         password = {{ file = \"password\" }}\n{source}\n\
         [storage.nas]\nplugin = \"fs\"\nroot = \"store\"\n\
         [pipeline.fleet]\nsource = \"server\"\nfilters = [\"zstd\"]\nstorage = [\"nas\"]\neach = {each}\n"
    ));
}

/// What tells two states of the table apart.
fn state(server: &Postgres, database: &str) -> String {
    server.sql(database, "select count(*) || ' ' || md5(string_agg(id || note, ',' order by id)) from item")
}

#[test]
fn of_a_postgresql_server_one_database_that_is_locked_fails_alone() {
    let server = Postgres::start(15);
    for (seed, database) in ["shop", "Blog 2", "locked"].into_iter().enumerate() {
        server.sql("postgres", &format!("create database \"{database}\""));
        let rows = "select i, md5((i * 7)::text) from generate_series(1, 50) i";
        server.sql(database, &format!("create table item as {rows}; alter table item rename column i to id; alter table item rename column md5 to note; delete from item where id < {seed}"));
    }
    let sandbox = Sandbox::new();
    let login = (server.port(), server.user(), server.password());
    // A table that nobody lets go: the dump of that database alone waits in vain.
    let each = "{ database = \"*\", except = [\"postgres\", \"template*\"] }";
    config(&sandbox, "postgres", login, "lock_timeout = 1\nmax_runs = 2", each);
    let holder = Holder::of(&server, "locked");
    let ran = sandbox.run(&["backup", "fleet", "--jobs", "3"]).expect(1);
    drop(holder);
    assert!(ran.stderr.contains("fleet/locked: "), "{}", ran.stderr);
    let listed = sandbox.ok(&["--json", "list", "fleet"]);
    assert_eq!(listed.lines().count(), 2, "{listed}");
    let (before, other) = (state(&server, "Blog 2"), state(&server, "shop"));
    server.sql("Blog 2", "truncate item");
    sandbox.ok(&["restore", "fleet/0.Blog.202", "--mode", "replace", "--yes"]);
    assert_eq!((state(&server, "Blog 2"), state(&server, "shop")), (before, other));
}

/// Somebody who holds a lock on the table, and does nothing.
struct Holder(std::process::Child);

impl Holder {
    fn of(server: &Postgres, database: &str) -> Self {
        let child = Command::new(server.bin_dir().join("psql"))
            .args(["-X", "-q", "-d", &server.url(database), "-c"])
            .arg("begin; lock table item in access exclusive mode; select pg_sleep(60)")
            .env("PGPASSWORD", server.password())
            .spawn()
            .unwrap();
        let locks = "select count(*) from pg_locks where mode = 'AccessExclusiveLock' and granted";
        until("the lock", || server.sql(database, locks).trim() != "0");
        Self(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn of_a_mariadb_server_every_database_but_its_own_is_a_snapshot() {
    let server = MariaDb::start();
    let rows =
        |database: &str| server.sql(database, "select count(*), sum(crc32(concat(id, note))) from item");
    for (database, count) in [("shop", 20), ("Blog 2", 30)] {
        server.sql("", &format!("create database `{database}`"));
        server.sql(
            database,
            &format!("create table item as select seq as id, md5(seq) as note from seq_1_to_{count}"),
        );
    }
    let sandbox = Sandbox::new();
    let login = (server.port(), server.user(), server.password());
    config(&sandbox, "mysql", login, "", "{ database = \"*\" }");
    sandbox.ok(&["backup"]);
    let listed = sandbox.ok(&["--json", "list", "fleet"]);
    assert!(listed.contains("\"fleet/shop\"") && listed.contains("\"fleet/0.Blog.202\""), "{listed}");
    assert!(!listed.contains("information_schema") && !listed.contains("fleet/mysql"), "{listed}");
    let (before, other) = (rows("Blog 2"), rows("shop"));
    server.sql("Blog 2", "truncate item");
    sandbox.ok(&["restore", "fleet/0.Blog.202", "--mode", "replace", "--yes"]);
    assert_eq!((rows("Blog 2"), rows("shop")), (before, other));
}

#[test]
fn of_two_hundred_databases_one_broken_fails_alone() {
    let server = MariaDb::start();
    let make = |number: u32| {
        format!("create database db{number}; create table db{number}.item select {number} as id;\n")
    };
    server.sql("", &(1..=200).map(make).collect::<String>());
    // A view of what is no more: no program can dump that.
    server
        .sql("db77", "create table gone (id int); create view broken as select * from gone; drop table gone");
    let sandbox = Sandbox::new();
    let login = (server.port(), server.user(), server.password());
    config(&sandbox, "mysql", login, "max_runs = 2", "{ database = \"*\" }");
    let ran = sandbox.run(&["backup", "fleet", "--jobs", "8"]).expect(1);
    assert!(ran.stderr.contains("fleet/db77: "), "{}", ran.stderr);
    let listed = sandbox.listed();
    assert_eq!(listed.len(), 199, "{listed:?}");
    assert!(!listed.iter().any(|name| name.contains("/db77@")), "{listed:?}");
    server.sql("db200", "delete from item");
    sandbox.ok(&["restore", "fleet/db200", "--mode", "replace", "--yes"]);
    assert_eq!(server.sql("db200", "select id from item"), "200");
}
