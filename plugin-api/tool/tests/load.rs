//! What a load needs to be good, and that nothing commits when it isn't.

mod common;

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use common::sh;
use windlass_plugin_api::{Context, Error, ErrorKind, Result};
use windlass_tool::{Outcome, Tool};

fn load(tool: &Tool, input: impl Read) -> Result<Outcome> {
    tool.load(&Context::default(), input)
}

/// A stand-in for psql: takes its input, and commits at end-of-file.
fn committing(folder: &Path) -> Tool {
    sh("cat > data; echo committed > marker").working_dir(folder)
}

struct FailsAfter(u64);

impl Read for FailsAfter {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(Error::damaged("the hash differs").into_io());
        }
        self.0 -= 1;
        buffer.fill(b'x');
        Ok(buffer.len())
    }
}

#[test]
fn a_good_load_takes_everything_and_commits() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = load(&committing(folder.path()), io::repeat(b'x').take(3_000_000)).unwrap();
    assert_eq!(outcome.bytes, 3_000_000);
    assert_eq!(fs::metadata(folder.path().join("data")).unwrap().len(), 3_000_000);
    assert!(folder.path().join("marker").exists());
}

#[test]
fn an_empty_input_is_a_load_too() {
    let folder = tempfile::tempdir().unwrap();
    load(&committing(folder.path()), io::empty()).unwrap();
    assert!(folder.path().join("marker").exists());
}

#[test]
fn a_failing_input_kills_the_program_before_it_can_commit() {
    for pieces in [0, 1, 20] {
        let folder = tempfile::tempdir().unwrap();
        let error = load(&committing(folder.path()), FailsAfter(pieces)).unwrap_err();
        assert_eq!(error, Error::damaged("the hash differs"));
        // `load` has awaited every process of the group: nothing can come any more.
        assert!(!folder.path().join("marker").exists(), "committed after {pieces} pieces");
    }
}

#[test]
fn a_failing_input_also_stops_what_left_the_group() {
    let folder = tempfile::tempdir().unwrap();
    let tool = sh("setsid sh -c 'cat > data; echo committed > marker' <&0").working_dir(folder.path());
    load(&tool, FailsAfter(20)).unwrap_err();
    assert!(!folder.path().join("marker").exists());
}

#[test]
fn a_panicking_input_commits_nothing() {
    struct Panics;
    impl Read for Panics {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            panic!("on purpose")
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let tool = committing(folder.path());
    std::panic::catch_unwind(|| load(&tool, Panics)).unwrap_err();
    assert!(!folder.path().join("marker").exists());
}

#[test]
fn a_program_that_fails_midway_gives_its_own_error() {
    let error =
        load(&sh("head -c 1000 >/dev/null; echo no such table >&2; exit 3"), io::repeat(b'x')).unwrap_err();
    assert_eq!(error.to_string(), "`sh` ended with exit code 3: no such table");
}

#[test]
fn a_program_that_leaves_input_unread_has_not_restored_it() {
    for (script, bytes) in [("exit 0", 5u64), ("exit 0", 3_000_000), ("head -c 10 >/dev/null", 3_000_000)] {
        let error = load(&sh(script), io::repeat(b'x').take(bytes)).unwrap_err();
        assert!(error.to_string().contains("without reading all of its input"), "{script} {bytes}: {error}");
        load(&sh(script).allow_unread(true), io::repeat(b'x').take(bytes)).unwrap();
    }
}

#[test]
fn damage_in_what_is_left_unread_is_still_found() {
    let error = load(&sh("exit 0").allow_unread(true), FailsAfter(20)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Damaged);
}

#[test]
fn much_output_while_loading_does_not_block() {
    load(
        &sh("yes out | head -c 3000000; yes err | head -c 3000000 >&2; cat >/dev/null"),
        &[b'x'; 100_000][..],
    )
    .unwrap();
}

#[test]
fn a_load_that_leaves_a_worker_behind_is_not_good() {
    let folder = tempfile::tempdir().unwrap();
    let tool = sh("cat >/dev/null; (sleep 1000; touch marker) &").working_dir(folder.path());
    let error = load(&tool.drain_limit(std::time::Duration::from_millis(200)), &b"x"[..]).unwrap_err();
    assert!(error.to_string().contains("keeps its output open"), "{error}");
}

#[test]
fn the_output_of_a_load_goes_to_the_log_without_secrets() {
    use std::sync::{Arc, Mutex};
    use tracing::field::{Field, Visit};

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<String>>>);
    impl Visit for Log {
        fn record_debug(&mut self, _: &Field, value: &dyn std::fmt::Debug) {
            self.0.lock().unwrap().push(format!("{value:?}"));
        }
    }
    impl tracing::Subscriber for Log {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }
        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
        fn event(&self, event: &tracing::Event<'_>) {
            event.record(&mut self.clone());
        }
        fn enter(&self, _: &tracing::span::Id) {}
        fn exit(&self, _: &tracing::span::Id) {}
    }
    let log = Log::default();
    // The lines come from a thread, so the subscriber must be the process's; other tests may add lines.
    tracing::subscriber::set_global_default(log.clone()).unwrap();
    load(&sh("cat >/dev/null; echo restored 3 tables; echo as hunter2").redact("hunter2"), &b"x"[..])
        .unwrap();
    let lines = log.0.lock().unwrap().clone();
    assert!(lines.contains(&"sh: restored 3 tables".to_owned()), "{lines:?}");
    assert!(lines.contains(&"sh: as ***".to_owned()));
}
