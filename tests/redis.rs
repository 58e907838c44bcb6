//! Redis through the whole of it: the binary, the shared libraries, real servers.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::{Ran, Sandbox, until};
use windlass_test_servers::Redis;

const PASSWORD: &str = "hunter2-of-the-shop";

fn server() -> Redis {
    let server = Redis::start_with(&["--requirepass", PASSWORD, "--repl-diskless-sync-delay", "0"]);
    server.cli(&["CONFIG", "SET", "loglevel", "verbose"]);
    server
}

/// Backs `server` up with zstd, as the pipeline `shop`.
fn config(sandbox: &Sandbox, server: &Redis, other: &Redis) {
    let source = |name: &str, server: &Redis| {
        let url = format!("redis://127.0.0.1:{}", server.port());
        format!(
            "[source.{name}]\nplugin = \"redis\"\nurl = \"{url}\"\npassword = {{ file = \"password\" }}\n"
        )
    };
    sandbox.write("password", PASSWORD);
    sandbox.config(&format!(
        "{}{}[pipeline.shop]\nsource = \"shop\"\nfilters = [\"zstd\"]\nstorage = [\"fs:store\"]\n",
        source("shop", server),
        source("copy", other)
    ));
}

/// Everything in a server, as its own digest.
fn digest(server: &Redis) -> String {
    let script = "local all = {} for n = 0, 3 do redis.call('SELECT', n) local keys = redis.call('KEYS', '*') table.sort(keys)
        for _, key in ipairs(keys) do table.insert(all, n .. key .. redis.sha1hex(redis.call('DUMP', key)) .. redis.call('PEXPIRETIME', key)) end
        end return table.concat(all, '\\n')";
    server.cli(&["EVAL", script, "0"])
}

fn fill(server: &Redis) {
    server.cli(&["EVAL", "for i = 1, 5000 do redis.call('SET', 'key:' .. i, string.rep(i, 20)) end", "0"]);
    server.cli(&["-n", "2", "ZADD", "ranks", "1", "one", "2", "two"]);
    server.cli(&["PEXPIREAT", "key:1", "4102444800123"]);
}

#[test]
fn what_is_backed_up_comes_back_on_another_server_and_only_there() {
    let (shop, copy, sandbox) = (server(), server(), Sandbox::new());
    fill(&shop);
    let before = digest(&shop);
    config(&sandbox, &shop, &copy);
    sandbox.ok(&["backup"]);
    shop.cli(&["SET", "later", "than the backup"]);
    let later = digest(&shop);
    sandbox.ok(&["restore", "shop", "--to", "copy", "--yes"]);
    assert_eq!((digest(&copy), digest(&shop)), (before.clone(), later.clone()));
    // Both have something now: refused by default, replaced on request.
    copy.cli(&["SET", "mine", "x"]);
    sandbox.run(&["restore", "shop", "--to", "copy", "--yes"]).expect(12);
    assert_eq!(copy.cli(&["GET", "mine"]), "x");
    sandbox.ok(&["restore", "shop", "--to", "copy", "--mode", "replace", "--yes"]);
    assert_eq!((digest(&copy), digest(&shop)), (before, later));
}

#[test]
fn the_commands_of_restore_txt_make_a_file_that_a_server_starts_from() {
    let (shop, sandbox) = (server(), Sandbox::new());
    fill(&shop);
    config(&sandbox, &shop, &shop);
    sandbox.ok(&["backup"]);
    let text = fs::read_to_string(sandbox.object("shop", "RESTORE.txt")).unwrap();
    let command = text.lines().find(|line| line.contains("> dump.rdb")).unwrap_or_else(|| panic!("{text}"));
    let folder = sandbox.object("shop", "");
    let ended = Command::new("/bin/sh").args(["-ec", command]).current_dir(&folder).status().unwrap();
    assert!(ended.success(), "{command}");
    assert_eq!(digest(&Redis::start_from(&folder.join("dump.rdb"))), digest(&shop));
}

