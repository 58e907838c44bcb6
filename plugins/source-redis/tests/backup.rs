//! Backups: framing, faults of the server, of the network and of the storage, and who may do it.

mod common;
mod fake;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{AT_ONCE, as_user, assert_same, backup, fill, fingerprint, options, redis, restore, source};
use fake::Fake;
use serde_json::json;
use windlass_plugin_api::{
    Error, ErrorKind, Finished, Outputs, RestoreMode, Result, Sink, Source, StreamInfo,
};
use windlass_test_servers::Redis as Server;
use windlass_testkit::TestHost;
use windlass_testkit::streams::MemoryOutputs;

/// Runs once, at the first write.
type Deed = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// Outputs whose sinks do something at the first write, and remember whether they were finished.
struct Interrupted {
    deed: Deed,
    finished: Arc<Mutex<bool>>,
}

impl Interrupted {
    fn by(deed: impl FnOnce() + Send + 'static) -> Self {
        Self { deed: Arc::new(Mutex::new(Some(Box::new(deed)))), finished: Arc::default() }
    }
}

impl Outputs for Interrupted {
    fn create(&self, _: &str, _: StreamInfo) -> Result<Box<dyn Sink>> {
        Ok(Box::new(InterruptedSink(self.deed.clone(), self.finished.clone())))
    }
}

struct InterruptedSink(Deed, Arc<Mutex<bool>>);

impl std::io::Write for InterruptedSink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if let Some(deed) = self.0.lock().unwrap().take() {
            deed();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Sink for InterruptedSink {
    fn finish(&mut self) -> Result<Finished> {
        *self.1.lock().unwrap() = true;
        Ok(Finished::default())
    }
}

/// More than the buffers between a server and us hold.
fn fill_with_much(server: &Server) {
    server.cli(&["CONFIG", "SET", "rdbcompression", "no"]);
    server.cli(&["EVAL", "for i = 1, 60 do redis.call('SET', i, string.rep('x', 1000000)) end", "0"]);
}

fn fails(options: &serde_json::Value, out: &Interrupted) -> Error {
    let cx = TestHost::new().context();
    let error = source(options, &cx).backup(&cx, out).unwrap_err();
    assert!(!*out.finished.lock().unwrap(), "the stream was finished");
    error
}

#[test]
fn a_server_that_dies_on_the_way_is_a_failed_backup() {
    for (server, diskless) in [(redis(), true), (redis(), false), (common::valkey(), true)] {
        let server = Arc::new(server);
        fill_with_much(&server);
        let killed = server.clone();
        let error = fails(
            &json!({ "port": server.port(), "diskless": diskless }),
            &Interrupted::by(move || killed.stop()),
        );
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
        assert!(error.message.contains("the server is gone"), "{error}");
    }
}

#[test]
fn a_storage_that_is_slower_than_repl_timeout_is_named() {
    for server in [redis(), common::valkey()] {
        let server = Arc::new(server);
        fill_with_much(&server);
        server.cli(&["CONFIG", "SET", "repl-timeout", "1"]);
        let watched = server.clone();
        let wait = move || {
            let started = Instant::now();
            while !watched.cli(&["INFO", "replication"]).contains("connected_slaves:0") {
                assert!(started.elapsed() < Duration::from_secs(60), "the server was patient");
                std::thread::sleep(Duration::from_millis(100));
            }
        };
        let error = fails(&options(&server), &Interrupted::by(wait));
        let text = error.to_string();
        assert!(
            text.contains("the storage once took no bytes") && text.contains("`repl-timeout` is `1`"),
            "{text}"
        );
        assert!(text.contains("`client-output-buffer-limit`"), "{text}");
        assert!(error.hint.unwrap().contains("diskless = false"));
    }
}

#[test]
fn a_server_that_writes_no_checksum_is_warned_of() {
    let server = Server::start_with(&[AT_ONCE[0], AT_ONCE[1], "--rdbchecksum", "no"]);
    fill(&server);
    let (_, contents) = backup(&options(&server)).unwrap();
    assert!(contents.warnings.iter().any(|warning| warning.contains("no checksum")), "{contents:?}");
    let (_, contents) = backup(&options(&redis())).unwrap();
    assert_eq!(contents.warnings, Vec::<String>::new());
}

#[test]
fn writes_during_a_backup_do_not_meet_the_output_buffer_limit() {
    for (server, diskless) in [(redis(), true), (redis(), false), (common::valkey(), true)] {
        let server = Arc::new(server);
        fill_with_much(&server);
        server.cli(&["CONFIG", "SET", "client-output-buffer-limit", "replica 1mb 1mb 1"]);
        let writer = server.clone();
        let out = Interrupted::by(move || {
            let script = "for i = 1, 20 do redis.call('SET', 'new' .. i, string.rep('y', 1000000)) end";
            writer.cli(&["EVAL", script, "0"]);
        });
        let cx = TestHost::new().context();
        let options = json!({ "port": server.port(), "diskless": diskless });
        source(&options, &cx).backup(&cx, &out).unwrap();
        assert!(*out.finished.lock().unwrap());
    }
}

#[test]
fn a_transfer_of_known_length_says_its_size_and_gives_the_same() {
    let (from, to) = (redis(), redis());
    fill(&from);
    let cx = TestHost::new().context();
    let out = MemoryOutputs::new();
    let options = json!({ "socket": from.socket(), "diskless": false });
    let contents = source(&options, &cx).backup(&cx, &out).unwrap();
    let (_, seen) = out.seen().remove(0);
    assert_eq!(seen.info.size_hint, Some(seen.bytes.len() as u64));
    restore(&common::options(&to), &(seen.bytes, contents), RestoreMode::Fail).unwrap();
    assert_same(&fingerprint(&to), &fingerprint(&from));
}

#[test]
fn a_transfer_in_pieces_with_signs_of_life_is_understood() {
    let rdb = fake::rdb();
    for length in [None, Some(rdb.len())] {
        let fake = Fake::serve(&rdb, length, b"\n\n");
        let (bytes, contents) = backup(&fake.options()).unwrap();
        assert_eq!(bytes, rdb);
        assert!(contents.consistency_point.unwrap().contains("offset 42"));
    }
}

#[test]
fn a_damaged_or_cut_rdb_is_never_a_snapshot() {
    let rdb = fake::rdb();
    let mut changed = rdb.clone();
    changed[20] ^= 1;
    for (sent, length) in [(&changed[..], None), (&changed, Some(rdb.len())), (&rdb[..rdb.len() - 1], None)] {
        let error = backup(&Fake::serve(sent, length, b"").options()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Damaged, "{error}");
    }
    // More is announced than comes.
    let error = backup(&Fake::serve(&rdb, Some(rdb.len() + 1), b"").options()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    let limits = "`repl-timeout` is `7`, its `client-output-buffer-limit` is `7`";
    assert!(error.message.contains(limits) && error.hint.unwrap().contains("raise"), "{}", error.message);
}

#[test]
fn a_server_that_is_silent_is_left_after_the_timeout() {
    let fake = Fake::silent();
    let mut options = fake.options();
    options["timeout"] = json!(1);
    let error = backup(&options).unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut, "{error}");
    assert!(error.to_string().contains("no sign of life for 1 s"), "{error}");
}

#[test]
fn a_wrong_password_is_told_and_stands_nowhere() {
    let server = Server::start_with(&[AT_ONCE[0], AT_ONCE[1], "--requirepass", "right"]);
    let wrong = ["planted-secret-1", "planted-secret-2"];
    let port = server.port();
    for options in [
        json!({ "port": port, "password": wrong[0] }),
        json!({ "url": format!("redis://somebody:{}@127.0.0.1:{port}", wrong[1]) }),
        json!({ "port": port }),
    ] {
        let error = backup(&options).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied, "{error}");
        let told = format!("{error:?} {}", server.log());
        assert!(wrong.iter().all(|secret| !told.contains(secret)), "{told}");
    }
    // A server that repeats what it was sent.
    let fake = Fake::repeating();
    let mut options = fake.options();
    options["password"] = json!(wrong[0]);
    let error = backup(&options).unwrap_err();
    assert!(!format!("{error:?}").contains(wrong[0]), "{error:?}");
}

