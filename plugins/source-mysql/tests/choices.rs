//! The options: which tables, which programs, which rights.

mod common;

use std::path::Path;

use serde_json::json;
use windlass_plugin_api::{ErrorKind, RestoreMode, Source};
use windlass_test_servers::MariaDb;

use common::{backup, host, how, open, options, restore, script, taken, with};

const SHOP: &str = "create database shop; use shop; create table orders (a int); create table orders_old (a int);
    create table logs (a int); insert into orders values (1); insert into logs values (2);
    create view v as select * from orders; create trigger tr before insert on orders for each row set new.a = 1;
    create procedure pr() select 1; create event e on schedule every 1 day do delete from logs;";

fn tables(server: &MariaDb, more: serde_json::Value) -> String {
    let (contents, input) = taken(server, with(options(server, "shop"), more));
    let to = common::server();
    restore(&to, options(&to, "copy"), &input, &how(&contents, RestoreMode::Fail)).1.unwrap();
    let tables = to.sql("copy", "show tables").replace('\n', " ");
    let rows = match tables.contains("logs") {
        true => to.sql("copy", "select count(*) from logs"),
        false => "no".to_owned(),
    };
    let code = to.sql(
        "",
        "select (select count(*) from information_schema.triggers where trigger_schema = 'copy') +
        (select count(*) from information_schema.routines where routine_schema = 'copy') +
        (select count(*) from information_schema.events where event_schema = 'copy')",
    );
    format!("{tables}; {rows} logs, {code} pieces of code")
}

#[test]
fn tables_are_chosen_by_globs_and_an_unknown_name_is_an_error() {
    let server = common::server();
    server.sql("", SHOP);
    for (more, wanted) in [
        (json!({}), "logs orders orders_old v; 1 logs, 3 pieces of code"),
        (json!({ "exclude": ["orders_*", "v"] }), "logs orders; 1 logs, 3 pieces of code"),
        (json!({ "include": ["orders*"], "exclude": ["orders_old"] }), "orders; no logs, 3 pieces of code"),
        (json!({ "exclude_data": ["log?"] }), "logs orders orders_old v; 0 logs, 3 pieces of code"),
        (
            json!({ "triggers": false, "routines": false, "events": false }),
            "logs orders orders_old v; 1 logs, 0 pieces of code",
        ),
    ] {
        assert_eq!(tables(&server, more.clone()), wanted, "{more}");
    }
    for more in
        [json!({ "exclude": ["ordres"] }), json!({ "include": ["x*"] }), json!({ "exclude_data": ["["] })]
    {
        let (result, _) = backup(&server, with(options(&server, "shop"), more));
        assert_eq!(result.unwrap_err().kind, ErrorKind::Config);
    }
}

#[test]
fn every_database_of_a_server_is_discovered_but_its_own() {
    let server = common::server();
    server.sql("", "create database `a b`; create database shop");
    let items =
        open(json!({ "url": server.url_with_password("") })).discover(&host(&server).context()).unwrap();
    let names: Vec<&str> = items.iter().map(|item| item.name.as_str()).collect();
    assert_eq!(names, ["a b", "shop"]);
    assert_eq!(items[0].options["database"], "a b");
}

#[test]
fn commands_elsewhere_work_through_a_shell_as_well_as_without_one() {
    let (server, folder) = (common::server(), tempfile::tempdir().unwrap());
    server.sql("", SHOP);
    common::own_file(&server, folder.path());
    let login = format!("export HOME={}", folder.path().display());
    // As `ssh host words…` does it: a shell over there reads the words joined.
    let ssh = script(folder.path(), "ssh", &format!("#!/bin/sh\nshift\n{login}\nexec sh -c \"$*\"\n"));
    let docker = script(folder.path(), "docker", &format!("#!/bin/sh\nshift 2\n{login}\nexec \"$@\"\n"));
    let run = |program: &Path, more: &[&str]| {
        let command = |last: &'static str| [&[program.to_str().unwrap()], more, &[last]].concat();
        let from = json!({ "user": "root", "database": "shop", "dump_command": command("mariadb-dump") });
        let (contents, input) = taken(&server, from);
        let to =
            json!({ "user": "root", "database": "it's `a` copy", "restore_command": command("mariadb") });
        restore(&server, to, &input, &how(&contents, RestoreMode::Fail)).1.unwrap();
        assert_eq!(server.sql("it's `a` copy", "select * from v"), "1");
        server.sql("", "drop database `it's ``a`` copy`");
    };
    run(&ssh, &["db1"]);
    run(&docker, &["exec", "db"]);
}

/// The first statements of the page behind these words, as a reader would copy them.
fn documented(words: &str) -> String {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/sources/mysql.md");
    let page = std::fs::read_to_string(page).unwrap();
    let behind = page.split(words).nth(1).unwrap();
    behind.split("```sql\n").nth(1).unwrap().split("```").next().unwrap().to_owned()
}

