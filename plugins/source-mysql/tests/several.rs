//! Several databases in one backup.

mod common;

use serde_json::{Value, json};
use windlass_plugin_api::{Contents, ErrorKind, RawName, RestoreMode, Source, StreamInfo};
use windlass_test_servers::MariaDb;
use windlass_testkit::streams::MemoryInputs;

use common::{backup, databases, dump, host, how, open, options, restore, script, taken, with};

const TWO: &str = "
create database shop character set utf8mb4; create database `log ``1` character set latin1; create database skipped;
create table skipped.t (a int);
use shop; create table orders (id int primary key, x text) engine=innodb; insert into orders values (1, 'USE `mysql`;'), (2, 'ü');
create view v as select count(*) as n from orders; create procedure pr() select 'shop';
create trigger tr before insert on orders for each row set new.id = new.id + 10;
use `log ``1`; create table orders (id int primary key) engine=innodb; insert into orders values (7);
create table rows_of (id int primary key, o int, foreign key (o) references orders (id)) engine=innodb;
create view a_view as select id from orders;
create event e on schedule every 1 day do delete from orders where id < 0;";

/// The options of a source of several databases.
fn all(server: &MariaDb, more: Value) -> Value {
    let mut options = options(server, "");
    options.as_object_mut().unwrap().remove("database");
    with(options, more)
}

fn some(server: &MariaDb) -> Value {
    all(server, json!({ "databases": ["*"], "exclude_databases": ["skip*"] }))
}

fn filled() -> MariaDb {
    let server = common::server();
    server.sql("", TWO);
    server
}

fn dumps(server: &MariaDb) -> [String; 2] {
    ["shop", "log `1"].map(|name| dump(server, name))
}

fn only(contents: &Contents, mode: RestoreMode, names: &[&str]) -> windlass_plugin_api::RestoreOptions {
    let mut how = how(contents, mode);
    how.only = names.iter().map(|name| RawName::Text((*name).into())).collect();
    how
}

#[test]
fn all_databases_that_are_chosen_come_back_under_their_names() {
    let (from, to) = (filled(), common::server());
    let (contents, input) = taken(&from, some(&from));
    let charset = |name: &str| contents.details["databases"][name]["character_set"].clone();
    assert_eq!((charset("shop"), charset("log `1")), (json!("utf8mb4"), json!("latin1")));
    to.sql("", "create database skipped; create table skipped.decoy (a int)");
    let (target, restored) =
        restore(&to, all(&to, json!({ "databases": ["*"] })), &input, &how(&contents, RestoreMode::Fail));
    let target = target.unwrap();
    assert!(target.atomic && target.empty && target.place.contains("`shop`"), "{target:?}");
    restored.unwrap();
    assert_eq!(dumps(&to), dumps(&from));
    assert_eq!(databases(&to), ["log `1", "shop", "skipped"]);
    assert_eq!(to.sql("skipped", "show tables"), "decoy");
    let charsets = "select default_character_set_name from information_schema.schemata where schema_name in ('shop', 'log `1') order by 1";
    assert_eq!(to.sql("", charsets), "latin1\nutf8mb4");
}

#[test]
fn all_of_them_are_replaced_in_one_step_and_kept() {
    let server = filled();
    let wanted = dumps(&server);
    let (contents, input) = taken(&server, some(&server));
    server.sql("shop", "drop trigger tr; insert into orders values (3, 'later'); create table extra (a int)");
    server.sql("log `1", "drop view a_view; drop table rows_of; update orders set id = 8");
    let changed = dumps(&server);
    let (target, restored) = restore(&server, some(&server), &input, &how(&contents, RestoreMode::Replace));
    assert!(target.unwrap().atomic);
    assert_eq!(restored.unwrap().notes.len(), 2);
    assert_eq!(dumps(&server), wanted);
    let kept = ["shop_before_20260102T030405Z_k3f9", "log `1_before_20260102T030405Z_k3f9"];
    let asleep = |text: &String| text.replace("NOT PRESERVE ENABLE", "NOT PRESERVE DISABLE");
    assert_eq!(kept.map(|name| dump(&server, name)), [&changed[0], &changed[1]].map(asleep));
    assert_eq!(databases(&server).len(), 5);
}

#[test]
fn trouble_with_the_last_one_leaves_all_as_they_were() {
    let server = filled();
    let (contents, input) = taken(&server, some(&server));
    let text = String::from_utf8(common::bytes(&input)).unwrap();
    server.sql("shop", "insert into orders values (30, 'now')");
    let before = dumps(&server);
    let twice = text.replace("-- Dump completed", "INSERT INTO `orders` VALUES (7);\n-- Dump completed");
    let twice = twice.replace("INSERT INTO `orders` VALUES (7);", "INSERT INTO `orders` VALUES (7),(7);");
    let input = MemoryInputs::new().stream("data", StreamInfo::new("mysql-databases/1"), twice.into_bytes());
    let (_, restored) = restore(&server, some(&server), &input, &how(&contents, RestoreMode::Replace));
    restored.unwrap_err();
    assert_eq!(dumps(&server), before);
    assert_eq!(databases(&server), ["log `1", "shop", "skipped"]);
}

