//! A stored stream may be anybody's: nothing in it runs on the restoring host, and nothing of it leaves its database.

mod common;

use std::fs;
use std::process::{Command, Stdio};

use serde_json::json;
use windlass_plugin_api::{Contents, RestoreMode, Source, StreamInfo};
use windlass_testkit::streams::MemoryInputs;

use common::{how, open, options, restore, script, with};

/// Ways to run something, each of which would make the file `FILE` or change the database `other`.
const PLANTED: &[&str] = &[
    "\\! touch FILE\n",
    "system touch FILE\n",
    "SYSTEM touch FILE;\n",
    "tee FILE\n",
    "\\T FILE\n",
    "pager touch FILE\nselect 1;\n",
    "\\P touch FILE\n",
    "source FILE.sql\n",
    "\\. FILE.sql\n",
    "edit\n",
    "DELIMITER ;;\nSELECT 1;;\n\\! touch FILE\nDELIMITER ;\n",
    "DELIMITER \\\n\\! touch FILE\n",
    "DELIMITER x\nselect 1 x system touch FILE\n",
    "/* comment */ \\! touch FILE\n",
    "/*!50001 SELECT 1 */ \\! touch FILE\n",
    "SELECT 'a' \\! touch FILE\n",
    "SET NAMES gbk;\nINSERT INTO t VALUES ('\u{fffd}\\');\n\\! touch FILE\n",
    "SET sql_mode = 'NO_BACKSLASH_ESCAPES';\nINSERT INTO t VALUES ('\\');\n\\! touch FILE\n-- ');\n",
    "INSERT INTO t VALUES ('x\0');\n\0\\! touch FILE\n",
    "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE t;\n",
    "SELECT 1 INTO OUTFILE 'FILE';\n",
    "USE other; DROP TABLE t;\n",
    "DROP TABLE other.t;\n",
    "DROP TABLE `other`.`t`;\n",
    "DROP DATABASE other;\n",
    "INSERT INTO `other`.`t` VALUES ('x');\n",
    "/*!50001 DROP */ /*!50001 DATABASE */ `other`;\n",
    "CREATE USER evil;\n",
    "GRANT ALL ON *.* TO evil;\n",
    "SET GLOBAL general_log_file = 'FILE';\n",
    "CREATE FUNCTION evil RETURNS INTEGER SONAME 'evil.so';\n",
    "ALTER DATABASE other CHARACTER SET latin1;\n",
];

const DUMP: &str = "/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19\n\n\
    CREATE TABLE `t` (`x` text);\nPLANTED\nINSERT INTO `t` VALUES ('end');\n-- Dump completed\n";

#[test]
fn no_planted_command_runs_and_no_other_database_is_touched() {
    let (server, folder) = (common::server(), tempfile::tempdir().unwrap());
    server.sql("", "create database other; create table other.t (x text) character set utf8mb4");
    let before = common::dump(&server, "other");
    let file = folder.path().join("ran");
    fs::write(folder.path().join("ran.sql"), "drop table other.t;").unwrap();
    // A client that knows no sandbox stands the same.
    let old = r#"#!/bin/sh
        case "$*" in *--help*) /usr/bin/mariadb --help | grep -v sandbox;; *--sandbox*) exit 9;; *) exec /usr/bin/mariadb "$@";; esac"#;
    let bin = tempfile::tempdir().unwrap();
    script(bin.path(), "mariadb", old);
    for planted in PLANTED {
        for more in [json!({}), json!({ "bin_dirs": [bin.path()] })] {
            let text = DUMP.replace("PLANTED", &planted.replace("FILE", file.to_str().unwrap()));
            let input = MemoryInputs::new().stream("data", StreamInfo::new("mysql-sql/1"), text.into_bytes());
            let how = how(&Contents::default(), RestoreMode::Fail);
            let (_, restored) = restore(&server, with(options(&server, "shop"), more), &input, &how);
            assert!(!file.exists(), "it ran: {planted}");
            assert_eq!(common::dump(&server, "other"), before, "{planted}");
            assert_eq!(server.sql("", "select count(*) from mysql.user where user = 'evil'"), "0");
            restored.expect_err(planted);
            assert_eq!(common::databases(&server), ["other"], "{planted}");
        }
    }
}

#[test]
fn the_same_words_as_data_come_back_as_data() {
    let (from, to) = (common::server(), common::server());
    from.sql("", "create database shop; create table shop.t (id int primary key auto_increment, x longtext) character set utf8mb4");
    for planted in PLANTED {
        let text: String = planted.bytes().map(|byte| format!("{byte:02x}")).collect();
        from.sql("shop", &format!("insert into t (x) values (x'{text}')"));
    }
    // Longer than any part that is looked at in one go, with an end of a statement at every place.
    from.sql("shop", r"insert into t (x) select repeat('\';\n\\! x\\\\;', 100000 + seq) from seq_1_to_20");
    let (contents, input) = common::taken(&from, options(&from, "shop"));
    let how = how(&contents, RestoreMode::Fail);
    restore(&to, options(&to, "shop"), &input.in_steps_of(70_001), &how).1.unwrap();
    let sum = "select group_concat(md5(x) order by id) from t";
    assert_eq!(to.sql("shop", sum), from.sql("shop", sum));
}

#[test]
fn the_command_by_hand_loads_a_dump_and_runs_no_command_of_the_client() {
    let (server, folder) = (common::server(), tempfile::tempdir().unwrap());
    common::own_file(&server, folder.path());
    server.sql(
        "",
        "create database shop; create table shop.t (id int primary key); insert into shop.t values (1), (2)",
    );
    let (contents, _) = common::taken(&server, options(&server, "shop"));
    let (result, out) = common::backup(&server, options(&server, "shop"));
    result.unwrap();
    let command = open(options(&server, "shop")).by_hand("data", &contents).unwrap();
    let run = |database: &str, text: &[u8]| {
        fs::write(folder.path().join("dump.sql"), text).unwrap();
        let status = Command::new("sh")
            .args(["-c", &format!("{command} < dump.sql")])
            .current_dir(folder.path())
            .env("DATABASE", database)
            .env("HOME", folder.path())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        status.success()
    };
    server.sql("", "create database copy; create database other");
    assert!(run("copy", &out.seen()[0].1.bytes));
    assert_eq!(server.sql("copy", "select sum(id) from t"), "3");
    let file = folder.path().join("ran");
    fs::write(folder.path().join("ran.sql"), "drop table t;").unwrap();
    for planted in PLANTED.iter().filter(|text| text.contains("touch") || text.contains("FILE\n")) {
        run("other", planted.replace("FILE", file.to_str().unwrap()).as_bytes());
        assert!(!file.exists(), "it ran: {planted}");
    }
}
