//! Extensions with tables of their own: PostGIS, of which only a superuser may make one, and pg_trgm beside it.

mod common;

use common::{Taken, backup, databases, dumped, how, options, restore, with};
use serde_json::{Value, json};
use windlass_plugin_api::{Contents, ErrorKind, RestoreMode};
use windlass_test_servers::Postgres as Server;

const PLACES: &str = "create extension postgis; create extension pg_trgm; \
    create table places (id serial primary key, name text, at geometry(Point, 4326)); \
    insert into places (name, at) select 'place ' || n, st_setsrid(st_makepoint(n / 100.0, 50), 4326) from generate_series(1, 500) n; \
    create index on places using gist (at); create index on places using gin (name gin_trgm_ops); \
    insert into spatial_ref_sys (srid, auth_name, auth_srid, srtext, proj4text) \
        values (990001, 'shop', 1, 'LOCAL_CS[\"shop\"]', '+proj=longlat')";

/// What must be there: places by their neighbourhood and by their name, and the reference system that the shop added.
const SEEN: &str = "select (select count(*) from places where at && st_makeenvelope(1, 49, 2, 51, 4326)), \
    (select count(*) from places where name % 'place 77' and name like '%77'), \
    (select auth_name from spatial_ref_sys where srid = 990001), st_astext((select at from places where id = 7))";

fn server() -> Server {
    let server = Server::start(15);
    server.sql("postgres", "create database shop; create database copy");
    server.sql("shop", PLACES);
    server
}

fn of(server: &Server, format: &str) -> Taken {
    backup(server, &with(options(server, "shop"), json!({ "format": format }))).unwrap()
}

#[test]
fn places_and_trigrams_come_back() {
    let server = server();
    for format in ["custom", "plain", "parallel"] {
        let taken = of(&server, format);
        restore(&server, &options(&server, "copy"), &taken, &how(&taken, RestoreMode::Replace)).unwrap();
        assert_eq!(server.sql("copy", SEEN), server.sql("shop", SEEN), "{format}");
        assert!(dumped(&server, "copy") == dumped(&server, "shop"), "{format}");
    }
    assert!(server.sql("copy", SEEN).ends_with("|shop|POINT(0.07 50)"));
}

#[test]
fn who_may_not_make_postgis_lets_the_administrator_do_it() {
    let server = server();
    server.sql("postgres", "create role clerk login password 'geheim-c'; alter database copy owner to clerk");
    let clerk = |more: Value| {
        let login = json!({ "user": "clerk", "password": "geheim-c", "owner": "drop", "privileges": "drop" });
        with(with(options(&server, "copy"), login), more)
    };
    for (format, createdb) in [("custom", "nocreatedb"), ("parallel", "nocreatedb"), ("parallel", "createdb")]
    {
        server.sql(
            "postgres",
            &format!("drop database copy; create database copy owner clerk; alter role clerk {createdb}"),
        );
        let taken = of(&server, format);
        let error = restore(&server, &clerk(json!({})), &taken, &how(&taken, RestoreMode::Fail)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied, "{error}");
        assert!(error.to_string().contains("`postgis`") && error.hint.unwrap().contains("admin_user"));
        let admin =
            json!({ "admin_user": "postgres", "admin_password": { "$secret": "source.pg.password" } });
        restore(&server, &clerk(admin), &taken, &how(&taken, RestoreMode::Fail)).unwrap();
        assert_eq!(server.sql("copy", SEEN), server.sql("shop", SEEN), "{format} {createdb}");
        let may = "select has_table_privilege('clerk', 'spatial_ref_sys', 'insert')";
        assert_eq!(server.sql("copy", may), "f", "{format} {createdb}");
    }
}

#[test]
fn an_extension_that_the_server_lacks_is_told_before_anything_is_dropped() {
    let (from, to) = (server(), Server::start(17));
    to.sql("postgres", "create database shop");
    to.sql("shop", "create table mine as select 1 as a");
    let before = dumped(&to, "shop");
    for format in ["custom", "parallel"] {
        let taken = of(&from, format);
        // Also where nothing but the stream tells.
        let contents = Contents { details: Default::default(), ..taken.contents.clone() };
        let bare = Taken { contents, streams: taken.streams.clone(), bytes: Vec::new() };
        for (taken, mode) in [
            (&taken, RestoreMode::Replace),
            (&taken, RestoreMode::Merge),
            (&bare, RestoreMode::Replace),
            (&bare, RestoreMode::Merge),
        ] {
            let target = with(options(&to, "shop"), json!({ "bin_dirs": [to.bin_dir()] }));
            let error = restore(&to, &target, taken, &how(taken, mode)).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
            assert!(error.to_string().contains("`postgis`"), "{error}");
            assert!(dumped(&to, "shop") == before);
            assert_eq!(databases(&to), "postgres shop");
        }
    }
}
