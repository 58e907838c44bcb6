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
    patient(double.endpoint(), 60)
}

/// A storage whose server may be silent for so many seconds.
fn patient(endpoint: &str, seconds: u32) -> (Webdav, Context) {
    let cx = TestHost::new().secret("token", "hunter2-token").context();
    let options = json!({
        "url": format!("{endpoint}/dav"),
        "bearer_token": { "$secret": "token" },
        "part_size": 1,
        "timeout": seconds,
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

#[test]
fn a_stream_whose_source_pauses_for_longer_than_the_time_limit_is_stored() {
    let double = Double::start(|asked| match asked.method.as_str() {
        "PROPFIND" => file(4 * MIB),
        _ => Said::status(201),
    });
    let (storage, cx) = patient(double.endpoint(), 1);
    let mut upload = storage.create(&cx, "data", &CreateOptions::default()).unwrap();
    upload.write_all(&vec![7; 2 * MIB + 1]).unwrap();
    // As a dump that waits for a lock: nothing is there to be sent.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    upload.write_all(&vec![7; 2 * MIB - 1]).unwrap();
    upload.finish().unwrap();
    upload.publish().unwrap();
    let put = double.asked().into_iter().find(|asked| asked.method == "PUT").unwrap();
    assert_eq!(put.body.len(), 4 * MIB);
}

#[test]
fn a_server_that_has_all_bytes_and_says_nothing_is_told() {
    let double = Double::start(|asked| match asked.method.as_str() {
        "PUT" => Said::silence(),
        "PROPFIND" => file(3 * MIB),
        _ => Said::status(201),
    });
    let (storage, cx) = patient(double.endpoint(), 1);
    let mut upload = storage.create(&cx, "data", &CreateOptions::default()).unwrap();
    upload.write_all(&vec![7; 3 * MIB]).unwrap();
    let error = upload.finish().unwrap_err();
    assert!(format!("{error:?}").contains("has all bytes and says nothing in 1 seconds"), "{error:?}");
    drop(upload);
    let asked = double.asked();
    let hidden = &asked.iter().find(|asked| asked.method == "PUT").unwrap().path;
    assert!(
        asked.iter().any(|asked| asked.method == "DELETE" && asked.path == *hidden),
        "a half upload stays"
    );
    assert!(!asked.iter().any(|asked| asked.method == "MOVE"), "published");
}

#[test]
fn a_server_that_takes_no_more_bytes_is_told() {
    // It accepts, and reads nothing.
    let deaf = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = deaf.local_addr().unwrap().port();
    // Each request has a connection of its own, so that uploads are known by the first bytes.
    let behind = Double::start(|asked| match asked.method.as_str() {
        "PROPFIND" => file(0).header("connection", "close"),
        _ => Said::status(201).header("connection", "close"),
    });
    let to = behind.endpoint().rsplit_once(':').unwrap().1.parse::<u16>().unwrap();
    std::thread::spawn(move || split(&deaf, to));
    let (storage, cx) = patient(&format!("http://127.0.0.1:{port}"), 1);
    let mut upload = storage.create(&cx, "data", &CreateOptions::default()).unwrap();
    let piece = vec![7; MIB];
    // The systems at both ends take some MiB.
    let error = (0..200).find_map(|_| upload.write_all(&piece).err()).expect("it goes on for ever");
    assert!(format!("{error:?}").contains("took no byte in 1 seconds"), "{error:?}");
    drop(upload);
    assert!(behind.asked().iter().any(|asked| asked.method == "DELETE"), "a half upload stays");
}

/// Uploads are taken by nobody; all else goes to the port.
fn split(deaf: &std::net::TcpListener, behind: u16) {
    let mut held = Vec::new();
    for mut client in deaf.incoming().flatten() {
        let mut begin = [0; 3];
        while client.peek(&mut begin).is_ok_and(|count| (1..3).contains(&count)) {}
        if &begin == b"PUT" {
            held.push(client);
            continue;
        }
        let mut server = std::net::TcpStream::connect(("127.0.0.1", behind)).unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        std::thread::spawn(move || std::io::copy(&mut server, &mut client));
    }
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
