//! A source that breaks the contract in one point doesn't pass the suite.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::panic::catch_unwind;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use windlass_plugin_api::export::Described;
use windlass_plugin_api::{
    Contents, Context, Error, ErrorKind, Inputs, Outputs, Plugin, Probe, RestoreMode, RestoreOptions,
    Restored, Result, Source, StreamInfo, Target,
};
use windlass_testkit::noise::noise;
use windlass_testkit::source::{self as suite, SourceFixture, Subject};

/// What is "in a database" of this name.
static PLACES: Mutex<BTreeMap<String, Vec<u8>>> = Mutex::new(BTreeMap::new());

fn places() -> MutexGuard<'static, BTreeMap<String, Vec<u8>>> {
    PLACES.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Deserialize)]
struct Careless {
    place: String,
    fault: String,
}

impl Described for Careless {
    const DESCRIPTION: &'static [&'static str] = &[
        "windlass-plugin-1\n",
        r#"{"kind":"source","name":"careless","version":"1.0.0","panic":"unwind","summary":"bytes in memory","#,
        r#""reads":["test/1"],"writes":["test/1"],"api":""#,
        windlass_plugin_api::API_VERSION,
        r#"","options":{"properties":{"place":{"type":"string"},"password":{"type":"string","format":"secret"}}}}"#,
    ];
}

impl Plugin for Careless {
    type Options = Self;

    fn new(options: Self, _: &Context) -> Result<Self> {
        Ok(options)
    }
}

impl Careless {
    fn is(&self, fault: &str) -> bool {
        self.fault == fault
    }
}

impl Source for Careless {
    fn probe(&mut self, _: &Context) -> Result<Probe> {
        if self.is("probe-writes") {
            places().entry(self.place.clone()).or_default().push(0);
        }
        Ok(Probe::default())
    }

    fn backup(&mut self, cx: &Context, out: &dyn Outputs) -> Result<Contents> {
        let bytes = places()[&self.place].clone();
        let format = if self.is("undeclared-format") { "test/2" } else { "test/1" };
        let name = if self.is("telling-name") { "Table Orders" } else { "data" };
        let mut sink = out.create(name, StreamInfo::new(format))?;
        for piece in bytes.chunks(1_000) {
            let written = match self.fault.as_str() {
                "short-writes" => sink.write(piece).map(drop),
                "rewords-errors" => sink.write_all(piece).map_err(|_| Error::failed("can't write").into_io()),
                _ => sink.write_all(piece),
            };
            if !self.is("ignores-write-errors") {
                written?;
            }
            if cx.cancelled() && self.is("ends-late") {
                thread::sleep(Duration::from_secs(1));
            }
            cx.go_on()?;
        }
        match self.fault.as_str() {
            "unfinished" => {}
            "ignores-finish-errors" => drop(sink.finish()),
            _ => drop(sink.finish()?),
        }
        Ok(Contents::default())
    }

    fn target(&mut self, _: &Context, _: &RestoreOptions) -> Result<Target> {
        let empty = !places().contains_key(&self.place) || self.is("always-empty");
        Ok(Target { place: self.place.clone(), empty, atomic: true, ..Target::default() })
    }

    fn restore(&mut self, _: &Context, input: &dyn Inputs, how: &RestoreOptions) -> Result<Restored> {
        if !how.only.is_empty() && !self.is("ignores-choices") {
            return Err(Error::new(ErrorKind::NotFound, "no such part"));
        }
        if how.mode == RestoreMode::Fail && places().contains_key(&self.place) && !self.is("overwrites") {
            return Err(Error::new(ErrorKind::Refused, "not empty"));
        }
        if how.contents.is_none() && self.is("needs-contents") {
            return Err(Error::failed("no contents"));
        }
        let (mut reader, mut whole) = (input.open("data")?, Vec::new());
        loop {
            let mut buffer = [0; 1_000];
            match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => whole.extend_from_slice(&buffer[..count]),
                Err(_) if self.is("swallows-damage") => break,
                Err(error) => return Err(error.into()),
            }
            if self.is("commits-on-the-way") {
                places().insert(self.place.clone(), whole.clone());
            }
        }
        if !self.is("keeps-what-is-there") || !places().contains_key(&self.place) {
            places().insert(self.place.clone(), whole);
        }
        Ok(Restored::default())
    }

    fn by_hand(&self, _: &str, _: &Contents) -> Option<String> {
        Some(if self.is("tells-secrets") { "load --password=hunter2".into() } else { "load".into() })
    }
}

