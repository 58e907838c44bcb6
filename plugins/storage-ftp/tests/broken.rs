//! Connections that break, servers that go away, fall silent or have enough, and runs that are cancelled.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use serde_json::json;
use windlass_plugin_api::{ByteRange, Error, ErrorKind, ListOptions, Storage};
use windlass_test_servers::{Pyftpd, Vsftpd};
use windlass_testkit::TestHost;
use windlass_testkit::noise::{Noise, noise};

use common::{
    begun, cx, finished, get, keys, made, options, put, refused, signed_in, storage, tree, until, with,
};

#[test]
fn an_upload_whose_connection_is_cut_goes_on_and_is_whole() {
    let server = Vsftpd::start();
    let storage = storage(&server);
    let bytes = noise(1, 24_000_000);
    let mut upload = begun(&storage, "a/b").unwrap();
    for (number, piece) in bytes.chunks(3_000_000).enumerate() {
        upload.write_all(piece).unwrap();
        if number % 3 == 0 {
            assert_eq!(server.cut(), 1);
        }
    }
    upload.finish().unwrap();
    assert_eq!(upload.publish().unwrap().size_bytes, 24_000_000);
    let mut read = Vec::new();
    storage.open(&cx(), "a/b", None).unwrap().read_to_end(&mut read).unwrap();
    assert!(read == bytes, "other bytes came back");
    assert_eq!(tree(&server.data()), ["a", "a/b"]);
}

#[test]
fn an_upload_of_which_the_server_has_lost_too_much_fails_and_leaves_nothing() {
    let server = Vsftpd::start();
    let storage = storage(&server);
    let mut upload = begun(&storage, "a/b").unwrap();
    upload.write_all(&noise(1, 20_000_000)).unwrap();
    server.cut();
    let half = tree(&server.data()).pop().unwrap();
    fs::File::options().write(true).open(server.data().join(half)).unwrap().set_len(1000).unwrap();
    let error = Error::from(std::io::copy(&mut Noise::new(2).take(24_000_000), &mut upload).unwrap_err());
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("has kept only 1000 of"), "{error}");
    drop(upload);
    assert_eq!(tree(&server.data()), Vec::<String>::new());
}

#[test]
fn a_finish_and_a_publish_whose_connections_are_cut_take_others() {
    let server = Vsftpd::start();
    let storage = storage(&server);
    let mut upload = begun(&storage, "a").unwrap();
    upload.write_all(b"bytes").unwrap();
    server.cut();
    upload.finish().unwrap();
    server.cut();
    upload.publish().unwrap();
    assert_eq!(get(&storage, "a").unwrap(), "bytes");
    assert_eq!(tree(&server.data()), ["a"]);
}

#[test]
fn an_upload_outlives_a_server_that_is_started_again() {
    let server = Vsftpd::start();
    let storage = storage(&server);
    let bytes = noise(1, 6_000_000);
    let mut upload = begun(&storage, "a").unwrap();
    upload.write_all(&bytes[..3_000_000]).unwrap();
    server.stop();
    thread::scope(|scope| {
        let rest = scope.spawn(|| upload.write_all(&bytes[3_000_000..]).and_then(|()| Ok(upload.finish()?)));
        server.restart();
        rest.join().unwrap().unwrap();
    });
    upload.publish().unwrap();
    assert!(fs::read(server.data().join("a")).unwrap() == bytes, "other bytes");
}

#[test]
fn what_nobody_could_remove_is_told_to_the_next_run_and_removed() {
    let server = Vsftpd::start();
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
    assert!(left[0].started.is_some(), "{left:?}");
    storage.discard(&cx(), &left).unwrap();
    assert_eq!(tree(&server.data()), Vec::<String>::new());
}

#[test]
fn a_download_whose_connection_is_cut_can_go_on_where_it_was() {
    for cut_politely in [true, false] {
        let (vsftpd, pyftpd) = (Vsftpd::start(), Pyftpd::start());
        let storage = if cut_politely { made(signed_in(&pyftpd)) } else { storage(&vsftpd) };
        let bytes = noise(3, 24_000_000);
        finished(&storage, "a", &bytes).unwrap().publish().unwrap();
        let mut reader = storage.open(&cx(), "a", None).unwrap();
        let mut read = vec![0; 1_000_000];
        reader.read_exact(&mut read).unwrap();
        if cut_politely {
            pyftpd.cut();
        } else {
            vsftpd.cut();
        }
        let error = Error::from(reader.read_to_end(&mut read).unwrap_err());
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
        assert!(read.len() < bytes.len());
        let range = ByteRange { offset: read.len() as u64, length: None };
        storage.open(&cx(), "a", Some(range)).unwrap().read_to_end(&mut read).unwrap();
        assert!(read == bytes, "other bytes came back");
    }
}

