//! Restores: what was backed up comes back, and a restore that fails does no harm that it said it wouldn't.

use std::thread;
use std::time::Instant;

use windlass_plugin_api::{Error, ErrorKind, RawName, RestoreMode};

use super::{LONGEST, SourceFixture, Subject, Taken, how, is_itself};
use crate::streams::Fault;

/// Into an empty target, as the host does it: `target`, then `restore`.
pub fn a_restore_gives_what_was_backed_up<F: SourceFixture>(subject: &Subject<F>) {
    let taken = subject.taken();
    let target = subject.restored(&taken, RestoreMode::Fail);
    assert!(
        target.empty || !subject.fixture.tells_empty(),
        "the fixture's empty target isn't empty to the source"
    );
    subject.holds_no_secret(&format!("{target:?}"));
    assert_eq!(subject.fixture.target_fingerprint(), subject.fixture.fingerprint());
}

/// Without what the backup said of itself: a bare stream that somebody decoded by hand.
pub fn a_stream_without_contents_can_be_restored<F: SourceFixture>(subject: &Subject<F>) {
    let taken = subject.taken();
    if taken.streams.lengths().len() != 1 {
        return;
    }
    let host = subject.fixture.host();
    let mut options = how(&taken.contents, &taken.streams, RestoreMode::Fail);
    options.contents = None;
    let mut source = subject.open(&subject.fixture.target_options(), &host);
    source.target(&host.context(), &options).unwrap_or_else(|error| panic!("target failed: {error}"));
    let restored = source.restore(&host.context(), &taken.streams, &options);
    restored.unwrap_or_else(|error| panic!("the restore failed: {error}"));
    assert_eq!(subject.fixture.target_fingerprint(), subject.fixture.fingerprint());
}

/// `target` tells an empty one from a filled one, and looking changes neither.
pub fn an_empty_target_is_told_from_a_filled_one<F: SourceFixture>(subject: &Subject<F>) {
    if !subject.fixture.tells_empty() {
        return;
    }
    let (host, taken) = (subject.fixture.host(), subject.taken());
    let options = how(&taken.contents, &taken.streams, RestoreMode::Replace);
    let look = || {
        let before = subject.fixture.target_fingerprint();
        let target = subject.open(&subject.fixture.target_options(), &host).target(&host.context(), &options);
        assert_eq!(subject.fixture.target_fingerprint(), before, "looking changed the target");
        target.unwrap_or_else(|error| panic!("the target can't be looked at: {error}"))
    };
    let empty = look();
    assert!(empty.empty && !empty.place.is_empty(), "{empty:?}");
    subject.restored(&taken, RestoreMode::Fail);
    let filled = look();
    assert!(!filled.empty && !filled.place.is_empty(), "{filled:?}");
}

/// A target that isn't empty stays as it is in mode `fail`, and becomes equal to the snapshot in mode `replace`.
pub fn the_mode_decides_over_a_filled_target<F: SourceFixture>(subject: &Subject<F>) {
    if !subject.fixture.tells_empty() {
        return;
    }
    subject.restored(&subject.taken(), RestoreMode::Fail);
    let before = subject.fixture.target_fingerprint();
    subject.fixture.change();
    let changed = subject.taken();
    let host = subject.fixture.host();
    let (_, result) = subject.restore(&host, &changed.contents, &changed.streams, RestoreMode::Fail);
    if let Err(error) = result {
        assert_eq!(error.kind, ErrorKind::Refused, "{error}");
    }
    assert_eq!(subject.fixture.target_fingerprint(), before, "mode `fail` overwrote the target");
    subject.restored(&changed, RestoreMode::Replace);
    assert_eq!(subject.fixture.target_fingerprint(), subject.fixture.fingerprint(), "mode `replace`");
}

