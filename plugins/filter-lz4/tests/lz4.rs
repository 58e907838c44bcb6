//! What only this filter must stand: the `lz4` program on the other side, frames of others, memory.

use std::hash::Hasher;

use serde_json::json;
use twox_hash::XxHash32;
use windlass_filter_lz4::{Lz4, Options};
use windlass_plugin_api::{Context, ErrorKind, Filter, Plugin};
use windlass_testkit::codec::{decode, decode_much, dump, encode, encode_much, filter, peaks_below, piped};
use windlass_testkit::noise::noise;

fn lz4() -> Lz4 {
    filter(json!({}))
}

#[test]
fn the_command_by_hand_decodes_what_was_encoded() {
    for plain in [Vec::new(), dump(5_000_000), noise(3, 700_000), vec![0; 600_000]] {
        for options in [json!({}), json!({ "threads": 1 }), json!({ "threads": 16 })] {
            let lz4: Lz4 = filter(options.clone());
            let decoded = piped(&lz4.by_hand().unwrap(), encode(&lz4, &plain).0);
            assert!(decoded == plain, "{options}: other bytes came back of {}", plain.len());
        }
    }
}

#[test]
fn what_the_lz4_program_wrote_is_decoded() {
    // `-BD` links blocks, `-BX` adds a checksum to each; 64 KiB blocks and 4 MiB ones.
    for plain in [dump(5_000_000), noise(3, 700_000), vec![0; 600_000]] {
        for command in [
            "lz4 -c",
            "lz4 -9 -c",
            "lz4 -B4 -BD -c",
            "lz4 -B4 -BD -BX -9 -c",
            "lz4 -B7 -BD -c",
            "lz4 -B5 -BX -c",
            "lz4 --no-frame-crc -c",
            "(head -c 100000 | lz4 -BD -c; lz4 -c)",
        ] {
            let stored = piped(command, plain.clone());
            assert!(decode(&lz4(), &stored).unwrap() == plain, "{command}: other bytes came back");
        }
    }
}

/// A frame with the given fields in its header, in front of `rest`.
fn frame(fields: &[u8], rest: &[u8]) -> Vec<u8> {
    let check = (XxHash32::oneshot(0, fields) >> 8) as u8;
    [&[0x04, 0x22, 0x4d, 0x18][..], fields, &[check], rest].concat()
}

/// A block that is stored as it is, and the end of the frame.
fn stored_block(plain: &[u8]) -> Vec<u8> {
    [&(plain.len() as u32 | 1 << 31).to_le_bytes()[..], plain, &[0; 4]].concat()
}

#[test]
fn the_number_of_bytes_that_a_frame_names_must_be_right() {
    let sized =
        |size: u64| frame(&[&[0x68, 0x40][..], &size.to_le_bytes()].concat(), &stored_block(b"five!"));
    assert_eq!(decode(&lz4(), &sized(5)).unwrap(), b"five!");
    for size in [0, 4, 6, u64::MAX] {
        assert_eq!(decode(&lz4(), &sized(size)).unwrap_err().kind, ErrorKind::Damaged, "{size}");
    }
}

#[test]
fn a_block_that_is_larger_than_its_frame_allows_is_damage() {
    let of = |length: usize| frame(&[0x60, 0x40], &stored_block(&vec![1; length]));
    assert_eq!(decode(&lz4(), &of(65_536)).unwrap().len(), 65_536);
    assert_eq!(decode(&lz4(), &of(65_537)).unwrap_err().kind, ErrorKind::Damaged);
    // Claims 2 GiB, and has four bytes.
    let bomb = frame(&[0x60, 0x70], &[0xff, 0xff, 0xff, 0x7f, 1, 2, 3, 4]);
    assert!(decode(&lz4(), &bomb).unwrap_err().message.contains("larger than its frame allows"));
    // 64 KiB of them would be 16 MiB of zeros, in a block of 64 KiB.
    let long_match = [&[0x1f, 0, 1, 0][..], &[255; 60_000], &[0]].concat();
    let block = [&(long_match.len() as u32).to_le_bytes()[..], &long_match, &[0; 4]].concat();
    assert_eq!(decode(&lz4(), &frame(&[0x60, 0x40], &block)).unwrap_err().kind, ErrorKind::Damaged);
}

