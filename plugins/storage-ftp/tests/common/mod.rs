//! A storage on a server that the test has started, and short words for what tests do with it.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use windlass_plugin_api::{
    Context, CreateOptions, Error, ListOptions, Plugin, Result, Storage, Stored, Upload,
};
use windlass_storage_ftp::Ftp;
use windlass_test_servers::{Pyftpd, Vsftpd};

pub fn cx() -> Context {
    Context::default()
}

/// What reaches the empty folder of `server`.
pub fn options(server: &Vsftpd) -> Value {
    json!({
        "host": "127.0.0.1",
        "port": server.port(),
        "user": "anonymous",
        "path": server.data(),
        "ca_file": server.ca_file(),
    })
}

/// As [`options`], for the server with a password.
pub fn signed_in(server: &Pyftpd) -> Value {
    json!({
        "host": "127.0.0.1",
        "port": server.port(),
        "user": Pyftpd::USER,
        "password": Pyftpd::PASSWORD,
        "path": "/",
        "ca_file": server.ca_file(),
    })
}

/// `options` with others in their place; null takes one away.
pub fn with(mut options: Value, others: Value) -> Value {
    for (key, value) in others.as_object().unwrap() {
        let options = options.as_object_mut().unwrap();
        match value {
            Value::Null => options.remove(key),
            value => options.insert(key.clone(), value.clone()),
        };
    }
    options
}

pub fn made(options: Value) -> Ftp {
    Ftp::new(serde_json::from_value(options).unwrap(), &cx()).unwrap()
}

pub fn storage(server: &Vsftpd) -> Ftp {
    made(options(server))
}

pub fn begun(storage: &Ftp, key: &str) -> Result<Box<dyn Upload>> {
    let how = CreateOptions { run: "run".into(), if_absent: true, ..CreateOptions::default() };
    storage.create(&cx(), key, &how)
}

pub fn finished(storage: &Ftp, key: &str, bytes: &[u8]) -> Result<Box<dyn Upload>> {
    let mut upload = begun(storage, key)?;
    upload.write_all(bytes).map_err(Error::from)?;
    upload.finish()?;
    Ok(upload)
}

pub fn put(storage: &Ftp, key: &str) -> Result<Stored> {
    finished(storage, key, b"bytes")?.publish()
}

pub fn get(storage: &Ftp, key: &str) -> Result<String> {
    let mut text = String::new();
    storage.open(&cx(), key, None)?.read_to_string(&mut text)?;
    Ok(text)
}

pub fn keys(storage: &Ftp, mut what: ListOptions) -> Vec<String> {
    let mut keys = Vec::new();
    loop {
        let page = storage.list(&cx(), &what).unwrap();
        keys.extend(page.entries.into_iter().map(|entry| entry.key));
        if !page.more {
            return keys;
        }
        what.after = keys.last().cloned();
    }
}

/// The error of a storage that can't be used.
pub fn refused(options: Value) -> Error {
    made(options).stat(&cx(), "a").unwrap_err()
}

/// Everything below `folder`, by path.
pub fn tree(folder: &Path) -> Vec<String> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(std::result::Result::unwrap) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type().unwrap().is_dir() {
            paths.extend(tree(&entry.path()).into_iter().map(|path| format!("{name}/{path}")));
        }
        paths.push(name);
    }
    paths.sort();
    paths
}

pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
