//! Uploads and downloads through a line and a server that fail: nothing is lost, nothing is shown twice, nothing stays.

mod common;

use std::collections::HashSet;
use std::io::{Read, Write};
use std::sync::Mutex;

use common::{Room, server};
use windlass_plugin_api::{Context, CreateOptions, Plugin, Storage};
use windlass_storage_azblob::Azblob;
use windlass_test_servers::{Asked, Double, Said};

const MIB: usize = 1024 * 1024;

fn storage(room: &Room, endpoint: Option<&Double>) -> (Azblob, Context) {
    let cx = room.host().context();
    let mut options = room.options();
    options["part_size"] = 1.into();
    if let Some(double) = endpoint {
        options["endpoint"] =
            format!("{}/{}", double.endpoint(), windlass_test_servers::Azurite::ACCOUNT).into();
    }
    (Azblob::new(serde_json::from_value(options).unwrap(), &cx).unwrap(), cx)
}

/// Of each request that differs by method and query the first one fails so.
fn failing(fault: fn(&Asked) -> Said) -> Double {
    let seen = Mutex::new(HashSet::new());
    Double::start(move |asked| {
        let is_first = seen.lock().unwrap().insert((asked.method.clone(), asked.path.clone()));
        if is_first && asked.method == "PUT" { fault(asked) } else { asked.pass_on(server().port()) }
    })
}

fn bytes() -> Vec<u8> {
    (0..3 * MIB + 77).map(|at| (at * 7 % 251) as u8).collect()
}

fn read(storage: &Azblob, cx: &Context, key: &str) -> Vec<u8> {
    let mut read = Vec::new();
    storage.open(cx, key, None).unwrap().read_to_end(&mut read).unwrap();
    read
}

#[test]
fn an_upload_outlasts_one_failure_of_each_request() {
    let busy: fn(&Asked) -> Said = |_| Said::status(503).header("x-ms-error-code", "ServerBusy");
    let garbled: fn(&Asked) -> Said = |asked| {
        let mut other = asked.clone();
        // A list of blocks that isn't one would be refused for good.
        match asked.path.contains("blockid=") || asked.headers.contains_key("x-ms-blob-type") {
            true => other.body[0] ^= 1,
            false => return Said::lost(),
        }
        other.pass_on(server().port())
    };
    let unheard: fn(&Asked) -> Said = |asked| {
        asked.pass_on(server().port());
        Said::lost()
    };
    for (name, fault) in
        [("busy", busy), ("cut", |_| Said::lost()), ("garbled", garbled), ("unheard", unheard)]
    {
        let (room, double) = (Room::new(), failing(fault));
        let (storage, cx) = storage(&room, Some(&double));
        for (key, content) in [("large", bytes()), ("small", b"little".to_vec())] {
            let how = CreateOptions { if_absent: true, ..CreateOptions::default() };
            let mut upload = storage.create(&cx, key, &how).unwrap();
            upload.write_all(&content).unwrap();
            upload.finish().unwrap_or_else(|error| panic!("{name}: {error:?}"));
            upload.publish().unwrap_or_else(|error| panic!("{name}: {error:?}"));
            assert!(read(&storage, &cx, key) == content, "{name}: other bytes");
        }
        assert_eq!(storage.leftovers(&cx, "").unwrap(), [], "{name}");
    }
}

#[test]
fn a_download_that_breaks_goes_on_where_it_broke_and_mixes_no_versions() {
    let room = Room::new();
    let (direct, cx) = storage(&room, None);
    let put = |content: &[u8]| {
        let mut upload = direct.create(&cx, "data", &CreateOptions::default()).unwrap();
        upload.write_all(content).unwrap();
        upload.finish().unwrap();
        upload.publish().unwrap();
    };
    put(&bytes());
    // Of each answer only the first half arrives.
    let double = Double::start(|asked| asked.pass_on(server().port()).cut_in_half(&asked.method));
    let (broken, cx) = storage(&room, Some(&double));
    assert!(read(&broken, &cx, "data") == bytes());
    let ranges = double.asked().iter().filter(|asked| asked.method == "GET").count();
    assert!(ranges > 4, "{ranges} requests: nothing broke");

    let mut reader = broken.open(&cx, "data", None).unwrap();
    let mut first = [0; 10];
    reader.read_exact(&mut first).unwrap();
    put(&vec![9; 3 * MIB]);
    let error = windlass_plugin_api::Error::from(reader.read_to_end(&mut Vec::new()).unwrap_err());
    assert!(error.to_string().contains("replaced"), "{error:?}");
}
