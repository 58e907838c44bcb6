//! What a restore does to a database that isn't empty.

mod common;

use serde_json::json;
use windlass_plugin_api::{ErrorKind, RawName, RestoreMode, Source};
use windlass_testkit::streams::Fault;

use common::{databases, dump, how, options, restore, taken, with};

const OLD: &str = "
create database shop character set utf8mb4; use shop;
create table p (id int primary key) engine=innodb;
create table c (id int primary key, p int, foreign key (p) references p (id)) engine=innodb;
insert into p values (1), (2); insert into c values (1, 1);
create sequence s;
create view v as select count(*) as n from p;
create trigger tr before insert on c for each row set new.id = new.id + 10;
create procedure pr() select 'old';
create event e on schedule every 1 day do delete from p where id = 77;";

const CHANGE: &str = "
insert into p values (3); drop view v; drop procedure pr; drop trigger tr; drop event e; drop table c;
create table extra (id int primary key); create table v (id int); create view c as select 1 as one;
create procedure later() select 1; create event e2 on schedule every 1 day do delete from extra;
create trigger tr2 before insert on extra for each row set new.id = 1; alter database character set latin1;";

const BEFORE: &str = "shop_before_20260102T030405Z_k3f9";

#[test]
fn a_replaced_database_becomes_the_snapshot_and_the_old_one_is_kept_whole() {
    let (server, decoy) = (common::server_with(&["--event-scheduler=on"]), common::server());
    server.sql("", OLD);
    decoy.sql("", "create database shop; create table shop.t (a int)");
    let wanted = dump(&server, "shop");
    let (contents, input) = taken(&server, options(&server, "shop"));
    server.sql("shop", CHANGE);
    let old = dump(&server, "shop");
    let (target, restored) =
        restore(&server, options(&server, "shop"), &input, &how(&contents, RestoreMode::Replace));
    let (target, restored) = (target.unwrap(), restored.unwrap());
    assert!(target.atomic && !target.empty);
    assert!(target.effects.iter().any(|effect| effect.contains(BEFORE)), "{target:?}");
    assert!(restored.notes.iter().any(|note| note.contains(BEFORE)), "{restored:?}");
    assert_eq!(dump(&server, "shop"), wanted);
    assert_eq!(
        server.sql(
            "",
            "select default_character_set_name from information_schema.schemata where schema_name = 'shop'"
        ),
        "utf8mb4"
    );
    let asleep = old.replace("NOT PRESERVE ENABLE", "NOT PRESERVE DISABLE");
    assert_eq!(dump(&server, BEFORE).replace(&format!("`{BEFORE}`"), "`shop`"), asleep);
    assert_eq!(databases(&server), ["shop", BEFORE]);
    // The keys point into their own database.
    let keys = server.sql("shop", "show create table c");
    assert!(keys.contains("REFERENCES `p`"), "{keys}");
    server.sql("shop", "insert into c values (5, 2)");
    assert_eq!(server.sql("shop", "select max(id) from c"), "15");
    assert_eq!(decoy.sql("shop", "show tables"), "t");
    // The same once more: the old one of before isn't overwritten.
    let again = restore(&server, options(&server, "shop"), &input, &how(&contents, RestoreMode::Replace)).1;
    assert_eq!(again.unwrap_err().kind, ErrorKind::AlreadyExists);
    assert_eq!(databases(&server), ["shop", BEFORE]);
    server.sql("", &format!("drop database {BEFORE}"));
    let options = with(options(&server, "shop"), json!({ "drop_before": true }));
    restore(&server, options, &input, &how(&contents, RestoreMode::Replace)).1.unwrap();
    assert_eq!(dump(&server, "shop"), wanted);
    assert_eq!(databases(&server), ["shop"]);
}

#[test]
fn a_filled_database_is_refused_without_a_mode() {
    let server = common::server();
    server.sql("", OLD);
    let (contents, input) = taken(&server, options(&server, "shop"));
    let before = dump(&server, "shop");
    let (target, restored) =
        restore(&server, options(&server, "shop"), &input, &how(&contents, RestoreMode::Fail));
    assert!(!target.unwrap().empty);
    assert_eq!(restored.unwrap_err().kind, ErrorKind::Refused);
    assert_eq!(dump(&server, "shop"), before);
}

