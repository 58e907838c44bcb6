//! The format `parallel`: several dumps of one moment, whatever happens meanwhile, and what comes back of them.

mod common;

use common::{SHOP, backup, databases, dumped, how, options, refused, restore, source, with};
use serde_json::{Value, json};
use windlass_plugin_api::{ErrorKind, Inputs, RawName, RestoreMode, Source};
use windlass_test_servers::Postgres as Server;

/// Names that a pattern, a shell or a list could take for something else.
const ODD: &str = r#"
create schema "Up.per"; create schema "wild*(|)?$";
create table "Up.per"."do.t" (a int); insert into "Up.per"."do.t" select generate_series(1, 500);
create table "Up.per"."DO.T" (a int); insert into "Up.per"."DO.T" select generate_series(1, 400);
create table "wild*(|)?$"."it's ""quoted"" \ *" (id int generated always as identity, a text);
insert into "wild*(|)?$"."it's ""quoted"" \ *" (a) select repeat('x', 2000) from generate_series(1, 300);
create table "wild*(|)?$"."line
break" as select n from generate_series(1, 300) n;
select lo_from_bytea(0, convert_to(repeat('large ' || n, 1000), 'UTF8')) from generate_series(1, 20) n;
create table small as select 1 as a;
create table big as select n, repeat(md5(n::text), 8) as t from generate_series(1, 4000) n;
"#;

/// The options of `server` for this format, with its own programs.
fn parallel(server: &Server, database: &str) -> Value {
    with(options(server, database), json!({ "format": "parallel", "bin_dirs": [server.bin_dir()] }))
}

fn shop(version: u32) -> Server {
    let server = Server::start(version);
    server.sql("postgres", "create database shop; create database copy");
    server.sql("shop", SHOP);
    server
}

fn streams(taken: &common::Taken) -> String {
    let names: Vec<String> = taken.streams.streams().into_iter().map(|(name, _)| name).collect();
    names.join(" ")
}

#[test]
fn every_kind_of_object_comes_back_on_each_version() {
    for version in [15, 17, 18] {
        let (from, to) = (shop(version), shop(version));
        from.sql("shop", &common::every_kind());
        from.sql("shop", ODD);
        let options = with(parallel(&from, "shop"), json!({ "jobs": 3, "globals": true }));
        let taken = backup(&from, &options).unwrap();
        assert_eq!(streams(&taken), "globals pre-data data-1 data-2 data-3 blobs post-data");
        let whole = dumped(&from, "shop");
        assert!(whole.contains("line\nbreak") && whole.contains("lo_open"));
        // Into an empty database, in place of a full one, and into one that isn't there.
        let ways =
            [("copy", RestoreMode::Fail), ("shop", RestoreMode::Replace), ("fresh", RestoreMode::Fail)];
        for (database, mode) in ways.into_iter().take(if version == 15 { 3 } else { 1 }) {
            restore(&to, &parallel(&to, database), &taken, &how(&taken, mode)).unwrap();
            assert_eq!(dumped(&to, database), whole, "{version} {database}");
            assert_eq!(to.sql(database, "select count(*) from totals"), "2");
            let large = "select count(*), sum(length(lo_get(oid))) from pg_largeobject_metadata";
            assert_eq!(to.sql(database, large), from.sql("shop", large), "{version} {database}");
        }
        // Among what is there.
        to.sql("copy", "drop table big; create table mine (a int)");
        restore(&to, &parallel(&to, "copy"), &taken, &how(&taken, RestoreMode::Merge)).unwrap();
        to.sql("copy", "drop table mine");
        assert_eq!(dumped(&to, "copy"), whole, "{version} merge");
    }
}

#[test]
fn one_table_comes_out_of_a_parallel_dump() {
    let server = shop(15);
    server.sql("shop", ODD);
    let taken = backup(&server, &parallel(&server, "shop")).unwrap();
    let mut only = how(&taken, RestoreMode::Fail);
    only.only = vec![RawName::Text("orders".into()), RawName::Text("Up.per.DO.T".into())];
    let (_, restored) = restore(&server, &parallel(&server, "copy"), &taken, &only).unwrap();
    assert_eq!(restored.left_out, Vec::<String>::new());
    let seen = "select (select count(*) from orders), (select count(*) from \"Up.per\".\"DO.T\"), to_regclass('big') is null, \
        (select count(*) from pg_indexes where tablename = 'orders'), nextval('orders_id_seq')";
    assert_eq!(server.sql("copy", seen), "3000|400|t|2|3001");
    // A key of its own to a table that isn't chosen.
    only.only = vec![RawName::Text("stock.we\"ird $$ näme".into())];
    server.sql("postgres", "drop database copy; create database copy");
    let (_, restored) = restore(&server, &parallel(&server, "copy"), &taken, &only).unwrap();
    assert!(restored.left_out.len() == 1 && restored.left_out[0].contains("_id_fkey"), "{restored:?}");
    only.only = vec![RawName::Text("ordres".into())];
    assert_eq!(refused(&server, "copy", &taken, &only).kind, ErrorKind::NotFound);
}

