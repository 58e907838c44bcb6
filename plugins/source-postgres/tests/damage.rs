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
    let how = how(&taken, RestoreMode::Fail);
    let sibling = "fresh_new_20260101T000000Z-k3f9";
    // Somebody's own.
    server.sql("postgres", &format!("create database \"{sibling}\""));
    server.sql(sibling, "create table mine (a int)");
    assert_eq!(refused(&server, "fresh", &taken, &how).kind, ErrorKind::AlreadyExists);
    server.sql(sibling, &format!("comment on database \"{sibling}\" is 'windlass: a restore in progress'"));
    restore(&server, &options(&server, "fresh"), &taken, &how).unwrap();
    assert_eq!(databases(&server), "copy fresh postgres shop");
    assert!(dumped(&server, "fresh") == dumped(&server, "shop"));
    // One that died before it could mark its own, and one of another snapshot.
    server.sql("postgres", &format!("drop database fresh; create database \"{sibling}\"; create database \"fresh_new_20250101T000000Z-aaaa\"; create database fresh_new"));
    let (_, restored) = restore(&server, &options(&server, "fresh"), &taken, &how).unwrap();
    assert_eq!(databases(&server), "copy fresh fresh_new fresh_new_20250101T000000Z-aaaa postgres shop");
    assert!(
        restored.notes.len() == 1 && restored.notes[0].contains("`fresh_new_20250101T000000Z-aaaa`"),
        "{restored:?}"
    );
}

#[test]
fn a_merge_waits_for_locks_no_longer_than_it_may() {
    let server = std::sync::Arc::new(server());
    for format in ["custom", "parallel"] {
        let taken = taken_as(&server, format);
        server.sql("postgres", "drop database copy; create database copy");
        restore(&server, &options(&server, "copy"), &taken, &how(&taken, RestoreMode::Fail)).unwrap();
        server.sql("copy", "delete from orders where id > 10");
        let its = server.clone();
        let holder = std::thread::spawn(move || {
            // Ended by the test.
            let _ = std::panic::catch_unwind(|| {
                its.sql("copy", "begin; select from orders; select pg_sleep(120)")
            });
        });
        let held =
            "select count(*) from pg_locks where mode = 'AccessShareLock' and relation = 'orders'::regclass";
        let began = std::time::Instant::now();
        while server.sql("copy", held) == "0" {
            assert!(began.elapsed().as_secs() < 60, "nobody took the lock");
        }
        let impatient = common::with(options(&server, "copy"), serde_json::json!({ "lock_timeout": 1 }));
        let error = restore(&server, &impatient, &taken, &how(&taken, RestoreMode::Merge)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::TimedOut, "{error:?}");
        assert_eq!(server.sql("copy", "select count(*) from orders"), "10");
        server.sql("copy", "select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(120)%' and pid <> pg_backend_pid()");
        holder.join().unwrap();
        let impatient = common::with(options(&server, "copy"), serde_json::json!({ "lock_timeout": 5 }));
        restore(&server, &impatient, &taken, &how(&taken, RestoreMode::Merge)).unwrap();
        assert_eq!(server.sql("copy", "select count(*) from orders"), "3000");
    }
}
