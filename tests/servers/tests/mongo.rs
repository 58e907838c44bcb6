//! Servers of MongoDB's protocol start, answer, keep apart from each other, and are gone afterwards.

mod common;

use std::path::Path;
use std::process::Command;

use common::is_alive;
use windlass_test_servers::Mongo;

/// Runs a script with a driver and gives what it printed; `db` is the database `shop`.
fn driver(server: &Mongo, script: &str) -> String {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/venv-test/bin/python3");
    let script = format!("import sys, pymongo\ndb = pymongo.MongoClient(sys.argv[1]).shop\n{script}");
    let output = Command::new(python).args(["-c", &script, &server.url()]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn two_servers_keep_apart_and_nothing_is_left_of_either() {
    let (one, other) = (Mongo::start(), Mongo::start());
    assert_ne!((one.port(), one.pid()), (other.port(), other.pid()));
    assert_eq!(driver(&one, "db.t.insert_one({'i': 1}); print(db.t.count_documents({}))"), "1");
    assert_eq!(driver(&other, "print(db.list_collection_names())"), "[]");
    let left = [&one, &other].map(|server| (server.pid(), server.dir().to_owned()));
    drop((one, other));
    for (pid, folder) in left {
        assert!(!is_alive(pid) && !folder.exists());
    }
}

#[test]
fn data_and_port_outlast_a_restart_and_arguments_can_change() {
    let server = Mongo::start();
    driver(&server, "db.t.insert_one({'i': 7})");
    let port = server.port();
    server.restart_with(&["--standalone"]);
    assert_eq!(server.port(), port);
    let script = "print(db.t.find_one()['i'], 'setName' in db.client.admin.command('hello'))";
    assert_eq!(driver(&server, script), "7 False");
}
