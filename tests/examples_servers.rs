//! Runs the example configs that need servers: production is restored into a staging database of another name on another
//! server, all databases are backed up each by itself, and one is reached by ssh; etcd comes back through its own client.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use common::{Ran, Sandbox, repo};
use windlass_test_servers::{Etcd, Postgres};

fn table(server: &Postgres, database: &str, rows: u32) {
    server.sql("postgres", &format!("create database {database}"));
    server.sql(
        database,
        &format!(
            "create table item as select i as id, md5(i::text) as note from generate_series(1, {rows}) i"
        ),
    );
}

fn count(server: &Postgres, database: &str) -> String {
    server.sql(database, "select count(*) from item").trim().to_owned()
}

#[test]
fn postgres_is_restored_as_staging_backed_up_whole_and_reached_by_ssh() {
    let (server, staging) = (Postgres::start(15), Postgres::start(15));
    server.sql(
        "postgres",
        "create role windlass_backup login password 'b'; grant pg_read_all_data to windlass_backup",
    );
    staging.sql("postgres", "create role staging login createdb password 's'");
    table(&server, "shop", 700);
    table(&server, "blog", 30);
    table(&staging, "shop", 3);

    let sandbox = Sandbox::new();
    let at = |server: &Postgres| {
        format!("host     = \"{}\"\nport     = {}", server.socket_dir().display(), server.port())
    };
    let text = fs::read_to_string(repo().join("examples/pipelines/postgres.toml")).unwrap();
    let text = text
        .replace("host     = \"/run/postgresql-staging\"", &at(&staging))
        .replace("host     = \"/run/postgresql\"", &at(&server))
        .replace("/mnt/nas/backups", &sandbox.path("store").display().to_string());
    assert!(!text.contains("/run/"), "{text}");
    // Owners of production need not be there.
    sandbox.config(&text);
    let passwords = format!("*:{}:*:windlass_backup:b\n*:{}:*:staging:s\n", server.port(), staging.port());
    let passfile = sandbox.write("pgpass", passwords);
    fs::set_permissions(&passfile, fs::Permissions::from_mode(0o600)).unwrap();
    let folder = sandbox.path("bin");
    let ssh = sandbox.write("bin/ssh", "#!/bin/sh\nshift\nexec sh -c \"$*\"\n");
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let run = |arguments: &[&str]| {
        let mut command = sandbox.command(arguments);
        command.env("PGPASSFILE", &passfile).env("PATH", &path);
        // What the login on the far machine would know.
        command.env("PGHOST", server.socket_dir()).env("PGPORT", server.port().to_string());
        Ran::of(command.output().unwrap())
    };

    run(&["backup", "shop"]).expect(0);
    run(&["restore", "shop", "--to", "staging", "--set", "owner=drop", "--yes"]).expect(0);
    assert_eq!((count(&staging, "shop_staging").as_str(), count(&staging, "shop").as_str()), ("700", "3"));
    run(&["backup", "large"]).expect(0);
    let to = ["--to", "staging", "--set", "database=large", "--set", "owner=drop", "--yes"];
    run(&[&["restore", "large"][..], &to].concat()).expect(0);
    assert_eq!((count(&staging, "large").as_str(), count(&staging, "shop").as_str()), ("700", "3"));
    run(&["backup", "fleet", "--jobs", "4"]).expect(0);
    let listed = run(&["--json", "list", "fleet"]).expect(0).stdout;
    assert!(listed.contains("\"fleet/blog\"") && listed.contains("\"fleet/shop\""), "{listed}");
    run(&["backup", "far"]).expect(0);
    run(&["verify", "--full"]).expect(0);
    assert_eq!((count(&server, "shop").as_str(), count(&server, "blog").as_str()), ("700", "30"));
}

/// All keys with their values and revisions.
fn keys(server: &Etcd) -> String {
    let answer = server.ctl(&["get", "", "--prefix", "--write-out", "json"]);
    answer.split_once("\"kvs\":").unwrap_or_else(|| panic!("{answer}")).1.to_owned()
}

