//! What only this filter must stand: the `xz` program on the other side, streams of others, bombs, memory.

use std::process::Command;

use serde_json::json;
use windlass_filter_xz::{Options, Xz};
use windlass_plugin_api::{Context, ErrorKind, Filter, Plugin};
use windlass_testkit::codec::{decode, decode_much, dump, encode, encode_much, filter, peaks_below, piped};
use windlass_testkit::noise::noise;

/// Fast enough for tests, with blocks of 1 MiB.
fn fast() -> Xz {
    filter(json!({ "level": 0, "threads": 2 }))
}

#[test]
fn the_command_by_hand_decodes_what_was_encoded() {
    let plain = dump(3_000_000);
    for options in [json!({}), json!({ "threads": 1, "level": 1 }), json!({ "threads": 5, "level": 0 })] {
        let xz: Xz = filter(options.clone());
        let decoded = piped(&xz.by_hand().unwrap(), encode(&xz, &plain).0);
        assert!(decoded == plain, "{options}: other bytes came back");
    }
}

#[test]
fn what_the_xz_program_wrote_is_decoded() {
    let plain = dump(3_000_000);
    for command in [
        "xz -c",
        "xz -1 -T2 --block-size=300KiB -c",
        "xz -0 -C none -c",
        "xz -0 -C sha256 -c",
        "xz --delta=dist=4 --lzma2=preset=0 -c",
        "(head -c 1000 | xz -c; xz -0 -T2 -c)",
    ] {
        let stored = piped(command, plain.clone());
        for threads in [1, 4] {
            let xz: Xz = filter(json!({ "threads": threads }));
            assert!(decode(&xz, &stored).unwrap() == plain, "{command}, {threads}: other bytes came back");
        }
    }
}

/// How many blocks `xz` finds in `stored`.
fn blocks(stored: &[u8]) -> u32 {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, stored).unwrap();
    let output =
        Command::new("xz").args(["--robot", "--list"]).arg(file.path()).output().expect("run `make setup`");
    let text = String::from_utf8(output.stdout).unwrap();
    let totals = text.lines().find(|line| line.starts_with("file\t")).unwrap();
    totals.split('\t').nth(2).unwrap().parse().unwrap()
}

#[test]
fn several_threads_make_blocks_and_one_makes_a_single_one() {
    let plain = dump(3_500_000);
    assert_eq!(blocks(&encode(&fast(), &plain).0), 4);
    assert_eq!(blocks(&encode(&filter::<Xz>(json!({ "level": 0, "threads": 1 })), &plain).0), 1);
}

#[test]
fn streams_and_their_padding_are_read_as_one_stream() {
    let parts = [dump(300_000), Vec::new(), dump(1)];
    let mut stored = Vec::new();
    for (part, padding) in parts.iter().zip([4, 0, 512]) {
        stored.extend(encode(&fast(), part).0);
        stored.resize(stored.len() + padding, 0);
    }
    assert!(decode(&fast(), &stored).unwrap() == parts.concat());
    for length in [1, 2, 3, 5] {
        let mut odd = stored.clone();
        odd.resize(stored.len() + length, 0);
        assert_eq!(decode(&fast(), &odd).unwrap_err().kind, ErrorKind::Damaged, "{length} zeros");
    }
    let padded_before = [&[0; 4][..], &stored].concat();
    assert_eq!(decode(&fast(), &padded_before).unwrap_err().kind, ErrorKind::Damaged);
}

#[test]
fn a_stream_that_is_cut_behind_a_whole_one_is_truncated() {
    let (stored, _) = encode(&fast(), &dump(200_000));
    let two = [&stored[..], &stored].concat();
    for cut in [stored.len() + 1, stored.len() + 11, two.len() - 1] {
        let error = decode(&fast(), &two[..cut]).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Damaged);
        assert!(error.message.contains("truncated"), "{cut}: {error}");
    }
}