#[test]
fn the_users_of_the_documentation_may_do_their_work_and_no_more() {
    let (from, to) = (redis(), redis());
    fill(&from);
    [&from, &to].into_iter().for_each(common::documented_users);
    let taken = backup(&as_user(&from, "windlass-backup")).unwrap();
    for mode in [RestoreMode::Fail, RestoreMode::Replace, RestoreMode::Merge] {
        restore(&as_user(&to, "windlass-restore"), &taken, mode).unwrap();
        assert_same(&fingerprint(&to), &fingerprint(&from));
    }
    restore(&as_user(&to, "windlass-backup"), &taken, RestoreMode::Replace).unwrap_err();
    assert_same(&fingerprint(&to), &fingerprint(&from));
    // Told by the probe, before anything begins.
    from.cli(&["ACL", "SETUSER", "windlass-backup", "-psync"]);
    let cx = TestHost::new().context();
    let error = source(&as_user(&from, "windlass-backup"), &cx).probe(&cx).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    assert!(error.message.contains("PSYNC"), "{error}");
}

#[test]
fn a_probe_starts_no_transfer() {
    for server in [redis(), common::valkey()] {
        fill(&server);
        let cx = TestHost::new().context();
        let probe = source(&options(&server), &cx).probe(&cx).unwrap();
        assert!(probe.versions["server"].contains('.') && probe.estimate_bytes > Some(0), "{probe:?}");
        let stats = server.cli(&["INFO", "stats"]);
        assert!(stats.contains("sync_full:0"), "{stats}");
    }
}
