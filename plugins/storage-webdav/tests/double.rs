//! What the real server of the tests doesn't do, against a double: tokens, servers that take no chunks, that lie about what
//! they have kept, or whose answer is lost.

use std::io::Write;
use std::sync::Mutex;

use serde_json::json;
use windlass_plugin_api::{Context, CreateOptions, Error, ErrorKind, Plugin, Result, Storage, Upload};
use windlass_storage_webdav::Webdav;
use windlass_test_servers::{Double, Said};
use windlass_testkit::TestHost;

const MIB: usize = 1024 * 1024;

fn storage(double: &Double) -> (Webdav, Context) {
    of(double, &TestHost::new().secret("token", "hunter2-token"))
}

fn of(double: &Double, host: &TestHost) -> (Webdav, Context) {
    let cx = host.context();
    let options = json!({
        "url": format!("{}/dav", double.endpoint()),
        "bearer_token": { "$secret": "token" },
        "part_size": 1,
    });
    (Webdav::new(serde_json::from_value(options).unwrap(), &cx).unwrap(), cx)
}

fn published(storage: &Webdav, cx: &Context, content: &[u8]) -> Result<()> {
    let how = CreateOptions { if_absent: true, ..CreateOptions::default() };
    let mut upload: Box<dyn Upload> = storage.create(cx, "data", &how)?;
    upload.write_all(content).map_err(Error::from)?;
    upload.finish()?;
    upload.publish().map(drop)
}

/// A file of that size, as an answer to PROPFIND.
fn file(size: usize) -> Said {
    let text = format!(
        "<multistatus xmlns=\"DAV:\"><response><href>/dav/x</href><propstat><prop><resourcetype/>\
         <getcontentlength>{size}</getcontentlength></prop><status>HTTP/1.1 200 OK</status></propstat></response></multistatus>"
    );
    Said::status(207).body(text)
}

#[test]
fn a_large_object_goes_chunked_and_a_small_one_with_its_length_both_with_the_token() {
    let double = Double::start(|asked| match asked.method.as_str() {
        "PROPFIND" => file(3 * MIB),
        _ => Said::status(201),
    });
    let (storage, cx) = storage(&double);
    published(&storage, &cx, &vec![7; 3 * MIB]).unwrap();
    published(&storage, &cx, b"little").unwrap();
    let asked = double.asked();
    let puts: Vec<_> = asked.iter().filter(|asked| asked.method == "PUT").collect();
    assert_eq!((puts[0].header("transfer-encoding"), puts[0].body.len()), ("chunked", 3 * MIB));
    assert_eq!((puts[1].header("content-length"), puts[1].body.as_slice()), ("6", b"little".as_slice()));
    for put in puts {
        assert!(
            put.path.starts_with("/dav/.windlass-upload-"),
            "stored where everybody sees it: {}",
            put.path
        );
    }
    assert!(asked.iter().all(|asked| asked.header("authorization") == "Bearer hunter2-token"));
    let moved = asked.iter().find(|asked| asked.method == "MOVE").unwrap();
    assert_eq!(moved.header("destination"), format!("{}/dav/data", double.endpoint()));
    assert_eq!(moved.header("overwrite"), "F");
}

#[test]
fn a_server_that_takes_no_chunks_is_told_with_what_to_do() {
    let double = Double::start(|asked| match asked.method.as_str() {
        "PUT" => Said::status(411),
        "PROPFIND" => file(0),
        _ => Said::status(404),
    });
    let (storage, cx) = storage(&double);
    let error = published(&storage, &cx, &vec![7; 3 * MIB]).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported, "{error:?}");
    assert!(error.hint.unwrap().contains("part_size"));
    assert!(!double.asked().iter().any(|asked| asked.method == "MOVE"), "published");
}

#[test]
fn a_server_that_says_yes_and_has_less_is_found_out_before_anything_is_published() {
    let double = Double::start(|asked| match asked.method.as_str() {
        "PROPFIND" => file(MIB),
        _ => Said::status(201),
    });
    let (storage, cx) = storage(&double);
    let error = published(&storage, &cx, &vec![7; 3 * MIB]).unwrap_err();
    assert!(error.to_string().contains("kept 1048576 of 3145728"), "{error:?}");
    assert!(!double.asked().iter().any(|asked| asked.method == "MOVE"), "published");
}

/// The hidden file is gone and the other one is there: it has moved.
#[test]
fn a_rename_whose_answer_was_lost_has_happened() {
    let moved = Mutex::new(false);
    let double = Double::start(move |asked| {
        let mut moved = moved.lock().unwrap();
        match asked.method.as_str() {
            "MOVE" => {
                *moved = true;
                Said::lost()
            }
            "PROPFIND" if *moved && asked.path.contains(".windlass-upload-") => Said::status(404),
            "PROPFIND" => file(6),
            _ => Said::status(201),
        }
    });
    let (storage, cx) = storage(&double);
    published(&storage, &cx, b"little").unwrap();
    assert_eq!(double.asked().iter().filter(|asked| asked.method == "MOVE").count(), 1);
}

