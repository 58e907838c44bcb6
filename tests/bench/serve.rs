//! Runs one server for the benchmarks until its standard input ends: `serve postgres|mariadb|redis|s3`.
//!
//! Prints where the server is as lines of `name=value`, and an empty line when it answers. It is one of the tests'
//! servers with more memory; what is put into it and asked of it is up to the caller.

#![allow(clippy::print_stdout, reason = "where the server is, is its output")]

use std::io::{self, Read};

use windlass_test_servers::{MariaDb, Postgres, Redis, Seaweed};

/// The version whose programs Debian has.
const POSTGRES: u32 = 15;

fn main() {
    let kind = std::env::args().nth(1).unwrap_or_default();
    match kind.as_str() {
        "postgres" => {
            let server = Postgres::start(POSTGRES);
            let settings = ["shared_buffers = '512MB'", "max_wal_size = '4GB'", "autovacuum = off"];
            for setting in settings {
                server.sql("postgres", &format!("alter system set {setting}"));
            }
            server.restart();
            tell(&[
                ("host", server.host()),
                ("port", &server.port().to_string()),
                ("user", server.user()),
                ("password", server.password()),
                ("bin", &server.bin_dir().display().to_string()),
            ]);
        }
        "mariadb" => {
            let server =
                MariaDb::start_with(&["--innodb-buffer-pool-size=1G", "--innodb-log-file-size=512M"]);
            tell(&[
                ("host", server.host()),
                ("port", &server.port().to_string()),
                ("user", server.user()),
                ("password", server.password()),
            ]);
        }
        "redis" => {
            // Without the wait for further replicas that might come: it is the same for both sides, and hides them.
            let server = Redis::start_with(&["--repl-diskless-sync-delay", "0"]);
            tell(&[("host", server.host()), ("port", &server.port().to_string())]);
        }
        "s3" => {
            let server = Seaweed::start();
            server.make_bucket("bench");
            tell(&[
                ("host", "127.0.0.1"),
                ("port", &server.port().to_string()),
                ("user", Seaweed::ADMIN.id),
                ("password", Seaweed::ADMIN.secret),
                ("filer", &server.filer_port().to_string()),
            ]);
        }
        _ => panic!("usage: serve postgres|mariadb|redis|s3"),
    }
}

/// Says where it is and waits until nobody needs it any more.
fn tell(facts: &[(&str, &str)]) {
    for (name, value) in facts {
        println!("{name}={value}");
    }
    println!();
    io::stdin().read_to_end(&mut Vec::new()).unwrap();
}
