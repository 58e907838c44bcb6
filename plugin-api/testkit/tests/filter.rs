//! The suite of filters passes a good filter, and a bad one doesn't pass it.

use std::io::{self, Read, Write};
use std::panic::catch_unwind;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use windlass_plugin_api::export::Described;
use windlass_plugin_api::{Context, Encoder, Error, Filter, Finished, Plugin, Reader, Result, Secret, Sink};
use windlass_testkit::filter::{self, Subject};
use windlass_testkit::streams::TestSink;

/// Options of `framed`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Options {
    /// What is wrong with it: nothing by default.
    fault: String,
    /// A passphrase, to be seen by nobody.
    #[allow(dead_code)]
    passphrase: Option<Secret>,
}

impl Default for Options {
    fn default() -> Self {
        Self { fault: "none".into(), passphrase: None }
    }
}

/// Chunks behind their length in two bytes; an empty one ends.
struct Framed {
    fault: String,
}

impl Described for Framed {
    const DESCRIPTION: &'static [&'static str] = &[
        "windlass-plugin-1\n",
        r#"{"kind":"filter","name":"framed","version":"1.0.0","panic":"unwind","suffix":".fr","#,
        r#""summary":"chunks behind their length","api":""#,
        windlass_plugin_api::API_VERSION,
        r#"","options":"#,
        r#"{"properties":{"passphrase":{"type":"string","format":"secret"}}}}"#,
    ];
}

impl Plugin for Framed {
    type Options = Options;

    fn new(options: Options, _: &Context) -> Result<Self> {
        Ok(Self { fault: options.fault })
    }
}

impl Filter for Framed {
    fn encode(&self, _: &Context, _: &str, next: Box<dyn Sink>) -> Result<Box<dyn Sink>> {
        let fault = self.fault.clone();
        let finish_on_drop = fault == "finishes-on-drop";
        let framer = Framer { next: Some(next), finish_on_drop, drops_bytes: fault == "drops-bytes" };
        Ok(Box::new(Encoder::new(framer, move |mut framer| {
            let mut next = framer.next.take().unwrap();
            next.write_all(&[0, 0])?;
            if fault == "ignores-a-failed-finish" {
                let _ = next.finish();
                let (sink, _) = TestSink::new();
                next = Box::new(sink);
            }
            if fault == "finishes-twice" {
                next.finish()?;
            }
            Ok((next, Finished::default()))
        })))
    }

    fn decode(&self, _: &Context, _: &str, _: &Map<String, Value>, input: Reader) -> Result<Reader> {
        Ok(Box::new(Deframer { input, left: 0, ended: false, fault: self.fault.clone() }))
    }

    fn by_hand(&self) -> Option<String> {
        (self.fault == "tells-secrets").then(|| "deframe --passphrase hunter2".to_owned())
    }
}

struct Framer {
    next: Option<Box<dyn Sink>>,
    finish_on_drop: bool,
    drops_bytes: bool,
}

impl Write for Framer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let chunk = &bytes[..bytes.len().min(0xffff)];
        let next = self.next.as_mut().unwrap();
        if self.drops_bytes && chunk.len() > 100 {
            return Ok(chunk.len());
        }
        if !chunk.is_empty() {
            next.write_all(&u16::try_from(chunk.len()).unwrap().to_be_bytes())?;
            next.write_all(chunk)?;
        }
        Ok(chunk.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.next.as_mut().unwrap().flush()
    }
}

impl Drop for Framer {
    fn drop(&mut self) {
        if let (true, Some(next)) = (self.finish_on_drop, self.next.as_mut()) {
            let _ = next.finish();
        }
    }
}

struct Deframer {
    input: Reader,
    left: usize,
    ended: bool,
    fault: String,
}

impl Read for Deframer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let early = |error: io::Error| {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                Error::damaged("ends early").into_io()
            } else {
                error
            }
        };
        if self.left == 0 && !self.ended {
            let mut length = [0; 2];
            match self.input.read_exact(&mut length) {
                Err(_) if self.fault == "swallows-truncation" => length = [0; 2],
                result => result.map_err(early)?,
            }
            self.left = usize::from(u16::from_be_bytes(length));
            self.ended = self.left == 0;
            if self.ended && self.fault != "stops-early" && self.input.read(&mut [0])? > 0 {
                return Err(Error::damaged("goes on behind its end").into_io());
            }
        }
        if self.ended || buffer.is_empty() {
            return Ok(0);
        }
        let most = buffer.len().min(self.left);
        let result = self.input.read(&mut buffer[..most]);
        let count = match result {
            Err(_) if self.fault == "rewords-errors" => return Err(Error::damaged("can't read").into_io()),
            other => other?,
        };
        if count == 0 {
            return Err(Error::damaged("ends early").into_io());
        }
        self.left -= count;
        Ok(count)
    }
}

type Proof = fn(&Subject);

/// What the macro makes tests of.
const PROOFS: &[Proof] = &[
    filter::whatever_is_encoded_comes_back,
    filter::writes_and_reads_of_one_byte_come_back,
    filter::streams_of_several_threads_do_not_mix,
    filter::truncated_bytes_are_an_error,
    filter::garbage_is_an_error,
    filter::garbage_behind_the_end_is_an_error,
    filter::a_dropped_encoder_finishes_nothing,
    filter::a_finish_is_passed_on_once,
    filter::an_error_of_the_next_sink_comes_back_as_itself,
    filter::an_error_of_the_input_comes_back_as_itself,
    filter::the_command_by_hand_holds_no_secret,
];

#[test]
fn a_good_filter_passes() {
    let subject = Subject::new::<Framed>(vec![json!({}), json!({ "passphrase": "x" })]);
    PROOFS.iter().for_each(|proof| proof(&subject));
}

fn fails_with(fault: &'static str, proof: Proof) {
    let options = json!({ "fault": fault, "passphrase": "hunter2" });
    let result = catch_unwind(move || proof(&Subject::new::<Framed>(vec![options])));
    assert!(result.is_err(), "a filter with the fault `{fault}` passed");
}

#[test]
fn a_filter_with_a_fault_does_not_pass() {
    fails_with("finishes-on-drop", filter::a_dropped_encoder_finishes_nothing);
    fails_with("finishes-twice", filter::a_finish_is_passed_on_once);
    fails_with("swallows-truncation", filter::truncated_bytes_are_an_error);
    fails_with("drops-bytes", filter::whatever_is_encoded_comes_back);
    fails_with("drops-bytes", filter::streams_of_several_threads_do_not_mix);
    fails_with("ignores-a-failed-finish", filter::an_error_of_the_next_sink_comes_back_as_itself);
    fails_with("rewords-errors", filter::an_error_of_the_input_comes_back_as_itself);
    fails_with("swallows-truncation", filter::garbage_is_an_error);
    fails_with("tells-secrets", filter::the_command_by_hand_holds_no_secret);
    fails_with("stops-early", filter::garbage_behind_the_end_is_an_error);
}
