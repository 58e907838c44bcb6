//! A storage that is far away, through the binary: what each of them must do.

use std::fs;

use super::{Ran, Sandbox, database, repo, rows, until};

/// A service, and how it is looked into by another door.
pub trait Service {
    /// The storage `far` of the config. Its secret is in the environment's `SECRET`.
    fn storage(&self) -> String;
    fn secret(&self) -> String;
    fn object(&self, key: &str) -> Option<Vec<u8>>;
    /// How many half uploads it keeps.
    fn half_uploads(&self) -> usize;
    /// So many bytes begin an upload, and of more than one request a killed run could leave one that arrives later.
    fn begins_with(&self) -> usize {
        6_000_000
    }
}

pub const SHOP: &str = "[source.shop]\nplugin = \"sqlite\"\npath = \"shop.db\"\n\
                    [pipeline.shop]\nsource = \"shop\"\nfilters = [\"zstd\"]\nstorage = [\"far\"]\n\
                    retention = { keep_last = 1 }\n";

pub fn config(sandbox: &Sandbox, service: &dyn Service, pipelines: &str) {
    sandbox.config(&format!("[storage.far]\n{}\n{pipelines}", service.storage()));
}

pub fn run(sandbox: &Sandbox, secret: &str, arguments: &[&str]) -> Ran {
    let ran = Ran::of(sandbox.command(arguments).env("SECRET", secret).output().unwrap());
    assert!(!ran.stderr.contains(secret) && !ran.stdout.contains(secret), "the secret is told: {ran:?}");
    ran
}

/// Backs up, lists, proves, restores and prunes.
pub fn there_and_back(service: &dyn Service) {
    let sandbox = Sandbox::new();
    let original = sandbox.path("shop.db");
    // Of several parts.
    drop(database(&original, "delete", 15_000));
    let before = rows(&original);
    config(&sandbox, service, SHOP);
    let ok = |arguments: &[&str]| run(&sandbox, &service.secret(), arguments).expect(0);
    let checked = ok(&["check", "shop"]);
    let told = checked.stdout + &checked.stderr;
    for what in ["latency", "1 MiB up in", "down in", "clock"] {
        assert!(told.contains(what), "`{what}` isn't in: {told}");
    }
    ok(&["backup", "shop"]);
    let listed = ok(&["--json", "list"]).stdout;
    let row: serde_json::Value = serde_json::from_str(listed.lines().next().expect("no snapshot")).unwrap();
    let id = row["snapshot"].as_str().unwrap().rsplit_once('@').unwrap().1.to_owned();
    let stored = service.object(&format!("web1/shop/{id}/data.zst")).expect("not where it belongs");
    assert!(stored.len() > 2 * 4 * 1024 * 1024, "{} bytes are no several parts", stored.len());
    assert_eq!(service.half_uploads(), 0);
    ok(&["verify", "--full", "shop"]);
    fs::remove_file(&original).unwrap();
    ok(&["restore", "shop", "--yes"]);
    assert_eq!(rows(&original), before);
    ok(&["backup", "shop"]);
    ok(&["prune"]).prints("Pruned shop in far: 1 removed");
    for object in ["manifest.json", "RESTORE.txt", "contents.json.zst", "data.zst"] {
        assert!(service.object(&format!("web1/shop/{id}/{object}")).is_none(), "`{object}` is still there");
    }
    ok(&["verify", "shop"]);
}

/// A credential that is none is told at once, and no snapshot is made.
pub fn wrong(service: &dyn Service, secret: &str, says: &str) {
    let sandbox = Sandbox::new();
    drop(database(&sandbox.path("shop.db"), "delete", 10));
    config(&sandbox, service, SHOP);
    let ran = run(&sandbox, secret, &["backup", "shop"]).expect(1).says(says).says("hint:");
    assert!(!ran.stderr.contains("attempt"), "{}", ran.stderr);
    let listed = run(&sandbox, &service.secret(), &["--json", "list"]);
    assert!(!listed.stdout.contains("\"snapshot\""), "{}", listed.stdout);
}

const SLOW: &str = "[pipeline.slow]\nsource = \"slow\"\nstorage = [\"far\"]\n\
                    [source.slow]\nplugin = \"command\"\ndump_command = [\"sh\", \"-c\", \"head -c BYTES /dev/zero; END\"]\n";

/// A pipeline `slow` whose program begins an upload and then does what `end` says.
pub fn slow(service: &dyn Service, end: &str) -> String {
    SLOW.replace("BYTES", &service.begins_with().to_string()).replace("END", end)
}

/// A failed run leaves nothing; what a killed one leaves goes with the next.
pub fn failed_and_killed(service: &dyn Service) {
    let sandbox = Sandbox::new();
    config(&sandbox, service, &slow(service, "exit 3"));
    run(&sandbox, &service.secret(), &["backup", "slow"]).expect(1);
    assert_eq!(service.half_uploads(), 0, "a failed run left a half upload");

    // It stops in the middle until somebody writes to the pipe.
    let gate = sandbox.path("gate");
    assert!(std::process::Command::new("mkfifo").arg(&gate).status().unwrap().success());
    config(&sandbox, service, &slow(service, &format!("cat {}", gate.display())));
    let mut child = sandbox.command(&["backup", "slow"]).env("SECRET", service.secret()).spawn().unwrap();
    until("a half upload", || service.half_uploads() == 1);
    child.kill().unwrap();
    child.wait().unwrap();
    until("the server to notice", || service.half_uploads() == 1);

    config(&sandbox, service, &slow(service, "true"));
    run(&sandbox, &service.secret(), &["backup", "slow"]).expect(0).says("removed 1 leftover");
    assert_eq!(service.half_uploads(), 0);
    run(&sandbox, &service.secret(), &["verify", "slow"]).expect(0);
}

/// The example `name` with files of its `secrets`, and with what is there in place of what it names; `variable` is of the
/// environment.
pub fn example(name: &str, secrets: &[(&str, &str)], there: &[(&str, String)], variable: (&str, &str)) {
    let sandbox = Sandbox::new();
    let database = sandbox.path("srv/shop/shop.db");
    fs::create_dir_all(database.parent().unwrap()).unwrap();
    drop(super::database(&database, "delete", 100));
    let before = rows(&database);
    let path = repo().join("examples/pipelines").join(name).with_extension("toml");
    let mut text = fs::read_to_string(path).unwrap();
    for (file, secret) in secrets {
        sandbox.write(file, secret);
        text = text.replace(&format!("/run/secrets/{file}"), file);
    }
    text = text.replace("/srv/shop", "srv/shop");
    for (old, new) in there {
        assert!(text.contains(old), "`{old}` isn't in {name}");
        text = text.replace(old, new);
    }
    sandbox.config(&text);
    let ok = |arguments: &[&str]| {
        let (name, value) = variable;
        Ran::of(sandbox.command(arguments).env(name, value).output().unwrap()).expect(0).stdout
    };
    ok(&["backup"]);
    assert!(ok(&["--json", "list"]).contains("\"snapshot\""));
    fs::remove_file(&database).unwrap();
    ok(&["restore", "shop", "--yes"]);
    assert_eq!(rows(&database), before);
}
