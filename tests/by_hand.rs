//! RESTORE.txt: its commands, run by a shell with nothing but standard programs, restore what was backed up.

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use common::by_hand::{check_hash, commands, sh, snapshot};
use common::{Sandbox, database};
use rusqlite::Connection;

const FILTERS: [&str; 3] = ["", "zstd", "gzip"];

/// All that a database holds, as the sqlite3 shell would dump it, but through the library.
fn dump(path: &Path) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    let check: String = connection.query_row("pragma integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    let mut all = Vec::new();
    for query in [
        "select type || name || coalesce(sql, '') from sqlite_schema order by name",
        "select id || note || hex(body) from item order by id",
        "select quote(what) || quote(at) from log order by rowid",
        "select name || seq from sqlite_sequence",
    ] {
        let mut statement = connection.prepare(query).unwrap();
        all.extend(statement.query_map([], |row| row.get::<_, String>(0)).unwrap().map(Result::unwrap));
    }
    all
}

fn rich_database(path: &Path) {
    let connection = database(path, "wal", 50);
    connection
        .execute_batch(
            "create table log(id integer primary key autoincrement, what, at);
             create index item_note on item(note);
             create trigger item_log after insert on item begin
               insert into log(what, at) values('new; item', new.id);
               insert into log(what, at) values(NULL, 1.5);
             end;
             create view names as select note from item;
             insert into item(note, body) values('it''s; a' || char(10) || 'line', x'00ff');",
        )
        .unwrap();
}

#[test]
fn a_database_comes_back_by_hand_whatever_the_mode_and_the_filter() {
    for mode in ["pages", "sql"] {
        for filter in FILTERS {
            let sandbox = Sandbox::new();
            rich_database(&sandbox.path("it's a shop.db"));
            let source =
                format!("[source.it]\nplugin = \"sqlite\"\npath = \"it's a shop.db\"\nmode = \"{mode}\"\n");
            let hand = snapshot(&sandbox, "shop", &source, filter);
            let (commands, fetch) = commands(&hand);
            assert_eq!(commands.len(), 1, "{commands:?}");
            check_hash(&hand, &commands[0]);
            assert_eq!(
                sh(Path::new("/"), &fetch),
                fs::read(sandbox.object("shop", &object(filter))).unwrap()
            );
            sh(&hand, &commands[0]);
            assert_eq!(
                dump(&hand.join("it's a shop.db")),
                dump(&sandbox.path("it's a shop.db")),
                "{mode} {filter}"
            );
        }
    }
}

fn object(filter: &str) -> String {
    match filter {
        "zstd" => "data.zst".to_owned(),
        "gzip" => "data.gz".to_owned(),
        _ => "data".to_owned(),
    }
}

/// What a tree holds: kind, mode, time and content of each entry.
fn picture(root: &Path) -> Vec<String> {
    let (mut all, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            let name = path.strip_prefix(root).unwrap();
            let content = if meta.is_symlink() {
                format!("{:?}", fs::read_link(&path).unwrap())
            } else if meta.is_dir() {
                folders.push(path.clone());
                String::new()
            } else {
                format!("{:?} {} links", fs::read(&path).unwrap(), meta.nlink())
            };
            all.push(format!("{name:?} {:o} {}.{} {content}", meta.mode(), meta.mtime(), meta.mtime_nsec()));
        }
    }
    all.sort();
    all
}

#[test]
fn a_file_tree_comes_back_by_hand_whatever_the_filter() {
    for filter in FILTERS {
        let sandbox = Sandbox::new();
        let media = sandbox.write("media/a b.txt", "a").parent().unwrap().to_owned();
        sandbox.write("media/deep/er/empty", "");
        sandbox.write("media/script", "#!/bin/sh\n");
        fs::set_permissions(media.join("script"), fs::Permissions::from_mode(0o754)).unwrap();
        fs::write(media.join("ünïcode ".repeat(20)), "long").unwrap();
        fs::create_dir(media.join("empty folder")).unwrap();
        symlink("../nowhere", media.join("link")).unwrap();
        fs::hard_link(media.join("a b.txt"), media.join("same")).unwrap();
        let hand =
            snapshot(&sandbox, "media", "[source.it]\nplugin = \"files\"\nroots = [\"media\"]\n", filter);
        let (commands, fetch) = commands(&hand);
        check_hash(&hand, &commands[0]);
        assert_eq!(sh(Path::new("/"), &fetch), fs::read(sandbox.object("media", &object(filter))).unwrap());
        let there = sandbox.path("there");
        fs::create_dir(&there).unwrap();
        let command = commands[0].replace("/path/to/put/it", there.to_str().unwrap());
        assert_ne!(command, commands[0], "the place is the user's to choose");
        sh(&hand, &command);
        assert_eq!(picture(&there.join("media")), picture(&media), "{filter}");
    }
}

#[test]
fn several_streams_have_a_command_each_and_a_filter_without_one_is_named() {
    let sandbox = Sandbox::new();
    let source = "[source.it]\nplugin = \"misbehaving\"\nstreams = 3\nbytes = 1000\n";
    let hand = snapshot(&sandbox, "three", source, "gzip");
    let (commands, _) = commands(&hand);
    assert_eq!(commands.len(), 3);
    for (number, command) in (1..).zip(&commands) {
        sh(&hand, command);
        assert_eq!(fs::metadata(hand.join("restored")).unwrap().len(), 1000);
        let plain = format!("plain-{number}");
        let stream = format!("data-{number:04}");
        sandbox.ok(&["restore", "three", "--output", &plain, "--only", &stream]);
        assert_eq!(fs::read(hand.join("restored")).unwrap(), fs::read(sandbox.path(&plain)).unwrap());
    }

    let sandbox = Sandbox::new();
    let filter = "{ plugin = \"misbehaving\", behaviour = \"panic-in-by-hand\" }";
    let hand = snapshot(&sandbox, "none", "[source.it]\nplugin = \"misbehaving\"\n", filter);
    let text = fs::read_to_string(hand.join("RESTORE.txt")).unwrap();
    assert!(text.contains("the filter `windlass/misbehaving` names no command"), "{text}");
    assert!(text.contains("windlass restore web1/none@"), "{text}");
    assert!(!text.contains("cat data |"), "no command that would give something else: {text}");
}
