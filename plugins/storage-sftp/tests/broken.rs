//! Connections that break, servers that go away or fall silent, and runs that are cancelled.

mod common;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use serde_json::json;
use windlass_plugin_api::{Error, ErrorKind, ListOptions, Storage};
use windlass_test_servers::Sshd;
use windlass_testkit::TestHost;
use windlass_testkit::noise::{Noise, noise};

use common::{begun, cx, finished, get, keys, made, options, put, refused, storage, tree, until, with};

#[test]
fn an_upload_whose_connection_is_cut_fails_and_leaves_nothing() {
    let server = Sshd::start();
    let storage = storage(&server);
    let mut upload = begun(&storage, "a/b").unwrap();
    upload.write_all(&noise(1, 3_000_000)).unwrap();
    assert_eq!(server.cut(), 1);
    let error = Error::from(std::io::copy(&mut Noise::new(2).take(64_000_000), &mut upload).unwrap_err());
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("a/b"), "{error}");
    drop(upload);
    assert_eq!(tree(&server.data()), Vec::<String>::new());
    // The same instance goes on with another connection.
    put(&storage, "a/b").unwrap();
    assert_eq!(get(&storage, "a/b").unwrap(), "bytes");
}

#[test]
fn a_finish_whose_connection_is_cut_fails_and_a_publish_takes_another_one() {
    let server = Sshd::start();
    let storage = storage(&server);
    let mut upload = begun(&storage, "a").unwrap();
    upload.write_all(b"bytes").unwrap();
    server.cut();
    assert_eq!(upload.finish().unwrap_err().kind, ErrorKind::Unavailable);
    drop(upload);
    assert_eq!(tree(&server.data()), Vec::<String>::new());
    // What is finished is on the server's disk: no connection is needed to keep it. Its end may not be known here yet.
    let upload = finished(&storage, "a", b"bytes").unwrap();
    server.cut();
    upload.publish().unwrap();
    assert_eq!(get(&storage, "a").unwrap(), "bytes");
    assert_eq!(tree(&server.data()), ["a"]);
}

#[test]
fn what_nobody_could_remove_is_told_to_the_next_run_and_removed() {
    let server = Sshd::start();
    let storage = storage(&server);
    let mut upload = begun(&storage, "a/b").unwrap();
    upload.write_all(b"bytes").unwrap();
    server.stop();
    assert_eq!(upload.finish().unwrap_err().kind, ErrorKind::Unavailable);
    drop(upload);
    let error = storage.stat(&cx(), "a/b").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    assert!(error.hint.is_some());
    server.restart();
    assert_eq!(keys(&storage, ListOptions::default()), Vec::<String>::new());
    let left = storage.leftovers(&cx(), "a/").unwrap();
    assert_eq!(left.iter().map(|left| left.run.as_str()).collect::<Vec<_>>(), ["run"]);
    storage.discard(&cx(), &left).unwrap();
    assert_eq!(tree(&server.data()), Vec::<String>::new());
}

#[test]
fn a_download_whose_connection_is_cut_can_go_on_where_it_was() {
    let server = Sshd::start();
    let storage = storage(&server);
    let bytes = noise(3, 24_000_000);
    finished(&storage, "a", &bytes).unwrap().publish().unwrap();
    let mut reader = storage.open(&cx(), "a", None).unwrap();
    let mut read = vec![0; 1_000_000];
    reader.read_exact(&mut read).unwrap();
    server.cut();
    let error = Error::from(reader.read_to_end(&mut read).unwrap_err());
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    let range = windlass_plugin_api::ByteRange { offset: read.len() as u64, length: None };
    storage.open(&cx(), "a", Some(range)).unwrap().read_to_end(&mut read).unwrap();
    assert!(read == bytes, "other bytes came back");
}

