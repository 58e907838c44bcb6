//! MariaDB servers start, answer, keep apart from each other, and are gone afterwards.

mod common;

use std::process::Command;

use common::is_alive;
use windlass_test_servers::MariaDb;

#[test]
fn a_server_answers() {
    let server = MariaDb::start();
    assert!(server.sql("", "select version()").contains("MariaDB"));
    assert_eq!(server.sql("mysql", "select 'ä', database(); select 2"), "ä\tmysql\n2");
}

#[test]
fn two_servers_keep_apart_and_nothing_is_left_of_either() {
    let (one, other) = (MariaDb::start(), MariaDb::start());
    assert_ne!((one.port(), one.pid()), (other.port(), other.pid()));
    one.sql("", "create database shop");
    assert_eq!(other.sql("", "show databases like 'shop'"), "");
    assert_eq!(one.url("shop"), format!("mysql://root@127.0.0.1:{}/shop", one.port()));
    let left = [&one, &other].map(|server| (server.pid(), server.dir().to_owned()));
    drop((one, other));
    for (pid, folder) in left {
        assert!(!is_alive(pid) && !folder.exists());
    }
}

#[test]
fn the_port_needs_the_password() {
    let server = MariaDb::start();
    let client = |password: &str| {
        let output = Command::new("mariadb")
            .args(["--no-defaults", "--host", server.host(), "--port", &server.port().to_string()])
            .args(["--user", server.user(), "--skip-column-names", "--execute=select @@pid_file"])
            .env("MYSQL_PWD", password)
            .output()
            .unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    assert!(client(server.password()).contains(server.dir().to_str().unwrap()));
    for wrong in ["wrong", ""] {
        assert!(client(wrong).contains("Access denied"), "{}", client(wrong));
    }
}

#[test]
fn data_and_port_outlast_a_restart() {
    let server = MariaDb::start_with(&["--log-bin={dir}/binlog"]);
    server.sql("", "create database shop; create table shop.t(i int); insert into shop.t values (7)");
    assert_eq!(server.sql("", "select @@log_bin"), "1");
    let (port, pid) = (server.port(), server.pid());
    server.stop();
    assert!(!is_alive(pid));
    server.restart();
    assert_eq!((server.port(), server.sql("shop", "select i from t")), (port, "7".to_owned()));
}

#[test]
#[should_panic(expected = "Table 'mysql.missing' doesn't exist")]
fn a_statement_that_fails_panics_with_its_message() {
    MariaDb::start().sql("mysql", "select 1; select * from missing; select 2");
}