#[test]
fn a_part_is_chosen_by_name_and_one_database_can_be_renamed() {
    let (from, to) = (filled(), common::server());
    to.sql("", "create database shop; create table shop.decoy (a int)");
    let (contents, input) = taken(&from, some(&from));
    let none = || all(&to, json!({ "databases": ["*"] }));
    let copy = || options(&to, "copy");
    // Several can't go into one.
    let (target, _) = restore(&to, copy(), &input, &how(&contents, RestoreMode::Fail));
    let error = target.unwrap_err();
    assert!(
        error.to_string().contains("2 databases can't be restored to the one database `copy`"),
        "{error}"
    );
    restore(&to, copy(), &input, &only(&contents, RestoreMode::Fail, &["shop"])).1.unwrap();
    assert_eq!(dump(&to, "copy"), dump(&from, "shop"));
    let part = only(&contents, RestoreMode::Fail, &["log `1.orders"]);
    restore(&to, none(), &input, &part).1.unwrap();
    assert_eq!(to.sql("log `1", "show tables"), "orders");
    let unknown = only(&contents, RestoreMode::Fail, &["shop.rows_of"]);
    assert_eq!(restore(&to, none(), &input, &unknown).0.unwrap_err().kind, ErrorKind::NotFound);
    let merged = only(&contents, RestoreMode::Merge, &["shop.orders", "log `1"]);
    restore(&to, none(), &input, &merged).1.unwrap();
    assert_eq!(to.sql("shop", "show tables"), "decoy\norders");
    assert_eq!(to.sql("log `1", "show tables"), "a_view\norders\nrows_of");
    assert_eq!(databases(&to), ["copy", "log `1", "shop"]);
    // A backup of several that holds one is renamed without more words, and one of one needs no `database`.
    let (contents, input) = taken(&from, all(&from, json!({ "databases": ["sh*"] })));
    let second = options(&to, "copy2");
    restore(&to, second, &input, &how(&contents, RestoreMode::Fail)).1.unwrap();
    assert_eq!(dump(&to, "copy2"), dump(&from, "shop"));
    to.sql("", "drop database shop");
    let (contents, input) = taken(&from, options(&from, "shop"));
    restore(&to, none(), &input, &how(&contents, RestoreMode::Fail)).1.unwrap();
    assert_eq!(dump(&to, "shop"), dump(&from, "shop"));
}

#[test]
fn a_name_that_fits_no_database_and_one_of_the_servers_own_are_errors() {
    let server = filled();
    for (more, says) in [
        (json!({ "databases": ["shpo"] }), "no database of the server fits `shpo`"),
        (json!({ "databases": ["*"], "exclude_databases": ["x*"] }), "fits `x*` in `exclude_databases`"),
        (json!({ "databases": ["shop", "MySQL"] }), "the server's own"),
        (json!({ "databases": ["s*"], "exclude_databases": ["s*"] }), "leaves nothing"),
        (json!({ "databases": ["shop"], "database": "shop" }), "exclude each other"),
        (json!({ "databases": ["shop"], "exclude": ["shop.nothing"] }), "fits `shop.nothing`"),
    ] {
        let (result, out) = backup(&server, all(&server, more));
        let error = result.unwrap_err();
        assert!(error.kind == ErrorKind::Config && error.to_string().contains(says), "{error}");
        assert!(out.seen().is_empty());
    }
    let alone = serde_json::from_value(json!({ "exclude_databases": ["x"] })).unwrap();
    let made =
        <windlass_source_mysql::Mysql as windlass_plugin_api::Plugin>::new(alone, &host(&server).context());
    assert!(made.is_err());
    let only =
        json!({ "databases": ["shop", "log*"], "exclude": ["shop.orders"], "exclude_data": ["orders"] });
    let (contents, input) = taken(&server, all(&server, only));
    let to = common::server();
    let part = self::only(&contents, RestoreMode::Fail, &["log `1"]);
    restore(&to, all(&to, json!({ "databases": ["*"] })), &input, &part).1.unwrap();
    assert_eq!(to.sql("log `1", "select count(*) from orders"), "0");
    assert!(!String::from_utf8(common::bytes(&input)).unwrap().contains("INTO `orders`"));
}