/// Damage that shows anywhere, in place of the end-of-file at the latest, is passed on; an atomic target stays as it was,
/// an empty one as well as a filled one.
pub fn damaged_streams_leave_an_atomic_target_as_it_was<F: SourceFixture>(subject: &Subject<F>) {
    let damaged = Error::damaged("the stored stream isn't what was written").hint("Try another copy.");
    for name in subject.taken().streams.lengths().into_iter().map(|(name, _)| name) {
        for part in [0, 1, 2, 3] {
            // A target that isn't atomic is in pieces after this: each time a fresh one.
            let subject = subject.fresh();
            let refuses = |taken: &Taken, mode| {
                let length =
                    taken.streams.lengths().iter().find(|(n, _)| *n == name).map_or(0, |(_, length)| *length);
                let offset = [0, length / 2, length.saturating_sub(1), length][part];
                let input = taken.streams.clone().fault_in(&name, offset, Fault::Error(damaged.clone()));
                let before = subject.fixture.target_fingerprint();
                let (target, result) =
                    subject.restore(&subject.fixture.host(), &taken.contents, &input, mode);
                let when = format!("damage at byte {offset} of {length} of `{name}`, mode {}", mode.as_str());
                is_itself(&damaged, result.err(), &when);
                let after = subject.fixture.target_fingerprint();
                assert!(
                    !target.atomic || after == before,
                    "{when}: it said that it is atomic, and left {after}"
                );
                target.atomic
            };
            let taken = subject.taken();
            if refuses(&taken, RestoreMode::Fail) && subject.fixture.tells_empty() {
                subject.restored(&taken, RestoreMode::Fail);
                subject.fixture.change();
                refuses(&subject.taken(), RestoreMode::Replace);
            }
        }
    }
}

/// Cancelled while a stream gives nothing: it ends, with an error, and an atomic target is as it was.
pub fn a_cancelled_restore_ends_promptly<F: SourceFixture>(subject: &Subject<F>) {
    let taken = subject.taken();
    for (name, length) in taken.streams.lengths() {
        let subject = subject.fresh();
        let host = subject.fixture.host();
        let input = taken.streams.clone().fault_in(&name, length / 2, Fault::Block(host.clone()));
        let before = subject.fixture.target_fingerprint();
        let options = how(&taken.contents, &taken.streams, RestoreMode::Fail);
        let mut source = subject.open(&subject.fixture.target_options(), &host);
        let cx = host.context();
        let target = source.target(&cx, &options).unwrap_or_else(|error| panic!("target failed: {error}"));
        let result = thread::scope(|scope| {
            let run = scope.spawn(move || (source.restore(&cx, &input, &options), Instant::now()));
            assert!(host.wait_blocked(LONGEST), "the stream `{name}` was not read to its middle");
            host.cancel();
            let asked = Instant::now();
            let (result, ended) = run.join().unwrap_or_else(|_| panic!("the restore panicked"));
            let took = ended.saturating_duration_since(asked);
            assert!(took < subject.fixture.promptly(), "the restore ended {took:?} after it was cancelled");
            result
        });
        is_itself(&Error::cancelled(), result.err(), "a stream that is cancelled");
        let after = subject.fixture.target_fingerprint();
        assert!(!target.atomic || after == before, "it said that it is atomic, and left {after}");
        assert_eq!(host.callbacks(), 0, "a cancel callback is still registered");
    }
}

/// A wish for what isn't in the snapshot, or for parts where the source knows none, is an error.
pub fn what_is_not_in_the_snapshot_can_not_be_chosen<F: SourceFixture>(subject: &Subject<F>) {
    let taken = subject.taken();
    let host = subject.fixture.host();
    let mut options = how(&taken.contents, &taken.streams, RestoreMode::Fail);
    options.only = vec![RawName::Text("windlass-testkit-nothing".into())];
    let mut source = subject.open(&subject.fixture.target_options(), &host);
    let result = source
        .target(&host.context(), &options)
        .and_then(|_| source.restore(&host.context(), &taken.streams, &options));
    let error = result.expect_err("a name that isn't in the snapshot was restored");
    let kinds = [ErrorKind::NotFound, ErrorKind::Unsupported, ErrorKind::Config];
    assert!(kinds.contains(&error.kind), "of kind {:?}: {error}", error.kind);
}

/// Not the command by hand, not what is recorded of the backup.
pub fn nothing_that_is_recorded_holds_a_secret<F: SourceFixture>(subject: &Subject<F>) {
    let taken = subject.taken();
    subject.holds_no_secret(&format!("{:?}", taken.contents));
    let source = subject.open(&subject.fixture.options(), &subject.fixture.host());
    for (name, _) in taken.streams.lengths() {
        subject.holds_no_secret(&source.by_hand(&name, &taken.contents).unwrap_or_default());
    }
}
