//! The suite of filters.
//!
//! Each function proves one sentence for every set of options it was given. It sees a filter as the host does: bytes in,
//! bytes out, errors; it knows no format.

use std::io::{Read, Write};
use std::thread;

use serde_json::{Map, Value};
use windlass_plugin_api::export::Described;
use windlass_plugin_api::ffi::root::{Root, filter_header};
use windlass_plugin_api::{Context, Error, ErrorKind, Filter, Plugin, PluginInfo, Result, Sink};

use crate::description;
use crate::noise::noise;
use crate::streams::{Fault, TestReader, TestSink};

const MIB: usize = 1024 * 1024;

/// A filter under test: how it is made, and with which options.
pub struct Subject {
    info: PluginInfo,
    root: Root,
    options: Vec<Value>,
    transparent: bool,
}

impl Subject {
    /// The filter `T`, to be tested with each of `options`.
    pub fn new<T: Plugin + Filter + Described + 'static>(options: Vec<Value>) -> Self {
        assert!(!options.is_empty(), "no options to test the filter with");
        let header = Box::leak(Box::new(filter_header::<T>()));
        let root = Root::linked(header).unwrap_or_else(|error| panic!("the entry can't be used: {error}"));
        Self { info: description::info::<T>(), root, options, transparent: false }
    }

    /// It can't tell damage: refused where it compresses or encrypts.
    #[must_use]
    pub fn transparent(mut self) -> Self {
        assert!(
            !self.info.compresses && !self.info.encrypts,
            "a filter that compresses or encrypts can tell damage"
        );
        self.transparent = true;
        self
    }

    /// Calls `prove` with an instance for each set of options.
    fn each(&self, prove: impl Fn(&Case)) {
        for options in &self.options {
            let filter = self.root.filter(options, &Context::default());
            let filter = filter.unwrap_or_else(|error| panic!("can't be made with {options}: {error}"));
            prove(&Case { filter, options: options.clone() });
        }
    }
}

/// One instance.
struct Case {
    filter: Box<dyn Filter>,
    options: Value,
}

/// What an encoder made.
struct Encoded {
    bytes: Vec<u8>,
    params: Map<String, Value>,
}

impl Case {
    fn encoder(&self, next: TestSink) -> Box<dyn Sink> {
        let sink = self.filter.encode(&Context::default(), "data", Box::new(next));
        sink.unwrap_or_else(|error| panic!("{}: encode failed: {error}", self.options))
    }

    /// Encodes `plain` in writes of `step` bytes.
    fn encode(&self, plain: &[u8], step: usize) -> Encoded {
        let (next, view) = TestSink::new();
        let mut sink = self.encoder(next);
        for piece in plain.chunks(step) {
            sink.write_all(piece).unwrap_or_else(|error| panic!("{}: write failed: {error}", self.options));
        }
        let finished =
            sink.finish().unwrap_or_else(|error| panic!("{}: finish failed: {error}", self.options));
        drop(sink);
        let seen = view.seen();
        assert!(seen.finished, "{}: finished, and the sink behind it isn't", self.options);
        assert!(seen.dropped, "{}: dropped, and the sink behind it is kept", self.options);
        Encoded { bytes: seen.bytes, params: finished.params }
    }

    /// Decodes in reads of at most `step` bytes, from an input that gives as few at a time.
    fn decode(&self, encoded: &Encoded, step: usize) -> Result<Vec<u8>> {
        self.decode_from(TestReader::new(encoded.bytes.as_slice()).in_steps_of(step), &encoded.params, step)
    }

    fn decode_from(&self, input: TestReader, params: &Map<String, Value>, step: usize) -> Result<Vec<u8>> {
        let mut reader = self.filter.decode(&Context::default(), "data", params, Box::new(input))?;
        let mut buffer = vec![0; step.min(MIB)];
        let mut plain = Vec::new();
        loop {
            match reader.read(&mut buffer)? {
                0 => break,
                count => plain.extend_from_slice(&buffer[..count]),
            }
        }
        assert_eq!(reader.read(&mut buffer)?, 0, "{}: goes on after end-of-file", self.options);
        Ok(plain)
    }

