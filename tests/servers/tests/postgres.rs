//! PostgreSQL servers start, answer, keep apart from each other, and are gone afterwards.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use common::{is_alive, until};
use windlass_test_servers::Postgres;

fn answers(version: u32) {
    let server = Postgres::start(version);
    let number = server.sql("postgres", "show server_version_num");
    assert_eq!(number[..2], version.to_string());
    assert_eq!(server.sql("postgres", "select 'a', 1; select 'b'"), "a|1\nb");
    let dump = Command::new(server.bin_dir().join("pg_dump"))
        .env_clear()
        .env("PGPASSWORD", server.password())
        .args(["--schema-only", &server.url("postgres")])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&dump.stdout).contains("PostgreSQL database dump complete"), "{dump:?}");
}

#[test]
fn version_15_answers() {
    answers(15);
}

#[test]
fn version_17_answers() {
    answers(17);
}

#[test]
fn version_18_answers() {
    answers(18);
}

#[test]
fn two_servers_keep_apart_and_nothing_is_left_of_either() {
    let (one, other) = (Postgres::start(15), Postgres::start(15));
    assert_ne!((one.port(), one.pid()), (other.port(), other.pid()));
    one.sql("postgres", "create database \"a b\"; create role reader");
    one.sql("a b", "create table t(i int); insert into t values (1)");
    assert_eq!(other.sql("postgres", "select count(*) from pg_database where datname = 'a b'"), "0");
    assert!(one.url("a b").ends_with("/a%20b"));
    let left = [&one, &other].map(|server| (server.pid(), server.socket_dir().to_owned()));
    drop((one, other));
    for (pid, folder) in left {
        assert!(!is_alive(pid) && !folder.exists());
    }
}

#[test]
fn a_password_is_asked_for_on_port_and_socket() {
    let server = Postgres::start(15);
    for host in [server.host(), server.socket_dir().to_str().unwrap()] {
        let psql = Command::new(server.bin_dir().join("psql"))
            .args([
                "-X",
                "-w",
                "-U",
                server.user(),
                "-h",
                host,
                "-p",
                &server.port().to_string(),
                "-c",
                "select 1",
            ])
            .env_clear()
            .env("PGPASSWORD", "wrong")
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&psql.stderr).into_owned();
        assert!(stderr.contains("password authentication failed"), "{stderr}");
    }
}

#[test]
fn data_and_port_outlast_a_restart_and_connections_do_not() {
    let server = Postgres::start(15);
    server.sql("postgres", "create table t(i int); insert into t values (7)");
    let (port, pid) = (server.port(), server.pid());
    std::thread::scope(|scope| {
        let sleeper = scope
            .spawn(|| std::panic::catch_unwind(|| server.sql("postgres", "select pg_sleep(60)")).is_err());
        until("the sleeper to be there", || {
            server.sql("postgres", "select count(*) from pg_stat_activity where query like '%(60)'") == "1"
        });
        server.stop();
        assert!(sleeper.join().unwrap(), "the connection outlasted the server");
    });
    assert!(!is_alive(pid));
    server.restart();
    assert_eq!((server.port(), server.sql("postgres", "select i from t")), (port, "7".to_owned()));
    let folder = server.socket_dir().to_owned();
    server.stop();
    drop(server);
    assert!(!folder.exists());
}

#[test]
#[should_panic(expected = "relation \"missing\" does not exist")]
fn a_statement_that_fails_panics_with_its_message() {
    Postgres::start(15).sql("postgres", "select 1; select * from missing; select 2");
}

#[test]
#[should_panic(expected = "run `make setup`")]
fn a_missing_version_tells_how_to_get_it() {
    Postgres::start(9);
}

#[test]
fn nothing_is_left_when_the_tests_are_killed() {
    const CHILD: &str = "WINDLASS_TEST_TO_BE_KILLED";
    if std::env::var_os(CHILD).is_some() {
        let server = Postgres::start(15);
        writeln!(std::io::stdout(), "\nserver {} {}", server.pid(), server.socket_dir().display()).unwrap();
        loop {
            std::thread::park();
        }
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "nothing_is_left_when_the_tests_are_killed", "--nocapture"])
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let line = lines.find(|line| line.starts_with("server ")).unwrap();
    let (pid, folder) = line["server ".len()..].split_once(' ').unwrap();
    let pid = pid.parse().unwrap();
    assert!(is_alive(pid));
    child.kill().unwrap();
    child.wait().unwrap();
    until("the server to end", || !is_alive(pid));
    until("its folder to go", || !Path::new(folder).exists());
}
