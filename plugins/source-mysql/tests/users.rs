//! Accounts and grants, on request.

mod common;

use serde_json::{Value, json};
use windlass_plugin_api::{Contents, Inputs, RestoreMode, StreamInfo};
use windlass_test_servers::MariaDb;
use windlass_testkit::streams::MemoryInputs;

use common::{backup, databases, how, options, restore, taken, with};

const PEOPLE: &str = "
create database shop; create table shop.orders (id int primary key); insert into shop.orders values (1);
create user anna@'%' identified by 'anna-secret'; grant select, insert on shop.orders to anna@'%' with grant option;
create user `o'd``d;\\\\ /* x`@`10.0.0.%` identified by 'x' require ssl with max_user_connections 3 account lock;
create user there@'%' identified by 'old'; grant all on shop.* to there@'%';
create role readers; grant select on shop.* to readers; create user bob@'%' identified by 'bob-secret';
grant readers to bob@'%'; set default role readers for bob@'%';
create user two@'%' identified via unix_socket or mysql_native_password using password('k');
create definer = anna@'%' sql security definer view shop.v as select * from shop.orders;";

fn users(server: &MariaDb, database: &str) -> Value {
    with(options(server, database), json!({ "users": true }))
}

/// What the server says of every account but its own and the superuser's.
fn grants(server: &MariaDb) -> String {
    let all =
        "select concat('show grants for ', quote(user), if(host = '', '', concat('@', quote(host))), ';')
        from mysql.user where user not in ('root', 'mariadb.sys') order by user";
    let asked = server.sql("", all);
    server.sql("", &asked)
}

#[test]
fn missing_accounts_are_made_with_their_rights_and_existing_ones_stay() {
    let (from, to) = (common::server(), common::server());
    from.sql("", PEOPLE);
    to.sql("", "create user there@'%' identified by 'new'; grant select on *.* to there@'%'");
    let there = to.sql("", "show create user there@'%'; show grants for there@'%'");
    let (contents, input) = taken(&from, users(&from, "shop"));
    assert_eq!(contents.left_out, Vec::<String>::new());
    let names: Vec<String> = input.streams().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["data", "users"]);
    let restored = restore(&to, users(&to, "shop"), &input, &how(&contents, RestoreMode::Fail)).1.unwrap();
    assert_eq!(restored.left_out, Vec::<String>::new());
    assert_eq!(to.sql("", "show create user there@'%'; show grants for there@'%'"), there);
    let others =
        |text: String| text.lines().filter(|line| !line.contains("`there`")).collect::<Vec<_>>().join("\n");
    assert_eq!(others(grants(&to)), others(grants(&from)));
    let made = "show create user `o'd``d;\\\\ /* x`@`10.0.0.%`";
    assert_eq!(to.sql("", made), from.sql("", made));
    // They can log in and do what they were granted, by themselves or by a role, and the view of one works.
    for (user, password) in [("anna", "anna-secret"), ("bob", "bob-secret")] {
        let as_user =
            with(options(&to, "shop"), json!({ "user": user, "password": password, "include": ["orders"] }));
        backup(&to, as_user).0.unwrap();
    }
    assert_eq!(to.sql("shop", "select * from v"), "1");
}

#[test]
fn without_the_wish_no_account_is_written_or_made() {
    let (from, to) = (common::server(), common::server());
    from.sql("", PEOPLE);
    let (_, input) = taken(&from, options(&from, "shop"));
    assert_eq!(input.streams().len(), 1);
    let (contents, input) = taken(&from, users(&from, "shop"));
    restore(&to, options(&to, "shop"), &input, &how(&contents, RestoreMode::Fail)).1.unwrap();
    assert_eq!(grants(&to), "");
    assert_eq!(to.sql("shop", "select count(*) from orders"), "1");
}

