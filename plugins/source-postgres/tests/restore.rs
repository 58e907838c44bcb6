//! Restores: what is kept, what is refused, and that no failure leaves anything half.

mod common;

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{
    SHOP, Taken, backup, databases, dumped, host, how, options, refused, restore, server, source, taken,
    taken_as, with,
};
use serde_json::json;
use windlass_plugin_api::{Error, ErrorKind, Inputs, RawName, RestoreMode, Source};
use windlass_test_servers::Postgres as Server;
use windlass_testkit::streams::Fault;

#[test]
fn a_database_that_is_not_empty_is_refused_and_stays() {
    let server = server();
    let taken = taken(&server);
    server.sql("copy", "create table mine (a int)");
    let before = dumped(&server, "copy");
    let error = refused(&server, "copy", &taken, &how(&taken, RestoreMode::Fail));
    assert_eq!(error.kind, ErrorKind::Refused);
    assert_eq!(dumped(&server, "copy"), before);
    assert_eq!(databases(&server), "copy postgres shop");
    for statement in [
        "create function f() returns int language sql as 'select 1'",
        "create type t as enum ('a')",
        "select lo_create(0)",
        "create schema s",
    ] {
        server.sql("postgres", "drop database if exists other; create database other");
        server.sql("other", statement);
        let target = source(&options(&server, "other"))
            .target(&host(&server).context(), &how(&taken, RestoreMode::Fail))
            .unwrap();
        assert!(!target.empty, "{statement}");
    }
}

#[test]
fn a_missing_database_is_made_with_the_snapshots_encoding_or_not_at_all() {
    let server = server();
    server.sql("postgres", "create database latin template template0 encoding 'LATIN1' locale 'C'");
    server.sql("latin", "create table t as select 'größe'::text as a");
    let taken = backup(&server, &options(&server, "latin")).unwrap();
    let broken = Taken {
        contents: taken.contents.clone(),
        streams: taken.streams.clone().fault_in(
            "data",
            taken.bytes.len() - 1,
            Fault::Error(Error::damaged("bad")),
        ),
        bytes: Vec::new(),
    };
    let name = "new 'one'";
    assert_eq!(refused(&server, name, &broken, &how(&broken, RestoreMode::Fail)).message, "bad");
    assert_eq!(databases(&server), "copy latin postgres shop");
    let (target, _) =
        restore(&server, &options(&server, name), &taken, &how(&taken, RestoreMode::Fail)).unwrap();
    assert!(target.empty && target.atomic);
    assert_eq!(server.sql(name, "show server_encoding; select a from t"), "LATIN1\ngröße");
    assert_eq!(server.sql(name, "select coalesce(shobj_description(oid, 'pg_database'), '-') from pg_database where datname = current_database()"), "-");
}

#[test]
fn replace_swaps_and_keeps_the_old_database_and_its_settings() {
    let (server, decoy) = (server(), server());
    let taken = taken(&server);
    server.sql("copy", "create table mine as select 1 as a");
    server.sql("postgres", "create role boss; create role reader; alter database copy owner to boss; \
        alter database copy set work_mem = '7MB'; alter role reader in database copy set search_path = '$user', 'a b'; \
        revoke connect on database copy from public; grant connect on database copy to reader; \
        comment on database copy is '100% mine'; alter database copy connection limit 7");
    let state = "select pg_get_userbyid(datdba), (select string_agg(a::text, ' ' order by a::text) from unnest(datacl) a), datconnlimit, shobj_description(oid, 'pg_database'), \
        (select string_agg(setrole::regrole || ':' || setconfig::text, ' ' order by setrole) from pg_db_role_setting where setdatabase = d.oid) \
        from pg_database d where datname = 'copy'";
    let before = server.sql("postgres", state);
    let (target, restored) =
        restore(&server, &options(&server, "copy"), &taken, &how(&taken, RestoreMode::Replace)).unwrap();
    assert!(
        !target.empty && target.atomic && target.effects[0].contains("copy_before_20260101T000000Z-k3f9"),
        "{target:?}"
    );
    assert!(restored.notes[0].contains("copy_before_20260101T000000Z-k3f9"));
    assert_eq!(server.sql("postgres", state), before);
    assert_eq!(dumped(&server, "copy"), dumped(&server, "shop"));
    assert_eq!(server.sql("copy_before_20260101T000000Z-k3f9", "select a from mine"), "1");
    let again = with(options(&server, "copy"), json!({ "drop_before": true }));
    restore(&server, &again, &taken, &how(&taken, RestoreMode::Replace)).unwrap();
    assert_eq!(databases(&server), "copy copy_before_20260101T000000Z-k3f9 postgres shop");
    assert_eq!(databases(&decoy), "copy postgres shop");
    assert_eq!(decoy.sql("copy", "select count(*) from pg_class where relname = 'orders'"), "0");
}

