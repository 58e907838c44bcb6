//! What it is asked to do wrong, it does wrong, and nothing else.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

use serde_json::{Map, json};
use windlass_filter_misbehaving::Misbehaving;
use windlass_plugin_api::ffi::logging::LogLines;
use windlass_plugin_api::ffi::root::{Root, filter_header};
use windlass_plugin_api::{Context, Error, ErrorKind, Filter, Result, silence};
use windlass_testkit::noise::noise;
use windlass_testkit::streams::{TestReader, TestSink};

fn root() -> Root {
    Root::linked(Box::leak(Box::new(filter_header::<Misbehaving>()))).unwrap()
}

fn made(behaviour: &str) -> Result<Box<dyn Filter>> {
    root().filter(&json!({ "behaviour": behaviour }), &Context::default())
}

/// Encodes and decodes 100 kB, and says what came of it.
fn used(behaviour: &str) -> Result<Vec<u8>> {
    let filter = made(behaviour)?;
    let (next, view) = TestSink::new();
    let mut sink = filter.encode(&Context::default(), "data", Box::new(next))?;
    sink.write_all(&noise(1, 100_000))?;
    sink.finish()?;
    drop(sink);
    let input = TestReader::new(view.seen().bytes).in_steps_of(1_000);
    let mut plain = Vec::new();
    filter.decode(&Context::default(), "data", &Map::new(), Box::new(input))?.read_to_end(&mut plain)?;
    Ok(plain)
}

#[test]
fn panics_and_lies_come_where_they_were_asked_for() {
    let places = [
        ("panic-in-new", "panicked in `new`"),
        ("panic-in-encode", "panicked in `encode`"),
        ("panic-in-write", "panicked in `write`"),
        ("panic-in-finish", "panicked in `finish`"),
        ("panic-in-decode", "panicked in `decode`"),
        ("panic-in-read", "panicked in `read`"),
        ("lying-writer", "`write` claims"),
        ("lying-reader", "`read` claims"),
    ];
    for (behaviour, words) in places {
        let error: Error = used(behaviour).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Broken, "{behaviour}: {error}");
        assert!(error.message.contains(words), "{behaviour}: {error}");
    }
    assert_eq!(made("panic-in-by-hand").unwrap().by_hand(), None);
    assert_eq!(used("panic-in-drop").unwrap(), noise(1, 100_000));
    assert_eq!(used("none").unwrap(), noise(1, 100_000));
}

#[test]
fn a_decoder_that_never_reads_on_ends_early() {
    let plain = used("never-reads-on").unwrap();
    assert!(
        !plain.is_empty() && plain.len() <= 1_000 && noise(1, 1_000).starts_with(&plain),
        "{} bytes",
        plain.len()
    );
}

struct Lines(Mutex<Vec<(u8, String, String)>>);

impl LogLines for Lines {
    fn line(&self, level: u8, _: &str, message: &str, fields: &str) {
        self.0.lock().unwrap().push((level, message.to_owned(), fields.to_owned()));
    }
}

/// To the plugin this test is another crate, as the libraries are that it uses. A target says nothing of who logs.
fn log_as_a_library() {
    tracing::warn!(target: "windlass", "library: a warning by tracing");
    tracing::info!(target: "windlass_filter_misbehaving", "library: an info by tracing");
    tracing::debug!("library: a debug by tracing");
    log::warn!("library: a warning by log");
    log::info!(target: "windlass_filter_misbehaving", "library: an info by log");
    log::debug!("library: a debug by log");
}

#[test]
fn all_lines_of_a_plugin_reach_the_host_and_of_a_library_only_warnings_and_nothing_once_it_is_silent() {
    let caught = Arc::new(Lines(Mutex::default()));
    root().attach(caught.clone(), 4);
    used("log").unwrap();
    log_as_a_library();
    silence("behaviour");
    log_as_a_library();
    let lines = caught.0.lock().unwrap();
    let of = |start: &str| -> Vec<(u8, String)> {
        let chosen = lines.iter().filter(|(_, message, _)| message.starts_with(start));
        chosen.map(|(level, message, _)| (*level, message.clone())).collect()
    };
    // Trace is above the level that was asked for.
    let wanted = [(1, "an error"), (2, "a warning"), (3, "an info"), (4, "a debug")];
    for call in ["encode", "decode"] {
        let by = |way: &str| wanted.map(|(level, what)| (level, format!("{call}: {what} by {way}")));
        assert_eq!(of(&format!("{call}: ")), [by("tracing"), by("log")].concat());
    }
    assert!(lines.iter().any(|(.., fields)| fields == "stream=\"data\""), "{lines:?}");
    let warnings = ["tracing", "log"].map(|way| (2, format!("library: a warning by {way}")));
    assert_eq!(of("library: "), warnings);
}