#[test]
fn databases_that_mean_each_other_are_restored_in_place_and_that_is_told() {
    let (from, to) = (common::server(), common::server());
    from.sql("", "create database a; create database b; create table b.t (id int primary key) engine=innodb;
        insert into b.t values (1); create table a.c (id int primary key, foreign key (id) references b.t (id)) engine=innodb;
        insert into a.c values (1); create view a.v as select c.id, t.id as other from a.c join b.t on b.t.id = a.c.id");
    let source = |server: &MariaDb| all(server, json!({ "databases": ["a", "b"] }));
    let (contents, input) = taken(&from, source(&from));
    for mode in [RestoreMode::Fail, RestoreMode::Replace] {
        let (target, restored) = restore(&to, source(&to), &input, &how(&contents, mode));
        let target = target.unwrap();
        assert!(!target.atomic && target.effects.iter().any(|e| e.contains("`a.c` refers to")), "{target:?}");
        restored.unwrap();
        for name in ["a", "b"] {
            assert_eq!(dump(&to, name), dump(&from, name));
        }
        to.sql("", "insert into b.t values (5); insert into a.c values (5); drop view a.v");
    }
    to.sql("", "drop database a; drop database b");
    let text = String::from_utf8(common::bytes(&input)).unwrap();
    let broken = text.replace("-- Dump completed", "INSERT INTO `c` VALUES (1);\n-- Dump completed");
    let input = MemoryInputs::new().stream("data", StreamInfo::new("mysql-databases/1"), broken.into_bytes());
    restore(&to, source(&to), &input, &how(&contents, RestoreMode::Fail)).1.unwrap_err();
    assert_eq!(databases(&to), Vec::<String>::new(), "what a failed restore made is dropped");
}

#[test]
fn a_stream_of_several_reaches_no_database_that_the_snapshot_does_not_know() {
    let server = filled();
    let (contents, input) = taken(&server, some(&server));
    let text = String::from_utf8(common::bytes(&input)).unwrap();
    server.sql("", "create database other; create table other.t (a int)");
    let before = (dumps(&server), dump(&server, "other"), dump(&server, "skipped"));
    for planted in [
        "USE `other`; DROP TABLE t;",
        "USE mysql; INSERT INTO `user` VALUES (1);",
        "DROP DATABASE `other`;",
        "CREATE DATABASE `evil`;",
        "CREATE DATABASE /*!32312 IF NOT EXISTS*/ `skipped`;",
        "DROP TABLE `other`.`t`;",
        "INSERT INTO `skipped`.`t` VALUES (1);",
        "use other\nDROP TABLE t;",
        "\\u other\nDROP TABLE t;",
    ] {
        for place in ["-- Dump completed", "--\n-- Table structure"] {
            let text = text.replacen(place, &format!("{planted}\n{place}"), 1);
            let info = StreamInfo::new("mysql-databases/1");
            let input = MemoryInputs::new().stream("data", info, text.into_bytes());
            let (_, restored) =
                restore(&server, some(&server), &input, &how(&contents, RestoreMode::Replace));
            restored.expect_err(planted);
            let now = (dumps(&server), dump(&server, "other"), dump(&server, "skipped"));
            assert_eq!(now, before, "{planted}");
            assert_eq!(databases(&server), ["log `1", "other", "shop", "skipped"], "{planted}");
        }
    }
    // What a stream of several is, without the word of its snapshot, isn't taken.
    let (_, restored) =
        restore(&server, options(&server, "new"), &input, &how(&Contents::default(), RestoreMode::Fail));
    restored.unwrap_err();
    assert_eq!(databases(&server), ["log `1", "other", "shop", "skipped"]);
}

#[test]
fn several_databases_are_of_one_moment() {
    let (server, folder) = (common::server(), tempfile::tempdir().unwrap());
    server.sql("", "create database a; create database b; create table a.t (id int primary key, x text); create table b.t like a.t;
        use a; insert into a.t select seq, repeat('x', 500) from seq_1_to_40000; insert into b.t values (1, 'then')");
    // Once the first database flows, a transaction changes both.
    let later = format!(
        "MYSQL_PWD={} /usr/bin/mariadb --no-defaults -uroot --socket={} -e \"begin; delete from a.t where id > 39990; update b.t set x = 'later'; commit\"",
        server.password(),
        server.socket().display()
    );
    let text = format!(
        "#!/bin/bash\nset -o pipefail\ncase \"$*\" in *--help*|*--version*) exec /usr/bin/mariadb-dump \"$@\";; esac\n\
         /usr/bin/mariadb-dump \"$@\" | (head -c 100000; {later}; cat)\n"
    );
    script(folder.path(), "mariadb-dump", &text);
    let (contents, input) =
        taken(&server, all(&server, json!({ "databases": ["a", "b"], "bin_dirs": [folder.path()] })));
    assert_eq!(server.sql("b", "select x from t"), "later");
    let to = common::server();
    restore(&to, all(&to, json!({ "databases": ["*"] })), &input, &how(&contents, RestoreMode::Fail))
        .1
        .unwrap();
    assert_eq!(to.sql("", "select (select count(*) from a.t), (select x from b.t)"), "40000\tthen");
}

#[test]
fn check_tells_of_all_of_them() {
    let server = filled();
    server.sql("", "create table shop.loose (a int) engine=myisam; create user poor identified by 'poor-secret';
        grant select, show view, trigger, event on shop.* to poor; grant select, show view on `log ``1`.* to poor");
    let poor = json!({ "databases": ["shop", "log*"], "user": "poor", "password": "poor-secret", "routines": false });
    let probe = open(all(&server, poor)).probe(&host(&server).context()).unwrap();
    assert!(probe.warnings.iter().any(|text| text.contains("`shop.loose`")), "{probe:?}");
    assert!(probe.missing.iter().all(|text| text.contains("on the database `log `1`")), "{probe:?}");
    assert_eq!(probe.missing.len(), 2, "{probe:?}");
    assert!(probe.estimate_bytes.unwrap() > 0);
}