#[test]
fn the_documented_rights_are_enough_for_several_databases_and_for_users() {
    let server = common::server();
    server.sql("", SHOP);
    server.sql("", "create database log; create table log.t (a int); insert into log.t values (4)");
    server.sql("", &documented("### The account that backs up\n"));
    let mut reader = with(options(&server, ""), json!({ "user": "windlass", "password": "change me" }));
    reader.as_object_mut().unwrap().remove("database");
    let reader = with(reader, json!({ "databases": ["shop", "log"], "users": true }));
    let cx = host(&server).context();
    let missing = || open(reader.clone()).probe(&cx).map(|probe| probe.missing);
    // It doesn't see the other database before it may.
    assert_eq!(missing().unwrap_err().kind, ErrorKind::Config);
    server.sql("", "grant select, show view, trigger, event on log.* to windlass");
    assert!(missing().unwrap()[0].contains("users and grants"));
    server.sql("", &documented("without it grant that:"));
    assert_eq!(missing().unwrap(), Vec::<String>::new());
    server.sql("", "revoke all, grant option from windlass");
    server.sql("", &documented("it needs the same on each of them"));
    assert_eq!(missing().unwrap(), Vec::<String>::new());
    let (contents, input) = taken(&server, reader);
    assert_eq!(contents.left_out, Vec::<String>::new());
    let to = common::server();
    let mut all = with(options(&to, ""), json!({ "databases": ["*"], "users": true }));
    all.as_object_mut().unwrap().remove("database");
    let restored = restore(&to, all, &input, &how(&contents, RestoreMode::Fail)).1.unwrap();
    assert_eq!(restored.left_out, Vec::<String>::new());
    assert_eq!(to.sql("", "select (select a from log.t), (select * from shop.v)"), "4\t1");
    assert!(to.sql("", "show grants for windlass").contains("GRANT SELECT, SHOW VIEW"));
}

#[test]
fn the_documented_accounts_can_do_their_work_and_no_more() {
    let server = common::server();
    server.sql("", SHOP);
    server.sql("", "create database other; create table other.t (a int)");
    server.sql("", &documented("### The account that backs up\n"));
    server.sql("", &documented("### The account that restores\n"));
    let as_user = |user: &str| json!({ "user": user, "password": "change me" });
    let reader = with(options(&server, "shop"), as_user("windlass"));
    let cx = host(&server).context();
    assert_eq!(open(reader.clone()).probe(&cx).unwrap().missing, Vec::<String>::new());
    let wanted = common::dump(&server, "shop");
    let (contents, input) = taken(&server, reader.clone());
    assert_eq!(contents.left_out, Vec::<String>::new());
    server.sql("shop", "drop table orders_old; update logs set a = 9; create procedure pr2() select 2");
    let writer =
        with(options(&server, "shop"), with(as_user("windlass_restore"), json!({ "definer": "drop" })));
    let (target, restored) = restore(&server, writer, &input, &how(&contents, RestoreMode::Replace));
    assert!(target.unwrap().atomic);
    restored.unwrap_or_else(|error| panic!("{error:?} {}", server.log()));
    let plain = |text: String| text.replace("`windlass_restore`@`%`", "`root`@`localhost`");
    assert_eq!(plain(common::dump(&server, "shop")), wanted);
    let denied = restore(
        &server,
        with(reader, json!({ "database": "other" })),
        &input,
        &how(&contents, RestoreMode::Replace),
    );
    assert!(denied.1.is_err());
    assert_eq!(server.sql("other", "show tables"), "t");
}

#[test]
fn rights_that_are_missing_are_told_and_leave_the_snapshot_incomplete() {
    let server = common::server();
    server.sql("", SHOP);
    server.sql("", "create user poor identified by 'poor-secret'; grant select, show view on shop.* to poor");
    let poor = with(options(&server, "shop"), json!({ "user": "poor", "password": "poor-secret" }));
    let missing = open(poor.clone()).probe(&host(&server).context()).unwrap().missing;
    assert!(missing.iter().any(|text| text.starts_with("`TRIGGER`")), "{missing:?}");
    assert!(missing.iter().any(|text| text.starts_with("`EVENT`")), "{missing:?}");
    assert!(missing.iter().any(|text| text.contains("mysql.proc")), "{missing:?}");
    let (contents, input) = taken(&server, poor);
    assert_eq!(contents.left_out, missing);
    restore(&server, options(&server, "copy"), &input, &how(&contents, RestoreMode::Fail)).1.unwrap();
    assert_eq!(server.sql("copy", "select a from orders"), "1");
}

