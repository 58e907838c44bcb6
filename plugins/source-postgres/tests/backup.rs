//! Backups: verdicts, the password's way, the choice of the program, and what of a database is taken.

mod common;

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{SHOP, backup, dumped, host, how, options, restore, source, with};
use serde_json::json;
use windlass_plugin_api::{ErrorKind, Finished, Outputs, RestoreMode, Result, Sink, Source, StreamInfo};
use windlass_test_servers::Postgres as Server;
use windlass_testkit::streams::MemoryOutputs;

fn shop(version: u32) -> Server {
    let server = Server::start(version);
    server.sql("postgres", "create database shop");
    server.sql("shop", SHOP);
    server
}

/// A program `name` that says a version and then runs `script` with the real one in `$REAL`.
fn fake(folder: &Path, name: &str, version: &str, script: &str) {
    let path = folder.join(name);
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && {{ echo '{name} (PostgreSQL) {version}'; exit; }}\n\
         REAL=/usr/lib/postgresql/15/bin/{name}\n{script}\n"
    );
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_dump_program_that_fails_in_any_way_finishes_no_stream() {
    let server = shop(15);
    for (script, format, says) in [
        ("\"$REAL\" \"$@\"; exit 1", "custom", "ended with exit code 1"),
        ("\"$REAL\" \"$@\"; kill -9 $$", "custom", "was killed by signal 9"),
        ("\"$REAL\" \"$@\" | head -c 5000", "plain", "stops before its end"),
        ("exit 0", "custom", "its output isn't whole"),
        ("echo nonsense", "custom", "is no archive"),
        ("\"$REAL\" \"$@\" | head -c 3000", "custom", "the end of its table of contents"),
        ("\"$REAL\" \"$@\" | head -c 60000", "custom", "before the data of"),
        ("\"$REAL\" \"$@\" | head -c -1", "custom", "in the middle of its last data"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fake(folder.path(), "pg_dump", "15.99", script);
        let options =
            with(options(&server, "shop"), json!({ "bin_dirs": [folder.path()], "format": format }));
        let out = MemoryOutputs::new();
        let error = source(&options).backup(&host(&server).context(), &out).unwrap_err();
        assert!(error.to_string().contains(says), "{script}: {error}");
        assert!(out.seen().iter().all(|(_, seen)| !seen.finished && seen.dropped), "{script}");
    }
}

/// Cuts the connections of `pg_dump` as soon as the first bytes arrive.
struct Cuts {
    server: Arc<Server>,
    done: Arc<AtomicBool>,
    finished: Arc<AtomicBool>,
}

impl Outputs for Cuts {
    fn create(&self, _: &str, _: StreamInfo) -> Result<Box<dyn Sink>> {
        let (server, done, finished) = (self.server.clone(), self.done.clone(), self.finished.clone());
        Ok(Box::new(Cuts { server, done, finished }))
    }
}

impl Write for Cuts {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.done.swap(true, Ordering::SeqCst) {
            let sql =
                "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'windlass'";
            assert!(self.server.sql("postgres", sql).contains('t'));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Cuts {
    fn finish(&mut self) -> Result<Finished> {
        self.finished.store(true, Ordering::SeqCst);
        Ok(Finished::default())
    }
}

#[test]
fn a_lost_connection_is_a_failed_backup() {
    let server = Arc::new(shop(15));
    server.sql(
        "shop",
        "create table big as select n, repeat(md5(n::text), 40) from generate_series(1, 30000) n",
    );
    let finished = Arc::new(AtomicBool::new(false));
    let out = Cuts { server: server.clone(), done: Arc::default(), finished: finished.clone() };
    let error = source(&options(&server, "shop")).backup(&host(&server).context(), &out).unwrap_err();
    assert!(error.to_string().contains("pg_dump"), "{error}");
    assert!(!finished.load(Ordering::SeqCst));
}

#[test]
fn a_wrong_password_is_told_and_stands_nowhere() {
    let server = shop(15);
    let wrong = with(options(&server, "shop"), json!({ "password": "falsch-4711" }));
    let error = backup(&server, &wrong).err().unwrap();
    assert_eq!(error.kind, ErrorKind::Denied, "{error:?}");
    assert!(!format!("{error:?}").contains("falsch-4711"));
    let none =
        with(options(&server, "shop"), json!({ "password": null, "env": { "PGPASSFILE": "/nowhere" } }));
    assert_eq!(backup(&server, &none).err().unwrap().kind, ErrorKind::Denied);
}

#[test]
fn the_password_reaches_the_programs_in_a_private_file_alone() {
    let server = shop(15);
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("told");
    let script = format!(
        "{{ echo \"$@\"; env; stat -c 'mode %a' \"$PGPASSFILE\"; }} > {}\nexec \"$REAL\" \"$@\"",
        told.display()
    );
    fake(folder.path(), "pg_dump", "15.99", &script);
    let url = server.url_with_password("shop");
    for login in [options(&server, "shop"), json!({ "url": url })] {
        backup(&server, &with(login, json!({ "bin_dirs": [folder.path()] }))).unwrap();
        let told = fs::read_to_string(&told).unwrap();
        assert!(!told.contains(server.password()), "{told}");
        assert!(told.contains("mode 600") && told.contains("dbname='shop'"), "{told}");
        let file = told.lines().find_map(|line| line.strip_prefix("PGPASSFILE=")).unwrap();
        assert!(!Path::new(file).exists(), "the file is gone with the run");
    }
}

#[test]
fn without_a_password_libpqs_own_files_hold() {
    let server = shop(15);
    let folder = tempfile::tempdir().unwrap();
    let passfile = folder.path().join("pass");
    fs::write(&passfile, format!("127.0.0.1:{}:*:postgres:{}\n", server.port(), server.password())).unwrap();
    fs::set_permissions(&passfile, fs::Permissions::from_mode(0o600)).unwrap();
    let services = folder.path().join("services");
    fs::write(
        &services,
        format!("[shop]\nhost=127.0.0.1\nport={}\nuser=postgres\ndbname=shop\n", server.port()),
    )
    .unwrap();
    let options = json!({ "service": "shop", "env": { "PGPASSFILE": passfile, "PGSERVICEFILE": services } });
    let taken = backup(&server, &options).unwrap();
    assert_eq!(taken.contents.details["database"], "shop");
}

#[test]
fn a_server_that_is_named_is_the_one_that_is_asked() {
    let (server, decoy) = (shop(15), Server::start(15));
    let env =
        json!({ "PGHOSTADDR": "127.0.0.1", "PGPORT": decoy.port().to_string(), "PGDATABASE": "postgres" });
    let taken = backup(&server, &with(options(&server, "shop"), json!({ "env": env }))).unwrap();
    assert_eq!(taken.contents.details["database"], "shop");
}

#[test]
fn a_locked_table_fails_the_run_in_time() {
    let server = Arc::new(shop(15));
    let other = server.clone();
    let holder = std::thread::spawn(move || {
        // Ended by the test.
        let _ =
            std::panic::catch_unwind(|| other.sql("shop", "begin; lock table orders; select pg_sleep(120)"));
    });
    let began = Instant::now();
    let locked = "select count(*) from pg_locks where mode = 'AccessExclusiveLock' and granted and relation = 'orders'::regclass";
    while server.sql("shop", locked) == "0" {
        assert!(began.elapsed() < Duration::from_secs(60), "nobody took the lock");
    }
    let error = backup(&server, &with(options(&server, "shop"), json!({ "lock_timeout": 1 }))).err().unwrap();
    assert_eq!(error.kind, ErrorKind::TimedOut, "{error:?}");
    server.sql("shop", "select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(120)%' and pid <> pg_backend_pid()");
    holder.join().unwrap();
}

#[test]
fn the_program_is_chosen_by_the_servers_version() {
    let server = shop(17);
    let error = backup(&server, &options(&server, "shop"));
    if let Err(error) = error {
        assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains("no `pg_dump` of version 17 or later"), "{error}");
        assert!(error.hint.unwrap().contains("postgresql-client-17"));
    }
    let newer = Server::start(18);
    let both = json!({ "bin_dirs": [newer.bin_dir(), server.bin_dir()] });
    let taken = backup(&server, &with(options(&server, "shop"), both.clone())).unwrap();
    assert!(taken.contents.versions["pg_dump"].starts_with("17."), "{:?}", taken.contents.versions);
    assert!(taken.contents.versions["server"].starts_with("17."));
    assert!(taken.contents.consistency_point.unwrap().contains("LSN"));
    let only_newer = with(options(&server, "shop"), json!({ "bin_dirs": [newer.bin_dir()] }));
    let probe = source(&only_newer).probe(&host(&server).context()).unwrap();
    assert!(probe.warnings[0].contains("an older server may not load it"), "{probe:?}");
}

#[test]
fn a_dump_of_each_version_comes_back_on_its_own_server() {
    for version in [15, 17, 18] {
        let (from, to) = (shop(version), Server::start(version));
        from.sql("shop", &common::every_kind());
        to.sql("postgres", "create database copy; create database decoy");
        for format in ["custom", "plain"] {
            let bin = json!({ "bin_dirs": [from.bin_dir()], "format": format });
            let taken = backup(&from, &with(options(&from, "shop"), bin.clone())).unwrap();
            let target = with(options(&to, "copy"), bin);
            restore(&to, &target, &taken, &how(&taken, RestoreMode::Replace)).unwrap();
            assert!(dumped(&to, "copy") == dumped(&from, "shop"), "{version} {format}");
            assert_eq!(to.sql("copy", "select count(*) from totals"), "2");
            assert!(!dumped(&to, "decoy").contains("orders"));
        }
    }
}

#[test]
fn what_is_excluded_is_not_in_the_dump_and_an_unknown_name_is_an_error() {
    let server = shop(15);
    let tables = |more: serde_json::Value| {
        let taken =
            backup(&server, &with(options(&server, "shop"), with(json!({ "format": "plain" }), more)))?;
        Ok::<_, windlass_plugin_api::Error>(String::from_utf8(taken.bytes).unwrap())
    };
    let text = tables(json!({ "exclude": ["stock.*"] })).unwrap();
    assert!(text.contains("CREATE TABLE public.orders") && !text.contains("ird $$"));
    let text = tables(json!({ "exclude_data": ["stock.we*"] })).unwrap();
    assert!(text.contains("CREATE TABLE stock.\"we\"\"ird $$ näme\"") && !text.contains("COPY stock."));
    let text = tables(json!({ "include": ["orders"] })).unwrap();
    assert!(text.contains("COPY public.orders") && !text.contains("VIEW public.happy"));
    let text = tables(json!({ "schemas": ["stock"] })).unwrap();
    assert!(text.contains("COPY stock.") && !text.contains("CREATE TABLE public.orders"));
    for wrong in
        [json!({ "exclude": ["ordres"] }), json!({ "schemas": ["stok"] }), json!({ "include": ["x.*"] })]
    {
        assert_eq!(tables(wrong).unwrap_err().kind, ErrorKind::NotFound);
    }
}

#[test]
fn what_may_not_be_read_is_told_by_name_before_the_dump() {
    let server = shop(15);
    server.sql("shop", "create role reader login password 'geheim-r'; grant select on all tables in schema public to reader; grant select on all sequences in schema public to reader");
    let options = with(options(&server, "shop"), json!({ "user": "reader", "password": "geheim-r" }));
    let probe = source(&options).probe(&host(&server).context()).unwrap();
    assert!(probe.missing[0].contains("`reader` may not read `stock.we\"ird $$ näme`"), "{probe:?}");
    let error = backup(&server, &options).err().unwrap();
    assert_eq!(error.kind, ErrorKind::Denied);
    backup(&server, &with(options, json!({ "schemas": ["public"] }))).unwrap();
    server.sql("shop", "alter table public.orders enable row level security");
    let options = with(
        common::options(&server, "shop"),
        json!({ "user": "reader", "password": "geheim-r", "schemas": ["public"] }),
    );
    let probe = source(&options).probe(&host(&server).context()).unwrap();
    assert!(probe.missing[0].contains("Row security hides rows of `public.orders`"), "{probe:?}");
}

/// The block of SQL behind the line that holds `mark`.
fn documented(mark: &str) -> String {
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sources/postgres.md"))
            .unwrap();
    let (_, rest) = page.split_once(mark).unwrap_or_else(|| panic!("no `{mark}` in the page"));
    let (_, block) = rest.split_once("```sql\n").unwrap();
    block.split_once("```").unwrap().0.to_owned()
}

#[test]
fn the_documented_backup_role_can_back_up_and_change_nothing() {
    let server = shop(15);
    server
        .sql("shop", "alter table public.orders enable row level security; select lo_from_bytea(0, 'large')");
    server.sql("shop", &documented("## A role for backups"));
    let options =
        with(options(&server, "shop"), json!({ "user": "windlass_backup", "password": "choose-one" }));
    let probe = source(&options).probe(&host(&server).context()).unwrap();
    assert_eq!(probe.missing, Vec::<String>::new());
    let taken = backup(&server, &options).unwrap();
    server.sql("postgres", "create database copy");
    let target = common::options(&server, "copy");
    restore(&server, &target, &taken, &how(&taken, RestoreMode::Fail)).unwrap();
    assert_eq!(dumped(&server, "copy"), dumped(&server, "shop"));
    let taken = backup(&server, &with(options, json!({ "format": "parallel" }))).unwrap();
    restore(&server, &target, &taken, &how(&taken, RestoreMode::Replace)).unwrap();
    assert_eq!(dumped(&server, "copy"), dumped(&server, "shop"));
    let denied = server.sql("shop", "select has_table_privilege('windlass_backup', 'public.orders', 'insert'), has_schema_privilege('windlass_backup', 'public', 'create'), has_database_privilege('windlass_backup', 'shop', 'create')");
    assert_eq!(denied, "f|f|f");
}

#[test]
fn every_database_of_a_server_is_discovered_but_no_template() {
    let server = Server::start(15);
    server.sql("postgres", "create database \"a b\"; create database closed allow_connections false");
    let items = source(&options(&server, "postgres")).discover(&host(&server).context()).unwrap();
    let names: Vec<&str> = items.iter().map(|item| item.name.as_str()).collect();
    assert_eq!(names, ["a b", "postgres"]);
    assert_eq!(items[0].options["database"], "a b");
}

#[test]
fn programs_behind_a_wrapper_and_behind_a_remote_shell_do_the_same() {
    let server = shop(15);
    server.sql("postgres", "create database copy");
    let folder = tempfile::tempdir().unwrap();
    let ssh = folder.path().join("ssh");
    // As sshd does: all arguments behind the host's name in one line, to a shell.
    fs::write(&ssh, "#!/bin/sh\nshift\nexec sh -c \"$*\"\n").unwrap();
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).unwrap();
    let bin = "/usr/lib/postgresql/15/bin";
    for words in [vec!["env".to_owned()], vec![ssh.display().to_string(), "db1".to_owned()]] {
        let command = |name: &str| [words.clone(), vec![format!("{bin}/{name}")]].concat();
        let more = json!({
            "dump_command": command("pg_dump"), "restore_command": command("pg_restore"),
            "exclude_data": ["stock.we*"], "globals": true,
        });
        let taken = backup(&server, &with(options(&server, "shop"), more.clone())).unwrap();
        let mut more = more;
        more.as_object_mut().unwrap().remove("exclude_data");
        restore(&server, &with(options(&server, "copy"), more), &taken, &how(&taken, RestoreMode::Replace))
            .unwrap();
        assert_eq!(server.sql("copy", "select count(*) from orders"), "3000");
        assert_eq!(server.sql("copy", "select count(*) from stock.\"we\"\"ird $$ näme\""), "0");
    }
    let wrong = json!({ "dump_command": ["docker", "exec", "db", "mysqldump"] });
    let options = serde_json::from_value(wrong).unwrap();
    let made = <windlass_source_postgres::Postgres as windlass_plugin_api::Plugin>::new(
        options,
        &Default::default(),
    );
    assert_eq!(made.err().unwrap().kind, ErrorKind::Config);
}

#[test]
fn the_server_is_proved_by_its_certificate() {
    use std::process::Command;
    let server = shop(15);
    let folder = tempfile::tempdir().unwrap();
    let (key, cert) = (folder.path().join("key.pem"), folder.path().join("cert.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=db", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let prefer = |more| backup(&server, &with(options(&server, "shop"), more));
    let error = prefer(json!({ "sslmode": "require" })).err().unwrap();
    assert!(error.to_string().contains("SSL"), "{error}");
    // The server reads them as its own user.
    let sql = |file: &Path| fs::read_to_string(file).unwrap();
    for (name, file) in [("server.key", &key), ("server.crt", &cert)] {
        let path = server.data_dir().join(name);
        server.sql(
            "postgres",
            &format!(
                "copy (select unnest(string_to_array('{}', E'\\n'))) to '{}'",
                sql(file).trim(),
                path.display()
            ),
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    server.sql("postgres", "alter system set ssl = on");
    server.restart();
    let strict = json!({ "sslmode": "verify-full", "sslrootcert": cert });
    prefer(strict.clone()).unwrap();
    let elsewhere = with(strict, json!({ "host": "localhost" }));
    let error = prefer(elsewhere).err().unwrap();
    assert!(error.to_string().contains("localhost"), "{error}");
    assert!(prefer(json!({ "sslmode": "verify-full", "sslrootcert": key })).is_err());
}
