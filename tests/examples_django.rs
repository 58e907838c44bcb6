//! Runs the example config of a Django site, with a small real one: its portable JSON comes back in another database, and a
//! command that fails makes no snapshot and leaves the rows as they were.

mod common;

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use common::{Ran, Sandbox, repo};
use rusqlite::Connection;

const PRODUCTION: &str = "srv/site/production.sqlite3";
const STAGING: &str = "srv/site/staging.sqlite3";

/// `PATH` with the Python that has Django in front.
fn path() -> String {
    let programs = repo().join(".tools/venv-test/bin");
    assert!(
        programs.join("django-admin").exists(),
        "Django isn't installed, and this test needs it: run `make setup`"
    );
    format!("{}:{}", programs.display(), env::var("PATH").unwrap())
}

/// A command of the site, which gets `input`.
fn manage(sandbox: &Sandbox, settings: &str, arguments: &[&str], input: &Path) {
    let ended = Command::new("./manage.py")
        .args(arguments)
        .current_dir(sandbox.path("srv/site"))
        .env("PATH", path())
        .env("DJANGO_SETTINGS_MODULE", settings)
        .stdin(fs::File::open(input).unwrap())
        .output()
        .unwrap();
    assert!(ended.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ended.stderr));
}

/// A sandbox with the site, which has tables in both databases and rows in that of production.
fn site() -> Sandbox {
    let sandbox = Sandbox::new();
    let config = fs::read_to_string(repo().join("examples/pipelines/command.toml")).unwrap();
    let (site, nas) = (sandbox.path("srv/site"), sandbox.path("store"));
    let config = config.replace("/srv/site", site.to_str().unwrap());
    sandbox.config(&config.replace("/mnt/nas/backups", nas.to_str().unwrap()));
    fs::create_dir(sandbox.path("srv")).unwrap();
    let copied = Command::new("cp").arg("-R").arg(repo().join("tests/fixtures/django")).arg(&site).status();
    assert!(copied.unwrap().success());
    for settings in ["mysite.settings", "mysite.staging"] {
        manage(&sandbox, settings, &["migrate", "--run-syncdb", "--verbosity=0"], Path::new("/dev/null"));
    }
    manage(&sandbox, "mysite.settings", &["shell"], &site.join("shop/fill.py"));
    sandbox
}

fn run(sandbox: &Sandbox, arguments: &[&str]) -> Ran {
    Ran::of(sandbox.command(arguments).env("PATH", path()).output().unwrap())
}

/// Every row of every table, but for when they were made.
fn rows(sandbox: &Sandbox, database: &str) -> Vec<String> {
    let database = Connection::open(sandbox.path(database)).unwrap();
    let list = |query: &str| -> Vec<String> {
        let mut statement = database.prepare(query).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let tables = list(
        "select name from sqlite_schema where type = 'table' and name not like 'sqlite%' and name <> 'django_migrations'",
    );
    let rows_of = |table: &String| {
        let columns = list(&format!("select 'quote(\"' || name || '\")' from pragma_table_info('{table}')"));
        list(&format!("select '{table} ' || {} from \"{table}\" order by 1", columns.join(" || ' ' || ")))
    };
    tables.iter().flat_map(rows_of).collect()
}

fn drop_table(sandbox: &Sandbox, database: &str, table: &str) {
    Connection::open(sandbox.path(database)).unwrap().execute_batch(&format!("drop table {table}")).unwrap();
}

#[test]
fn the_rows_of_a_django_site_come_back_in_another_database() {
    let sandbox = site();
    let (production, empty) = (rows(&sandbox, PRODUCTION), rows(&sandbox, STAGING));
    assert!(
        production.iter().filter(|row| row.starts_with("shop_item ")).count() == 300 && production != empty
    );
    run(&sandbox, &["check"]).expect(0);
    run(&sandbox, &["backup"]).expect(0);

    let merge = ["--mode", "merge", "--yes"];
    run(&sandbox, &["restore", "site", "--to", "staging", "--yes"]).expect(12);
    assert_eq!(rows(&sandbox, STAGING), empty, "nobody can tell whether its target is empty");
    run(&sandbox, &[&["restore", "site", "--to", "staging"], &merge[..]].concat()).expect(0);
    for database in [STAGING, PRODUCTION] {
        assert!(rows(&sandbox, database) == production, "{database} differs");
    }

    // Lost rows come back, and no others go.
    let connection = Connection::open(sandbox.path(PRODUCTION)).unwrap();
    connection.execute_batch("update shop_item set name = 'lost'").unwrap();
    connection.execute_batch("insert into shop_tag(name) values('later')").unwrap();
    run(&sandbox, &[&["restore", "site"], &merge[..]].concat()).expect(0);
    let after = rows(&sandbox, PRODUCTION);
    assert_eq!(production.iter().filter(|row| !after.contains(row)).count(), 0);
    assert_eq!(after.len(), production.len() + 1);
}

#[test]
fn commands_that_fail_in_the_middle_make_no_snapshot_and_change_no_row() {
    let sandbox = site();
    run(&sandbox, &["backup"]).expect(0);
    // Some rows are loaded before the one that can't be.
    drop_table(&sandbox, STAGING, "shop_item_tags");
    let before = rows(&sandbox, STAGING);
    let restore = ["restore", "site", "--to", "staging", "--mode", "merge", "--yes"];
    run(&sandbox, &restore).expect(1).says("shop_item_tags");
    assert_eq!(rows(&sandbox, STAGING), before);
    // Users and tags are dumped before the table that is gone.
    drop_table(&sandbox, PRODUCTION, "shop_item_tags");
    run(&sandbox, &["backup"]).expect(1).says("ended with exit code 1");
    assert_eq!(sandbox.listed().len(), 1);
}