    fn comes_back(&self, what: &str, plain: &[u8], step: usize) {
        let decoded = self.decode(&self.encode(plain, step), step);
        let decoded =
            decoded.unwrap_or_else(|error| panic!("{}: {what}: decode failed: {error}", self.options));
        assert!(decoded == plain, "{}: {what}: other bytes came back", self.options);
    }

    /// `encoded` must not decode.
    fn is_refused(&self, what: &str, encoded: &Encoded) {
        match self.decode(encoded, 64 * 1024) {
            Ok(plain) => panic!("{}: {what} decoded to {} bytes and end-of-file", self.options, plain.len()),
            Err(error) => assert_eq!(error.kind, ErrorKind::Damaged, "{}: {what}: {error}", self.options),
        }
    }
}

/// Half of it compresses, half doesn't.
fn mixed(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = noise(seed, length);
    bytes.iter_mut().step_by(2).for_each(|byte| *byte = b'w');
    bytes
}

/// Nothing, one byte, odd sizes, 5 MiB of zeros and of noise.
pub fn whatever_is_encoded_comes_back(subject: &Subject) {
    subject.each(|case| {
        for length in [0, 1, 2, 3, 255, 4_095, 65_537, 131_071, 1_000_003] {
            case.comes_back(&format!("{length} bytes"), &mixed(length as u64, length), 64 * 1024);
        }
        case.comes_back("5 MiB of zeros", &vec![0; 5 * MIB], MIB);
        case.comes_back("5 MiB of noise", &noise(5, 5 * MIB), 7_919);
    });
}

/// However small the pieces are in which it is written and read.
pub fn writes_and_reads_of_one_byte_come_back(subject: &Subject) {
    subject.each(|case| case.comes_back("one byte at a time", &mixed(1, 20_011), 1));
}

/// One instance, several streams, several threads.
pub fn streams_of_several_threads_do_not_mix(subject: &Subject) {
    subject.each(|case| {
        thread::scope(|scope| {
            for seed in 0..4 {
                scope.spawn(move || {
                    for round in 0..3 {
                        let plain = mixed(seed * 10 + round, 300_007 + seed as usize);
                        case.comes_back("one of several streams", &plain, 10_007);
                    }
                });
            }
        });
    });
}

/// Cut anywhere, the last byte included.
pub fn truncated_bytes_are_an_error(subject: &Subject) {
    if subject.transparent {
        return;
    }
    subject.each(|case| {
        for plain in [Vec::new(), mixed(1, 1), mixed(2, 300_000), noise(3, 300_000), vec![0; 300_000]] {
            let whole = case.encode(&plain, MIB);
            let length = whole.bytes.len();
            let cuts =
                [0, 1, 2, 5, length / 3, length / 2, length.saturating_sub(9), length.saturating_sub(2)];
            for cut in cuts.into_iter().chain([length.saturating_sub(1)]).filter(|cut| *cut < length) {
                let part = Encoded { bytes: whole.bytes[..cut].to_vec(), params: whole.params.clone() };
                case.is_refused(&format!("{cut} of the {length} bytes that {} became", plain.len()), &part);
            }
        }
    });
}

/// Bytes that no encoder made.
pub fn garbage_is_an_error(subject: &Subject) {
    if subject.transparent {
        return;
    }
    subject.each(|case| {
        let params = case.encode(b"something", MIB).params;
        for bytes in [noise(1, 1), noise(2, 100), noise(3, 100_000), vec![0; 1_000], b"plain text\n".to_vec()]
        {
            let garbage = Encoded { bytes, params: params.clone() };
            case.is_refused(&format!("{} bytes of garbage", garbage.bytes.len()), &garbage);
        }
    });
}

/// What follows the end is damage as well: a decoder must read to end-of-file.
pub fn garbage_behind_the_end_is_an_error(subject: &Subject) {
    if subject.transparent {
        return;
    }
    subject.each(|case| {
        for garbage in [vec![0], vec![b'w'], noise(1, 3), noise(2, 70_000)] {
            let mut encoded = case.encode(&mixed(3, 100_000), MIB);
            encoded.bytes.extend_from_slice(&garbage);
            case.is_refused(&format!("{} bytes behind the end", garbage.len()), &encoded);
        }
    });
}

