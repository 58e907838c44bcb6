//! MongoDB's protocol through the binary: an archive that mongodump wrote is restored, backed up, proved, restored on another
//! server under another name, and written as the same archive again.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use common::{Sandbox, repo, until};
use windlass_test_servers::Mongo;

/// An archive of mongodump's, in the sandbox.
fn archive(sandbox: &Sandbox) {
    let packed = repo().join("plugins/source-mongodb/tests/fixtures/shop.archive.as-is.gz");
    let plain = Command::new("gzip").args(["-dc"]).arg(packed).output().unwrap();
    assert!(plain.status.success() && !plain.stdout.is_empty());
    sandbox.write("shop.archive", plain.stdout);
}

#[test]
fn an_archive_goes_through_two_servers_and_comes_out_with_the_same_documents() {
    let (server, other) = (Mongo::start(), Mongo::start());
    let sandbox = Sandbox::new();
    archive(&sandbox);
    let source = |name: &str, server: &Mongo| {
        format!(
            "[source.{name}]\nplugin = \"mongodb\"\nhost = \"127.0.0.1\"\nport = {}\ndatabase = \"shop\"\n",
            server.port()
        )
    };
    let pipeline = |name: &str| {
        format!("[pipeline.{name}]\nsource = \"{name}\"\nfilters = [\"zstd\"]\nstorage = [\"fs:store\"]\n")
    };
    sandbox
        .config(&[source("one", &server), source("two", &other), pipeline("one"), pipeline("two")].concat());
    let restore =
        ["restore", "--input", "shop.archive", "--format", "mongodb-archive/1", "--to", "one", "--yes"];
    sandbox.ok(&restore);
    // It is there now, and isn't overwritten without being asked for.
    sandbox.run(&restore).expect(12);
    sandbox.ok(&["check", "one"]);
    sandbox.ok(&["backup", "one"]);
    sandbox.ok(&["verify", "--full", "one"]);
    sandbox.ok(&["restore", "one", "--to", "two", "--yes"]);
    sandbox.ok(&["backup", "two"]);
    for name in ["one", "two"] {
        sandbox.ok(&["restore", name, "--output", &format!("{name}.archive")]);
    }
    let [one, two] = ["one", "two"].map(|name| fs::read(sandbox.path(format!("{name}.archive"))).unwrap());
    assert!(one.len() > 1000);
    assert!(documents(&one) == documents(&two), "other documents came out of the second server");
    // A damaged last byte reaches no server.
    let object = sandbox.object("one", "data.zst");
    let mut bytes = fs::read(&object).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&object, bytes).unwrap();
    sandbox.run(&["restore", "one", "--mode", "replace", "--yes"]).expect(4);
    sandbox.ok(&["backup", "one"]);
    sandbox.ok(&["restore", "one", "--output", "after.archive"]);
    assert!(
        documents(&fs::read(sandbox.path("after.archive")).unwrap()) == documents(&one),
        "the server was touched"
    );
}

/// A source of a database on a server, and a pipeline of it.
fn pipeline(name: &str, server: &Mongo, database: &str, more: &str) -> String {
    format!(
        "[source.{name}]\nplugin = \"mongodb\"\nhost = \"127.0.0.1\"\nport = {}\n{database}\n{more}\n\
         [pipeline.{name}]\nsource = \"{name}\"\nfilters = [\"zstd\"]\nstorage = [\"fs:store\"]\n",
        server.port()
    )
}

#[test]
fn restore_txt_gives_mongorestore_an_archive_and_the_options_that_it_needs() {
    let (server, other) = (Mongo::start(), Mongo::start());
    let sandbox = Sandbox::new();
    server.python("c.shop.orders.insert_many([{'_id': n} for n in range(50)])");
    let shop = "database = \"shop\"";
    sandbox.config(
        &[pipeline("one", &server, shop, "consistency = \"oplog\""), pipeline("two", &other, shop, "")]
            .concat(),
    );
    sandbox.ok(&["backup", "one"]);
    let text = fs::read_to_string(sandbox.object("one", "RESTORE.txt")).unwrap();
    let run =
        text.split_once("run, in this folder:\n").unwrap().1.split_once("\nWhen this folder").unwrap().0;
    // In the place of mongorestore, which can't be had here: what it would be given.
    let tool = sandbox.write(
        "bin/mongorestore",
        "#!/bin/sh\nprintf '%s\\n' \"$@\" > ../../../../given\nexec cat > ../../../../archive\n",
    );
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", sandbox.path("bin").display());
    for command in run.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", command]).current_dir(sandbox.object("one", "")).env_clear().env("PATH", &path);
        let ran = shell.output().unwrap();
        assert!(ran.status.success(), "{command}: {}", String::from_utf8_lossy(&ran.stderr));
    }
    assert_eq!(fs::read_to_string(sandbox.path("given")).unwrap(), "--archive\n--oplogReplay\n");
    // mongodump's magic number, and all that our own reader asks for.
    assert!(fs::read(sandbox.path("archive")).unwrap().starts_with(&[0x6d, 0xe2, 0x99, 0x81]));
    sandbox.ok(&["restore", "--input", "archive", "--format", "mongodb-archive/1", "--to", "two", "--yes"]);
    assert_eq!(other.python("print(c.shop.orders.count_documents({}))"), "50");
}