#[test]
fn accounts_that_we_may_not_see_are_told_and_left_out() {
    let server = common::server();
    server.sql("", PEOPLE);
    server.sql("", "create user reader identified by 'r-secret'; grant select, show view, trigger, event on shop.* to reader; grant select on mysql.proc to reader");
    let reader = with(users(&server, "shop"), json!({ "user": "reader", "password": "r-secret" }));
    let (contents, input) = taken(&server, reader.clone());
    assert_eq!(contents.left_out, ["`SELECT` on the database `mysql`: users and grants are left out"]);
    assert_eq!(input.streams().len(), 1);
    // The table alone isn't enough for what is asked of each account.
    server.sql("", "grant select on mysql.user to reader");
    assert_eq!(taken(&server, reader.clone()).0.left_out.len(), 1);
    server.sql("", "grant select on mysql.* to reader");
    assert_eq!(taken(&server, reader).1.streams().len(), 2);
}

#[test]
fn a_right_that_cannot_be_given_is_told_and_the_rest_is_given() {
    let (from, to) = (common::server(), common::server());
    from.sql("", PEOPLE);
    from.sql("", "create database other; create table other.t (a int); grant insert on other.t to bob@'%'");
    let (contents, input) = taken(&from, users(&from, "shop"));
    let restored = restore(&to, users(&to, "shop"), &input, &how(&contents, RestoreMode::Fail)).1.unwrap();
    let [left] = restored.left_out.as_slice() else { panic!("{restored:?}") };
    assert!(left.starts_with("the account `bob@%` couldn't be given `GRANT INSERT ON other.t`"), "{left}");
    assert!(grants(&to).contains("GRANT `readers` TO `bob`"));
    assert_eq!(to.sql("shop", "select count(*) from orders"), "1");
}

#[test]
fn nothing_else_may_be_in_the_stream_of_accounts() {
    let (from, to) = (common::server(), common::server());
    from.sql("", PEOPLE);
    to.sql("", "create database other; create table other.t (a int)");
    let (contents, input) = taken(&from, users(&from, "shop"));
    let mut text = String::new();
    std::io::Read::read_to_string(&mut input.open("users").unwrap(), &mut text).unwrap();
    let before = to.sql("", "show grants for root@localhost");
    for planted in [
        "DROP DATABASE other;",
        "CREATE USER `evil`@`%`; DROP DATABASE other;",
        "CREATE USER `evil`@`%`, `evil2`@`%`;",
        "GRANT ALL PRIVILEGES ON *.* TO `anna`@`%`, `root`@`localhost`;",
        "SET PASSWORD FOR `root`@`localhost` = '';",
        "ALTER USER `root`@`localhost` ACCOUNT LOCK;",
        "SET GLOBAL general_log = 1;",
        "\\! touch /tmp/x",
    ] {
        let text =
            text.replace("GRANT USAGE ON *.* TO `anna`", &format!("{planted}\nGRANT USAGE ON *.* TO `anna`"));
        assert!(text.contains(planted));
        fails(&to, &contents, &input, &text, planted);
    }
    fails(&to, &contents, &input, text.trim_end().trim_end_matches("completed"), "a cut stream");
    assert_eq!(to.sql("", "show grants for root@localhost"), before);
}

/// A restore with this stream of accounts fails, and nothing was made.
fn fails(to: &MariaDb, contents: &Contents, input: &MemoryInputs, text: &str, what: &str) {
    let bad = MemoryInputs::new().stream("users", StreamInfo::new("mysql-users/1"), text.as_bytes()).stream(
        "data",
        StreamInfo::new("mysql-sql/1"),
        common::bytes(input),
    );
    let (_, restored) = restore(to, users(to, "shop"), &bad, &how(contents, RestoreMode::Fail));
    let error = restored.expect_err(what);
    assert!(!format!("{error:?}").contains("IDENTIFIED"), "a hash is told: {error:?}");
    assert_eq!((grants(to).as_str(), databases(to)), ("", vec!["other".to_owned()]), "{what}");
}
