//! What only this filter must stand: the `gzip` program on the other side, members of others, memory.

use std::io::{Read, Write};

use serde_json::{Value, json};
use windlass_filter_gzip::Gzip;
use windlass_plugin_api::{Context, ErrorKind, Filter, Plugin, Result};
use windlass_testkit::codec::{self, dump, encode_much, filter, peaks_below, piped};
use windlass_testkit::noise::noise;
use windlass_testkit::streams::TestSink;

fn gzip(options: Value) -> Gzip {
    filter(options)
}

fn encode(filter: &Gzip, plain: &[u8]) -> Vec<u8> {
    codec::encode(filter, plain).0
}

fn decode(stored: &[u8]) -> Result<Vec<u8>> {
    codec::decode(&gzip(json!({})), stored)
}

#[test]
fn the_command_by_hand_decodes_what_was_encoded() {
    let plain = dump(5_000_000);
    for options in
        [json!({}), json!({ "level": 0 }), json!({ "threads": 1, "level": 1 }), json!({ "threads": 16 })]
    {
        let filter = gzip(options.clone());
        let decoded = piped(&filter.by_hand().unwrap(), encode(&filter, &plain));
        assert!(decoded == plain, "{options}: other bytes came back");
    }
}

#[test]
fn what_the_gzip_program_wrote_is_decoded() {
    let plain = dump(5_000_000);
    for command in ["gzip -c", "gzip -9 -c", "(head -c 1000 | gzip -c; gzip -c)"] {
        let stored = piped(command, plain.clone());
        assert!(decode(&stored).unwrap() == plain, "{command}: other bytes came back");
    }
}

#[test]
fn blocks_are_joined_into_one_member() {
    let plain = dump(2_000_000);
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
        assert!(decode(&encode(&filter, &dump(length))).unwrap() == dump(length), "{length} bytes");
    }
}

#[test]
fn equal_bytes_become_equal_bytes_whatever_the_threads() {
    let plain = dump(1_500_000);
    let one = encode(&gzip(json!({ "threads": 1 })), &plain);
    assert!(one == encode(&gzip(json!({ "threads": 7 })), &plain));
}

#[test]
fn members_of_nothing_and_of_something_are_read_as_one_stream() {
    let filter = gzip(json!({}));
    let parts = [dump(300_000), Vec::new(), dump(1)];
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
        sink.write_all(&dump(length)).unwrap();
        sink.flush().unwrap();
        let mut plain = vec![0; length];
        let flushed = view.seen().bytes;
        flate2::bufread::GzDecoder::new(&flushed[..]).read_exact(&mut plain).unwrap();
        assert!(plain == dump(length), "{length} bytes");
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

#[test]
fn sixteen_threads_stay_below_forty_mebibytes() {
    peaks_below(40, "sixteen_threads_stay_below_forty_mebibytes", || {
        encode_much(&gzip(json!({ "threads": 16, "level": 1 })), 96);
    });
}
