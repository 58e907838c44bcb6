//! What only this filter must stand: the `bzip2` program on the other side, streams of others, memory.

use std::io::Read;

use serde_json::json;
use windlass_filter_bzip2::{Bzip2, Options};
use windlass_plugin_api::{Context, ErrorKind, Filter, Plugin};
use windlass_testkit::codec::{
    decode, decode_much, dump, encode, encode_much, filter, peaks_below, piped, takes,
};
use windlass_testkit::noise::noise;

/// Runs of four: the one kind of bytes that grows in the format's first step.
fn runs(length: usize) -> Vec<u8> {
    noise(4, length / 4 + 1).iter().flat_map(|byte| [*byte; 4]).take(length).collect()
}

#[test]
fn the_command_by_hand_decodes_what_was_encoded() {
    for plain in [Vec::new(), dump(2_500_000), runs(1_000_000), vec![0; 1_000_000]] {
        for options in [json!({}), json!({ "threads": 1, "level": 1 }), json!({ "threads": 5, "level": 2 })] {
            let bzip2: Bzip2 = filter(options.clone());
            let decoded = piped(&bzip2.by_hand().unwrap(), encode(&bzip2, &plain).0);
            assert!(decoded == plain, "{options}: other bytes came back of {}", plain.len());
        }
    }
}

#[test]
fn what_the_bzip2_program_wrote_is_decoded() {
    let plain = dump(2_000_000);
    for command in ["bzip2 -c", "bzip2 -1 -c", "(head -c 1000 | bzip2 -c; bzip2 -c)"] {
        let stored = piped(command, plain.clone());
        assert!(
            decode(&filter::<Bzip2>(json!({})), &stored).unwrap() == plain,
            "{command}: other bytes came back"
        );
    }
    assert_eq!(decode(&filter::<Bzip2>(json!({})), &piped("bzip2 -c", Vec::new())).unwrap(), b"");
}

#[test]
fn blocks_are_joined_into_one_stream() {
    for plain in [dump(1_000_000), runs(500_000)] {
        let (stored, _) = encode(&filter::<Bzip2>(json!({ "threads": 4, "level": 1 })), &plain);
        let mut first_stream = Vec::new();
        let mut decoder = bzip2::bufread::BzDecoder::new(&stored[..]);
        decoder.read_to_end(&mut first_stream).unwrap();
        assert!(first_stream == plain, "a reader of one stream gets everything");
        assert!(decoder.into_inner().is_empty(), "nothing is behind it");
    }
}

#[test]
fn a_stream_is_as_small_as_that_of_the_program() {
    let plain = dump(3_000_000);
    let theirs = piped("bzip2 -9 -c", plain.clone()).len();
    let ours = encode(&filter::<Bzip2>(json!({ "threads": 4 })), &plain).0.len();
    assert!(ours <= theirs + theirs / 500, "{ours} bytes, not {theirs}");
}

#[test]
fn sizes_around_a_block_come_back() {
    const BLOCK: usize = 100_000 - 19;
    let bzip2: Bzip2 = filter(json!({ "level": 1, "threads": 2 }));
    for length in [BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 2 * BLOCK + 1] {
        for plain in [dump(length), noise(length as u64, length), runs(length)] {
            assert!(decode(&bzip2, &encode(&bzip2, &plain).0).unwrap() == plain, "{length} bytes");
        }
    }
}

#[test]
fn equal_bytes_become_equal_bytes_whatever_the_threads() {
    let plain = dump(700_000);
    let with = |threads: u32| encode(&filter::<Bzip2>(json!({ "level": 1, "threads": threads })), &plain).0;
    assert!(with(1) == with(7));
}

#[test]
fn streams_of_nothing_and_of_something_are_read_as_one() {
    let bzip2: Bzip2 = filter(json!({ "level": 1 }));
    let parts = [dump(300_000), Vec::new(), dump(1)];
    let stored: Vec<u8> = parts.iter().flat_map(|part| encode(&bzip2, part).0).collect();
    assert!(decode(&bzip2, &stored).unwrap() == parts.concat());
    assert_eq!(decode(&bzip2, &stored[..stored.len() - 1]).unwrap_err().kind, ErrorKind::Damaged);
}

#[test]
fn bytes_behind_the_end_which_the_program_ignores_are_damage() {
    let bzip2: Bzip2 = filter(json!({}));
    for behind in [&[0; 512][..], b"B", b"something"] {
        let mut stored = encode(&bzip2, b"something").0;
        stored.extend(behind);
        assert_eq!(decode(&bzip2, &stored).unwrap_err().kind, ErrorKind::Damaged);
        assert!(behind == b"B" || takes("bzip2 -dc", stored), "the program ignores it");
    }
}

#[test]
fn a_flipped_bit_anywhere_is_damage() {
    let bzip2: Bzip2 = filter(json!({ "level": 1 }));
    let (stored, _) = encode(&bzip2, &noise(1, 150_000));
    let places = (4..stored.len()).step_by(3_001).chain(stored.len() - 11..stored.len() - 1);
    for at in places {
        let mut flipped = stored.clone();
        flipped[at] ^= 0x10;
        let kind = decode(&bzip2, &flipped).err().map(|error| error.kind);
        assert_eq!(kind, Some(ErrorKind::Damaged), "byte {at} of {}", stored.len());
    }
}

#[test]
fn a_flush_in_the_middle_changes_nothing_of_what_comes_back() {
    let bzip2: Bzip2 = filter(json!({ "level": 1, "threads": 3 }));
    let (next, view) = windlass_testkit::streams::TestSink::new();
    let mut sink = bzip2.encode(&Context::default(), "data", Box::new(next)).unwrap();
    let plain = dump(350_000);
    for piece in plain.chunks(70_000) {
        std::io::Write::write_all(&mut sink, piece).unwrap();
        std::io::Write::flush(&mut sink).unwrap();
        std::io::Write::flush(&mut sink).unwrap();
    }
    sink.finish().unwrap();
    assert!(piped("bzip2 -dc", view.seen().bytes) == plain);
}

#[test]
fn options_out_of_range_are_refused() {
    for options in [json!({ "level": 0 }), json!({ "level": 10 }), json!({ "threads": 65 })] {
        let parsed: Options = serde_json::from_value(options.clone()).unwrap();
        let made = Bzip2::new(parsed, &Context::default());
        assert_eq!(made.err().map(|error| error.kind), Some(ErrorKind::Config), "{options}");
    }
}

#[test]
fn four_threads_stay_below_64_mebibytes() {
    peaks_below(64, "four_threads_stay_below_64_mebibytes", || {
        encode_much(&filter::<Bzip2>(json!({ "threads": 4 })), 24);
    });
}

#[test]
fn decoding_stays_below_16_mebibytes() {
    peaks_below(16, "decoding_stays_below_16_mebibytes", || {
        let stored = piped("head -c 100000000 /dev/zero | bzip2 -c", Vec::new());
        assert_eq!(decode_much(&filter::<Bzip2>(json!({})), stored), 100_000_000);
    });
}
