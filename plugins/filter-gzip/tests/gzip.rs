//! What only this filter must stand: the `gzip` program on the other side, members of others, memory.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use serde_json::{Map, Value, json};
use windlass_filter_gzip::Gzip;
use windlass_plugin_api::{Context, Error, ErrorKind, Filter, Finished, Plugin, Result, Sink};
use windlass_testkit::noise::noise;
use windlass_testkit::streams::TestSink;

fn gzip(options: Value) -> Gzip {
    Gzip::new(serde_json::from_value(options).unwrap(), &Context::default()).unwrap()
}

fn encode(filter: &Gzip, plain: &[u8]) -> Vec<u8> {
    let (next, view) = TestSink::new();
    let mut sink = filter.encode(&Context::default(), "data", Box::new(next)).unwrap();
    sink.write_all(plain).unwrap();
    sink.finish().unwrap();
    view.seen().bytes
}

fn decode(stored: &[u8]) -> Result<Vec<u8>> {
    let input = Box::new(std::io::Cursor::new(stored.to_vec()));
    let mut plain = Vec::new();
    gzip(json!({}))
        .decode(&Context::default(), "data", &Map::new(), input)?
        .read_to_end(&mut plain)
        .map_err(Error::from)?;
    Ok(plain)
}

/// Text that compresses, with noise in between.
fn sample(length: usize) -> Vec<u8> {
    let noise = noise(9, 64 * 1024);
    let mut bytes = Vec::with_capacity(length + noise.len());
    let mut line = 0;
    while bytes.len() < length {
        writeln!(bytes, "INSERT INTO orders VALUES({line}, 'customer {}', {});", line * 7 % 1000, line * 13)
            .unwrap();
        line += 1;
        if line % 4000 == 0 {
            bytes.extend_from_slice(&noise);
        }
    }
    bytes.truncate(length);
    bytes
}

/// Runs `command` over `input`; `None` where the program isn't installed.
fn piped(command: &str, input: Vec<u8>) -> Option<Vec<u8>> {
    Command::new("gzip").arg("--version").stdout(Stdio::null()).status().ok()?;
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "`{command}` failed");
    Some(output.stdout)
}

#[test]
fn the_command_by_hand_decodes_what_was_encoded() {
    let plain = sample(5_000_000);
    for options in
        [json!({}), json!({ "level": 0 }), json!({ "threads": 1, "level": 1 }), json!({ "threads": 16 })]
    {
        let filter = gzip(options.clone());
        let Some(decoded) = piped(&filter.by_hand().unwrap(), encode(&filter, &plain)) else { return };
        assert!(decoded == plain, "{options}: other bytes came back");
    }
}

#[test]
fn what_the_gzip_program_wrote_is_decoded() {
    let plain = sample(5_000_000);
    for command in ["gzip -c", "gzip -9 -c", "(head -c 1000 | gzip -c; gzip -c)"] {
        let Some(stored) = piped(command, plain.clone()) else { return };
        assert!(decode(&stored).unwrap() == plain, "{command}: other bytes came back");
    }
}

#[test]
fn blocks_are_joined_into_one_member() {
    let plain = sample(2_000_000);
    let stored = encode(&gzip(json!({ "threads": 4 })), &plain);
    let mut first_member = Vec::new();
    let mut decoder = flate2::bufread::GzDecoder::new(&stored[..]);
    decoder.read_to_end(&mut first_member).unwrap();
    assert!(first_member == plain, "a reader of one member gets everything");
    assert!(decoder.into_inner().is_empty(), "nothing is behind it");
}

#[test]
fn blocks_refer_to_the_one_before() {
    // Each of the 8 blocks would pay for its own first copy, if it couldn't refer to the block before.
    let line = noise(3, 16 * 1024);
    let plain = line.repeat(128);
    let stored = encode(&gzip(json!({ "threads": 2 })), &plain);
    assert!(stored.len() < 4 * line.len(), "{} bytes", stored.len());
}

