//! Objects through a line and a server that fail: nothing is lost, nothing is shown twice, nothing stays.

mod common;

use std::collections::HashSet;
use std::io::{Read, Write};
use std::sync::Mutex;

use common::{Room, server};
use windlass_plugin_api::{Context, CreateOptions, Plugin, Storage};
use windlass_storage_webdav::Webdav;
use windlass_test_servers::{Asked, Double, Said};

const MIB: usize = 1024 * 1024;

fn storage(room: &Room, url: &str) -> (Webdav, Context) {
    let cx = room.host().context();
    (Webdav::new(serde_json::from_value(room.options_at(url)).unwrap(), &cx).unwrap(), cx)
}

fn put(storage: &Webdav, cx: &Context, key: &str, content: &[u8]) -> windlass_plugin_api::Result<()> {
    let how = CreateOptions { if_absent: true, ..CreateOptions::default() };
    let mut upload = storage.create(cx, key, &how)?;
    upload.write_all(content).map_err(windlass_plugin_api::Error::from)?;
    upload.finish()?;
    upload.publish().map(drop)
}

fn bytes() -> Vec<u8> {
    (0..3 * MIB + 77).map(|at| (at * 7 % 251) as u8).collect()
}

fn read(storage: &Webdav, cx: &Context, key: &str) -> Vec<u8> {
    let mut read = Vec::new();
    storage.open(cx, key, None).unwrap().read_to_end(&mut read).unwrap();
    read
}

#[test]
fn a_small_object_outlasts_one_failure_of_each_request() {
    let busy: fn(&Asked) -> Said = |_| Said::status(503);
    let cut: fn(&Asked) -> Said = |_| Said::lost();
    let unheard: fn(&Asked) -> Said = |asked| {
        asked.pass_on(server().port());
        Said::lost()
    };
    for (name, fault) in [("busy", busy), ("cut", cut), ("unheard", unheard)] {
        let room = Room::new();
        let seen = Mutex::new(HashSet::new());
        let double = Double::start(move |asked| {
            let writes = ["MKCOL", "PUT", "MOVE"].contains(&asked.method.as_str());
            let is_first = writes && seen.lock().unwrap().insert(asked.method.clone());
            if is_first { fault(asked) } else { asked.pass_on(server().port()) }
        });
        let (storage, cx) = storage(&room, double.endpoint());
        put(&storage, &cx, "shop/one/data", b"little").unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!(room.files(), ["shop/one/data"], "{name}");
        assert_eq!(read(&storage, &cx, "shop/one/data"), b"little", "{name}");
    }
}

#[test]
fn a_large_object_whose_rename_was_not_heard_is_there_and_whole() {
    let room = Room::new();
    let lost = Mutex::new(false);
    let double = Double::start(move |asked| {
        let said = asked.pass_on(server().port());
        let is_first = asked.method == "MOVE" && !std::mem::replace(&mut *lost.lock().unwrap(), true);
        if is_first { Said::lost() } else { said }
    });
    let (storage, cx) = storage(&room, double.endpoint());
    put(&storage, &cx, "data", &bytes()).unwrap();
    assert!(read(&storage, &cx, "data") == bytes());
    assert_eq!(room.files(), ["data"]);
}

#[test]
fn a_download_that_breaks_goes_on_where_it_broke() {
    let room = Room::new();
    let (direct, cx) = storage(&room, &server().endpoint());
    put(&direct, &cx, "data", &bytes()).unwrap();
    let double = Double::start(|asked| asked.pass_on(server().port()).cut_in_half(&asked.method));
    let (broken, cx) = storage(&room, double.endpoint());
    assert!(read(&broken, &cx, "data") == bytes());
    let ranges = double.asked().iter().filter(|asked| asked.method == "GET").count();
    assert!(ranges > 4, "{ranges} requests: nothing broke");
}
