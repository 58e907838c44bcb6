//! Odd amounts and names: nothing, several streams, many pipelines, bytes that are no text.

mod common;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

use common::{Sandbox, database, rows};
use rusqlite::Connection;

fn pipeline(source: &str, filters: &str) -> String {
    format!(
        "[source.it]\n{source}\n[pipeline.it]\nsource = \"it\"\nstorage = [\"fs:store\"]\nfilters = {filters}\n"
    )
}

#[test]
fn several_streams_come_back_each_as_it_was() {
    for filters in ["[]", "[\"zstd\", \"gzip\"]"] {
        let sandbox = Sandbox::new();
        let source = "plugin = \"misbehaving\"\nstreams = 4\nbytes = 300001\ntarget = \"back/it\"";
        sandbox
            .config(&pipeline(source, filters).replace("back/it", sandbox.path("back/it").to_str().unwrap()));
        fs::create_dir(sandbox.path("back")).unwrap();
        sandbox.ok(&["backup"]);
        sandbox.ok(&["verify", "--full"]);
        sandbox.ok(&["restore", "it"]);
        let streams = ["data-0001", "data-0002", "data-0003", "data-0004"];
        assert_eq!(sandbox.files("back"), streams.map(|name| format!("it.{name}")));
        let mut seen = Vec::new();
        for name in streams {
            sandbox.ok(&["restore", "it", "--output", name, "--only", name]);
            let bytes = fs::read(sandbox.path(name)).unwrap();
            assert_eq!(bytes.len(), 300_001);
            assert!(bytes == fs::read(sandbox.path(format!("back/it.{name}"))).unwrap(), "{name}");
            assert!(!seen.contains(&bytes), "each is another");
            seen.push(bytes);
        }
        sandbox.run(&["restore", "it", "--output", "-"]).expect(2).says("data-0003").says("--only");
        sandbox.run(&["restore", "it", "--output", "-", "--only", "data-0005"]).expect(2).says("data-0004");
    }
}

#[test]
fn streams_without_a_byte_come_back() {
    let sandbox = Sandbox::new();
    let source = "plugin = \"misbehaving\"\nstreams = 2\nbytes = 0\ntarget = \"back/it\"";
    let target = sandbox.path("back/it");
    sandbox.config(&pipeline(source, "[\"gzip\", \"zstd\"]").replace("back/it", target.to_str().unwrap()));
    fs::create_dir(sandbox.path("back")).unwrap();
    sandbox.ok(&["backup"]);
    sandbox.ok(&["verify", "--full"]);
    sandbox.ok(&["restore", "it"]);
    assert_eq!(sandbox.files("back"), ["it.data-0001", "it.data-0002"]);
}

#[test]
fn an_empty_database_comes_back_empty() {
    for mode in ["pages", "sql"] {
        for filters in ["[]", "[\"zstd\"]"] {
            let sandbox = Sandbox::new();
            // No byte, and a file with a header but no table.
            sandbox.write("void.db", "");
            let connection = Connection::open(sandbox.path("bare.db")).unwrap();
            connection.execute_batch("create table t(a); drop table t; vacuum").unwrap();
            for name in ["void.db", "bare.db"] {
                let source = format!("plugin = \"sqlite\"\npath = \"{name}\"\nmode = \"{mode}\"");
                sandbox.config(&pipeline(&source, filters));
                sandbox.ok(&["backup"]);
                sandbox.ok(&["verify", "--full"]);
                let new = format!("new-{name}");
                sandbox.ok(&["restore", "it", "--set", &format!("path={new}")]);
                let connection = Connection::open(sandbox.path(&new)).unwrap();
                let tables: i64 =
                    connection.query_row("select count(*) from sqlite_schema", [], |row| row.get(0)).unwrap();
                assert_eq!(tables, 0, "{mode} {name}");
                connection.execute_batch("create table t(a)").unwrap();
            }
        }
    }
}

#[test]
fn an_empty_folder_comes_back_and_is_warned_of() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("media")).unwrap();
    fs::set_permissions(sandbox.path("media"), fs::Permissions::from_mode(0o710)).unwrap();
    sandbox.config(&pipeline("plugin = \"files\"\nroots = [\"media\"]", "[\"gzip\"]"));
    sandbox.run(&["backup"]).expect(0).says("is empty: is it mounted?");
    fs::remove_dir(sandbox.path("media")).unwrap();
    sandbox.ok(&["restore", "it"]);
    let meta = fs::metadata(sandbox.path("media")).unwrap();
    assert!(meta.is_dir() && sandbox.files("media").is_empty());
    assert_eq!(meta.permissions().mode() & 0o777, 0o710);
}

#[test]
fn a_name_that_is_no_text_is_chosen_by_its_bytes() {
    let sandbox = Sandbox::new();
    let name = OsStr::from_bytes(b"caf\xe9.txt");
    sandbox.write("media/other.txt", "other");
    fs::write(sandbox.path("media").join(name), "latin").unwrap();
    sandbox.config(&pipeline("plugin = \"files\"\nroots = [\"media\"]", "[\"zstd\"]"));
    sandbox.ok(&["backup"]);
    let only = OsString::from(OsStr::from_bytes(b"media/caf\xe9.txt"));
    let arguments = ["restore", "it", "--set", "target=out", "--only"].map(OsString::from);
    sandbox.ok(&[&arguments[..], &[only]].concat());
    let restored: Vec<OsString> =
        fs::read_dir(sandbox.path("out/media")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(restored, [name]);
    assert_eq!(fs::read(sandbox.path("out/media").join(name)).unwrap(), b"latin");
    let wrong = OsString::from(OsStr::from_bytes(b"media/caf\xe8.txt"));
    let ran = sandbox.run(&[&arguments[..], &[wrong]].concat());
    assert_ne!(ran.code, 0, "another byte is another name");
}

#[test]
fn sixteen_pipelines_run_four_at_a_time() {
    let sandbox = Sandbox::new();
    let mut config = "[defaults.pipeline]\nstorage = [\"fs:store\"]\nfilters = [\"zstd\"]\n".to_owned();
    for number in 0..16 {
        database(&sandbox.path(format!("{number}.db")), "wal", number + 1);
        config += &format!("[source.s{number}]\nplugin = \"sqlite\"\npath = \"{number}.db\"\n");
        config += &format!("[pipeline.p{number}]\nsource = \"s{number}\"\n");
    }
    sandbox.config(&config);
    let said = sandbox.ok(&["backup", "--all", "--jobs", "4"]);
    assert_eq!(said.lines().filter(|line| line.starts_with("Stored p")).count(), 16, "{said}");
    sandbox.ok(&["verify", "--full"]);
    assert_eq!(sandbox.listed().len(), 16);
    for number in [0, 7, 15] {
        let (pipeline, new) = (format!("p{number}"), format!("new-{number}.db"));
        sandbox.ok(&["restore", &pipeline, "--to", &format!("sqlite:{new}")]);
        assert_eq!(rows(&sandbox.path(&new)), rows(&sandbox.path(format!("{number}.db"))));
    }
    sandbox.run(&["backup", "--all", "--jobs", "0"]).expect(2);
}