/// A server with keys, one with a key that must not be lost, and the config that saves the first and restores to the second.
fn etcd() -> (Etcd, Etcd, Sandbox) {
    let (server, other) = (Etcd::start(), Etcd::start());
    for (key, value) in [("/shop/a", "1"), ("/shop/b", "two\nlines"), ("/shop/a", "2"), ("/gone", "x")] {
        server.ctl(&["put", key, value]);
    }
    server.ctl(&["del", "/gone"]);
    other.ctl(&["put", "/mine", "precious"]);
    let sandbox = Sandbox::new();
    let text = fs::read_to_string(repo().join("examples/pipelines/etcd.toml")).unwrap();
    let text = text
        .replace("http://127.0.0.1:2379", &server.url())
        .replace("/srv/etcd/data", other.data_dir().to_str().unwrap())
        .replace("/mnt/nas/backups", sandbox.path("store").to_str().unwrap());
    assert!(!text.contains("/srv/") && !text.contains(":2379"), "{text}");
    sandbox.config(&text);
    (server, other, sandbox)
}

/// What lies beside a server's data folder under such a name.
fn beside(server: &Etcd, begin: &str) -> Vec<PathBuf> {
    let folder = server.data_dir().parent().unwrap().to_owned();
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(begin)).collect()
}

#[test]
fn etcd_comes_back_in_the_folder_of_another_server_and_what_was_there_is_kept() {
    let (server, other, sandbox) = etcd();
    let (before, precious) = (keys(&server), keys(&other));
    sandbox.ok(&["check"]);
    sandbox.ok(&["backup"]);
    server.ctl(&["put", "/later", "than the backup"]);
    let later = keys(&server);

    sandbox.run(&["restore", "keys", "--yes"]).expect(12);
    sandbox.run(&["restore", "keys", "--mode", "merge", "--yes"]).expect(1).says("can't merge");
    other.stop();
    sandbox.ok(&["restore", "keys", "--mode", "replace", "--yes"]);
    other.restart();
    assert_eq!((keys(&other), keys(&server)), (before, later));

    other.stop();
    fs::remove_dir_all(other.data_dir()).unwrap();
    fs::rename(&beside(&other, "data.before-")[0], other.data_dir()).unwrap();
    other.restart();
    assert_eq!((keys(&other), beside(&other, "data.new-").len()), (precious, 0));
}

#[test]
fn a_damaged_etcd_snapshot_is_refused_a_dead_server_makes_none_and_a_whole_one_comes_back_by_hand() {
    let (server, other, sandbox) = etcd();
    let (before, precious) = (keys(&server), keys(&other));
    sandbox.ok(&["backup"]);

    // Noticed by etcdctl before anything is renamed.
    other.stop();
    let plain = sandbox.path("plain");
    sandbox.ok(&["restore", "keys", "--output", plain.to_str().unwrap()]);
    let mut bytes = fs::read(&plain).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&plain, bytes).unwrap();
    let input = ["restore", "--input", plain.to_str().unwrap(), "--to", "keys", "--mode", "replace", "--yes"];
    sandbox.run(&input).expect(1).says("sha256");
    other.restart();
    assert_eq!((keys(&other), beside(&other, "data.").len()), (precious, 0));

    other.stop();
    fs::remove_dir_all(other.data_dir()).unwrap();
    let text = fs::read_to_string(sandbox.object("keys", "RESTORE.txt")).unwrap();
    let by_hand = text.split("decoded)\n").nth(1).unwrap().split("\nWhen this folder").next().unwrap();
    let ended = Command::new("sh")
        .args(["-ec", by_hand])
        .current_dir(sandbox.object("keys", ""))
        .envs([("ETCDCTL_API", "3"), ("ETCDCTL_ENDPOINTS", "http://127.0.0.1:1")])
        .output()
        .unwrap();
    assert!(ended.status.success(), "{by_hand}: {}", String::from_utf8_lossy(&ended.stderr));
    other.restart();
    assert_eq!(keys(&other), before);

    server.stop();
    sandbox.run(&["backup"]).expect(1);
    assert_eq!(sandbox.listed().len(), 1);
    assert!(!sandbox.files("").iter().any(|name| name.ends_with("/snapshot") || name.ends_with(".part")));
}
