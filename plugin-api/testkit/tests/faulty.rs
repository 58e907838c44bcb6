//! The faulty wrapper fails where it was told to, and only there.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use windlass_plugin_api::{Context, CreateOptions, ErrorKind, ListOptions, Result, Storage, Stored};
use windlass_testkit::noise::noise;
use windlass_testkit::{Failure, Faulty, Memory, Operation, TestHost};

fn cx() -> Context {
    Context::default()
}

fn put(storage: &Faulty, cx: &Context, key: &str, bytes: &[u8]) -> Result<Stored> {
    let mut upload = storage.create(cx, key, &CreateOptions::default())?;
    upload.write_all(bytes)?;
    upload.finish()?;
    upload.publish()
}

fn get(storage: &Faulty, key: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    storage.open(&cx(), key, None)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[test]
fn the_nth_call_fails_and_leaves_nothing() {
    for operation in [Operation::Create, Operation::Write, Operation::Finish, Operation::Publish] {
        let memory = Memory::empty();
        let storage = Faulty::new(memory.clone()).fail(Failure::new(operation, 2, ErrorKind::Full));
        put(&storage, &cx(), "first", b"bytes").unwrap();
        let error = put(&storage, &cx(), "second", b"bytes").unwrap_err();
        assert_eq!(error.kind, ErrorKind::Full, "{operation:?}: {error}");
        assert_eq!(memory.objects().len(), 1, "{operation:?}");
        assert_eq!(memory.leftovers(&cx(), "").unwrap(), [], "{operation:?}");
        put(&storage, &cx(), "third", b"bytes").unwrap();
        assert_eq!(storage.calls(operation), 3, "{operation:?}");
    }
}

#[test]
fn every_reading_call_can_fail() {
    let failing = |operation| {
        let memory = Memory::empty();
        memory.plant("a", b"bytes");
        Faulty::new(memory).fail(Failure::new(operation, 1, ErrorKind::Unavailable).for_ever())
    };
    let is_failure = |kind: Option<ErrorKind>| assert_eq!(kind, Some(ErrorKind::Unavailable));
    for _ in 0..2 {
        is_failure(get(&failing(Operation::Open), "a").err().map(|error| error.kind));
        is_failure(get(&failing(Operation::Read), "a").err().map(|error| error.kind));
        is_failure(failing(Operation::Stat).stat(&cx(), "a").err().map(|error| error.kind));
        is_failure(
            failing(Operation::List).list(&cx(), &ListOptions::default()).err().map(|error| error.kind),
        );
        is_failure(failing(Operation::Delete).delete(&cx(), &["a".into()]).err().map(|error| error.kind));
        is_failure(failing(Operation::Leftovers).leftovers(&cx(), "").err().map(|error| error.kind));
        is_failure(failing(Operation::Discard).discard(&cx(), &[]).err().map(|error| error.kind));
        is_failure(failing(Operation::Check).check(&cx()).err().map(|error| error.kind));
    }
}

#[test]
fn a_publish_can_work_and_fail() {
    let memory = Memory::empty();
    let storage = Faulty::new(memory.clone()).publish_then_fail(1);
    put(&storage, &cx(), "a", b"bytes").unwrap_err();
    assert_eq!(memory.objects()["a"], b"bytes");
    put(&storage, &cx(), "b", b"bytes").unwrap();
}

#[test]
fn a_denied_delete_leaves_everything_in_place() {
    let memory = Memory::empty();
    memory.plant("a", b"bytes");
    let storage = Faulty::new(memory.clone()).deny_delete();
    let fates = storage.delete(&cx(), &["a".into(), "b".into()]).unwrap();
    assert!(
        fates.iter().all(|fate| fate.as_ref().is_err_and(|error| error.kind == ErrorKind::Denied)),
        "{fates:?}"
    );
    assert_eq!(storage.discard(&cx(), &[]).unwrap_err().kind, ErrorKind::Denied);
    assert_eq!(memory.objects().len(), 1);
}

#[test]
fn short_writes_and_reads_add_up() {
    let storage = Faulty::new(Memory::empty()).short(7);
    let bytes = noise(1, 1_000);
    put(&storage, &cx(), "a", &bytes).unwrap();
    assert_eq!(storage.calls(Operation::Write), 1_000_u64.div_ceil(7));
    assert!(get(&storage, "a").unwrap() == bytes);
    assert!(storage.calls(Operation::Read) >= 1_000 / 7);
}

#[test]
fn a_slow_storage_takes_its_time() {
    let storage = Faulty::new(Memory::empty()).bytes_per_second(10_000);
    let started = Instant::now();
    put(&storage, &cx(), "a", &noise(1, 3_000)).unwrap();
    // Waiting is never shorter than asked; how much longer is the machine's affair.
    assert!(started.elapsed() >= Duration::from_millis(300), "{:?}", started.elapsed());
}

#[test]
fn a_slow_write_ends_when_the_run_is_cancelled() {
    let host = TestHost::new();
    let storage = Faulty::new(Memory::empty()).bytes_per_second(1);
    thread::scope(|scope| {
        let run = scope.spawn(|| put(&storage, &host.context(), "a", &noise(1, 100_000)));
        // The wait is registered, so the cancelling must wake it.
        assert!(host.wait_registered(Duration::from_secs(60)));
        host.cancel();
        assert_eq!(run.join().unwrap().unwrap_err().kind, ErrorKind::Cancelled);
    });
    assert_eq!(host.callbacks(), 0);
}