#[test]
fn a_swap_that_fails_in_the_middle_is_taken_back() {
    let server = common::server();
    server.sql("", OLD);
    server.sql(
        "",
        "create user half identified by 'half-secret'; grant all on `shop\\_%`.* to half; grant select on mysql.proc to half;
         grant select, insert, create, drop, alter, trigger, event, create view, show view, references, index, lock tables
         on shop.* to half;",
    );
    let (contents, input) = taken(&server, options(&server, "shop"));
    // Now the target has no routine, and `half` may make one only in the siblings.
    server.sql("shop", "drop procedure pr; insert into p values (9); create view extra as select 1 as one");
    server.sql("", "update mysql.proc set definer = 'half@%'; grant super on *.* to half");
    let before = dump(&server, "shop");
    let as_half = with(
        options(&server, "shop"),
        json!({ "user": "half", "password": "half-secret", "definer": "drop" }),
    );
    let (target, restored) = restore(&server, as_half, &input, &how(&contents, RestoreMode::Replace));
    assert!(target.unwrap().atomic);
    let error = restored.unwrap_err();
    assert!(error.to_string().contains("couldn't take its place"), "{error}");
    assert_eq!(dump(&server, "shop"), before);
    assert_eq!(databases(&server), ["shop"]);
}

#[test]
fn what_another_database_refers_to_is_replaced_in_place_and_that_is_told() {
    let server = common::server();
    server.sql("", OLD);
    server.sql("", "create database log; create table log.l (p int, foreign key (p) references shop.p (id)) engine=innodb; insert into log.l values (1)");
    let wanted = dump(&server, "shop");
    let (contents, input) = taken(&server, options(&server, "shop"));
    server.sql("shop", "insert into p values (8); create table extra (a int)");
    let (target, restored) =
        restore(&server, options(&server, "shop"), &input, &how(&contents, RestoreMode::Replace));
    let target = target.unwrap();
    assert!(!target.atomic && target.effects.iter().any(|e| e.contains("log.l")), "{target:?}");
    restored.unwrap();
    assert_eq!(dump(&server, "shop"), wanted);
    assert!(server.sql("log", "show create table l").contains("REFERENCES `shop`.`p`"));
}

#[test]
fn merging_replaces_the_tables_of_the_snapshot_and_keeps_the_others() {
    let server = common::server();
    server.sql("", OLD);
    let (contents, input) = taken(&server, options(&server, "shop"));
    server.sql(
        "shop",
        "delete from c; delete from p; create table extra (a int); insert into extra values (4)",
    );
    let (target, restored) =
        restore(&server, options(&server, "shop"), &input, &how(&contents, RestoreMode::Merge));
    assert!(!target.unwrap().atomic);
    restored.unwrap();
    assert_eq!(server.sql("shop", "select (select count(*) from p), (select a from extra)"), "2\t4");
}

#[test]
fn one_table_comes_out_of_a_whole_dump() {
    let (server, other) = (common::server(), common::server());
    server.sql("", OLD);
    let (contents, input) = taken(&server, options(&server, "shop"));
    let mut only = how(&contents, RestoreMode::Fail);
    only.only = vec![RawName::Text("c".into()), RawName::Text("p".into())];
    restore(&other, options(&other, "part"), &input, &only).1.unwrap();
    assert_eq!(other.sql("part", "show full tables"), "c\tBASE TABLE\np\tBASE TABLE");
    assert_eq!(
        other.sql(
            "part",
            "select trigger_name from information_schema.triggers where trigger_schema = 'part'"
        ),
        "tr"
    );
    only.mode = RestoreMode::Merge;
    only.only = vec![RawName::Text("p".into())];
    server.sql("shop", "delete from c; delete from p; insert into c values (20, null)");
    restore(&server, options(&server, "shop"), &input, &only).1.unwrap();
    assert_eq!(server.sql("shop", "select (select count(*) from p), (select max(id) from c)"), "2\t30");
    only.mode = RestoreMode::Replace;
    let (target, _) = restore(&server, options(&server, "shop"), &input, &only);
    assert_eq!(target.unwrap_err().kind, ErrorKind::Unsupported);
}