#[test]
fn without_the_right_to_a_sibling_a_restore_is_not_atomic_and_says_so() {
    let server = common::server();
    server.sql("", "create database shop; create table shop.t (a int); insert into shop.t values (1)");
    let (contents, input) = taken(&server, options(&server, "shop"));
    server.sql(
        "",
        "create user one identified by 'one-secret'; grant all on shop.* to one; delete from shop.t",
    );
    let one = with(options(&server, "shop"), json!({ "user": "one", "password": "one-secret" }));
    let (target, restored) = restore(&server, one, &input, &how(&contents, RestoreMode::Replace));
    let target = target.unwrap();
    assert!(!target.atomic && target.effects.iter().any(|e| e.contains("not atomic")), "{target:?}");
    restored.unwrap();
    assert_eq!(server.sql("shop", "select a from t"), "1");
}

#[test]
fn tls_is_asked_for_and_proved() {
    let folder = tempfile::tempdir().unwrap();
    let make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1 \
        -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem 2>/dev/null && chmod -R a+rX .";
    assert!(
        std::process::Command::new("sh")
            .args(["-c", make])
            .current_dir(folder.path())
            .status()
            .unwrap()
            .success()
    );
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let secure = common::server_with(&[
        &format!("--ssl-cert={}", path("cert.pem")),
        &format!("--ssl-key={}", path("key.pem")),
        &format!("--ssl-ca={}", path("cert.pem")),
        "--require-secure-transport=on",
    ]);
    let plain = common::server();
    for server in [&secure, &plain] {
        server.sql("", SHOP);
    }
    let run = |server: &MariaDb, more| backup(server, with(options(server, "shop"), more)).0;
    run(&secure, json!({ "tls": "require" })).unwrap();
    run(&secure, json!({ "tls": "verify", "tls_ca": path("cert.pem") })).unwrap();
    run(&secure, json!({ "tls": "verify" })).unwrap_err();
    run(&secure, json!({ "tls": "disable" })).unwrap_err();
    run(&plain, json!({ "tls": "disable" })).unwrap();
    // An account that shows a certificate of its own.
    secure.sql("", "create user shown identified by 'shown-secret' require x509; grant all on *.* to shown");
    let shown =
        json!({ "user": "shown", "password": "shown-secret", "tls": "verify", "tls_ca": path("cert.pem") });
    assert_eq!(run(&secure, shown.clone()).unwrap_err().kind, ErrorKind::Denied);
    let keys = json!({ "tls_cert": path("cert.pem"), "tls_key": path("key.pem") });
    run(&secure, with(shown, keys)).unwrap();
    run(&plain, json!({ "tls": "require" })).unwrap_err();
}

#[test]
fn the_programs_are_found_under_their_older_names_too() {
    let (server, folder) = (common::server(), tempfile::tempdir().unwrap());
    server.sql("", SHOP);
    for (name, real) in [("mysqldump", "/usr/bin/mariadb-dump"), ("mysql", "/usr/bin/mariadb")] {
        std::os::unix::fs::symlink(real, folder.path().join(name)).unwrap();
    }
    let old = with(options(&server, "shop"), json!({ "env": { "PATH": folder.path() } }));
    let (contents, input) = taken(&server, old.clone());
    let copy = with(old, json!({ "database": "copy" }));
    restore(&server, copy, &input, &how(&contents, RestoreMode::Fail)).1.unwrap();
    assert_eq!(server.sql("copy", "select * from v"), "1");
    let empty = tempfile::tempdir().unwrap();
    let none = with(options(&server, "shop"), json!({ "env": { "PATH": empty.path() } }));
    let error = backup(&server, none).0.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
}

#[test]
fn a_table_that_is_altered_while_the_dump_runs_fails_it() {
    let (server, folder) = (common::server(), tempfile::tempdir().unwrap());
    server.sql("", "create database shop; use shop; create table a (id int primary key, x text); create table b (id int primary key);
        insert into a select seq, repeat('x', 500) from seq_1_to_40000; insert into b values (1)");
    // Once the first table flows, the second is changed.
    let alter = format!(
        "MYSQL_PWD={} /usr/bin/mariadb --no-defaults -uroot --socket={} -e 'alter table shop.b add y int default 5, algorithm=copy'",
        server.password(),
        server.socket().display()
    );
    let text = format!(
        "#!/bin/bash\nset -o pipefail\ncase \"$*\" in *--help*|*--version*) exec /usr/bin/mariadb-dump \"$@\";; esac\n\
         /usr/bin/mariadb-dump \"$@\" | (head -c 100000; {alter}; cat)\n"
    );
    script(folder.path(), "mariadb-dump", &text);
    let (result, out) =
        backup(&server, with(options(&server, "shop"), json!({ "bin_dirs": [folder.path()] })));
    let error = result.unwrap_err();
    assert!(error.hint.clone().unwrap_or_default().contains("ALTER TABLE"), "{error:?}");
    assert!(out.seen().iter().all(|(_, seen)| !seen.finished));
}
