//! Backups: what is written, what is promised, and what comes of a run that must not succeed.

use std::thread;
use std::time::Instant;

use windlass_plugin_api::{Contents, Error, ErrorKind, Result};

use super::{LONGEST, SourceFixture, Subject, is_itself};
use crate::host::TestHost;
use crate::streams::{Fault, MemoryOutputs};

/// Neither a probe nor a listing of items changes the source; nor do they need one another.
pub fn a_probe_changes_nothing<F: SourceFixture>(subject: &Subject<F>) {
    let (host, before) = (subject.fixture.host(), subject.fixture.fingerprint());
    for _ in 0..2 {
        let mut source = subject.open(&subject.fixture.options(), &host);
        let probe = source.probe(&host.context()).unwrap_or_else(|error| panic!("the probe failed: {error}"));
        subject.holds_no_secret(&format!("{probe:?}"));
        let items =
            source.discover(&host.context()).unwrap_or_else(|error| panic!("discover failed: {error}"));
        assert!(items.iter().all(|item| !item.name.is_empty()), "an item without a name");
    }
    assert_eq!(subject.fixture.fingerprint(), before, "the probe changed the source");
}

/// Neutral names, a declared format, each stream finished once and nothing after; the source is as it was.
pub fn a_backup_finishes_every_stream_it_creates<F: SourceFixture>(subject: &Subject<F>) {
    let (host, out, before) = (subject.fixture.host(), MemoryOutputs::new(), subject.fixture.fingerprint());
    let contents = subject.backup(&host, &out).unwrap_or_else(|error| panic!("the backup failed: {error}"));
    assert_eq!(subject.fixture.fingerprint(), before, "the backup changed the source");
    assert_eq!(contents.left_out, Vec::<String>::new(), "something was left out");
    assert!(!out.seen().is_empty(), "no stream was created");
    for (name, seen) in out.seen() {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let is_name = name.starts_with(fits) && name.len() <= 32 && name.chars().all(|c| fits(c) || c == '-');
        assert!(is_name, "`{name}` is no stream name: [a-z0-9][a-z0-9-]{{0,31}}");
        let format = &seen.info.stream_format;
        assert!(
            subject.info.writes.contains(format),
            "`{name}` has the format `{format}`, which isn't declared"
        );
        assert_eq!((seen.finishes, seen.finished, seen.dropped), (1, true, true), "the stream `{name}`");
        assert_eq!(seen.calls_afterwards, 0, "the stream `{name}` was used after its end");
    }
    assert_eq!(host.callbacks(), 0, "a cancel callback is still registered");
}

/// A sink takes as many bytes as it likes.
pub fn short_writes_and_reads_change_nothing<F: SourceFixture>(subject: &Subject<F>) {
    let (host, out) = (subject.fixture.host(), MemoryOutputs::new().in_steps_of(509));
    let contents = subject.backup(&host, &out).unwrap_or_else(|error| panic!("the backup failed: {error}"));
    let streams = out.inputs().in_steps_of(491);
    subject.restored(&super::Taken { contents, streams }, Default::default());
    assert_eq!(subject.fixture.target_fingerprint(), subject.fixture.fingerprint());
}

fn fails_as_itself<F: SourceFixture>(subject: &Subject<F>, wanted: &Error, out: &MemoryOutputs, when: &str) {
    let result = subject.backup(&subject.fixture.host(), out);
    is_itself(wanted, result.err(), when);
    for (name, seen) in out.seen() {
        assert!(seen.dropped, "{when}: the stream `{name}` is kept");
        assert_eq!(seen.calls_afterwards, 0, "{when}: the stream `{name}` was used after its error");
    }
}

/// A full storage is told as a full storage, wherever it strikes; and then the backup isn't `Ok`.
pub fn an_error_of_a_sink_comes_back_as_itself<F: SourceFixture>(subject: &Subject<F>) {
    let full = Error::new(ErrorKind::Full, "no space left on the test's disk").hint("Free some.");
    let longest = subject.taken().streams.lengths().into_iter().map(|(_, length)| length).max().unwrap_or(0);
    assert!(longest > 0, "the fixture's source writes no byte: put something in");
    for offset in [0, 1, longest / 2, longest - 1] {
        let out = MemoryOutputs::new().fault_at(offset, Fault::Error(full.clone()));
        fails_as_itself(subject, &full, &out, &format!("a write that fails at byte {offset}"));
    }
    fails_as_itself(
        subject,
        &full,
        &MemoryOutputs::new().fails_to_finish(full.clone()),
        "a finish that fails",
    );
    let out = MemoryOutputs::new().fails_to_create(full.clone());
    fails_as_itself(subject, &full, &out, "a stream that can't be created");
}

/// Runs a backup on a thread of its own, cancels once `when` has come, and measures the rest.
fn cancelled<F: SourceFixture>(
    subject: &Subject<F>,
    out: &MemoryOutputs,
    host: &TestHost,
    when: impl FnOnce(),
) -> Result<Contents> {
    let mut source = subject.open(&subject.fixture.options(), host);
    let cx = host.context();
    thread::scope(|scope| {
        let run = scope.spawn(move || (source.backup(&cx, out), Instant::now()));
        when();
        host.cancel();
        let asked = Instant::now();
        let (result, ended) = run.join().unwrap_or_else(|_| panic!("the backup panicked"));
        let took = ended.saturating_duration_since(asked);
        assert!(took < subject.fixture.promptly(), "the backup ended {took:?} after it was cancelled");
        result
    })
}

/// Cancelled before it begins, after the first bytes, and while a sink blocks.
pub fn a_cancelled_backup_ends_promptly<F: SourceFixture>(subject: &Subject<F>) {
    let before = subject.fixture.fingerprint();
    // A source that had little left to do may end well.
    let host = subject.fixture.host();
    host.cancel();
    let _ = cancelled(subject, &MemoryOutputs::new(), &host, || ());
    let host = subject.fixture.host();
    let out = MemoryOutputs::new().fault_at(1, Fault::Cancel(host.clone()));
    let _ = cancelled(subject, &out, &host, || assert!(host.wait_cancelled(LONGEST), "no byte was written"));
    // A sink that couldn't go on leaves no stream whole.
    let host = subject.fixture.host();
    let out = MemoryOutputs::new().fault_at(1, Fault::Block(host.clone()));
    let result =
        cancelled(subject, &out, &host, || assert!(host.wait_blocked(LONGEST), "no byte was written"));
    is_itself(&Error::cancelled(), result.err(), "a sink that is cancelled");
    assert!(out.seen().iter().all(|(_, seen)| seen.dropped), "a stream is kept");
    assert_eq!(subject.fixture.fingerprint(), before, "the source was changed");
    assert_eq!(host.callbacks(), 0, "a cancel callback is still registered");
}
