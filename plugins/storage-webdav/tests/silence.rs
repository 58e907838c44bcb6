//! Time limits of an upload in one request: a source may be slow, and a server may not be silent.

use std::io::Write;

use serde_json::json;
use windlass_plugin_api::{Context, CreateOptions, Plugin, Storage};
use windlass_storage_webdav::Webdav;
use windlass_test_servers::{Double, Said};
use windlass_testkit::TestHost;

const MIB: usize = 1024 * 1024;

/// A storage whose server may be silent for a second.
fn impatient(endpoint: &str) -> (Webdav, Context) {
    let cx = TestHost::new().context();
    let options = json!({ "url": format!("{endpoint}/dav"), "part_size": 1, "timeout": 1 });
    (Webdav::new(serde_json::from_value(options).unwrap(), &cx).unwrap(), cx)
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
fn a_stream_whose_source_pauses_for_longer_than_the_time_limit_is_stored() {
    let double = Double::start(|asked| match asked.method.as_str() {
        "PROPFIND" => file(4 * MIB),
        _ => Said::status(201),
    });
    let (storage, cx) = impatient(double.endpoint());
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
    let (storage, cx) = impatient(double.endpoint());
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
    let (storage, cx) = impatient(&format!("http://127.0.0.1:{port}"));
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