#[test]
fn frames_and_skippable_ones_are_read_as_one_stream() {
    let skippable = [&0x184d_2a5f_u32.to_le_bytes()[..], &5_u32.to_le_bytes(), b"notes"].concat();
    let parts = [dump(300_000), Vec::new(), dump(1)];
    let mut stored = skippable.clone();
    for part in &parts {
        stored.extend(encode(&lz4(), part).0);
        stored.extend(&skippable);
    }
    assert!(decode(&lz4(), &stored).unwrap() == parts.concat());
    assert!(piped("lz4 -dc", stored.clone()) == parts.concat(), "as the program does");
    assert_eq!(decode(&lz4(), &stored[..stored.len() - 1]).unwrap_err().kind, ErrorKind::Damaged);
}

#[test]
fn a_frame_of_the_legacy_format_or_with_a_dictionary_is_refused_with_a_hint() {
    let dictionary = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&dictionary, dump(10_000)).unwrap();
    let with_dictionary = format!("lz4 -D {} -c", dictionary.path().display());
    let error = decode(&lz4(), &piped("lz4 -l -c", dump(10_000))).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.hint.unwrap().contains("lz4 -dc | lz4 -c"));
    // The program names no dictionary in the frame: what refers to it is damage then.
    assert_eq!(decode(&lz4(), &piped(&with_dictionary, dump(20_000))).unwrap_err().kind, ErrorKind::Damaged);
    let error = decode(&lz4(), &frame(&[0x61, 0x40, 1, 2, 3, 4], &[0; 4])).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.hint.unwrap().contains("-D"));
}

#[test]
fn a_flipped_bit_anywhere_is_damage() {
    for plain in [noise(1, 300_000), dump(600_000)] {
        let (stored, _) = encode(&lz4(), &plain);
        for at in (0..stored.len()).step_by(5_003).chain(stored.len() - 9..stored.len()) {
            let mut flipped = stored.clone();
            flipped[at] ^= 0x10;
            assert!(decode(&lz4(), &flipped).is_err(), "byte {at} of {}", stored.len());
        }
    }
}

#[test]
fn sizes_around_a_block_come_back() {
    const BLOCK: usize = 256 * 1024;
    let lz4: Lz4 = filter(json!({ "threads": 2 }));
    for length in [BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 2 * BLOCK + 1] {
        assert!(decode(&lz4, &encode(&lz4, &dump(length)).0).unwrap() == dump(length), "{length} bytes");
    }
}

#[test]
fn equal_bytes_become_equal_bytes_whatever_the_threads() {
    let plain = dump(1_500_000);
    let with = |threads: u32| encode(&filter::<Lz4>(json!({ "threads": threads })), &plain).0;
    assert!(with(1) == with(7));
}

#[test]
fn a_flush_hands_on_all_that_was_written() {
    for length in [10, 700_000] {
        let (next, view) = windlass_testkit::streams::TestSink::new();
        let mut sink = lz4().encode(&Context::default(), "data", Box::new(next)).unwrap();
        std::io::Write::write_all(&mut sink, &dump(length)).unwrap();
        std::io::Write::flush(&mut sink).unwrap();
        // An end mark, and the checksum of what came so far.
        let mut checksum = XxHash32::with_seed(0);
        checksum.write(&dump(length));
        let ended = [view.seen().bytes, vec![0; 4], checksum.finish_32().to_le_bytes().to_vec()].concat();
        assert!(decode(&lz4(), &ended).unwrap() == dump(length), "{length} bytes");
    }
}

#[test]
fn options_out_of_range_are_refused() {
    let parsed: Options = serde_json::from_value(json!({ "threads": 65 })).unwrap();
    let made = Lz4::new(parsed, &Context::default());
    assert_eq!(made.err().map(|error| error.kind), Some(ErrorKind::Config));
}

#[test]
fn eight_threads_stay_below_24_mebibytes() {
    peaks_below(24, "eight_threads_stay_below_24_mebibytes", || {
        encode_much(&filter::<Lz4>(json!({ "threads": 8 })), 100);
    });
}

#[test]
fn decoding_stays_below_24_mebibytes() {
    peaks_below(24, "decoding_stays_below_24_mebibytes", || {
        let stored = piped("head -c 100000000 /dev/zero | lz4 -B7 -BD -c", Vec::new());
        assert_eq!(decode_much(&lz4(), stored), 100_000_000);
    });
}