/// The server has moved it, and neither that answer nor the next one arrives.
#[test]
fn a_rename_that_could_not_be_looked_up_at_once_is_looked_up_before_anything_is_sent_again() {
    let (moved, looked) = (Mutex::new(false), Mutex::new(false));
    let double = Double::start(move |asked| {
        let mut moved = moved.lock().unwrap();
        match asked.method.as_str() {
            "MOVE" => {
                *moved = true;
                // As a proxy says it that has lost its server.
                Said::status(504)
            }
            "PROPFIND" if *moved && !std::mem::replace(&mut *looked.lock().unwrap(), true) => Said::lost(),
            "PROPFIND" if *moved && asked.path.contains(".windlass-upload-") => Said::status(404),
            "PROPFIND" => file(6),
            _ => Said::status(201),
        }
    });
    let (storage, cx) = storage(&double);
    published(&storage, &cx, b"little").unwrap();
    let count = |method| double.asked().iter().filter(|asked| asked.method == method).count();
    assert_eq!((count("PUT"), count("MOVE"), count("DELETE")), (1, 1, 0));
}

#[test]
fn a_small_object_that_is_given_up_takes_its_hidden_file_along_and_nothing_else() {
    let tries = Mutex::new(0);
    let double = Double::start(move |asked| match asked.method.as_str() {
        "MOVE" => {
            let mut tries = tries.lock().unwrap();
            *tries += 1;
            Said::status(if *tries == 1 { 423 } else { 403 })
        }
        "PROPFIND" => file(6),
        _ => Said::status(201),
    });
    let (storage, cx) = storage(&double);
    assert_eq!(published(&storage, &cx, b"little").unwrap_err().kind, ErrorKind::Denied);
    let asked = double.asked();
    let of = |method: &str| {
        asked
            .iter()
            .filter(|asked| asked.method == method)
            .map(|asked| asked.path.as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!(of("DELETE"), [of("PUT")[0]], "of the attempts none has a file of its own");
}

/// A lock that never goes, and somebody who has enough of it.
#[test]
fn a_small_object_whose_run_is_cancelled_takes_its_hidden_file_along() {
    let host = TestHost::new().secret("token", "hunter2-token");
    let (moves, run) = (Mutex::new(0), host.clone());
    let double = Double::start(move |asked| match asked.method.as_str() {
        "MOVE" => {
            let mut moves = moves.lock().unwrap();
            *moves += 1;
            if *moves == 2 {
                run.cancel();
            }
            Said::status(423)
        }
        "PROPFIND" => file(6),
        _ => Said::status(201),
    });
    let (storage, cx) = of(&double, &host);
    assert_eq!(published(&storage, &cx, b"little").unwrap_err().kind, ErrorKind::Cancelled);
    let asked = double.asked();
    let hidden = &asked.iter().find(|asked| asked.method == "PUT").unwrap().path;
    let deleted: Vec<_> =
        asked.iter().filter(|asked| asked.method == "DELETE").map(|asked| &asked.path).collect();
    assert_eq!(deleted, [hidden]);
}

/// What is there under the name is another one's: ours was never asked to be given it.
#[test]
fn an_object_of_somebody_else_is_not_taken_for_one_that_could_not_be_stored() {
    let tries = Mutex::new(0);
    let double = Double::start(move |asked| match asked.method.as_str() {
        "PUT" => {
            let mut tries = tries.lock().unwrap();
            *tries += 1;
            Said::status(if *tries == 1 { 503 } else { 507 })
        }
        "PROPFIND" if asked.path.contains(".windlass-upload-") => Said::status(404),
        "PROPFIND" => file(6),
        _ => Said::status(201),
    });
    let (storage, cx) = storage(&double);
    assert_eq!(published(&storage, &cx, b"little").unwrap_err().kind, ErrorKind::Full);
}

/// A rival holds the name for a moment, then has it. That our hidden file is gone afterwards proves nothing: we removed it.
#[test]
fn a_name_that_a_rival_got_after_a_refusal_that_may_pass_is_not_ours() {
    let (moves, removed) = (Mutex::new(0), Mutex::new(false));
    let double = Double::start(move |asked| match asked.method.as_str() {
        "MOVE" => {
            let mut moves = moves.lock().unwrap();
            *moves += 1;
            Said::status(if *moves == 1 { 423 } else { 412 })
        }
        "DELETE" => {
            *removed.lock().unwrap() = true;
            Said::status(204)
        }
        "PROPFIND" if asked.path.contains(".windlass-upload-") && *removed.lock().unwrap() => {
            Said::status(404)
        }
        "PROPFIND" => file(6),
        _ => Said::status(201),
    });
    let (storage, cx) = storage(&double);
    assert_eq!(published(&storage, &cx, b"little").unwrap_err().kind, ErrorKind::AlreadyExists);
}
