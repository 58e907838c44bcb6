//! What goes into a snapshot comes out of it, on another server and under another name.

mod common;

use serde_json::json;
use windlass_plugin_api::RestoreMode;

use common::{backup, dump, how, options, restore, taken, with};

const ZOO: &str = r#"
create database `zoo` character set latin1;
use zoo;
create table parent (id int primary key, name varchar(40)) engine=innodb;
create table child (id int primary key auto_increment, parent int not null, constraint `fk``1` foreign key (parent) references parent (id)) engine=innodb;
insert into parent values (1, 'a'), (2, 'b\'s "quoted" \\ back\nslash');
insert into child (parent) values (1), (1), (2);
create table `odd ``name'' "x" ; -- \ ü` (`col ``1` int primary key, `select` text) engine=innodb;
insert into `odd ``name'' "x" ; -- \ ü` values (1, 'it''s; /* no */ comment -- here'), (2, '\\! id'), (3, null);
create table texts (id int primary key, l varchar(50) character set latin1, u varchar(50) character set utf8mb4, b varbinary(50), bits bit(9), j json, e enum('ä','b'), g varchar(60) character set utf8mb4 as (concat(u, '!')) stored, v int as (id * 2) virtual) engine=innodb;
insert into texts (id, l, u, b, bits, j, e) values (1, 'Grüße', '😀 ünï', x'00ff275c0a1a', b'101010101', '{"a": "ö"}', 'ä'), (2, '', '', '', b'0', null, null);
create table blobs (id int primary key, b longblob) engine=innodb;
insert into blobs select seq, repeat(unhex('00275c0a0d1aff'), 3000 * seq) from seq_1_to_5;
create table days (id int not null, d date not null, ts timestamp(6) null, primary key (id, d)) engine=innodb partition by range (year(d)) (partition a values less than (2020), partition b values less than maxvalue);
insert into days values (1, '2019-02-28', '2019-03-31 01:30:00.123456'), (2, '2024-02-29', '2024-10-27 00:30:00');
create table spots (id int primary key, g geometry not null, fulltext_me text, fulltext key (fulltext_me)) engine=innodb;
insert into spots values (1, st_geomfromtext('POINT(1 2)'), 'words');
create table old_style (id int primary key, t text) engine=myisam;
insert into old_style values (1, 'x');
create sequence numbers start with 5;
select nextval(numbers);
set sql_mode = 'NO_BACKSLASH_ESCAPES,ANSI_QUOTES';
create procedure backslash() select 'one \', "id" from parent;
set sql_mode = default;
delimiter ;;
create function twice(n int) returns int deterministic begin /* a comment; */ return n * 2; -- ends
end;;
create trigger stamp before insert on child for each row begin if new.parent < 0 then set new.parent = 1; end if; end;;
create trigger stamp2 after insert on child for each row insert into parent values (1000 + new.id, ';');;
create event `tidy ``up` on schedule every 1 day starts '2030-01-01 00:00:00' on completion preserve enable comment 'ENABLE; this' do begin delete from parent where id < 0; delete from child where id < 0; end;;
create event sleeping on schedule every 1 hour disable do delete from parent where id < 0;;
create procedure many(in n int) begin declare i int default 0; while i < n do set i = i + 1; select 'a;b' as `c;d`; end while; end;;
delimiter ;
create view b_view as select child.id, a_view.name, twice(child.id) as two from child join parent as a_view on a_view.id = child.parent;
create view a_view as select * from b_view where name <> ';';
create definer = gone@`%` sql security definer view orphan as select parent.id, parent.name from parent;
"#;

