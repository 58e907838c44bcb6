//! What tests of a filter around a codec need: whole streams in and out, the codec's own program on the other side, and the
//! peak of memory.
//!
//! A program that isn't installed fails the test that needs it: one that was passed over proves nothing.

use std::io::{self, Cursor, Read, Write};
use std::process::{Command, Stdio};

use serde_json::{Map, Value};
use windlass_plugin_api::{Context, Error, Filter, Finished, Plugin, Result, Sink};

use crate::noise::noise;
use crate::streams::TestSink;

/// A filter with `options`, which must be right.
pub fn filter<T: Plugin>(options: Value) -> T {
    let options = serde_json::from_value(options).unwrap_or_else(|error| panic!("the options: {error}"));
    T::new(options, &Context::default()).unwrap_or_else(|error| panic!("can't be made: {error}"))
}

/// The stored form of `plain`, and what the encoder recorded.
pub fn encode(filter: &dyn Filter, plain: &[u8]) -> (Vec<u8>, Finished) {
    let (next, view) = TestSink::new();
    let mut sink = filter.encode(&Context::default(), "data", Box::new(next)).unwrap();
    sink.write_all(plain).unwrap();
    let finished = sink.finish().unwrap();
    (view.seen().bytes, finished)
}

/// What `filter` makes of `stored` that another program wrote.
pub fn decode(filter: &dyn Filter, stored: &[u8]) -> Result<Vec<u8>> {
    decode_with(filter, &Map::new(), stored)
}

/// What `filter` makes of `stored`, with what the encoder recorded.
pub fn decode_with(filter: &dyn Filter, params: &Map<String, Value>, stored: &[u8]) -> Result<Vec<u8>> {
    let input = Box::new(Cursor::new(stored.to_vec()));
    let mut plain = Vec::new();
    filter
        .decode(&Context::default(), "data", params, input)?
        .read_to_end(&mut plain)
        .map_err(Error::from)?;
    Ok(plain)
}

/// Text as a dump has it, with noise in between.
pub fn dump(length: usize) -> Vec<u8> {
    let noise = noise(9, 64 * 1024);
    let mut bytes = Vec::with_capacity(length + noise.len());
    let mut line = 0;
    while bytes.len() < length {
        let row =
            format!("INSERT INTO orders VALUES({line}, 'customer {}', {});\n", line * 7 % 1000, line * 13);
        bytes.extend_from_slice(row.as_bytes());
        line += 1;
        if line % 4000 == 0 {
            bytes.extend_from_slice(&noise);
        }
    }
    bytes.truncate(length);
    bytes
}

/// What the shell's `command` makes of `input`.
#[track_caller]
pub fn piped(command: &str, input: Vec<u8>) -> Vec<u8> {
    let output = run(command, input);
    assert!(output.status.success(), "`{command}` failed");
    output.stdout
}

/// Whether the shell's `command` ends well with `input`.
#[track_caller]
pub fn takes(command: &str, input: Vec<u8>) -> bool {
    run(command, input).status.success()
}

#[track_caller]
fn run(command: &str, input: Vec<u8>) -> std::process::Output {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // One that ends early doesn't read it all.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert_ne!(output.status.code(), Some(127), "`{command}`: a program isn't installed, run `make setup`");
    output
}

/// Takes bytes and forgets them.
pub struct Nowhere;

impl Write for Nowhere {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Nowhere {
    fn finish(&mut self) -> Result<Finished> {
        Ok(Finished::default())
    }
}

/// Encodes `mebibytes` of [`dump`] into nowhere.
pub fn encode_much(filter: &dyn Filter, mebibytes: usize) {
    let piece = dump(4 * 1024 * 1024);
    let mut sink = filter.encode(&Context::default(), "data", Box::new(Nowhere)).unwrap();
    for _ in 0..mebibytes / 4 {
        sink.write_all(&piece).unwrap();
    }
    sink.finish().unwrap();
}

/// Decodes `stored` into nowhere, and says how many bytes came.
pub fn decode_much(filter: &dyn Filter, stored: Vec<u8>) -> u64 {
    let input = Box::new(Cursor::new(stored));
    let mut reader = filter.decode(&Context::default(), "data", &Map::new(), input).unwrap();
    io::copy(&mut reader, &mut io::sink()).unwrap()
}

/// Runs the test `name` in a process of its own, for peak memory is a process's; there `work` is done, and the peak must be
/// below `mebibytes`. To be called with the name of the test that calls it, and nothing else in it.
#[track_caller]
pub fn peaks_below(mebibytes: usize, name: &str, work: impl FnOnce()) {
    const INNER: &str = "WINDLASS_TEST_MEASURE";
    if std::env::var_os(INNER).is_none() {
        let this = std::env::current_exe().unwrap();
        let status = Command::new(this).args(["--exact", name]).env(INNER, "1").status().unwrap();
        assert!(status.success(), "see above");
        return;
    }
    work();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kibibytes: usize = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kibibytes < mebibytes * 1024, "peak memory was {kibibytes} KiB");
}
