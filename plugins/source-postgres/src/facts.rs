//! What the server is asked: the SQL, and the answers' shapes.
//!
//! Everything is read from the catalogs with `pg_catalog` alone in the search path, so that no function or table of a user
//! can step in.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use windlass_plugin_api::{Context, Error, ErrorKind, Result};

use crate::server::Server;
use crate::words::{dotted, literal};

/// What the server says of itself and of who asks.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct About {
    /// Its version as people read it: `15.4 (Debian 15.4-1)`.
    pub version: String,
    /// Its version as a number: 150004.
    pub number: u64,
    /// The database that was connected to.
    pub database: String,
    /// Who asks.
    pub user: String,
    /// Who asks may do anything.
    pub superuser: bool,
    /// Who asks may make databases.
    pub createdb: bool,
    /// Who asks may make roles.
    pub createrole: bool,
    /// Where its log of changes is; none if that may not be asked.
    pub lsn: Option<String>,
    /// It follows another server.
    pub standby: bool,
}

impl About {
    /// The first number of the version.
    pub(crate) fn major(&self) -> u64 {
        self.number / 10_000
    }
}

/// Asks `database` (or the options' one) about its server.
pub(crate) fn about(cx: &Context, server: &Server<'_>, database: Option<&str>) -> Result<About> {
    let sql = "SELECT json_build_object('version', current_setting('server_version'), \
        'number', current_setting('server_version_num')::int, 'database', current_database(), \
        'user', current_user, 'superuser', r.rolsuper, 'createdb', r.rolcreatedb OR r.rolsuper, \
        'createrole', r.rolcreaterole OR r.rolsuper, 'standby', pg_is_in_recovery(), \
        'lsn', CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END) \
        FROM pg_roles r WHERE r.rolname = current_user";
    let about: About = server.ask(cx, database, sql)?;
    if about.number < 120_000 {
        let message =
            format!("the server is PostgreSQL {}; 12 is the oldest that is supported", about.version);
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    Ok(about)
}

/// A table, view, sequence or the like.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Relation {
    /// Its schema.
    pub schema: String,
    /// Its name in the schema.
    pub name: String,
    /// `r` table, `p` partitioned table, `v` view, `m` materialised view, `S` sequence, `f` foreign table.
    pub kind: String,
    /// The size of its rows on the server's disk when it was last vacuumed. The real one would wait for a lock.
    pub bytes: u64,
    /// Who asks may read it.
    #[serde(skip_serializing)]
    pub readable: bool,
    /// Row security hides rows from who asks.
    #[serde(skip_serializing)]
    pub filtered: bool,
}

impl Relation {
    /// `schema.name`.
    pub(crate) fn dotted(&self) -> String {
        dotted(&self.schema, &self.name)
    }
}

/// Not of the system, and not part of an extension.
const OURS: &str = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT EXISTS \
    (SELECT FROM pg_depend d WHERE d.deptype = 'e' AND d.objid = o.oid AND d.classid = o.tableoid)";

/// Every relation of `database` that a dump could hold.
pub(crate) fn relations(cx: &Context, server: &Server<'_>, database: Option<&str>) -> Result<Vec<Relation>> {
    let toast = "(SELECT greatest(t.relpages, 0) FROM pg_class t WHERE t.oid = o.reltoastrelid)";
    let pages = format!("(greatest(o.relpages, 0) + coalesce({toast}, 0))::bigint");
    server.ask(cx, database, &relations_sql(&format!("{pages} * current_setting('block_size')::bigint")))
}

/// Every relation that the exported `snapshot` sees, with the real sizes of tables, which are locked by who exported it.
/// Whoever waits for one of them stops this after `patience` seconds.
pub(crate) fn relations_at(
    cx: &Context,
    server: &Server<'_>,
    snapshot: &str,
    patience: u32,
) -> Result<Vec<Relation>> {
    let size = "CASE WHEN o.relkind IN ('r', 'm') THEN coalesce(pg_table_size(o.oid), 0) ELSE 0 END";
    let statements = [
        format!("SET lock_timeout = '{patience}s'"),
        "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY".to_owned(),
        format!("SET TRANSACTION SNAPSHOT {}", literal(snapshot)),
        relations_sql(size),
    ];
    server.ask_after(cx, None, &statements)
}