#[test]
fn listing_and_deleting_go_on_after_a_cut() {
    let server = Sshd::start();
    let storage = storage(&server);
    for key in ["a", "b/c"] {
        put(&storage, key).unwrap();
    }
    server.cut();
    until("the connection's end", || server.connections().is_empty());
    let retried = |call: &dyn Fn() -> Option<ErrorKind>| {
        // The first call may be the one that notices.
        let first = call();
        assert!(matches!(first, None | Some(ErrorKind::Unavailable)), "{first:?}");
        assert_eq!(call(), None);
    };
    retried(&|| storage.list(&cx(), &ListOptions::default()).err().map(|error| error.kind));
    server.cut();
    let named = ["a".to_owned(), "b/c".to_owned()];
    retried(&|| match storage.delete(&cx(), &named) {
        Ok(results) => results.into_iter().find_map(|result| result.err().map(|error| error.kind)),
        Err(error) => Some(error.kind),
    });
    assert_eq!(tree(&server.data()), Vec::<String>::new());
}

#[test]
fn nobody_there_and_somebody_else_there_are_told() {
    let server = Sshd::start();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = refused(with(options(&server), json!({ "port": closed })));
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("nothing listens there"), "{error}");
    // A server that takes the connection and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let error = refused(with(options(&server), json!({ "port": port, "connect_timeout": 1 })));
    assert_eq!(error.kind, ErrorKind::TimedOut, "{error}");
    let other = Sshd::start_with(&["Subsystem nothing internal-sftp"]);
    drop(other);
    let shell = Sshd::start_with(&["ForceCommand echo 'Welcome to this server, dear guest'"]);
    let error = refused(options(&shell));
    assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
    assert!(error.hint.unwrap().contains("internal-sftp"), "{:?}", error.message);
}

#[test]
fn a_server_that_falls_silent_is_given_up() {
    let server = Sshd::start();
    let storage = made(with(options(&server), json!({ "timeout": 1, "keepalive": 0 })));
    put(&storage, "a").unwrap();
    let frozen = Frozen::all(&server);
    let error = storage.stat(&cx(), "a").unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut, "{error}");
    drop(frozen);
    assert_eq!(get(&storage, "a").unwrap(), "bytes");
}

#[test]
fn a_cancelled_run_waits_for_no_answer() {
    let server = Sshd::start();
    let storage = made(with(options(&server), json!({ "keepalive": 0 })));
    put(&storage, "a").unwrap();
    let mut upload = begun(&storage, "b").unwrap();
    upload.write_all(b"bytes").unwrap();
    drop(upload);
    let host = TestHost::new();
    let mut upload = storage.create(&host.context(), "b", &Default::default()).unwrap();
    let frozen = Frozen::all(&server);
    let error = thread::scope(|scope| {
        let stat = scope.spawn(|| storage.stat(&host.context(), "a").unwrap_err());
        let write = scope.spawn(|| {
            let copied = std::io::copy(&mut Noise::new(2).take(256_000_000), &mut upload);
            Error::from(copied.unwrap_err())
        });
        assert!(host.wait_registered(std::time::Duration::from_secs(30)));
        host.cancel();
        assert_eq!(write.join().unwrap().kind, ErrorKind::Cancelled);
        stat.join().unwrap()
    });
    assert_eq!(error.kind, ErrorKind::Cancelled, "{error}");
    assert_eq!(host.callbacks(), 0);
    // It thaws while what is left is removed.
    drop(frozen);
    drop(upload);
    assert_eq!(tree(&server.data()), ["a"]);
}

/// The processes of all connections, stopped.
struct Frozen(Vec<u32>);

impl Frozen {
    fn all(server: &Sshd) -> Self {
        let mut pids = server.connections();
        // The one that speaks SFTP is below.
        for pid in pids.clone() {
            pids.extend(server.below(pid));
        }
        assert!(!pids.is_empty());
        pids.iter().for_each(|pid| signal(*pid, rustix::process::Signal::STOP));
        Self(pids)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.0.iter().for_each(|pid| signal(*pid, rustix::process::Signal::CONT));
    }
}

fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
    let _ = rustix::process::kill_process(pid, signal);
}
