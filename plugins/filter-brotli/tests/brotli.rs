//! What only this filter must stand: the `brotli` program on the other side, large windows, memory.

use serde_json::{Map, json};
use windlass_filter_brotli::{Brotli, Options};
use windlass_plugin_api::{Context, ErrorKind, Filter, Plugin};
use windlass_testkit::codec::{
    decode, decode_much, decode_with, dump, encode, encode_much, filter, peaks_below, piped, takes,
};
use windlass_testkit::noise::noise;

fn brotli() -> Brotli {
    filter(json!({}))
}

#[test]
fn the_command_by_hand_decodes_what_was_encoded() {
    let plain = dump(600_000);
    for options in [
        json!({}),
        json!({ "level": 0 }),
        json!({ "level": 1, "window": 10 }),
        json!({ "level": 9, "window": 24 }),
        json!({ "level": 4, "window": 26 }),
    ] {
        let brotli: Brotli = filter(options.clone());
        let decoded = piped(&brotli.by_hand().unwrap(), encode(&brotli, &plain).0);
        assert!(decoded == plain, "{options}: other bytes came back");
    }
    let smallest: Brotli = filter(json!({ "level": 11 }));
    assert!(piped("brotli -dc", encode(&smallest, &plain[..50_000]).0) == plain[..50_000]);
}

#[test]
fn what_the_brotli_program_wrote_is_decoded() {
    let plain = dump(600_000);
    for command in ["brotli -q 5 -c", "brotli -q 0 -c", "brotli -q 9 -w 24 -c", "brotli -q 1 -w 10 -c"] {
        let stored = piped(command, plain.clone());
        assert!(decode(&brotli(), &stored).unwrap() == plain, "{command}: other bytes came back");
    }
}

#[test]
fn a_window_beyond_the_standard_is_read_only_where_it_was_recorded_or_set() {
    let plain = dump(100_000);
    for window in [25, 30] {
        let stored = piped(&format!("brotli -q 4 --large_window={window} -c"), plain.clone());
        let error = decode(&brotli(), &stored).map(drop).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Damaged);
        assert!(error.message.contains(&format!("2^{window}")), "{error}");
        assert!(error.hint.unwrap().contains(&format!("`window` to {window}")));
        let set: Brotli = filter(json!({ "window": window }));
        assert!(decode(&set, &stored).unwrap() == plain, "as set");
        assert_eq!(
            decode(&filter::<Brotli>(json!({ "window": 24 })), &stored).unwrap_err().kind,
            ErrorKind::Damaged
        );
    }
    let large: Brotli = filter(json!({ "window": 25, "level": 4 }));
    let (stored, finished) = encode(&large, &plain);
    assert_eq!(finished.params["window"], 25);
    assert!(decode_with(&brotli(), &finished.params, &stored).unwrap() == plain, "as recorded");
    assert!(encode(&brotli(), &plain).1.params.is_empty(), "a standard window isn't worth a word");
}

#[test]
fn a_recorded_window_that_cannot_be_is_damage() {
    for value in [json!(31), json!(9), json!(-1), json!("25"), json!(null)] {
        let params = Map::from_iter([("window".to_owned(), value.clone())]);
        assert_eq!(decode_with(&brotli(), &params, b"").unwrap_err().kind, ErrorKind::Damaged, "{value}");
    }
}

#[test]
fn a_second_stream_is_damage_as_it_is_for_the_program() {
    let (stored, _) = encode(&brotli(), &dump(1_000));
    let two = [&stored[..], &stored].concat();
    let error = decode(&brotli(), &two).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Damaged);
    assert!(error.message.contains("follow the end"), "{error}");
    assert!(!takes("brotli -dc", two));
}

#[test]
fn a_flush_hands_on_all_that_was_written() {
    for options in [json!({}), json!({ "level": 0 })] {
        let brotli: Brotli = filter(options);
        let (next, view) = windlass_testkit::streams::TestSink::new();
        let mut sink = brotli.encode(&Context::default(), "data", Box::new(next)).unwrap();
        let plain = noise(1, 700_000);
        std::io::Write::write_all(&mut sink, &plain).unwrap();
        std::io::Write::flush(&mut sink).unwrap();
        let flushed = Box::new(std::io::Cursor::new(view.seen().bytes));
        let mut reader = brotli.decode(&Context::default(), "data", &Map::new(), flushed).unwrap();
        let mut decoded = vec![0; plain.len()];
        std::io::Read::read_exact(&mut reader, &mut decoded).unwrap();
        assert!(decoded == plain);
    }
}

#[test]
fn options_out_of_range_are_refused() {
    for options in [
        json!({ "level": 12 }),
        json!({ "window": 9 }),
        json!({ "window": 31 }),
        json!({ "level": 1, "window": 25 }),
    ] {
        let parsed: Options = serde_json::from_value(options.clone()).unwrap();
        let made = Brotli::new(parsed, &Context::default());
        assert_eq!(made.err().map(|error| error.kind), Some(ErrorKind::Config), "{options}");
    }
}

#[test]
fn the_default_options_compress_in_the_memory_that_the_page_names() {
    peaks_below(40, "the_default_options_compress_in_the_memory_that_the_page_names", || {
        encode_much(&brotli(), 40);
    });
}

#[test]
fn a_standard_window_decodes_in_the_memory_that_the_page_names() {
    peaks_below(40, "a_standard_window_decodes_in_the_memory_that_the_page_names", || {
        let stored = piped("head -c 100000000 /dev/zero | brotli -q 1 -w 24 -c", Vec::new());
        assert_eq!(decode_much(&brotli(), stored), 100_000_000);
    });
}
