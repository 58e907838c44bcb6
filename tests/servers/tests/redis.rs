//! Redis and Valkey servers start, answer, keep apart from each other, and are gone afterwards.

mod common;

use common::is_alive;
use windlass_test_servers::{Redis, Valkey};

#[test]
fn redis_answers() {
    let server = Redis::start();
    assert!(server.cli(&["info", "server"]).contains("redis_version:7"));
    assert_eq!(server.cli(&["set", "a", "b c"]), "OK");
    assert_eq!((server.cli(&["get", "a"]), server.password()), ("b c".to_owned(), ""));
}

#[test]
fn valkey_answers() {
    let server = Valkey::start();
    assert!(server.cli(&["info", "server"]).contains("valkey_version:9"));
    assert_eq!(server.cli(&["echo", "1"]), "1");
}

#[test]
fn two_servers_keep_apart_and_nothing_is_left_of_either() {
    let (one, other) = (Redis::start(), Valkey::start());
    assert_ne!((one.port(), one.pid()), (other.port(), other.pid()));
    one.cli(&["set", "a", "1"]);
    assert_eq!(other.cli(&["exists", "a"]), "0");
    let left = [&one, &other].map(|server| (server.pid(), server.dir().to_owned()));
    drop((one, other));
    for (pid, folder) in left {
        assert!(!is_alive(pid) && !folder.exists());
    }
}

#[test]
fn what_it_listens_on_is_the_port_it_tells() {
    let server = Redis::start();
    let process = format!("process_id:{}", server.pid());
    let mut connection = std::net::TcpStream::connect((server.host(), server.port())).unwrap();
    std::io::Write::write_all(&mut connection, b"INFO server\r\nQUIT\r\n").unwrap();
    let answer = std::io::read_to_string(connection).unwrap();
    assert!(answer.contains(&process), "{answer}");
}

#[test]
fn arguments_are_given_on_with_port_and_folder() {
    let server = Redis::start_with(&[
        "--requirepass",
        "red-Geheim",
        "--dbfilename",
        "other.rdb",
        "--pidfile",
        "{dir}/{port}",
    ]);
    assert_eq!(server.password(), "red-Geheim");
    assert_eq!(server.cli(&["ping"]), "PONG");
    server.cli(&["save"]);
    assert!(server.dir().join("other.rdb").exists());
    let refused = std::process::Command::new("redis-cli")
        .args(["-p", &server.port().to_string(), "ping"])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&refused.stdout).contains("NOAUTH"), "{refused:?}");
}

#[test]
fn a_server_starts_from_the_file_of_another() {
    let one = Redis::start();
    one.cli(&["set", "kept", "yes"]);
    one.cli(&["save"]);
    let file = one.dir().join("dump.rdb");
    for other in [Redis::start_from(&file), Valkey::start_from(&file)] {
        assert_eq!(other.cli(&["get", "kept"]), "yes");
        assert_ne!(other.pid(), one.pid());
    }
    one.stop();
    one.restart();
    assert_eq!(one.cli(&["get", "kept"]), "yes");
}

#[test]
#[should_panic(expected = "Wrong signature")]
fn a_damaged_file_fails_with_the_log() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "no such file").unwrap();
    Redis::start_from(file.path());
}

#[test]
#[should_panic(expected = "wrong number of arguments")]
fn a_command_that_fails_panics_with_its_message() {
    Redis::start().cli(&["get"]);
}

#[test]
fn a_server_that_a_test_has_stopped_by_signal_ends_too() {
    let server = Redis::start();
    let pid = server.pid();
    assert!(std::process::Command::new("kill").args(["-STOP", &pid.to_string()]).status().unwrap().success());
    drop(server);
    assert!(!is_alive(pid));
}

#[test]
#[should_panic(expected = "found no free port")]
fn a_taken_port_is_told_from_other_failures() {
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    Redis::start_with(&["--port", &taken.local_addr().unwrap().port().to_string()]);
}
