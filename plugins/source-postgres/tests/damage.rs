//! Streams that are damaged, cut short or hostile, and restores that died: nothing half, and no command run.

mod common;

use common::{Taken, bare, databases, dumped, how, options, refused, restore, server, taken, taken_as};
use windlass_plugin_api::{Error, ErrorKind, RawName, RestoreMode};
use windlass_testkit::streams::Fault;

#[test]
fn damage_in_the_last_byte_rolls_back_whatever_loads_it() {
    let server = server();
    let damage = Error::damaged("the hash differs");
    for format in ["custom", "plain"] {
        let good = taken_as(&server, format);
        for (offset, only) in
            [(good.bytes.len() - 1, false), (good.bytes.len(), false), (good.bytes.len() - 1, true)]
        {
            if only && format == "plain" {
                continue;
            }
            let streams = good.streams.clone().fault_in("data", offset, Fault::Error(damage.clone()));
            let bad = Taken { contents: good.contents.clone(), streams, bytes: Vec::new() };
            let mut how = how(&bad, RestoreMode::Fail);
            if only {
                // The last table in the archive: pg_restore needs all of it.
                how.only =
                    vec![RawName::Text("stock.we\"ird $$ näme".into()), RawName::Text("orders".into())];
            }
            let error = refused(&server, "copy", &bad, &how);
            assert_eq!(error.message, damage.message, "{format} {offset} {only}");
            assert_eq!(server.sql("copy", "select count(*) from pg_class where relname like 'orders%' or relnamespace = to_regnamespace('stock')"), "0");
            server.sql("copy", "create table mine (a int)");
            let before = dumped(&server, "copy");
            if !only {
                refused(&server, "copy", &bad, &common::how(&bad, RestoreMode::Replace));
            }
            assert_eq!(dumped(&server, "copy"), before);
            server.sql("copy", "drop table mine");
            assert_eq!(databases(&server), "copy postgres shop");
        }
    }
}

#[test]
fn a_plain_dump_without_its_end_is_damaged_and_rolled_back() {
    let server = server();
    let text = taken_as(&server, "plain").bytes;
    for length in [0, 3000, text.len() / 2, text.len() - 120] {
        let cut = bare("pg-plain/1", &text[..length]);
        assert_eq!(
            refused(&server, "copy", &cut, &how(&cut, RestoreMode::Fail)).kind,
            ErrorKind::Damaged,
            "{length}"
        );
        assert_eq!(server.sql("copy", "select count(*) from pg_class where relname = 'orders'"), "0");
    }
    let archive = taken(&server).bytes;
    for length in [0, 4, 100, archive.len() / 2, archive.len() - 1] {
        let cut = bare("pg-custom/1", &archive[..length]);
        refused(&server, "copy", &cut, &how(&cut, RestoreMode::Fail));
        assert_eq!(
            server.sql("copy", "select count(*) from pg_class where relname = 'orders'"),
            "0",
            "{length}"
        );
    }
}

#[test]
fn no_hostile_dump_runs_a_command() {
    let server = server();
    let text = String::from_utf8(taken_as(&server, "plain").bytes).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("mark");
    let touch = format!("touch {}", mark.display());
    let (head, rest) = text.split_at(text.find("CREATE ").unwrap());
    let copy = text.find("FROM stdin;\n").unwrap();
    let own_key = text.lines().find_map(|line| line.strip_prefix("\\restrict ")).unwrap();
    for hostile in [
        format!("{head}\\! {touch}\n{rest}"),
        format!("\\! {touch}\n{text}"),
        format!("{head}\\copy (select 1) to program '{touch}'\n{rest}"),
        format!("{head}\\o |{touch}\n{rest}"),
        format!("{head}select 1 \\g |{touch}\n{rest}"),
        format!("{head}\\unrestrict {own_key}\n\\! {touch}\n{rest}"),
        format!("{head}set standard_conforming_strings = off; select 'a\\'; \\! {touch}\n --';\n{rest}"),
        format!("{head}\\set x `{touch}`\n{rest}"),
        format!("{head}\\i /etc/passwd\n{rest}"),
        format!("{}nonsense from stdin;\n\\.\n\\! {touch}\n{}", &text[..copy], &text[copy..]),
        format!("{text}\\! {touch}\n-- PostgreSQL database dump complete\n"),
    ] {
        let bad = bare("pg-plain/1", hostile.as_bytes());
        refused(&server, "copy", &bad, &how(&bad, RestoreMode::Fail));
        assert!(!mark.exists(), "a command ran: {}", &hostile[..200]);
        assert_eq!(server.sql("copy", "select count(*) from pg_class where relname = 'orders'"), "0");
    }
    // Names that hold a line break and a command, in both formats.
    server.sql("shop", &format!("create table \"x\n\\! {touch}\n\" (a int); comment on table \"x\n\\! {touch}\n\" is E'\\n\\\\! {touch}\\n'"));
    for format in ["custom", "plain"] {
        let taken = taken_as(&server, format);
        restore(&server, &options(&server, "copy"), &taken, &how(&taken, RestoreMode::Replace)).unwrap();
        assert!(!mark.exists(), "{format}");
        assert_eq!(server.sql("copy", "select count(*) from orders"), "3000");
    }
}

#[test]
fn what_a_restore_that_died_left_is_dropped_by_the_next() {
    let server = server();
    let taken = taken(&server);
    server.sql("postgres", "create database \"fresh_new_20260101T000000Z-k3f9\"");
    let how = how(&taken, RestoreMode::Fail);
    assert_eq!(refused(&server, "fresh", &taken, &how).kind, ErrorKind::AlreadyExists);
    server.sql(
        "postgres",
        "comment on database \"fresh_new_20260101T000000Z-k3f9\" is 'windlass: a restore in progress'",
    );
    restore(&server, &options(&server, "fresh"), &taken, &how).unwrap();
    assert_eq!(databases(&server), "copy fresh postgres shop");
    assert_eq!(dumped(&server, "fresh"), dumped(&server, "shop"));
}