thread_local! {
    static FAULT: Cell<&'static str> = const { Cell::new("none") };
}

struct Places(String, &'static str);

impl Places {
    fn look(&self, place: &str) -> String {
        let bytes = places().get(&format!("{} {place}", self.0)).cloned();
        bytes.map_or("nothing".into(), |bytes| {
            format!("{} bytes, {:?}…", bytes.len(), bytes.last_chunk::<8>())
        })
    }

    fn options_of(&self, place: &str) -> Value {
        json!({ "place": format!("{} {place}", self.0), "fault": self.1, "password": "hunter2" })
    }

    fn fill(&self, seed: u64) {
        places().insert(format!("{} source", self.0), noise(seed, 10_000 + seed as usize));
    }
}

impl SourceFixture for Places {
    fn new() -> Self {
        let fixture = Self(tempfile::tempdir().unwrap().path().display().to_string(), FAULT.get());
        fixture.fill(1);
        fixture
    }

    fn options(&self) -> Value {
        self.options_of("source")
    }

    fn target_options(&self) -> Value {
        self.options_of("target")
    }

    fn fingerprint(&self) -> String {
        self.look("source")
    }

    fn target_fingerprint(&self) -> String {
        self.look("target")
    }

    fn change(&self) {
        self.fill(2);
    }

    fn promptly(&self) -> Duration {
        // Only the one fault waits longer; a busy machine must not look like it.
        Duration::from_millis(if self.1 == "ends-late" { 500 } else { 10_000 })
    }
}

type Proof = fn(&Subject<Places>);

fn passes(fault: &'static str, proof: Proof) -> bool {
    FAULT.set(fault);
    catch_unwind(|| proof(&Subject::new::<Careless>())).is_ok()
}

#[test]
fn a_source_with_a_fault_does_not_pass() {
    let faults: [(&str, Proof); 19] = [
        ("probe-writes", suite::a_probe_changes_nothing),
        ("probe-writes", suite::a_backup_finishes_every_stream_it_creates),
        ("undeclared-format", suite::a_backup_finishes_every_stream_it_creates),
        ("telling-name", suite::a_backup_finishes_every_stream_it_creates),
        ("unfinished", suite::a_backup_finishes_every_stream_it_creates),
        ("short-writes", suite::short_writes_and_reads_change_nothing),
        ("rewords-errors", suite::an_error_of_a_sink_comes_back_as_itself),
        ("ignores-write-errors", suite::an_error_of_a_sink_comes_back_as_itself),
        ("ignores-finish-errors", suite::an_error_of_a_sink_comes_back_as_itself),
        ("ends-late", suite::a_cancelled_backup_ends_promptly),
        ("swallows-damage", suite::a_cancelled_restore_ends_promptly),
        ("needs-contents", suite::a_stream_without_contents_can_be_restored),
        ("always-empty", suite::an_empty_target_is_told_from_a_filled_one),
        ("overwrites", suite::the_mode_decides_over_a_filled_target),
        ("keeps-what-is-there", suite::the_mode_decides_over_a_filled_target),
        ("swallows-damage", suite::damaged_streams_leave_an_atomic_target_as_it_was),
        ("commits-on-the-way", suite::damaged_streams_leave_an_atomic_target_as_it_was),
        ("ignores-choices", suite::what_is_not_in_the_snapshot_can_not_be_chosen),
        ("tells-secrets", suite::nothing_that_is_recorded_holds_a_secret),
    ];
    for (fault, proof) in faults {
        assert!(passes("none", proof), "the proof against `{fault}` fails without it");
        assert!(!passes(fault, proof), "a source with the fault `{fault}` passed");
    }
    assert!(passes("none", suite::a_restore_gives_what_was_backed_up));
}