#[test]
fn sessions_of_others_are_shown_and_ended_only_by_force() {
    let server = Arc::new(server());
    let taken = taken(&server);
    server.sql("copy", "create table mine (a int)");
    let other = server.clone();
    let session = std::thread::spawn(move || {
        let sql = "set application_name = 'the shop'; select pg_sleep(120)";
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| other.sql("copy", sql))).is_err()
    });
    let began = Instant::now();
    while server.sql("postgres", "select count(*) from pg_stat_activity where application_name = 'the shop'")
        == "0"
    {
        assert!(began.elapsed() < Duration::from_secs(60), "nobody came");
    }
    let replace = how(&taken, RestoreMode::Replace);
    let target = source(&options(&server, "copy")).target(&host(&server).context(), &replace).unwrap();
    assert!(target.sessions[0].contains("the shop"), "{target:?}");
    let error = refused(&server, "copy", &taken, &replace);
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(error.to_string().contains("the shop"), "{error}");
    assert_eq!(databases(&server), "copy postgres shop");
    let force = with(options(&server, "copy"), json!({ "force": true, "drop_before": true }));
    restore(&server, &force, &taken, &replace).unwrap();
    assert!(session.join().unwrap(), "the session was ended");
    assert_eq!(dumped(&server, "copy"), dumped(&server, "shop"));
}

/// The server lists a session for a moment after its end. One of ours, of a run that was just over, is waited for.
#[test]
fn a_session_of_our_own_that_is_about_to_end_is_in_nobodys_way() {
    let server = server();
    let taken = taken(&server);
    server.sql("copy", "create table mine (a int)");
    let mut psql = Command::new(server.bin_dir().join("psql"))
        .args(["-X", "-q", "-d", &server.url_with_password("copy")])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = psql.stdin.take().unwrap();
    stdin.write_all(b"set application_name = 'windlass';\n").unwrap();
    let idle = "select count(*) from pg_stat_activity where application_name = 'windlass' and state = 'idle'";
    let began = Instant::now();
    while server.sql("postgres", idle) == "0" {
        assert!(began.elapsed() < Duration::from_secs(60), "nobody came");
    }
    let ending = std::thread::scope(|scope| {
        let ending = scope.spawn(|| {
            // Hardly before the restore has looked for the first time.
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(800) {
                server.sql("postgres", idle);
            }
            drop(stdin);
            psql.wait().unwrap()
        });
        let replace = with(options(&server, "copy"), json!({ "drop_before": true }));
        restore(&server, &replace, &taken, &how(&taken, RestoreMode::Replace)).unwrap();
        ending.join().unwrap()
    });
    assert!(ending.success());
    assert_eq!(dumped(&server, "copy"), dumped(&server, "shop"));
}

#[test]
fn one_table_comes_with_all_that_hangs_on_it() {
    let server = server();
    server.sql("shop", "create role reader; grant select on orders to reader; comment on index orders_what_idx is 'fast'; \
        create function f() returns trigger language plpgsql as 'begin return new; end'; create trigger t before insert on orders for each row execute function f()");
    let taken = taken(&server);
    let mut only = how(&taken, RestoreMode::Fail);
    only.only = vec![RawName::Text("public.orders".into())];
    let (_, restored) = restore(&server, &options(&server, "copy"), &taken, &only).unwrap();
    assert_eq!(restored.left_out, Vec::<String>::new());
    assert_eq!(server.sql("copy", "insert into orders (what) values ('x') returning id, mood"), "3001|happy");
    assert_eq!(server.sql("copy", "select obj_description('orders_what_idx'::regclass), has_table_privilege('reader', 'orders', 'select'), \
        (select count(*) from pg_trigger where tgname = 't'), to_regnamespace('stock') is null"), "fast|t|1|t");
    // Over what is there: the table as it was, the rest as it is.
    server.sql("copy", "delete from orders; create table mine as select 1 as a");
    let refusal = refused(&server, "copy", &taken, &only);
    assert_eq!(refusal.kind, ErrorKind::Refused);
    only.mode = RestoreMode::Replace;
    restore(&server, &options(&server, "copy"), &taken, &only).unwrap();
    assert_eq!(server.sql("copy", "select (select count(*) from orders), (select a from mine)"), "3000|1");
    assert_eq!(databases(&server), "copy postgres shop");
    only.only = vec![RawName::Text("ordres".into())];
    assert_eq!(refused(&server, "copy", &taken, &only).kind, ErrorKind::NotFound);
}

