//! Servers with something in them, and what the host does with a source.
#![allow(dead_code)]

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use windlass_plugin_api::{
    Contents, Error, Inputs, Plugin, RestoreMode, RestoreOptions, Restored, Result, Source, Target,
};
use windlass_source_mysql::Mysql;
use windlass_test_servers::MariaDb;
use windlass_testkit::streams::{MemoryInputs, MemoryOutputs};
use windlass_testkit::{SourceFixture, TestHost};

/// A database `shop` and an empty `copy` on one server.
pub struct Shop {
    server: MariaDb,
}

impl SourceFixture for Shop {
    fn new() -> Self {
        let server = server();
        server.sql(
            "",
            "create database shop; create database copy; use shop;
             create table shop.orders (id int primary key, note text) engine=innodb;
             insert into shop.orders select seq, repeat(sha2(seq, 512), 4) from seq_1_to_600;
             create view shop.notes as select note from shop.orders;
             create trigger stamp before insert on orders for each row set new.note = upper(new.note);
             create procedure shop.hello() select 'hello';
             create event shop.tidy on schedule every 1 day do delete from shop.orders where id < 0;",
        );
        Self { server }
    }

    fn options(&self) -> Value {
        options(&self.server, "shop")
    }

    fn target_options(&self) -> Value {
        options(&self.server, "copy")
    }

    fn fingerprint(&self) -> String {
        fingerprint(&self.server, "shop")
    }

    fn target_fingerprint(&self) -> String {
        fingerprint(&self.server, "copy")
    }

    fn change(&self) {
        self.server.sql(
            "shop",
            "delete from orders where id > 2; create table more (a int); insert into more values (1);
             drop procedure hello; drop view notes; create view notes as select id from orders;",
        );
    }

    fn host(&self) -> TestHost {
        TestHost::new().secret("source.shop.password", self.server.password())
    }
}

/// A server.
pub fn server() -> MariaDb {
    server_with(&[])
}

/// A server with further arguments. Each has its own place for temporary tables: when one starts, it removes those of the
/// others in a common one.
pub fn server_with(arguments: &[&str]) -> MariaDb {
    MariaDb::start_with(&[arguments, &["--tmpdir={dir}"]].concat())
}

/// The options that reach a database, with the password as a secret of the host.
pub fn options(server: &MariaDb, database: &str) -> Value {
    json!({
        "host": server.host(), "port": server.port(), "user": server.user(), "database": database,
        "password": { "$secret": "source.shop.password" },
    })
}

/// Options with others over them.
pub fn with(mut options: Value, more: Value) -> Value {
    options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    options
}

/// The host that knows a server's password.
pub fn host(server: &MariaDb) -> TestHost {
    TestHost::new().secret("source.shop.password", server.password())
}

/// A source; the host's secrets are those of test servers, which all have the same.
pub fn open(options: Value) -> Mysql {
    Mysql::new(serde_json::from_value(options).unwrap(), &windlass_plugin_api::Context::default()).unwrap()
}

/// A backup as the host makes it.
pub fn backup(server: &MariaDb, options: Value) -> (Result<Contents>, MemoryOutputs) {
    let (cx, out) = (host(server).context(), MemoryOutputs::new());
    let mut source = open(options);
    (source.probe(&cx).and_then(|_| source.backup(&cx, &out)), out)
}

/// A backup that must go well.
pub fn taken(server: &MariaDb, options: Value) -> (Contents, MemoryInputs) {
    let (contents, out) = backup(server, options);
    (contents.unwrap(), out.inputs())
}

/// How to restore.
pub fn how(contents: &Contents, mode: RestoreMode) -> RestoreOptions {
    RestoreOptions {
        mode,
        snapshot: "20260102T030405Z-k3f9".into(),
        contents: Some(contents.clone()),
        ..RestoreOptions::default()
    }
}

/// A restore as the host makes it: the target, and how it went.
pub fn restore(
    server: &MariaDb,
    options: Value,
    input: &MemoryInputs,
    how: &RestoreOptions,
) -> (Result<Target>, Result<Restored>) {
    let cx = host(server).context();
    let mut source = open(options);
    let target = source.target(&cx, how);
    let restored = match &target {
        Ok(_) => source.restore(&cx, input, how),
        Err(_) => Err(Error::failed("the target was refused")),
    };
    (target, restored)
}

/// What is in a database, so that equal text means equal contents: the dump of another run of the dump program.
pub fn dump(server: &MariaDb, database: &str) -> String {
    let output = Command::new("mariadb-dump")
        .args(["--no-defaults", "--user", server.user(), "--skip-comments", "--hex-blob"])
        .arg(format!("--socket={}", server.socket().display()))
        .args([
            "--routines",
            "--events",
            "--triggers",
            "--order-by-primary",
            "--default-character-set=utf8mb4",
        ])
        .args(["--max-allowed-packet=1G", "--skip-opt", "--create-options", "--quick", "--set-charset"])
        .arg(database)
        .env("MYSQL_PWD", server.password())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn fingerprint(server: &MariaDb, database: &str) -> String {
    let dump = dump(server, database);
    let rows = dump.matches("INSERT INTO").count();
    let code: Vec<&str> =
        dump.lines().filter(|line| line.contains("VIEW") || line.contains("CREATE")).collect();
    let sum = dump.bytes().fold(0u64, |sum, byte| sum.wrapping_mul(1_099_511_628_211) ^ u64::from(byte));
    format!("{rows} rows, sum {sum:x}\n{}", code.join("\n"))
}

/// A user's own option file in `home`, with all that the tools need to reach the server.
pub fn own_file(server: &MariaDb, home: &Path) {
    let (socket, password) = (server.socket(), server.password());
    let text = format!("[client]\nsocket={}\nuser=root\npassword={password}\n", socket.display());
    fs::write(home.join(".my.cnf"), text).unwrap();
}

/// All databases of a server that aren't its own.
pub fn databases(server: &MariaDb) -> Vec<String> {
    let all = server.sql("", "show databases");
    let own = ["information_schema", "performance_schema", "mysql", "sys"];
    all.lines().filter(|name| !own.contains(name)).map(str::to_owned).collect()
}

/// An executable script `name` in `folder`.
pub fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
    let file = folder.join(name);
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    file
}

/// The bytes of the stream `data`.
pub fn bytes(input: &MemoryInputs) -> Vec<u8> {
    let mut bytes = Vec::new();
    input.open("data").unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}