/// Dropped without `finish` is aborted, whatever the codec writes in its destructor.
pub fn a_dropped_encoder_finishes_nothing(subject: &Subject) {
    subject.each(|case| {
        for length in [0, 1, 300_000] {
            let (next, view) = TestSink::new();
            let mut sink = case.encoder(next);
            sink.write_all(&mixed(4, length)).unwrap();
            drop(sink);
            let seen = view.seen();
            assert_eq!(seen.finishes, 0, "{}: a dropped encoder finished the sink behind it", case.options);
            assert!(seen.dropped, "{}: a dropped encoder keeps the sink behind it", case.options);
        }
    });
}

/// Not before its own `finish`, and not again in the destructor.
pub fn a_finish_is_passed_on_once(subject: &Subject) {
    subject.each(|case| {
        let (next, view) = TestSink::new();
        let mut sink = case.encoder(next);
        sink.write_all(&mixed(5, 100_000)).unwrap();
        sink.flush().unwrap();
        assert_eq!(view.seen().finishes, 0, "{}: finished before it was told to", case.options);
        sink.finish().unwrap();
        drop(sink);
        let seen = view.seen();
        assert_eq!((seen.finishes, seen.calls_afterwards), (1, 0), "{}: the sink behind it", case.options);
    });
}

/// A full disk is told as a full disk, wherever it strikes.
pub fn an_error_of_the_next_sink_comes_back_as_itself(subject: &Subject) {
    let full = Error::new(ErrorKind::Full, "no space left on the test's disk").hint("Free some.");
    let plain = noise(6, 2 * MIB);
    let drive = |sink: &mut dyn Sink| -> Result<()> {
        plain.chunks(10_007).try_for_each(|piece| sink.write_all(piece))?;
        sink.finish().map(drop)
    };
    subject.each(|case| {
        for offset in [0, 1, 1_000, MIB] {
            let (next, view) = TestSink::new();
            let next = next.fault_at(offset, Fault::Error(full.clone()));
            // A header may be written at once: then `encode` is the call that fails.
            let result = case
                .filter
                .encode(&Context::default(), "data", Box::new(next))
                .and_then(|mut sink| drive(&mut *sink));
            is_itself(case, &full, result.err());
            let seen = view.seen();
            assert!(seen.dropped && !seen.finished, "{}: went on after an error at {offset}", case.options);
        }
        let (next, view) = TestSink::new();
        let mut sink = case.encoder(next.fails_to_finish(full.clone()));
        is_itself(case, &full, drive(&mut *sink).err());
        drop(sink);
        assert_eq!(view.seen().finishes, 1, "{}: tried to finish again", case.options);
    });
}

/// The reader in front may report damage or a lost connection: the decoder passes it on.
pub fn an_error_of_the_input_comes_back_as_itself(subject: &Subject) {
    let lost = Error::new(ErrorKind::Unavailable, "the test's connection was reset").hint("Try again.");
    subject.each(|case| {
        let encoded = case.encode(&noise(7, 500_000), MIB);
        for offset in [0, 1, 1_000, encoded.bytes.len() / 2, encoded.bytes.len()] {
            let input =
                TestReader::new(encoded.bytes.as_slice()).fault_at(offset, Fault::Error(lost.clone()));
            is_itself(case, &lost, case.decode_from(input, &encoded.params, MIB).err());
        }
    });
}

fn is_itself(case: &Case, wanted: &Error, got: Option<Error>) {
    let got = got.unwrap_or_else(|| panic!("{}: `{wanted}` was swallowed", case.options));
    // It may have been put into words on the way: then the original is its last cause.
    let whole = got.message == wanted.message || got.causes.contains(&wanted.message);
    assert!(whole && got.kind == wanted.kind, "{}: `{wanted}` came back as {got:?}", case.options);
    assert_eq!(got.hint, wanted.hint, "{}: the hint was lost", case.options);
}

/// It goes into RESTORE.txt, which anybody may read.
pub fn the_command_by_hand_holds_no_secret(subject: &Subject) {
    subject.each(|case| {
        let command = case.filter.by_hand().unwrap_or_default();
        for secret in description::secrets_in(&subject.info, &case.options) {
            assert!(!command.contains(&secret), "the command by hand holds a secret");
        }
    });
}
