//! What the tests of this filter share: encoding and decoding through the filter, keys, and the program `age`.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Map, Value};
use windlass_filter_age::Age;
use windlass_plugin_api::{Context, Error, Filter, Plugin, Result};
use windlass_testkit::streams::TestSink;

/// Keys of nobody, for tests.
pub const IDENTITY: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
/// Whose identity that is.
pub const RECIPIENT: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
/// What stands in a manifest for it.
pub const FINGERPRINT: &str = "age1t7rxyev2z3rw";

pub fn made(options: Value) -> Result<Age> {
    Age::new(serde_json::from_value(options).unwrap(), &Context::default())
}

pub fn age(options: Value) -> Age {
    made(options).unwrap()
}

pub fn encode(filter: &Age, plain: &[u8]) -> (Vec<u8>, Map<String, Value>) {
    let (next, view) = TestSink::new();
    let mut sink = filter.encode(&Context::default(), "data", Box::new(next)).unwrap();
    sink.write_all(plain).unwrap();
    let finished = sink.finish().unwrap();
    (view.seen().bytes, finished.params)
}

/// What comes out, up to the first error, and that error.
pub fn decode_part(filter: &Age, params: &Map<String, Value>, stored: &[u8]) -> (Vec<u8>, Option<Error>) {
    let input = Box::new(std::io::Cursor::new(stored.to_vec()));
    let mut reader = match filter.decode(&Context::default(), "data", params, input) {
        Ok(reader) => reader,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let (mut plain, mut buffer) = (Vec::new(), vec![0; 100_000]);
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return (plain, None),
            Ok(count) => plain.extend_from_slice(&buffer[..count]),
            Err(error) => return (plain, Some(error.into())),
        }
    }
}

pub fn decode(filter: &Age, params: &Map<String, Value>, stored: &[u8]) -> Result<Vec<u8>> {
    match decode_part(filter, params, stored) {
        (plain, None) => Ok(plain),
        (_, Some(error)) => Err(error),
    }
}

/// Runs `command` in `folder` over `input`; it must end well.
pub fn piped(folder: &Path, command: &str, input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`{command}` failed (is it installed? `make setup`): {told}");
    writer.join().unwrap().unwrap();
    output.stdout
}

/// Runs `command` in `folder` on a terminal of its own, where `typed` is typed; it must end well.
pub fn on_terminal(folder: &Path, command: &str, typed: &str) {
    let mut child = Command::new("script")
        .args(["-q", "-e", "-c", command, "/dev/null"])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("`script` (Debian: bsdutils) is needed");
    // The end of input would hang the terminal up, so it stays open until the program has ended.
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(typed.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    assert!(output.status.success(), "`{command}`: {}", String::from_utf8_lossy(&output.stdout));
}

/// A new ssh key in `folder`: the paths of the private one and the text of the public one.
pub fn ssh_key(folder: &Path, kind: &str, passphrase: &str) -> (std::path::PathBuf, String) {
    let path = folder.join(format!("{kind}-{}", passphrase.len()));
    let status = Command::new("ssh-keygen")
        .args(["-q", "-t", kind, "-C", "a comment", "-N", passphrase, "-f"])
        .arg(&path)
        .status()
        .expect("`ssh-keygen` is needed: `make setup`");
    assert!(status.success());
    let public = std::fs::read_to_string(path.with_extension("pub")).unwrap();
    (path, public)
}
