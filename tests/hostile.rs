//! Stored bytes of somebody who wishes harm: nothing of them runs, and nothing outside is read or written.

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use common::shop::{Shop, sha256};
use common::{Sandbox, database, rows};
use serde_json::json;

/// Plants that a dump could hold. `pwned` is what each would make or fill, `other.db` what each would read or change.
const PLANTS: [&str; 22] = [
    ".shell touch pwned",
    ".system touch pwned",
    ".open pwned",
    ".output pwned",
    ".once '|touch pwned'",
    ".read other.sql",
    ".load ./evil",
    "ATTACH 'other.db' AS other; DROP TABLE other.item;",
    "ATTACH 'pwned' AS other; CREATE TABLE other.a(b);",
    "attach database 'other.db' as x;",
    "COMMIT; ATTACH 'other.db' AS other; BEGIN;",
    "SELECT load_extension('./evil.so');",
    "SELECT load_extension('./evil.so', 'sqlite3_evil_init');",
    "VACUUM INTO 'pwned';",
    "SELECT writefile('pwned', 'x');",
    "INSERT INTO a SELECT readfile('other.db');",
    "PRAGMA temp_store_directory = '/';",
    "PRAGMA writable_schema = ON;",
    "PRAGMA journal_mode = WAL;",
    "CREATE VIRTUAL TABLE v USING csv(filename='other.db');",
    "CREATE TEMP TRIGGER t AFTER INSERT ON a BEGIN SELECT load_extension('./evil.so'); END; INSERT INTO a VALUES (1);",
    "DELETE FROM sqlite_dbpage;",
];

fn dump_with(plant: &str) -> String {
    format!(
        "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE a(b);\nINSERT INTO a VALUES (7);\n{plant}\nCOMMIT;\n"
    )
}

/// A place in which the plants would find and leave something.
struct Trap {
    sandbox: Sandbox,
    other: String,
}

impl Trap {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        database(&sandbox.path("other.db"), "delete", 3).close().unwrap();
        sandbox.write("other.sql", "CREATE TABLE pwned(a);");
        sandbox.write("evil.so", "\x7fELF");
        let other = rows(&sandbox.path("other.db"));
        Self { sandbox, other }
    }

    #[track_caller]
    fn is_untouched(&self, case: &str) {
        assert!(!self.sandbox.path("pwned").exists(), "{case}: something was written");
        assert!(rows(&self.sandbox.path("other.db")) == self.other, "{case}: another database has changed");
        assert_eq!(self.sandbox.siblings(), [""; 0], "{case}");
    }
}

#[test]
fn a_planted_statement_in_a_sql_stream_runs_nothing_and_makes_no_database() {
    let trap = Trap::new();
    for plant in PLANTS {
        for sql in
            [dump_with(plant), format!("{plant}\n{}", dump_with("")), format!("{}{plant}\n", dump_with(""))]
        {
            trap.sandbox.write("x.sql", &sql);
            let ran = trap.sandbox.run(&[
                "restore",
                "--input",
                "x.sql",
                "--to",
                "sqlite:new.db",
                "--format",
                "sqlite-sql/1",
            ]);
            assert!(ran.code == 1 || ran.code == 4, "{sql}\nended with {}:\n{}", ran.code, ran.stderr);
            ran.error_line(plant);
            assert!(!trap.sandbox.path("new.db").exists(), "{sql}");
            trap.is_untouched(&sql);
        }
    }
}

#[test]
fn a_dump_without_a_plant_is_loaded() {
    let trap = Trap::new();
    trap.sandbox.write("x.sql", dump_with("INSERT INTO a VALUES ('.shell touch pwned'), ('ATTACH');"));
    trap.sandbox.ok(&["restore", "--input", "x.sql", "--to", "sqlite:new.db", "--format", "sqlite-sql/1"]);
    let new = rusqlite::Connection::open(trap.sandbox.path("new.db")).unwrap();
    let count: u32 = new.query_row("select count(*) from a", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 3);
    trap.is_untouched("no plant");
}