fn relations_sql(bytes: &str) -> String {
    format!(
        "SELECT coalesce(json_agg(json_build_object('schema', n.nspname, 'name', o.relname, 'kind', o.relkind, 'bytes', {bytes}, \
         'readable', has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(o.oid, 'SELECT'), \
         'filtered', row_security_active(o.oid)) ORDER BY n.nspname, o.relname), '[]') \
         FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace \
         WHERE o.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND {OURS}"
    )
}

/// The schemas of `database` that aren't the system's.
pub(crate) fn schemas(cx: &Context, server: &Server<'_>, database: Option<&str>) -> Result<Vec<String>> {
    let sql = "SELECT coalesce(json_agg(nspname ORDER BY nspname), '[]') FROM pg_namespace \
        WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'";
    server.ask(cx, database, sql)
}

/// What can't be seen in the list of relations.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Others {
    /// Extensions by name, in order; `plpgsql` isn't among them.
    pub extensions: Vec<String>,
    /// How many large objects there are.
    pub large_objects: u64,
    /// Subscriptions to other servers' publications. None if that may not be asked.
    pub subscriptions: Option<u64>,
    /// Tables that a crash empties.
    pub unlogged: u64,
}

/// Asks for [`Others`].
pub(crate) fn others(cx: &Context, server: &Server<'_>, database: Option<&str>) -> Result<Others> {
    let sql = "SELECT json_build_object('extensions', (SELECT coalesce(json_agg(extname ORDER BY extname), '[]') \
        FROM pg_extension WHERE extname <> 'plpgsql'), \
        'large_objects', (SELECT count(*) FROM pg_largeobject_metadata), \
        'subscriptions', (SELECT count(*) FROM pg_subscription WHERE subdbid = \
            (SELECT oid FROM pg_database WHERE datname = current_database())), \
        'unlogged', (SELECT count(*) FROM pg_class WHERE relpersistence = 'u' AND relkind = 'r'))";
    server.ask(cx, database, sql)
}

/// How many objects of users `database` has, whatever they are. Schemas `public` and extensions don't count.
pub(crate) fn objects(cx: &Context, server: &Server<'_>, database: &str) -> Result<u64> {
    let of = |table: &str, schema: &str| {
        format!("(SELECT count(*) FROM {table} o JOIN pg_namespace n ON n.oid = o.{schema} WHERE {OURS})")
    };
    let sum = [
        of("pg_class", "relnamespace"),
        of("pg_proc", "pronamespace"),
        of("pg_type", "typnamespace"),
        of("pg_operator", "oprnamespace"),
        of("pg_collation", "collnamespace"),
        of("pg_ts_config", "cfgnamespace"),
        format!("(SELECT count(*) FROM pg_namespace o JOIN pg_namespace n ON n.oid = o.oid WHERE o.nspname <> 'public' AND {OURS})"),
        "(SELECT count(*) FROM pg_largeobject_metadata)".to_owned(),
        "(SELECT count(*) FROM pg_event_trigger o WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.deptype = 'e' \
          AND d.objid = o.oid AND d.classid = o.tableoid))"
            .to_owned(),
        "(SELECT count(*) FROM pg_publication)".to_owned(),
    ];
    server.ask(cx, Some(database), &format!("SELECT {}", sum.join(" + ")))
}

/// A database as its server's list has it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Database {
    /// Its row of `pg_database`: which columns there are depends on the server's version.
    pub row: Value,
    /// Its owner.
    pub owner: String,
    /// `UTF8` and the like.
    pub encoding: String,
    /// Where it lies.
    pub tablespace: String,
    /// Its size on the server's disk; none if that may not be asked.
    pub bytes: Option<u64>,
    /// Who asks may do what its owner may.
    pub ours: bool,
    /// Who else is connected to it, one line each.
    pub sessions: Vec<String>,
}

/// What `server` knows of the database `name`, asked in `from`. None if there is no such database.
pub(crate) fn database(
    cx: &Context,
    server: &Server<'_>,
    from: &str,
    name: &str,
) -> Result<Option<Database>> {
    let sql = format!(
        "SELECT coalesce((SELECT json_build_object('row', to_json(d.*), 'owner', pg_get_userbyid(d.datdba), \
         'encoding', pg_encoding_to_char(d.encoding), \
         'tablespace', (SELECT spcname FROM pg_tablespace t WHERE t.oid = d.dattablespace), \
         'bytes', CASE WHEN has_database_privilege(d.oid, 'CONNECT') THEN pg_database_size(d.oid) END, \
         'ours', pg_has_role(d.datdba, 'MEMBER'), \
         'sessions', (SELECT coalesce(json_agg(concat_ws(' ', a.usename, 'from', coalesce(host(a.client_addr), 'here'), \
             nullif('(' || a.application_name || ')', '()'), a.state, 'since', to_char(a.backend_start AT TIME ZONE 'UTC', \
             'YYYY-MM-DD HH24:MI:SS\"Z\"')) ORDER BY a.backend_start), '[]') FROM pg_stat_activity a \
             WHERE a.datid = d.oid AND a.pid <> pg_backend_pid())) \
         FROM pg_database d WHERE d.datname = {}), 'null'::json)",
        literal(name)
    );
    server.ask(cx, Some(from), &sql)
}

