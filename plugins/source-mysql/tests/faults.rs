//! What goes wrong makes no snapshot, and is told for what it is.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use windlass_plugin_api::{ErrorKind, RestoreMode, Source};
use windlass_test_servers::MariaDb;

use common::{backup, bytes, dump, host, how, open, options, restore, script, taken, with};

const ROWS: &str = "create database shop; use shop; create table t (id int primary key, x text);
    insert into t select seq, repeat('x', 500) from seq_1_to_40000;";

/// A dump program that is the real one but for what `then` does with its output.
fn wrapped(folder: &Path, then: &str) {
    let questions = r#"case "$*" in *--help*|*--version*) exec /usr/bin/mariadb-dump "$@";; esac"#;
    script(folder, "mariadb-dump", &format!("#!/bin/bash\nset -o pipefail\n{questions}\n{then}\n"));
}

fn fails(server: &MariaDb, more: Value) -> windlass_plugin_api::Error {
    let (result, out) = backup(server, with(options(server, "shop"), more));
    assert!(out.seen().iter().all(|(_, seen)| !seen.finished), "a stream was finished");
    result.unwrap_err()
}

#[test]
fn a_dump_that_dies_or_fails_after_good_output_makes_no_snapshot() {
    let (server, folder) = (common::server(), tempfile::tempdir().unwrap());
    server.sql("", ROWS);
    let dirs = json!({ "bin_dirs": [folder.path()] });
    for (then, says) in [
        (r#"/usr/bin/mariadb-dump "$@"; exit 3"#, "exit code 3"),
        (r#"/usr/bin/mariadb-dump "$@" | head -c 100000; kill -9 $$"#, "SIGKILL"),
        (r#"/usr/bin/mariadb-dump "$@" | sed '$d'; exit 0"#, "doesn't end with `-- Dump completed`"),
        (
            r#"/usr/bin/mariadb-dump --skip-comments "$@"; echo; exit 0"#,
            "doesn't end with `-- Dump completed`",
        ),
        ("exit 0", "doesn't end with `-- Dump completed`"),
    ] {
        wrapped(folder.path(), &then.replace("--skip-comments \"$@\"", "\"$@\" --compact"));
        let error = fails(&server, dirs.clone());
        assert!(error.to_string().contains(says), "{then}: {error}");
    }
    wrapped(folder.path(), r#"exec /usr/bin/mariadb-dump "$@""#);
    backup(&server, with(options(&server, "shop"), dirs)).0.unwrap();
}

#[test]
fn a_lost_connection_makes_no_snapshot() {
    let (server, folder) = (common::server(), tempfile::tempdir().unwrap());
    server.sql("", ROWS);
    let kill = format!(r#"/usr/bin/mariadb-dump "$@" | (head -c 100000; kill -9 {}; cat)"#, server.pid());
    wrapped(folder.path(), &kill);
    let error = fails(&server, json!({ "bin_dirs": [folder.path()] }));
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
}

#[test]
fn a_wrong_password_is_denied_and_the_password_is_seen_nowhere() {
    let (server, folder) = (common::server(), tempfile::tempdir().unwrap());
    server.sql("", ROWS);
    let error = fails(&server, json!({ "password": "hunter2-wrong" }));
    assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    // Whoever looks at the processes sees what these scripts see.
    for (name, real) in [("mariadb-dump", "/usr/bin/mariadb-dump"), ("mariadb", "/usr/bin/mariadb")] {
        let spy = format!(
            "#!/bin/sh\necho \"$@\" >> {0}/argv; env >> {0}/argv\n\
             cat /proc/$$/cmdline /proc/$$/environ /proc/$PPID/cmdline | tr '\\0' '\\n' >> {0}/argv\n\
             for arg; do case $arg in --defaults-file=*) file=${{arg#*=}}; stat -Lc %a \"$file\" >> {0}/modes\n\
             readlink -f \"$file\" >> {0}/files;; esac; done\nexec {real} \"$@\"\n",
            folder.path().display()
        );
        script(folder.path(), name, &spy);
    }
    let spied = with(options(&server, "shop"), json!({ "bin_dirs": [folder.path()] }));
    let (contents, input) = taken(&server, spied.clone());
    let again = with(spied, json!({ "database": "copy" }));
    restore(&server, again, &input, &how(&contents, RestoreMode::Fail)).1.unwrap();
    let argv = fs::read_to_string(folder.path().join("argv")).unwrap();
    assert!(argv.contains("--single-transaction") && argv.contains("--sandbox"), "{argv}");
    assert!(!argv.contains(server.password()));
    // It stands in a file that is ours alone, and only while a program runs.
    let said = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert!(said("modes").lines().count() > 5 && said("modes").lines().all(|mode| mode == "600"));
    assert!(said("files").lines().all(|file| !Path::new(file).exists()), "{}", said("files"));
    assert!(!argv.contains("--lock-all-tables") && !argv.contains("--flush-logs"));
}

#[test]
fn a_password_with_every_odd_sign_works_and_wins_over_the_users_own_file() {
    let (server, home) = (common::server(), tempfile::tempdir().unwrap());
    server.sql("", ROWS);
    let password = r##"a "q'b\s#;=x ü] "##;
    let quoted = password.replace('\\', r"\\").replace('\'', "''");
    server.sql("", &format!("create user odd identified by '{quoted}'; grant all on *.* to odd"));
    fs::write(home.path().join(".my.cnf"), "[client]\npassword=not-this-one\n").unwrap();
    let env = json!({ "user": "odd", "password": password, "env": { "HOME": home.path() } });
    backup(&server, with(options(&server, "shop"), env)).0.unwrap();
    // Without a password of ours, that file holds.
    fs::write(home.path().join(".my.cnf"), format!("[client]\nuser=root\npassword={}\n", server.password()))
        .unwrap();
    let own = json!({
        "host": server.host(), "port": server.port(), "database": "shop", "env": { "HOME": home.path() },
    });
    backup(&server, own).0.unwrap();
    // A URL's password is as good as any.
    let (result, _) = backup(&server, json!({ "url": server.url_with_password("shop") }));
    result.unwrap();
}

#[test]
fn a_locked_table_does_not_hold_a_backup_for_ever() {
    let server = common::server();
    server.sql("", ROWS);
    let mut holder = Command::new("mariadb")
        .args([
            "--no-defaults",
            "--user",
            server.user(),
            "--execute",
            "lock tables shop.t write; select sleep(60)",
        ])
        .arg(format!("--socket={}", server.socket().display()))
        .env("MYSQL_PWD", server.password())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let sleeping = "select count(*) from information_schema.processlist where state = 'User sleep'";
    while server.sql("", sleeping) != "1" {}
    let begun = Instant::now();
    let error = fails(&server, json!({ "lock_timeout": 2 }));
    let took = begun.elapsed();
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(error.kind, ErrorKind::TimedOut, "{error}");
    assert!(took < Duration::from_secs(30), "{took:?}");
    assert!(error.to_string().contains("locked for more than 2 s"), "{error}");
}

#[test]
fn a_stream_that_is_no_whole_dump_changes_nothing() {
    let server = common::server();
    server.sql("", ROWS);
    let (contents, input) = taken(&server, options(&server, "shop"));
    let whole = bytes(&input);
    server.sql("shop", "update t set x = 'now'");
    let before = dump(&server, "shop");
    let cut = whole.len() - b"-- Dump completed\n".len();
    let broken = [whole.as_slice(), b"INSERT INTO `t` VALUES (1,'twice');\n-- Dump completed\n"].concat();
    for (bytes, says) in [
        (&whole[..cut], "-- Dump completed"),
        (&whole[..whole.len() / 2], "in the middle of a statement"),
        (&broken[..], "Duplicate entry"),
        (b"not sql at all".as_slice(), "middle of a statement"),
    ] {
        let (target, restored) =
            restore(&server, options(&server, "shop"), &stream(bytes), &how(&contents, RestoreMode::Replace));
        assert!(target.unwrap().atomic);
        let error = restored.unwrap_err();
        assert!(error.to_string().contains(says), "{says}: {error}");
        assert_eq!(dump(&server, "shop"), before);
        assert_eq!(common::databases(&server), ["shop"]);
    }
}

#[test]
fn a_server_that_is_not_there_and_a_database_that_is_not_there_are_told() {
    let server = common::server();
    let error = fails(&server, json!({ "database": "nothing" }));
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
    server.stop();
    let error = open(options(&server, "shop")).probe(&host(&server).context()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
}

fn stream(bytes: &[u8]) -> windlass_testkit::streams::MemoryInputs {
    let info = windlass_plugin_api::StreamInfo::new("mysql-sql/1");
    windlass_testkit::streams::MemoryInputs::new().stream("data", info, bytes)
}