/// The same by way of the storage: a stream of SQL in place of the pages, with a manifest that fits it.
#[test]
fn a_planted_statement_in_a_snapshot_leaves_the_database_as_it_was() {
    let shop = Shop::new("");
    for plant in PLANTS {
        let sql = dump_with(plant);
        fs::write(shop.snapshot.join("data"), &sql).unwrap();
        shop.forge(|manifest| {
            let stream = &mut manifest["streams"][0];
            stream["stream_format"] = "sqlite-sql/1".into();
            stream["stored_bytes"] = json!(sql.len());
            stream["plain_bytes"] = json!(sql.len());
            stream["stored_sha256"] = sha256(sql.as_bytes()).into();
            stream["plain_sha256"] = sha256(sql.as_bytes()).into();
            stream["sha256_states"] = json!([]);
        });
        let ran = shop.restore();
        assert!(ran.code == 1 || ran.code == 4, "{plant} ended with {}:\n{}", ran.code, ran.stderr);
        shop.is_untouched(plant);
        assert!(!shop.sandbox.path("pwned").exists(), "{plant}");
    }
}

/// A member of a tar archive: type, path, link target, content.
type Member<'a> = (u8, &'a str, &'a str, &'a str);

/// An archive in the old form, which every reader knows.
fn tar(members: &[Member<'_>]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (kind, path, link, content) in members {
        let mut header = [0u8; 512];
        let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
        put(0, path.as_bytes());
        put(100, b"0000644\0");
        put(108, b"0000000\0");
        put(116, b"0000000\0");
        put(124, format!("{:011o}\0", content.len()).as_bytes());
        put(136, b"14000000000\0");
        put(148, b"        ");
        put(156, &[*kind]);
        put(157, link.as_bytes());
        put(257, b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        archive.extend_from_slice(&header);
        archive.extend_from_slice(content.as_bytes());
        archive.resize(archive.len().div_ceil(512) * 512, 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

fn restore_tar(sandbox: &Sandbox, members: &[Member<'_>], mode: &str) -> common::Ran {
    sandbox.write("x.tar", tar(members));
    let target = format!("target={}", sandbox.path("target").display());
    sandbox.run(&[
        "restore",
        "--input",
        "x.tar",
        "--to",
        "files:roots",
        "--set",
        &target,
        "--mode",
        mode,
        "--yes",
    ])
}

#[test]
fn a_hostile_archive_gets_nothing_out_of_its_target() {
    let sandbox = Sandbox::new();
    let victim = sandbox.write("victim", "untouched");
    let absolute = victim.to_str().unwrap();
    let outside = sandbox.path("");
    let outside = outside.to_str().unwrap();
    fs::create_dir(sandbox.path("target")).unwrap();
    let folder = (b'5', "a/", "", "");
    let cases: [&[Member<'_>]; 10] = [
        &[(b'0', absolute, "", "pwned")],
        &[(b'0', "../victim", "", "pwned")],
        &[folder, (b'0', "a/../../victim", "", "pwned")],
        &[folder, (b'2', "a/out", outside, ""), (b'0', "a/out/victim", "", "pwned")],
        &[folder, (b'2', "a/out", "../..", ""), (b'0', "a/out/victim", "", "pwned")],
        &[folder, (b'1', "a/link", absolute, ""), (b'0', "a/link", "", "pwned")],
        &[folder, (b'1', "a/link", "../victim", "")],
        &[folder, (b'3', "a/device", "", "")],
        &[folder, (b'0', "a/file", "", "one"), (b'0', "a/file", "", "two")],
        &[folder, (b'0', "", "", "pwned")],
    ];
    for mode in ["merge", "replace"] {
        for (number, members) in cases.iter().enumerate() {
            let ran = restore_tar(&sandbox, members, mode);
            let case = format!("{mode} {number}: {members:?}");
            assert!(ran.code == 1 || ran.code == 4, "{case} ended with {}:\n{}", ran.code, ran.stderr);
            assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched", "{case}");
            assert_eq!(sandbox.siblings(), [""; 0], "{case}");
        }
    }
    restore_tar(&sandbox, &[folder, (b'0', "a/file", "", "fine")], "replace").expect(0);
    assert_eq!(fs::read_to_string(sandbox.path("target/a/file")).unwrap(), "fine");
}

/// What the operator has put into the target is no way out either.
#[test]
fn a_link_in_the_target_is_not_followed() {
    let sandbox = Sandbox::new();
    sandbox.write("elsewhere/file", "untouched");
    fs::create_dir_all(sandbox.path("target")).unwrap();
    symlink(sandbox.path("elsewhere"), sandbox.path("target/a")).unwrap();
    let _ = restore_tar(&sandbox, &[(b'5', "a/", "", ""), (b'0', "a/file", "", "pwned")], "merge");
    assert_eq!(sandbox.files("elsewhere"), ["file"]);
    assert_eq!(fs::read_to_string(sandbox.path("elsewhere/file")).unwrap(), "untouched");
}

/// Who may write to the folder puts links and pipes where objects should be: nothing outside is read, nothing hangs.
#[test]
fn objects_that_are_no_plain_files_are_not_read() {
    let shop = Shop::new("");
    for object in ["data", "contents.json", "manifest.json"] {
        let path = shop.snapshot.join(object);
        let elsewhere = shop.sandbox.path("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        symlink(&elsewhere, &path).unwrap();
        refused(&shop, &format!("{object} is a link"));
        fs::remove_file(&path).unwrap();
        let pipe = rustix::fs::CWD;
        rustix::fs::mknodat(pipe, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        refused(&shop, &format!("{object} is a pipe"));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        refused(&shop, &format!("{object} is a folder"));
        fs::remove_dir(&path).unwrap();
        fs::rename(&elsewhere, &path).unwrap();
    }
    shop.restore().expect(0);
}

#[track_caller]
fn refused(shop: &Shop, case: &str) {
    let ran = shop.restore();
    assert!(ran.code != 0, "{case}: {}", ran.stdout);
    shop.is_untouched(case);
    let ran = shop.verify("--full");
    assert!(ran.code != 0, "{case}: {}", ran.stdout);
}

#[test]
fn a_folder_of_the_storage_that_leads_elsewhere_is_not_written_to() {
    let shop = Shop::new("");
    let elsewhere = shop.sandbox.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    for folder in ["store/web1/shop", "store/web1"] {
        let folder = shop.sandbox.path(folder);
        let aside = folder.with_file_name("aside");
        fs::rename(&folder, &aside).unwrap();
        symlink(&elsewhere, &folder).unwrap();
        let ran = shop.sandbox.run(&["backup"]);
        assert!(ran.code == 1, "{}", ran.stdout);
        assert_eq!(shop.sandbox.files("elsewhere"), [""; 0]);
        fs::remove_file(&folder).unwrap();
        fs::rename(&aside, &folder).unwrap();
    }
    shop.sandbox.ok(&["backup"]);
}

/// A terminal acts on control characters: what a stranger wrote is shown, not sent.
#[test]
fn control_characters_of_a_manifest_do_not_reach_the_terminal() {
    let shop = Shop::new("");
    let evil = "\u{1b}]0;pwned\u{7}\u{9b}31mred\rgreen";
    shop.forge(|manifest| {
        manifest["tags"]["which"] = evil.into();
        manifest["tags"][evil] = "1".into();
        manifest["versions"]["server"] = evil.into();
        manifest["consistency_point"] = evil.into();
        manifest["source"]["plugin"] = evil.into();
    });
    shows_no_controls(&shop);
    shop.forge(|manifest| manifest["streams"][0]["name"] = evil.into());
    shows_no_controls(&shop);
}

#[track_caller]
fn shows_no_controls(shop: &Shop) {
    let name = shop.name();
    for arguments in [
        vec!["list"],
        vec!["show", &name],
        vec!["verify"],
        vec!["restore", &name, "--dry-run", "--mode", "replace"],
    ] {
        let ran = shop.sandbox.run(&arguments);
        let said = ran.stdout + &ran.stderr;
        let bad = said.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(bad, None, "{arguments:?}: {said:?}");
    }
}

#[test]
fn a_planted_config_in_the_storage_is_no_config() {
    let shop = Shop::new("");
    let marker = shop.sandbox.path("pwned");
    let config = format!(
        "[source.x]\nplugin = \"command\"\ndump_command = [\"touch\", \"{0}\"]\n[pipeline.shop]\nsource = \"x\"\n",
        marker.display()
    );
    for place in ["store/windlass.toml", "store/web1/windlass.toml", "store/web1/shop/windlass.toml"] {
        shop.sandbox.write(place, &config);
    }
    plant_plugin(&shop.sandbox.path("store"));
    plant_plugin(&shop.snapshot);
    shop.sandbox.ok(&["backup"]);
    shop.sandbox.ok(&["verify", "--full"]);
    shop.restore().expect(0);
    assert!(!marker.exists());
}

/// A file that would be found as a plugin, were its folder searched: then every command would name it as broken.
fn plant_plugin(folder: &Path) {
    for name in ["libwindlass_source_sqlite.so", "libwindlass_storage_fs.so"] {
        fs::write(folder.join(name), "not a plugin").unwrap();
    }
}