/// Statements that give the database `new` the settings, the comment and the privileges of `old`.
pub(crate) fn settings(
    cx: &Context,
    server: &Server<'_>,
    from: &str,
    old: &str,
    new: &str,
) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT coalesce(json_agg(format(s, {new})), '[]') FROM pg_database d, LATERAL ({SETTINGS}) AS all_settings \
         WHERE d.datname = {old}",
        new = literal(new),
        old = literal(old)
    );
    server.ask(cx, Some(from), &sql)
}

/// Statements with `%1$I` in the database's place; `%%` in all that could hold a `%`, for they are formatted once more.
const SETTINGS: &str = "\
    SELECT 'COMMENT ON DATABASE %1$I IS ' || replace(quote_nullable(shobj_description(d.oid, 'pg_database')), '%', '%%') AS s \
    UNION ALL SELECT 'ALTER DATABASE %1$I CONNECTION LIMIT ' || d.datconnlimit \
    UNION ALL SELECT 'REVOKE ALL ON DATABASE %1$I FROM PUBLIC' WHERE d.datacl IS NOT NULL \
    UNION ALL SELECT 'GRANT ' || x.privilege_type || ' ON DATABASE %1$I TO ' || \
        CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE replace(quote_ident(pg_get_userbyid(x.grantee)), '%', '%%') END || \
        CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END FROM aclexplode(d.datacl) x \
        WHERE x.grantee <> d.datdba \
    UNION ALL SELECT CASE WHEN c.setrole = 0 THEN 'ALTER DATABASE %1$I SET ' \
        ELSE 'ALTER ROLE ' || replace(quote_ident(pg_get_userbyid(c.setrole)), '%', '%%') || ' IN DATABASE %1$I SET ' END \
        || replace(quote_ident(split_part(v, '=', 1)), '%', '%%') || ' TO ' || \
        CASE WHEN split_part(v, '=', 1) = ANY ('{search_path,DateStyle,temp_tablespaces,session_preload_libraries,\
             local_preload_libraries}') THEN replace(substr(v, strpos(v, '=') + 1), '%', '%%') \
             ELSE replace(quote_literal(substr(v, strpos(v, '=') + 1)), '%', '%%') END \
        FROM pg_db_role_setting c, unnest(c.setconfig) v WHERE c.setdatabase = d.oid";

/// The names of all databases that can be connected to and aren't templates.
pub(crate) fn databases(cx: &Context, server: &Server<'_>, from: Option<&str>) -> Result<Vec<String>> {
    let sql = "SELECT coalesce(json_agg(datname ORDER BY datname), '[]') FROM pg_database \
        WHERE datallowconn AND NOT datistemplate";
    server.ask(cx, from, sql)
}

/// An extension that the server could make.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Available {
    /// Its name.
    pub name: String,
    /// Only a superuser may make it.
    pub superuser: bool,
}

/// Every extension that the server could make.
pub(crate) fn available(cx: &Context, server: &Server<'_>, from: &str) -> Result<Vec<Available>> {
    let trusted = "to_jsonb(v)->>'trusted'";
    let sql = format!(
        "SELECT coalesce(json_agg(json_build_object('name', e.name, 'superuser', \
         v.superuser AND {trusted} IS DISTINCT FROM 'true')), '[]') FROM pg_available_extensions e \
         JOIN pg_available_extension_versions v ON v.name = e.name AND v.version = e.default_version"
    );
    server.ask(cx, Some(from), &sql)
}

/// A role of the server, and whether who asks may give things to it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Role {
    /// Its name.
    pub name: String,
    /// Who asks is a member.
    pub ours: bool,
}

/// All roles.
pub(crate) fn roles(cx: &Context, server: &Server<'_>, from: &str) -> Result<Vec<Role>> {
    let sql = "SELECT json_agg(json_build_object('name', rolname, 'ours', pg_has_role(oid, 'MEMBER'))) FROM pg_roles";
    server.ask(cx, Some(from), sql)
}