#[test]
fn everything_of_a_database_comes_back_on_another_server_under_another_name() {
    let (from, to) = (common::server(), common::server());
    from.sql("", ZOO);
    to.sql("", "create database zoo; create table zoo.decoy (a int)");
    let before = dump(&to, "zoo");
    let (contents, input) = taken(&from, options(&from, "zoo"));
    assert!(contents.warnings.iter().any(|w| w.contains("`old_style`")), "{:?}", contents.warnings);
    assert!(contents.warnings.iter().any(|w| w.contains("`gone@%`")), "{:?}", contents.warnings);
    let (target, restored) =
        restore(&to, options(&to, "copy of `zoo`"), &input, &how(&contents, RestoreMode::Fail));
    restored.unwrap();
    let target = target.unwrap();
    assert!(target.atomic && target.empty, "{target:?}");
    assert!(target.effects.iter().any(|effect| effect.contains("`gone@%`")), "{target:?}");
    // The orphan's text holds the database's name, as the server shows it to nobody but the dump program.
    let local = |text: String, name: &str| text.replace(&format!("{name}."), "");
    let (source, copy) = (dump(&from, "zoo"), dump(&to, "copy of `zoo`"));
    assert_eq!(local(source, "`zoo`"), local(copy, "`copy of ``zoo```"));
    assert_eq!(
        to.sql("copy of `zoo`", "select charset(database()), count(*) from a_view").lines().count(),
        1
    );
    assert_eq!(to.sql("copy of `zoo`", "select two from b_view where id = 3"), "6");
    assert_eq!(dump(&to, "zoo"), before, "the database of the same name was touched");
    assert_eq!(common::databases(&to), ["copy of `zoo`", "zoo"]);
}

#[test]
fn a_definer_that_is_gone_can_be_dropped_on_restore() {
    let (from, to) = (common::server(), common::server());
    from.sql("", ZOO);
    let (contents, input) = taken(&from, options(&from, "zoo"));
    let options = with(options(&to, "zoo"), json!({ "definer": "drop" }));
    restore(&to, options, &input, &how(&contents, RestoreMode::Fail)).1.unwrap();
    assert_eq!(to.sql("zoo", "select count(*) from orphan"), "2");
    let definers = "select distinct definer from information_schema.views where table_schema = 'zoo'";
    assert_eq!(to.sql("", definers), "root@127.0.0.1");
}

#[test]
fn a_row_larger_than_the_packet_is_told_before_the_restore() {
    let (from, to) = (common::server_with(&["--max-allowed-packet=128M"]), common::server());
    from.sql("", "create database big; create table big.b (id int primary key, b longblob)");
    from.sql("big", "insert into b values (1, repeat(unhex('00ff'), 10 << 20))");
    let (contents, input) = taken(&from, options(&from, "big"));
    let (target, _) = restore(&to, options(&to, "big"), &input, &how(&contents, RestoreMode::Fail));
    let error = target.unwrap_err();
    assert!(error.to_string().contains("needs a packet of"), "{error}");
    assert_eq!(common::databases(&to), Vec::<String>::new());
    to.sql("", "set global max_allowed_packet = 128 << 20");
    restore(&to, options(&to, "big"), &input, &how(&contents, RestoreMode::Fail)).1.unwrap();
    assert_eq!(to.sql("big", "select md5(b) from b"), from.sql("big", "select md5(b) from b"));
    from.sql("", "set global max_allowed_packet = 32 << 20");
    let (contents, _) = backup(&from, options(&from, "big"));
    assert!(contents.unwrap().warnings.iter().any(|w| w.contains("max_allowed_packet")));
}

#[test]
fn the_position_in_the_binary_log_is_recorded_on_request() {
    let from = common::server_with(&["--log-bin={dir}/log-bin", "--server-id=7"]);
    from.sql("", "create database shop; create table shop.t (a int)");
    let (contents, _) = taken(&from, options(&from, "shop"));
    assert_eq!(contents.consistency_point, None);
    let (contents, input) = taken(&from, with(options(&from, "shop"), json!({ "binlog_position": true })));
    let point = contents.consistency_point.clone().unwrap();
    let status = from.sql("", "show master status").replace('\t', ":");
    assert!(status.starts_with(point.split(',').next().unwrap()), "{status} {point}");
    assert!(point.contains("GTID 0-7-"), "{point}");
    let to = common::server();
    restore(&to, options(&to, "shop"), &input, &how(&contents, RestoreMode::Fail)).1.unwrap();
    assert_eq!(to.sql("shop", "show tables"), "t");
}