#[test]
fn a_flipped_bit_anywhere_is_damage() {
    let plain = noise(1, 70_000);
    for threads in [1, 2] {
        let xz: Xz = filter(json!({ "level": 0, "threads": threads }));
        let (stored, _) = encode(&xz, &plain);
        for at in (0..stored.len()).step_by(1_009).chain(stored.len() - 60..stored.len()) {
            let mut flipped = stored.clone();
            flipped[at] ^= 0x10;
            assert_eq!(
                decode(&xz, &flipped).err().map(|error| error.kind),
                Some(ErrorKind::Damaged),
                "byte {at}"
            );
        }
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(crc & 1)))
    })
}

/// A small stream that claims a dictionary of 768 MiB.
fn bomb() -> Vec<u8> {
    let (mut stored, _) = encode(&filter::<Xz>(json!({ "threads": 1, "level": 0 })), &dump(1_000));
    // The first block's header is 12 bytes behind the stream's: its size, flags, the filter LZMA2 with one byte of its own,
    // the dictionary's size, padding, a checksum.
    assert_eq!(stored[12..16], [2, 0, 0x21, 1]);
    stored[16] = 35;
    let checksum = crc32(&stored[12..20]);
    stored[20..24].copy_from_slice(&checksum.to_le_bytes());
    stored
}

#[test]
fn a_dictionary_beyond_the_limit_is_refused_and_an_option_raises_it() {
    let error = decode(&filter::<Xz>(json!({})), &bomb()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Damaged);
    assert!(error.message.contains("more than 256 MiB"), "{error}");
    assert!(error.hint.unwrap().contains("`decode_memory_mib`"));
    let raised: Xz = filter(json!({ "decode_memory_mib": 800 }));
    assert!(decode(&raised, &bomb()).unwrap() == dump(1_000));
}

#[test]
fn a_flush_hands_on_all_that_was_written() {
    for options in [json!({ "threads": 1, "level": 0 }), json!({ "threads": 3, "level": 0 })] {
        let (next, view) = windlass_testkit::streams::TestSink::new();
        let xz: Xz = filter(options);
        let mut sink = xz.encode(&Context::default(), "data", Box::new(next)).unwrap();
        let plain = dump(1_500_000);
        std::io::Write::write_all(&mut sink, &plain).unwrap();
        std::io::Write::flush(&mut sink).unwrap();
        let flushed = Box::new(std::io::Cursor::new(view.seen().bytes));
        let mut reader = xz.decode(&Context::default(), "data", &serde_json::Map::new(), flushed).unwrap();
        let mut decoded = vec![0; plain.len()];
        std::io::Read::read_exact(&mut reader, &mut decoded).unwrap();
        assert!(decoded == plain);
    }
}

#[test]
fn options_out_of_range_are_refused() {
    for options in [json!({ "level": 10 }), json!({ "threads": 65 }), json!({ "decode_memory_mib": 0 })] {
        let parsed: Options = serde_json::from_value(options.clone()).unwrap();
        let made = Xz::new(parsed, &Context::default());
        assert_eq!(made.err().map(|error| error.kind), Some(ErrorKind::Config), "{options}");
    }
}

#[test]
fn two_threads_at_level_1_compress_in_the_memory_that_the_page_names() {
    peaks_below(60, "two_threads_at_level_1_compress_in_the_memory_that_the_page_names", || {
        encode_much(&filter::<Xz>(json!({ "level": 1, "threads": 2 })), 32);
    });
}

#[test]
fn one_thread_at_level_6_compresses_in_the_memory_that_the_page_names() {
    peaks_below(120, "one_thread_at_level_6_compresses_in_the_memory_that_the_page_names", || {
        encode_much(&filter::<Xz>(json!({ "threads": 1 })), 12);
    });
}

#[test]
fn one_thread_decodes_level_6_in_the_memory_that_the_page_names() {
    peaks_below(32, "one_thread_decodes_level_6_in_the_memory_that_the_page_names", || {
        let stored = piped("head -c 64000000 /dev/zero | xz -6 -T1 -c", Vec::new());
        assert_eq!(decode_much(&filter::<Xz>(json!({ "threads": 1 })), stored), 64_000_000);
    });
}
