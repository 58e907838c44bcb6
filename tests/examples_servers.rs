//! Runs the example configs that need servers: production is restored into a staging database of another name on another
//! server, all databases are backed up each by itself, and one is reached by ssh.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use common::{Ran, Sandbox, repo};
use windlass_test_servers::Postgres;

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
    run(&["backup", "fleet", "--jobs", "4"]).expect(0);
    let listed = run(&["--json", "list", "fleet"]).expect(0).stdout;
    assert!(listed.contains("\"fleet/blog\"") && listed.contains("\"fleet/shop\""), "{listed}");
    run(&["backup", "far"]).expect(0);
    run(&["verify", "--full"]).expect(0);
    assert_eq!((count(&server, "shop").as_str(), count(&server, "blog").as_str()), ("700", "30"));
}
