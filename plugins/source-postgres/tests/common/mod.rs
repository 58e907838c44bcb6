//! Two servers with a database each, and a decoy beside the one that is restored to.
#![allow(dead_code)]

use serde_json::{Value, json};
use windlass_plugin_api::{
    Contents, Context, Error, Plugin, RestoreMode, RestoreOptions, Restored, Result, Source, StreamInfo,
    Target,
};
use windlass_source_postgres::Postgres;
use windlass_test_servers::Postgres as Server;
use windlass_testkit::streams::{MemoryInputs, MemoryOutputs};
use windlass_testkit::{SourceFixture, TestHost};

/// What every test database holds.
pub const SHOP: &str = r#"
create schema stock;
create type public.mood as enum ('sad', 'it''s ok', 'happy');
create table public.orders (id serial primary key, what text not null, mood mood default 'happy', at timestamptz default '2026-01-01Z');
insert into public.orders (what) select repeat('order ' || n || ' ', 8) from generate_series(1, 3000) n;
create table stock."we""ird $$ näme" (id int references public.orders, "a b" text);
insert into stock."we""ird $$ näme" values (1, E'tab\t, back\\slash, \\. and \\! echo'), (2, null), (3, '');
create index on public.orders (what);
create view public.happy as select * from public.orders where mood = 'happy';
"#;

/// Every kind of object, as far as all servers know them: some builds come without ICU and without XML.
pub fn every_kind() -> String {
    let all =
        include_str!("../every_kind.sql").replace("provider = icu, locale = 'de-DE'", "locale = 'C.UTF-8'");
    all.replace("x xml", "x text")
}

/// The options that log in to `database` of `server` as its superuser.
pub fn options(server: &Server, database: &str) -> Value {
    json!({
        "host": server.host(), "port": server.port(), "user": server.user(), "database": database,
        "password": { "$secret": "source.pg.password" },
    })
}

/// `options` with `more`.
pub fn with(mut options: Value, more: Value) -> Value {
    let Value::Object(more) = more else { panic!("an object") };
    options.as_object_mut().unwrap().extend(more);
    options
}

/// A host that knows the superuser's password.
pub fn host(server: &Server) -> TestHost {
    TestHost::new().secret("source.pg.password", server.password())
}

/// The source with these options.
pub fn source(options: &Value) -> Postgres {
    Postgres::new(serde_json::from_value(options.clone()).unwrap(), &Context::default()).unwrap()
}

/// A backup in memory.
pub struct Taken {
    pub contents: Contents,
    pub streams: MemoryInputs,
    pub bytes: Vec<u8>,
}

/// Backs up.
pub fn backup(server: &Server, options: &Value) -> Result<Taken> {
    let out = MemoryOutputs::new();
    let contents = source(options).backup(&host(server).context(), &out)?;
    let seen = out.seen();
    assert!(seen.iter().all(|(_, seen)| seen.finished));
    let data = seen.iter().find(|(name, _)| name == "data");
    let bytes = data.map(|(_, seen)| seen.bytes.clone()).unwrap_or_default();
    Ok(Taken { contents, streams: out.inputs(), bytes })
}

/// How the host restores `taken`.
pub fn how(taken: &Taken, mode: RestoreMode) -> RestoreOptions {
    use windlass_plugin_api::Inputs;
    let formats = taken.streams.streams().into_iter().map(|(name, info)| (name, info.stream_format));
    RestoreOptions {
        mode,
        snapshot: "20260101T000000Z-k3f9".into(),
        contents: Some(taken.contents.clone()),
        stream_formats: formats.collect(),
        ..RestoreOptions::default()
    }
}

/// Looks, and restores as the host does: a target that isn't empty is refused.
pub fn restore(
    server: &Server,
    options: &Value,
    taken: &Taken,
    how: &RestoreOptions,
) -> Result<(Target, Restored)> {
    let cx = host(server).context();
    let mut source = source(options);
    let target = source.target(&cx, how)?;
    let restored = source.restore(&cx, &taken.streams, how)?;
    Ok((target, restored))
}

/// Everything in a database, as SQL text without what differs between two dumps of the same.
pub fn dumped(server: &Server, database: &str) -> String {
    let out = MemoryOutputs::new();
    let more = json!({ "format": "plain", "bin_dirs": [server.bin_dir()] });
    let options = with(options(server, database), more);
    let mut source = source(&options);
    source.backup(&host(server).context(), &out).unwrap_or_else(|error| panic!("{error:?}"));
    let text = String::from_utf8(out.seen()[0].1.bytes.clone()).unwrap();
    let keeps = |line: &&str| {
        !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict") && !line.starts_with("-- ")
    };
    text.lines().filter(keeps).collect::<Vec<_>>().join("\n")
}

/// The databases of a server, in order.
pub fn databases(server: &Server) -> String {
    server
        .sql("postgres", "select datname from pg_database where not datistemplate order by 1")
        .replace('\n', " ")
}

/// A server with a full and an empty database.
pub fn server() -> Server {
    let server = Server::start(15);
    server.sql("postgres", "create database shop; create database copy");
    server.sql("shop", SHOP);
    server
}

/// A backup of the full one.
pub fn taken(server: &Server) -> Taken {
    backup(server, &options(server, "shop")).unwrap()
}

/// The same in this format.
pub fn taken_as(server: &Server, format: &str) -> Taken {
    backup(server, &with(options(server, "shop"), json!({ "format": format }))).unwrap()
}

/// A stream that nobody said anything about.
pub fn bare(format: &str, bytes: &[u8]) -> Taken {
    let streams = MemoryInputs::new().stream("data", StreamInfo::new(format), bytes);
    Taken { contents: Contents::default(), streams, bytes: Vec::new() }
}

/// The error of a restore that must fail.
pub fn refused(server: &Server, database: &str, taken: &Taken, how: &RestoreOptions) -> Error {
    restore(server, &options(server, database), taken, how).map(|_| ()).unwrap_err()
}

/// The fixture of the suite.
pub struct Pair {
    from: Server,
    to: Server,
}

impl SourceFixture for Pair {
    fn new() -> Self {
        let (from, to) = (Server::start(15), Server::start(15));
        for server in [&from, &to] {
            server.sql("postgres", "create database shop");
        }
        from.sql("shop", SHOP);
        Self { from, to }
    }

    fn options(&self) -> Value {
        options(&self.from, "shop")
    }

    fn target_options(&self) -> Value {
        options(&self.to, "shop")
    }

    fn fingerprint(&self) -> String {
        fingerprint(&self.from)
    }

    fn target_fingerprint(&self) -> String {
        fingerprint(&self.to)
    }

    fn change(&self) {
        self.from.sql("shop", "delete from stock.\"we\"\"ird $$ näme\" where id = 2; update public.orders set what = 'new' where id = 7; create table public.later (a int)");
    }

    fn host(&self) -> TestHost {
        host(&self.from)
    }
}

/// The names of all relations and a digest of each table's rows: short, and readable in a failure.
fn fingerprint(server: &Server) -> String {
    server.sql(
        "shop",
        "select c.oid::regclass, c.relkind, case when c.relkind in ('r', 'v') then \
         md5(query_to_xml(format('select * from %s order by 1, 2', c.oid::regclass), true, false, '')::text) end \
         from pg_class c where relnamespace in (select oid from pg_namespace where nspname in ('public', 'stock')) \
         and relname <> 'later' order by c.oid::regclass::text collate \"C\"",
    ) + &server.sql("shop", "select to_regclass('public.later')")
}