#[test]
fn listing_and_deleting_go_on_after_a_cut() {
    let server = Vsftpd::start();
    let storage = storage(&server);
    for key in ["a", "b/c"] {
        put(&storage, key).unwrap();
    }
    let retried = |call: &dyn Fn() -> Option<ErrorKind>| {
        server.cut();
        // The first call may be the one that notices.
        let first = call();
        assert!(matches!(first, None | Some(ErrorKind::Unavailable)), "{first:?}");
        assert_eq!(call(), None);
    };
    retried(&|| storage.list(&cx(), &ListOptions::default()).err().map(|error| error.kind));
    let named = ["a".to_owned(), "b/c".to_owned()];
    retried(&|| match storage.delete(&cx(), &named) {
        Ok(results) => results.into_iter().find_map(|result| result.err().map(|error| error.kind)),
        Err(error) => Some(error.kind),
    });
    assert_eq!(tree(&server.data()), Vec::<String>::new());
}

#[test]
fn more_streams_than_connections_take_turns_on_one_thread() {
    for pyftpd in [true, false] {
        let servers = (Vsftpd::start(), Pyftpd::start());
        let options = if pyftpd { signed_in(&servers.1) } else { options(&servers.0) };
        let storage = made(with(options, json!({ "connections": 1 })));
        let mut uploads: Vec<_> =
            (0..3).map(|number| begun(&storage, &format!("a/{number}")).unwrap()).collect();
        for round in 0..4 {
            for (number, upload) in uploads.iter_mut().enumerate() {
                upload.write_all(&noise(round * 10 + number as u64, 300_000)).unwrap();
            }
        }
        for mut upload in uploads {
            upload.finish().unwrap();
            upload.publish().unwrap();
        }
        let mut readers: Vec<_> =
            (0..3).map(|number| storage.open(&cx(), &format!("a/{number}"), None).unwrap()).collect();
        for round in 0..4 {
            for (number, reader) in readers.iter_mut().enumerate() {
                let mut read = vec![0; 300_000];
                reader.read_exact(&mut read).unwrap();
                assert!(read == noise(round * 10 + number as u64, 300_000), "round {round} of {number}");
            }
        }
        assert!(readers.iter_mut().all(|reader| reader.read(&mut [0]).unwrap() == 0));
    }
}

#[test]
fn a_server_that_takes_fewer_connections_is_content_with_those() {
    let server = Vsftpd::start_with(&["max_clients=2"]);
    let storage = made(with(options(&server), json!({ "connections": 8 })));
    let mut uploads: Vec<_> = (0..5).map(|number| begun(&storage, &format!("a/{number}")).unwrap()).collect();
    uploads.iter_mut().for_each(|upload| upload.write_all(b"bytes").unwrap());
    for mut upload in uploads {
        upload.finish().unwrap();
        upload.publish().unwrap();
    }
    assert_eq!(keys(&storage, ListOptions::default()).len(), 5);
    // Where others have them all it is told.
    let _all = [begun(&storage, "b/0").unwrap(), begun(&storage, "b/1").unwrap()];
    until("both connections", || server.connections().len() == 2);
    let error = refused(options(&server));
    assert!(
        error.kind == ErrorKind::Unavailable && error.hint.as_ref().unwrap().contains("connections"),
        "{error:?}"
    );
}

#[test]
fn nobody_there_and_somebody_else_there_are_told() {
    let server = Vsftpd::start();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = refused(with(options(&server), json!({ "port": closed })));
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("nothing listens there"), "{error}");
    // A server that takes the connection and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let error = refused(with(options(&server), json!({ "port": port, "connect_timeout": 1 })));
    assert_eq!(error.kind, ErrorKind::TimedOut, "{error}");
}

#[test]
fn a_server_that_falls_silent_is_given_up() {
    let server = Pyftpd::start();
    let storage = made(with(signed_in(&server), json!({ "timeout": 1 })));
    put(&storage, "a").unwrap();
    let mut upload = begun(&storage, "b").unwrap();
    server.freeze();
    let error = storage.stat(&cx(), "a").unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut, "{error}");
    let error = Error::from(std::io::copy(&mut Noise::new(2).take(256_000_000), &mut upload).unwrap_err());
    assert_eq!(error.kind, ErrorKind::TimedOut, "{error}");
    server.thaw();
    drop(upload);
    assert_eq!(get(&storage, "a").unwrap(), "bytes");
    assert_eq!(tree(&server.data()), ["a"]);
}

#[test]
fn a_cancelled_run_waits_for_no_answer() {
    let server = Pyftpd::start();
    let storage = made(signed_in(&server));
    put(&storage, "a").unwrap();
    let host = TestHost::new();
    let mut upload = storage.create(&host.context(), "b", &Default::default()).unwrap();
    server.freeze();
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
    server.thaw();
    drop(upload);
    assert_eq!(tree(&server.data()), ["a"]);
}