#[test]
fn a_standalone_server_is_told_by_check_and_in_the_manifest() {
    let server = Mongo::start_with(&["--standalone"]);
    let sandbox = Sandbox::new();
    server.python("c.shop.orders.insert_one({'_id': 1})");
    sandbox.config(&pipeline("one", &server, "database = \"shop\"", ""));
    let checked = sandbox.run(&["check", "one"]).expect(0);
    let checked = checked.stdout + &checked.stderr;
    assert!(checked.contains("Not consistent") && checked.contains("server 8."), "{checked}");
    assert!(checked.contains("users and roles aren't in the backup"), "{checked}");
    sandbox.ok(&["backup", "one"]);
    let shown = sandbox.ok(&["--json", "show", "one"]);
    assert!(shown.contains("\"consistency_point\":\"none: each collection"), "{shown}");
}

#[test]
fn of_two_hundred_databases_one_that_is_broken_fails_alone() {
    let server = Mongo::start_with(&["--enable-test-commands"]);
    let sandbox = Sandbox::new();
    server.python("for n in range(200): c[f'db{n:03}'].item.insert_one({'_id': n})");
    sandbox.config(&(pipeline("fleet", &server, "", "max_runs = 2") + "each = { database = \"*\" }\n"));
    // One reading of one database.
    server.python(
        "c.admin.command({'configureFailPoint': 'failCommand', 'mode': {'times': 1}, \
         'data': {'failCommands': ['listIndexes'], 'errorCode': 8, 'appName': 'windlass'}})",
    );
    let ran = sandbox.run(&["backup", "fleet", "--jobs", "4"]).expect(1);
    let errors: Vec<_> = ran.stderr.lines().filter(|line| line.starts_with("error:")).collect();
    assert!(matches!(errors[..], [one] if one.contains("fleet/db")), "{errors:?}");
    let listed = sandbox.ok(&["--json", "list", "fleet"]);
    assert_eq!(listed.lines().filter(|line| line.contains("\"snapshot\"")).count(), 199, "{listed}");
    let broken = &errors[0].split("fleet/").nth(1).unwrap()[..5];
    let one = if broken == "db007" { "db008" } else { "db007" };
    server.python(&format!(
        "c.{one}.item.insert_one({{'_id': 'later'}}); c.db009.item.insert_one({{'_id': 'later'}})"
    ));
    sandbox.ok(&["restore", &format!("fleet/{one}"), "--mode", "replace", "--yes"]);
    assert_eq!(server.python(&format!("print(c.{one}.item.count_documents({{}}))")), "1");
    assert_eq!(
        server.python("print(c.db009.item.count_documents({}))"),
        "2",
        "another database was restored"
    );
}

#[test]
fn a_restore_that_is_killed_leaves_what_was_there_and_the_next_one_sweeps() {
    let (server, other) = (Mongo::start(), Mongo::start_with(&["--enable-test-commands"]));
    let sandbox = Sandbox::new();
    server.python("c.shop.orders.insert_many([{'_id': n} for n in range(500)])");
    other.python("c.shop.orders.insert_one({'_id': 'old'})");
    let shop = "database = \"shop\"";
    sandbox.config(&[pipeline("one", &server, shop, ""), pipeline("two", &other, shop, "")].concat());
    sandbox.ok(&["backup", "one"]);
    // The server holds the restore up where it writes.
    other.python(
        "c.admin.command({'configureFailPoint': 'failCommand', 'mode': {'times': 1}, \
         'data': {'failCommands': ['insert'], 'blockConnection': True, 'blockTimeMS': 5000, 'appName': 'windlass'}})",
    );
    let restore = ["restore", "one", "--to", "two", "--mode", "replace", "--yes"];
    let mut child = sandbox.spawn(&restore);
    let names = || other.python("print(*sorted(c.shop.list_collection_names()))");
    until("the restore", || names().contains("windlass-restore-"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(other.python("print(*[d['_id'] for d in c.shop.orders.find()])"), "old");
    let ran = sandbox.run(&restore).expect(0);
    assert!((ran.stdout + &ran.stderr).contains("left by a restore that was ended"), "nothing was said");
    assert_eq!(names(), "orders");
    assert_eq!(other.python("print(c.shop.orders.count_documents({}))"), "500");
}

/// Of an archive what follows the prelude, which names the server's version and the collections' ids.
fn documents(archive: &[u8]) -> &[u8] {
    let end = archive.windows(4).position(|bytes| bytes == [0xff; 4]).expect("the end of the prelude");
    &archive[end..]
}