#[test]
fn an_rdb_file_is_restored_to_a_stopped_server_and_from_a_bare_file() {
    let (shop, copy, sandbox) = (server(), server(), Sandbox::new());
    fill(&shop);
    config(&sandbox, &shop, &copy);
    sandbox.ok(&["backup"]);
    let file = sandbox.path("dump.rdb");
    let set = format!("rdb_file={}", file.display());
    sandbox.ok(&["restore", "shop", "--to", "copy", "--set", &set, "--yes"]);
    assert_eq!(digest(&Redis::start_from(&file)), digest(&shop));
    let input = ["restore", "--input", path(&file), "--to", "copy", "--yes"];
    sandbox.ok(&input);
    assert_eq!(digest(&copy), digest(&shop));
}

#[test]
fn the_password_stands_nowhere_and_a_wrong_one_makes_no_snapshot() {
    let (shop, sandbox) = (server(), Sandbox::new());
    fill(&shop);
    config(&sandbox, &shop, &shop);
    let said = sandbox.run(&["-vv", "backup"]).expect(0);
    let wrong = "planted-wrong-password";
    sandbox.write("password", wrong);
    let failed = sandbox.run(&["-vv", "backup"]).expect(1);
    assert!(failed.stderr.contains("WRONGPASS"), "{}", failed.stderr);
    for text in [said.stdout, said.stderr, failed.stdout, failed.stderr] {
        assert!(!text.contains(PASSWORD) && !text.contains(wrong), "{text}");
    }
    for name in sandbox.files("store") {
        let bytes = fs::read(sandbox.path("store").join(&name)).unwrap();
        assert!(!bytes.windows(PASSWORD.len()).any(|part| part == PASSWORD.as_bytes()), "{name}");
    }
    assert_eq!(sandbox.listed().len(), 1);
}

#[test]
fn a_restore_that_is_killed_leaves_the_data_as_they_were_and_the_next_one_removes_what_it_left() {
    let (shop, copy, sandbox) = (server(), server(), Sandbox::new());
    shop.cli(&["EVAL", "for i = 1, 60000 do redis.call('SET', 'key:' .. i, string.rep(i, 50)) end", "0"]);
    shop.cli(&["-n", "2", "ZADD", "ranks", "1", "one", "2", "two"]);
    let before = digest(&shop);
    config(&sandbox, &shop, &copy);
    sandbox.ok(&["backup"]);
    let keys = |database: &str| copy.cli(&["-n", database, "DBSIZE"]).parse::<u64>().unwrap();
    // Into an empty server, then over what is there; soon after it began, and in its middle.
    for (mode, at_least) in [("fail", 1), ("fail", 20_000), ("replace", 1), ("replace", 20_000)] {
        if mode == "replace" {
            copy.cli(&["SET", "precious", "data"]);
        }
        let filled = digest(&copy);
        let restore = ["restore", "shop", "--to", "copy", "--mode", mode, "--yes"];
        let mut child = sandbox.spawn(&restore);
        until("its first keys", || keys("15") > at_least || child.try_wait().unwrap().is_some());
        child.kill().unwrap();
        assert!(child.wait().unwrap().code().is_none(), "it had ended before");
        until("its end", || !copy.cli(&["CLIENT", "LIST"]).contains("windlass-restore"));
        assert_eq!(digest(&copy), filled);
        assert!(keys("15") > 1);
        let said = sandbox.run(&restore).expect(0);
        assert!(
            said.stderr.contains("which was killed") || said.stdout.contains("which was killed"),
            "{said:?}"
        );
        assert_eq!((digest(&copy), keys("15")), (before.clone(), 0));
        if mode == "fail" {
            copy.cli(&["FLUSHALL"]);
        }
    }
    assert_eq!(digest(&shop), before);
}

