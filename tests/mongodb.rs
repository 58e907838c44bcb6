//! MongoDB's protocol through the binary: an archive that mongodump wrote is restored, backed up, proved, restored on another
//! server under another name, and written as the same archive again.

mod common;

use std::fs;
use std::process::Command;

use common::{Sandbox, repo};
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

/// Of an archive what follows the prelude, which names the server's version and the collections' ids.
fn documents(archive: &[u8]) -> &[u8] {
    let end = archive.windows(4).position(|bytes| bytes == [0xff; 4]).expect("the end of the prelude");
    &archive[end..]
}