#[test]
fn merge_replaces_namesakes_and_keeps_the_rest() {
    let server = server();
    let taken = taken(&server);
    restore(&server, &options(&server, "copy"), &taken, &how(&taken, RestoreMode::Fail)).unwrap();
    server.sql("copy", "delete from stock.\"we\"\"ird $$ näme\"; create table mine as select 1 as a");
    restore(&server, &options(&server, "copy"), &taken, &how(&taken, RestoreMode::Merge)).unwrap();
    assert_eq!(
        server.sql("copy", "select (select count(*) from stock.\"we\"\"ird $$ näme\"), (select a from mine)"),
        "3|1"
    );
    let plain = taken_as(&server, "plain");
    assert_eq!(
        refused(&server, "copy", &plain, &how(&plain, RestoreMode::Merge)).kind,
        ErrorKind::Unsupported
    );
}

#[test]
fn missing_roles_are_told_mapped_made_or_left_away() {
    let (from, to) = (server(), server());
    from.sql("shop", "create role \"the boss\" login password 'geheim-b'; create role readers; grant readers to \"the boss\"; \
        alter table orders owner to \"the boss\"; grant select on orders to readers; \
        alter default privileges for role \"the boss\" in schema public grant select on tables to readers");
    let taken =
        backup(&from, &with(options(&from, "shop"), json!({ "globals": true, "role_passwords": true })))
            .unwrap();
    let owner = "select pg_get_userbyid(relowner), relacl::text from pg_class where relname = 'orders'";
    let fill = |more: serde_json::Value| {
        to.sql("postgres", "drop database copy; create database copy");
        restore(&to, &with(options(&to, "copy"), more), &taken, &how(&taken, RestoreMode::Fail))
    };
    let error = fill(json!({})).err().unwrap();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(error.to_string().contains("`readers`, `the boss`"), "{error}");
    fill(json!({ "owner": "drop", "privileges": "drop" })).unwrap();
    assert_eq!(to.sql("copy", owner), "postgres|");
    to.sql("postgres", "create role chef; create role \"le\"\"ser\"");
    fill(json!({ "role_map": { "the boss": "chef", "readers": "le\"ser" } })).unwrap();
    assert_eq!(to.sql("copy", owner), r#"chef|{chef=arwdDxt/chef,"\"le\"\"ser\"=r/chef"}"#);
    assert_eq!(to.sql("copy", "select defaclrole::regrole from pg_default_acl"), "chef");
    let (target, restored) = fill(json!({ "globals": true })).unwrap();
    assert!(!target.atomic);
    assert_eq!(restored.notes, ["Made the roles `readers`, `the boss`."]);
    assert!(to.sql("copy", owner).starts_with("the boss|"));
    let same = "select rolname, rolcanlogin, rolpassword, pg_has_role(oid, 'readers', 'member') from pg_authid where rolname in ('the boss', 'readers') order by 1";
    assert_eq!(to.sql("postgres", same), from.sql("postgres", same));
}

#[test]
fn who_may_not_swap_databases_replaces_in_one_transaction() {
    let server = server();
    server.sql(
        "shop",
        "create publication p for all tables; select lo_create(7); create extension pg_trgm; \
        create function public.f(int) returns int language sql as 'select 1'; create domain public.d as int",
    );
    server.sql("postgres", "create role clerk login password 'geheim-c'; alter database copy owner to clerk");
    let clerk = with(
        options(&server, "copy"),
        json!({ "user": "clerk", "password": "geheim-c", "owner": "drop", "lock_timeout": 1 }),
    );
    for format in ["custom", "plain"] {
        let more = json!({ "format": format, "owner": "drop", "exclude": ["stock.*"], "schemas": ["public", "stock"] });
        let taken = backup(&server, &with(options(&server, "shop"), more)).unwrap();
        if format == "custom" {
            restore(&server, &clerk, &taken, &how(&taken, RestoreMode::Fail)).unwrap();
        }
        server.sql("copy", "set role clerk; create schema mine; create table mine.t (a int); create table public.own (a int); \
            create view public.v as select * from public.own; select lo_create(0); delete from orders");
        let replace = how(&taken, RestoreMode::Replace);
        let before = dumped(&server, "copy");
        let target = source(&clerk).target(&host(&server).context(), &replace).unwrap();
        assert!(target.atomic && target.effects[0].contains("it may not make databases"), "{target:?}");
        let end = Fault::Error(Error::damaged("bad"));
        let bad = taken.streams.clone().fault_in("data", taken.bytes.len() - 1, end);
        let bad = Taken { contents: taken.contents.clone(), streams: bad, bytes: Vec::new() };
        assert_eq!(restore(&server, &clerk, &bad, &replace).err().unwrap().message, "bad");
        assert_eq!(dumped(&server, "copy"), before);
        restore(&server, &clerk, &taken, &replace).unwrap();
        let left = "select (select count(*) from orders), to_regclass('own') is null, to_regnamespace('mine') is null, \
            (select count(*) from pg_largeobject_metadata), to_regprocedure('f(int)') is null, to_regtype('d') is null";
        assert_eq!(server.sql("copy", left), "3000|t|t|0|f|f", "{format}");
        // What it may not drop ends it, and all is as it was.
        server.sql("copy", "create schema theirs; create table theirs.t (a int)");
        let before = dumped(&server, "copy");
        assert_eq!(restore(&server, &clerk, &taken, &replace).err().unwrap().kind, ErrorKind::Denied);
        assert_eq!(dumped(&server, "copy"), before);
        server.sql("copy", "drop schema theirs cascade");
    }
}

#[test]
fn what_one_may_not_do_is_told_before_the_start() {
    let server = server();
    let taken = taken(&server);
    server.sql("postgres", "create role clerk login password 'geheim-c'; alter database copy owner to clerk");
    let clerk = with(options(&server, "copy"), json!({ "user": "clerk", "password": "geheim-c" }));
    let replace = how(&taken, RestoreMode::Replace);
    let missing = with(clerk.clone(), json!({ "database": "nowhere" }));
    let error = source(&missing).target(&host(&server).context(), &replace).unwrap_err();
    assert!(error.kind == ErrorKind::Denied && error.hint.unwrap().contains("CREATEDB"));
    let error = restore(&server, &clerk, &taken, &replace).err().unwrap();
    assert!(error.kind == ErrorKind::Denied && error.hint.unwrap().contains("owner = \"drop\""));
    server.sql("postgres", "alter role clerk createdb");
    let clerk = with(clerk, json!({ "owner": "drop" }));
    server.sql("copy", "create table theirs (a int)");
    restore(&server, &clerk, &taken, &replace).unwrap();
    assert_eq!(server.sql("copy", "select count(*) from orders"), "3000");
    assert_eq!(
        server.sql("postgres", "select pg_get_userbyid(datdba) from pg_database where datname = 'copy'"),
        "clerk"
    );
}

#[test]
fn an_extension_is_asked_for_before_and_made_by_the_administrator() {
    let server = server();
    server.sql("shop", "create extension pageinspect; create extension pg_trgm; create index on orders using gin (what gin_trgm_ops)");
    let taken = taken(&server);
    server.sql(
        "postgres",
        "create role clerk login createdb password 'geheim-c'; alter database copy owner to clerk",
    );
    let clerk =
        with(options(&server, "copy"), json!({ "user": "clerk", "password": "geheim-c", "owner": "drop" }));
    let error = restore(&server, &clerk, &taken, &how(&taken, RestoreMode::Fail)).err().unwrap();
    assert_eq!(error.kind, ErrorKind::Denied);
    assert!(error.to_string().contains("`pageinspect`") && !error.to_string().contains("pg_trgm"), "{error}");
    let admin = with(
        clerk,
        json!({ "admin_user": "postgres", "admin_password": { "$secret": "source.pg.password" } }),
    );
    let bad =
        taken.streams.clone().fault_in("data", taken.bytes.len() - 1, Fault::Error(Error::damaged("bad")));
    let bad = Taken { contents: taken.contents.clone(), streams: bad, bytes: Vec::new() };
    restore(&server, &admin, &bad, &how(&bad, RestoreMode::Fail)).err().unwrap();
    let extensions = "select string_agg(extname, ' ' order by extname) from pg_extension";
    assert_eq!(server.sql("copy", extensions), "plpgsql");
    restore(&server, &admin, &taken, &how(&taken, RestoreMode::Fail)).unwrap();
    assert_eq!(server.sql("copy", extensions), "pageinspect pg_trgm plpgsql");
    let mut unknown = how(&taken, RestoreMode::Fail);
    unknown.contents.as_mut().unwrap().details.insert("extensions".into(), json!(["of_nobody"]));
    server.sql("postgres", "drop database copy; create database copy");
    let error = source(&options(&server, "copy")).target(&host(&server).context(), &unknown).unwrap_err();
    assert!(error.kind == ErrorKind::Unsupported && error.to_string().contains("`of_nobody`"), "{error}");
}

#[test]
fn an_archive_that_is_too_new_for_the_server_is_told_before_it_starts() {
    let (old, new) = (server(), Server::start(17));
    new.sql("postgres", "create database shop");
    new.sql("shop", SHOP);
    let bin = json!({ "bin_dirs": [new.bin_dir()] });
    let archive = backup(&new, &with(options(&new, "shop"), bin.clone())).unwrap();
    let error =
        restore(&old, &with(options(&old, "copy"), bin.clone()), &archive, &how(&archive, RestoreMode::Fail))
            .err()
            .unwrap();
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.to_string().contains("transaction_timeout"), "{error}");
    let error =
        restore(&old, &options(&old, "copy"), &archive, &how(&archive, RestoreMode::Fail)).err().unwrap();
    assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
    // Text can be fitted.
    let text = backup(&new, &with(options(&new, "shop"), with(bin, json!({ "format": "plain" })))).unwrap();
    restore(&old, &options(&old, "copy"), &text, &how(&text, RestoreMode::Fail)).unwrap();
    assert_eq!(old.sql("copy", "select count(*) from orders"), "3000");
}