#[test]
fn sessions_in_the_target_are_shown() {
    let server = common::server();
    server.sql("", OLD);
    let (contents, input) = taken(&server, options(&server, "shop"));
    let mut user = std::process::Command::new("mariadb")
        .args([
            "--no-defaults",
            "--user",
            server.user(),
            "--execute",
            "begin; select * from p; select sleep(60)",
            "shop",
        ])
        .arg(format!("--socket={}", server.socket().display()))
        .env("MYSQL_PWD", server.password())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while server.sql("", "select count(*) from information_schema.processlist where state = 'User sleep'")
        != "1"
    {}
    let before = dump(&server, "shop");
    let short = with(options(&server, "shop"), json!({ "lock_timeout": 1 }));
    let (target, restored) = restore(&server, short.clone(), &input, &how(&contents, RestoreMode::Replace));
    assert_eq!(target.unwrap().sessions.len(), 1);
    // It holds a lock, so the swap gives up and everything is as it was.
    assert_eq!(restored.unwrap_err().kind, ErrorKind::TimedOut);
    assert_eq!(dump(&server, "shop"), before);
    assert_eq!(databases(&server), ["shop"]);
    let force = with(short, json!({ "force": true }));
    restore(&server, force, &input, &how(&contents, RestoreMode::Replace)).1.unwrap();
    assert!(!user.wait().unwrap().success(), "the session is still there");
}

#[test]
fn a_snapshot_without_tables_replaces_and_a_failure_brings_the_tables_back() {
    let server = common::server();
    server.sql("", OLD);
    server.sql("", "create database code; create procedure code.pr() select 1");
    let (contents, input) = taken(&server, options(&server, "code"));
    server.sql(
        "",
        "create user half identified by 'half-secret'; grant all on `shop\\_%`.* to half; grant select on mysql.proc to half;
         grant select, insert, create, drop, alter, trigger, event, create view, show view, references, index, lock tables
         on shop.* to half; grant super on *.* to half; drop procedure shop.pr",
    );
    let before = dump(&server, "shop");
    let as_half = with(options(&server, "shop"), json!({ "user": "half", "password": "half-secret" }));
    restore(&server, as_half, &input, &how(&contents, RestoreMode::Replace)).1.unwrap_err();
    assert_eq!(dump(&server, "shop"), before);
    assert_eq!(databases(&server), ["code", "shop"]);
    restore(&server, options(&server, "shop"), &input, &how(&contents, RestoreMode::Replace)).1.unwrap();
    assert_eq!(server.sql("shop", "show tables"), "");
    assert_eq!(server.sql(BEFORE, "select count(*) from p"), "2");
}

#[test]
fn a_cancelled_restore_leaves_no_database_behind() {
    let server = common::server();
    server.sql("", "create database shop; create table shop.t (id int primary key, x text)");
    server.sql("shop", "insert into t select seq, repeat('x', 500) from seq_1_to_4000");
    let (contents, input) = taken(&server, options(&server, "shop"));
    let host = common::host(&server);
    let input = input.fault_in("data", 1_000_000, Fault::Block(host.clone()));
    let cx = host.context();
    let mut source = common::open(options(&server, "copy"));
    let error = std::thread::scope(|scope| {
        let run = scope.spawn(|| source.restore(&cx, &input, &how(&contents, RestoreMode::Fail)));
        assert!(host.wait_blocked(std::time::Duration::from_secs(60)));
        host.cancel();
        run.join().unwrap().unwrap_err()
    });
    assert_eq!(error.kind, ErrorKind::Cancelled);
    assert_eq!(databases(&server), ["shop"]);
}