#[test]
fn sizes_around_a_block_come_back() {
    const BLOCK: usize = 256 * 1024;
    let filter = gzip(json!({ "threads": 2 }));
    for length in [BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 2 * BLOCK + 1] {
        assert!(decode(&encode(&filter, &sample(length))).unwrap() == sample(length), "{length} bytes");
    }
}

#[test]
fn equal_bytes_become_equal_bytes_whatever_the_threads() {
    let plain = sample(1_500_000);
    let one = encode(&gzip(json!({ "threads": 1 })), &plain);
    assert!(one == encode(&gzip(json!({ "threads": 7 })), &plain));
}

#[test]
fn members_of_nothing_and_of_something_are_read_as_one_stream() {
    let filter = gzip(json!({}));
    let parts = [sample(300_000), Vec::new(), sample(1)];
    let stored: Vec<u8> = parts.iter().flat_map(|part| encode(&filter, part)).collect();
    assert!(decode(&stored).unwrap() == parts.concat());
}

#[test]
fn zeros_behind_the_end_are_damage() {
    let mut stored = encode(&gzip(json!({})), b"something");
    stored.extend([0; 512]);
    assert_eq!(decode(&stored).unwrap_err().kind, ErrorKind::Damaged);
}

#[test]
fn a_flipped_bit_anywhere_behind_the_header_is_damage() {
    let plain = noise(1, 70_000);
    let stored = encode(&gzip(json!({})), &plain);
    // The trailer's checksum and length too; not the first byte, five bits of which mean nothing.
    let places = (11..stored.len()).step_by(1_009).chain(stored.len() - 8..stored.len());
    for at in places {
        let mut flipped = stored.clone();
        flipped[at] ^= 0x10;
        assert_eq!(decode(&flipped).err().map(|error| error.kind), Some(ErrorKind::Damaged), "byte {at}");
    }
}

#[test]
fn a_flush_hands_on_all_that_was_written() {
    for length in [10, 700_000] {
        let (next, view) = TestSink::new();
        let mut sink =
            gzip(json!({ "threads": 2 })).encode(&Context::default(), "data", Box::new(next)).unwrap();
        sink.write_all(&sample(length)).unwrap();
        sink.flush().unwrap();
        let mut plain = vec![0; length];
        let flushed = view.seen().bytes;
        flate2::bufread::GzDecoder::new(&flushed[..]).read_exact(&mut plain).unwrap();
        assert!(plain == sample(length), "{length} bytes");
        sink.flush().unwrap();
        assert_eq!(view.len(), flushed.len(), "a second flush has nothing to add");
    }
}

#[test]
fn options_out_of_range_are_refused() {
    for options in [json!({ "level": 10 }), json!({ "threads": 65 })] {
        let made = Gzip::new(serde_json::from_value(options.clone()).unwrap(), &Context::default());
        assert_eq!(made.err().map(|error| error.kind), Some(ErrorKind::Config), "{options}");
    }
}

/// Takes bytes and forgets them.
struct Nowhere;

impl Write for Nowhere {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Sink for Nowhere {
    fn finish(&mut self) -> Result<Finished> {
        Ok(Finished::default())
    }
}

/// Runs itself in a process of its own, for peak memory is a process's.
#[test]
fn sixteen_threads_stay_below_forty_mebibytes() {
    const INNER: &str = "WINDLASS_TEST_MEASURE";
    if std::env::var_os(INNER).is_none() {
        let this = std::env::current_exe().unwrap();
        let name = "sixteen_threads_stay_below_forty_mebibytes";
        let status = Command::new(this).args(["--exact", name]).env(INNER, "1").status().unwrap();
        assert!(status.success(), "see above");
        return;
    }
    let piece = sample(4 * 1024 * 1024);
    let options = json!({ "threads": 16, "level": 1 });
    let mut sink = gzip(options).encode(&Context::default(), "data", Box::new(Nowhere)).unwrap();
    for _ in 0..24 {
        sink.write_all(&piece).unwrap();
    }
    sink.finish().unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kibibytes: usize = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kibibytes < 40 * 1024, "peak memory was {kibibytes} KiB");
}