#[test]
fn two_restores_at_once_never_mix() {
    let (one, other, copy, sandbox) = (server(), server(), server(), Sandbox::new());
    for (server, letter) in [(&one, "a"), (&other, "b")] {
        let script = "for i = 1, 30000 do redis.call('SET', 'key:' .. i, string.rep(ARGV[1], i % 99)) end";
        server.cli(&["EVAL", script, "0", letter]);
    }
    let wanted = [&one, &other].map(digest);
    for (name, server) in [("one", &one), ("other", &other)] {
        config(&sandbox, server, &copy);
        let text = fs::read_to_string(sandbox.path("windlass.toml")).unwrap();
        sandbox.config(&text.replace("pipeline.shop", &format!("pipeline.{name}")));
        sandbox.ok(&["backup"]);
    }
    copy.cli(&["SET", "old", "x"]);
    let restore = |name| {
        let store = format!("fs:{}", sandbox.path("store").display());
        sandbox.spawn(&["restore", name, "--storage", &store, "--to", "copy", "--mode", "replace", "--yes"])
    };
    let mut ended = Vec::new();
    for child in [restore("one"), restore("other")] {
        ended.push(Ran::of(child.wait_with_output().unwrap()));
    }
    assert!(ended.iter().any(|ran| ran.code == 0), "{ended:?}");
    let refused = ended.iter().filter(|ran| ran.code != 0);
    refused.for_each(|ran| {
        assert!(ran.stderr.contains("another restore") || ran.stderr.contains("meanwhile"), "{ran:?}")
    });
    assert!(wanted.contains(&digest(&copy)), "neither the one nor the other: {ended:?}");
    assert!(!copy.cli(&["INFO", "keyspace"]).contains("db1"), "{}", copy.cli(&["INFO", "keyspace"]));
}

#[test]
fn a_server_that_dies_in_a_backup_makes_no_snapshot() {
    let (shop, sandbox) = (server(), Sandbox::new());
    shop.cli(&["CONFIG", "SET", "rdbcompression", "no"]);
    // Slow to read, so that it surely isn't over.
    shop.cli(&["CONFIG", "SET", "rdb-key-save-delay", "1000"]);
    shop.cli(&["EVAL", "for i = 1, 60000 do redis.call('SET', i, string.rep('x', 1000)) end", "0"]);
    config(&sandbox, &shop, &shop);
    let child = sandbox.spawn(&["backup"]);
    until("the transfer", || shop.cli(&["INFO", "replication"]).contains("slave0:"));
    shop.stop();
    let ended = Ran::of(child.wait_with_output().unwrap()).expect(1);
    assert!(ended.stderr.contains("closed the connection"), "{ended:?}");
    assert_eq!((sandbox.listed().len(), sandbox.files("store").len()), (0, 0));
}

#[test]
fn neither_a_backup_nor_a_restore_holds_more_than_the_largest_value() {
    let (shop, copy, sandbox) = (server(), server(), Sandbox::new());
    shop.cli(&["CONFIG", "SET", "rdbcompression", "no"]);
    shop.cli(&["EVAL", "for i = 1, 200 do redis.call('SET', i, string.rep(i % 10, 1000000)) end", "0"]);
    config(&sandbox, &shop, &copy);
    for arguments in [&["backup"][..], &["restore", "shop", "--to", "copy", "--yes"]] {
        let mut child = sandbox.spawn(arguments);
        let mut peak = 0;
        while child.try_wait().unwrap().is_none() {
            let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            peak =
                peak.max(line.map_or(0, |line| line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()));
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(child.wait().unwrap().success(), "{arguments:?}");
        assert!((1..96 << 10).contains(&peak), "{arguments:?} took {peak} KiB");
    }
    assert_eq!(copy.cli(&["DBSIZE"]), "200");
    assert_eq!(copy.cli(&["GET", "77"]), shop.cli(&["GET", "77"]));
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
