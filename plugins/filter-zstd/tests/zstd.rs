//! What only this filter must stand: the `zstd` program on the other side, frames of others, bombs, memory.

use std::io::{Read, Write};

use serde_json::{Map, Value, json};
use windlass_filter_zstd::Zstd;
use windlass_plugin_api::{Context, ErrorKind, Filter, Plugin};
use windlass_testkit::codec::{decode_with as decode, dump, encode, encode_much, filter, peaks_below, piped};
use windlass_testkit::noise::noise;
use windlass_testkit::streams::TestSink;

fn zstd(options: Value) -> Zstd {
    filter(options)
}

#[test]
fn the_command_by_hand_decodes_what_was_encoded() {
    let plain = dump(9_000_000);
    for options in
        [json!({}), json!({ "threads": 1, "level": 1 }), json!({ "threads": 16 }), json!({ "long": 28 })]
    {
        let filter = zstd(options.clone());
        let (stored, _) = encode(&filter, &plain);
        let decoded = piped(&filter.by_hand().unwrap(), stored);
        assert!(decoded == plain, "{options}: other bytes came back");
    }
}

#[test]
fn what_the_zstd_program_wrote_is_decoded() {
    let plain = dump(9_000_000);
    for command in ["zstd -c", "zstd -12 -T2 -c", "zstd --long=27 -c", "zstd --no-check -1 -c"] {
        let stored = piped(command, plain.clone());
        assert!(
            decode(&zstd(json!({})), &Map::new(), &stored).unwrap() == plain,
            "{command}: other bytes came back"
        );
    }
}

#[test]
fn several_frames_and_skippable_ones_are_read_as_one_stream() {
    let filter = zstd(json!({}));
    let skippable = [&0x184D_2A53_u32.to_le_bytes()[..], &5_u32.to_le_bytes(), b"notes"].concat();
    let parts = [dump(300_000), Vec::new(), dump(1)];
    let mut stored = skippable.clone();
    for part in &parts {
        stored.extend(encode(&filter, part).0);
        stored.extend(&skippable);
    }
    assert!(decode(&filter, &Map::new(), &stored).unwrap() == parts.concat());
    let error = decode(&filter, &Map::new(), &stored[..stored.len() - 1]).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Damaged, "a cut skippable frame: {error}");
}

#[test]
fn a_flipped_bit_is_found_by_the_checksum() {
    let filter = zstd(json!({}));
    let plain = noise(1, 200_000);
    let (stored, _) = encode(&filter, &plain);
    // Noise is stored as it is: nothing but the checksum can tell.
    for at in [stored.len() / 2, stored.len() - 1] {
        let mut flipped = stored.clone();
        flipped[at] ^= 0x10;
        let error = decode(&filter, &Map::new(), &flipped).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Damaged, "byte {at}: {error}");
    }
}

#[test]
fn a_window_beyond_the_usual_is_read_only_where_it_was_recorded_or_set() {
    let long = zstd(json!({ "long": 28, "threads": 1 }));
    let (stored, finished) = encode(&long, &dump(200_000));
    assert_eq!(finished.params["window_log"], 28);
    let usual = zstd(json!({}));
    let error = decode(&usual, &Map::new(), &stored).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Damaged);
    assert!(error.hint.unwrap().contains("`long`"));
    assert!(decode(&usual, &finished.params, &stored).unwrap() == dump(200_000), "as recorded");
    assert!(decode(&long, &Map::new(), &stored).unwrap() == dump(200_000), "as set");
}

#[test]
fn a_recorded_window_that_cannot_be_is_damage() {
    for value in [json!(99), json!(-1), json!("27"), json!(null)] {
        let params = Map::from_iter([("window_log".to_owned(), value.clone())]);
        assert_eq!(decode(&zstd(json!({})), &params, b"").unwrap_err().kind, ErrorKind::Damaged, "{value}");
    }
}

#[test]
fn options_out_of_range_are_refused() {
    for options in
        [json!({ "level": 23 }), json!({ "level": -8 }), json!({ "threads": 65 }), json!({ "long": 9 })]
    {
        let made = Zstd::new(serde_json::from_value(options.clone()).unwrap(), &Context::default());
        assert_eq!(made.err().map(|error| error.kind), Some(ErrorKind::Config), "{options}");
    }
}

#[test]
fn a_flush_hands_on_all_that_was_written() {
    let filter = zstd(json!({ "threads": 2 }));
    for length in [10, 3_000_000] {
        let (next, view) = TestSink::new();
        let mut sink = filter.encode(&Context::default(), "data", Box::new(next)).unwrap();
        sink.write_all(&dump(length)).unwrap();
        sink.flush().unwrap();
        let mut plain = vec![0; length];
        let flushed = Box::new(std::io::Cursor::new(view.seen().bytes));
        let mut reader = filter.decode(&Context::default(), "data", &Map::new(), flushed).unwrap();
        reader.read_exact(&mut plain).unwrap();
        assert!(plain == dump(length), "{length} bytes");
    }
}

#[test]
fn sixteen_threads_stay_below_forty_mebibytes() {
    peaks_below(40, "sixteen_threads_stay_below_forty_mebibytes", || {
        encode_much(&zstd(json!({ "threads": 16 })), 192);
    });
}