#[test]
fn every_kind_of_object_comes_back() {
    let server = server();
    server.sql("shop", include_str!("every_kind.sql"));
    for format in ["custom", "plain"] {
        let taken = taken_as(&server, format);
        restore(&server, &options(&server, "copy"), &taken, &how(&taken, RestoreMode::Replace)).unwrap();
        assert_eq!(dumped(&server, "copy"), dumped(&server, "shop"), "{format}");
        assert_eq!(server.sql("copy", "select encode(lo_get(loid), 'escape') from (select oid as loid from pg_largeobject_metadata) x"), "a large object");
    }
}

#[test]
fn the_commands_by_hand_restore_the_stream() {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let server = server();
    for format in ["custom", "plain"] {
        let taken = taken_as(&server, format);
        let line = source(&options(&server, "shop")).by_hand("data", &taken.contents).unwrap();
        server.sql("postgres", "alter database shop rename to was; create database shop");
        let mut child = Command::new("sh")
            .args(["-c", &line])
            .env("PGHOST", server.host())
            .env("PGPORT", server.port().to_string())
            .env("PGUSER", server.user())
            .env("PGPASSWORD", server.password())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&taken.bytes).unwrap();
        assert!(child.wait().unwrap().success(), "{line}");
        assert_eq!(dumped(&server, "shop"), dumped(&server, "was"), "{line}");
        server.sql("postgres", "drop database was");
    }
    assert!(taken(&server).streams.streams().len() == 1);
}

#[test]
fn two_thousand_tables_come_back_into_an_empty_database() {
    let server = server();
    let tables = "do $$ begin for n in 1..2000 loop execute format('create table many_%s (id serial primary key, what text)', n); \
        if n % 500 = 0 then commit; end if; end loop; end $$";
    server.sql("shop", tables);
    let taken = taken(&server);
    restore(&server, &options(&server, "copy"), &taken, &how(&taken, RestoreMode::Fail)).unwrap();
    assert_eq!(
        server.sql("copy", "select count(*) from pg_class where relname like 'many_%' and relkind = 'r'"),
        "2000"
    );
    assert_eq!(databases(&server), "copy postgres shop");
}