#[test]
fn what_is_left_out_and_chosen_is_so_in_a_parallel_dump() {
    let server = shop(15);
    server.sql("shop", ODD);
    let fill = |more: Value| {
        let taken = backup(&server, &with(parallel(&server, "shop"), more)).unwrap();
        server.sql("postgres", "drop database copy; create database copy");
        restore(&server, &parallel(&server, "copy"), &taken, &how(&taken, RestoreMode::Fail)).unwrap();
        streams(&taken)
    };
    fill(json!({ "exclude": ["big"], "exclude_data": ["Up.per.do.t"] }));
    let seen = "select to_regclass('big') is null, (select count(*) from \"Up.per\".\"do.t\"), (select count(*) from \"Up.per\".\"DO.T\")";
    assert_eq!(server.sql("copy", seen), "t|0|400");
    let names = fill(json!({ "include": ["small", "big"] }));
    assert_eq!(names, "pre-data data-1 data-2 post-data");
    assert_eq!(
        server.sql("copy", "select (select count(*) from small), (select count(*) from big)"),
        "1|4000"
    );
    fill(json!({ "schemas": ["Up.*"] }));
    assert_eq!(server.sql("copy", seen), "t|500|400");
}

#[test]
fn two_thousand_tables_are_dumped_in_time() {
    let server = shop(15);
    let tables = "do $$ begin for n in 1..2000 loop execute format('create table \"many %s\" (id serial primary key, what text)', n); \
        execute format('insert into \"many %s\" (what) values (%L)', n, n); if n % 500 = 0 then commit; end if; end loop; end $$";
    server.sql("shop", tables);
    let began = std::time::Instant::now();
    let taken = backup(&server, &parallel(&server, "shop")).unwrap();
    assert!(began.elapsed().as_secs() < 30, "{:?}", began.elapsed());
    restore(&server, &parallel(&server, "copy"), &taken, &how(&taken, RestoreMode::Fail)).unwrap();
    let count = "select count(*), sum(n) from (select (xpath('/row/c/text()', query_to_xml(format('select count(*) as c from %s', oid::regclass), false, true, '')))[1]::text::int as n \
        from pg_class where relname like 'many %' and relkind = 'r') x";
    assert_eq!(server.sql("copy", count), "2000|2000");
    assert_eq!(databases(&server), "copy postgres shop");
}

#[test]
fn one_stream_alone_is_no_database() {
    let server = shop(15);
    let bare = common::bare("pg-parallel-data/1", b"PGDMP");
    let error = refused(&server, "copy", &bare, &how(&bare, RestoreMode::Fail));
    assert_ne!(error.kind, ErrorKind::Broken, "{error}");
    assert!(source(&options(&server, "copy")).by_hand("data-1", &bare.contents).is_some());
}

#[test]
fn a_parallel_dump_goes_through_a_remote_shell_and_needs_its_input() {
    let server = shop(15);
    server.sql("shop", ODD);
    let folder = tempfile::tempdir().unwrap();
    let wrapper = |name: &str, script: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        path.display().to_string()
    };
    // As sshd does: all arguments behind the host's name in one line, to a shell.
    let ssh = wrapper("ssh", "#!/bin/sh\nshift\nexec sh -c \"$*\"\n");
    let through = |first: &[&str]| {
        let command = |name: &str| {
            let last = server.bin_dir().join(name).display().to_string();
            first.iter().map(|word| (*word).to_owned()).chain([last]).collect::<Vec<_>>()
        };
        let commands =
            json!({ "dump_command": command("pg_dump"), "restore_command": command("pg_restore") });
        with(parallel(&server, "shop"), commands)
    };
    let far = through(&[&ssh, "db1"]);
    let taken = backup(&server, &far).unwrap();
    let target = with(far, json!({ "database": "copy" }));
    restore(&server, &target, &taken, &how(&taken, RestoreMode::Fail)).unwrap();
    assert!(dumped(&server, "copy") == dumped(&server, "shop"));
    // As `docker exec` without `-i` does.
    let deaf = wrapper("deaf", "#!/bin/sh\nexec \"$@\" < /dev/null\n");
    let error = backup(&server, &through(&[&deaf])).err().unwrap();
    assert!(error.hint.as_ref().is_some_and(|hint| hint.contains("docker exec -i")), "{error:?}");
}

#[test]
fn owners_and_grants_of_a_parallel_dump_are_mapped_made_or_left_away() {
    let (from, to) = (shop(15), shop(15));
    from.sql("shop", "create role \"the boss\"; create role readers; alter table orders owner to \"the boss\"; grant select on orders to readers; \
        create rule quiet as on delete to orders do instead nothing");
    let taken = backup(&from, &with(parallel(&from, "shop"), json!({ "globals": true }))).unwrap();
    let owner = "select pg_get_userbyid(relowner), relacl::text from pg_class where relname = 'orders'";
    let fill =
        |more: Value, mode| restore(&to, &with(parallel(&to, "copy"), more), &taken, &how(&taken, mode));
    let error = fill(json!({}), RestoreMode::Fail).unwrap_err();
    assert!(
        error.kind == ErrorKind::NotFound && error.to_string().contains("`readers`, `the boss`"),
        "{error}"
    );
    to.sql("postgres", "create role chef; create role leser");
    let mapped = json!({ "role_map": { "the boss": "chef", "readers": "leser" }, "drop_before": true });
    for mode in [RestoreMode::Fail, RestoreMode::Merge, RestoreMode::Replace] {
        fill(mapped.clone(), mode).unwrap();
        assert_eq!(to.sql("copy", owner), "chef|{chef=arwdDxt/chef,leser=r/chef}", "{mode:?}");
    }
    let dropped = json!({ "owner": "drop", "privileges": "drop", "drop_before": true });
    fill(dropped, RestoreMode::Replace).unwrap();
    assert_eq!(to.sql("copy", owner), "postgres|");
    let (_, restored) = fill(json!({ "globals": true, "drop_before": true }), RestoreMode::Replace).unwrap();
    assert!(restored.notes[0].contains("Made the roles"), "{restored:?}");
    assert!(to.sql("copy", owner).starts_with("the boss|"));
}
