//! What it is asked to do wrong, it does wrong, and nothing else.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use serde_json::{Value, json};
use windlass_plugin_api::ffi::root::{Root, source_header};
use windlass_plugin_api::{Contents, Context, Error, ErrorKind, Result, Source, StreamInfo};
use windlass_source_misbehaving::Misbehaving;
use windlass_testkit::TestHost;
use windlass_testkit::streams::{Fault, MemoryInputs, MemoryOutputs};

fn made(options: &Value) -> Result<Box<dyn Source>> {
    let root = Root::linked(Box::leak(Box::new(source_header::<Misbehaving>()))).unwrap();
    root.source(options, &Context::default())
}

fn backup(behaviour: &str, out: &MemoryOutputs) -> Result<Contents> {
    let mut source = made(&json!({ "behaviour": behaviour, "streams": 2 }))?;
    source.probe(&Context::default())?;
    source.backup(&Context::default(), out)
}

fn restore(behaviour: &str, folder: &Path) -> Result<()> {
    let input = MemoryInputs::new().stream("data", StreamInfo::new("test/1"), vec![7; 100_000]);
    let mut source = made(&json!({ "behaviour": behaviour, "target": folder.join("out") }))?;
    source.target(&Context::default(), &Default::default())?;
    source.restore(&Context::default(), &input, &Default::default()).map(drop)
}

#[test]
fn a_backup_goes_wrong_where_it_was_asked_to() {
    // How it ends, how many streams it created and how many it finished.
    let wanted = [
        ("panic-in-new", Some(ErrorKind::Broken), 0, 0),
        ("panic-in-probe", Some(ErrorKind::Broken), 0, 0),
        ("panic-in-backup", Some(ErrorKind::Broken), 0, 0),
        ("panic-half-way", Some(ErrorKind::Broken), 1, 0),
        ("panic-after-finish", Some(ErrorKind::Broken), 2, 2),
        ("fails-in-probe", Some(ErrorKind::Failed), 0, 0),
        ("fails-half-way", Some(ErrorKind::Failed), 1, 0),
        ("fails-after-finish", Some(ErrorKind::Failed), 2, 2),
        ("same-name", Some(ErrorKind::Failed), 1, 1),
        ("drops-a-stream", None, 2, 0),
        ("leaves-a-stream-open", None, 2, 0),
        ("panic-in-drop", None, 2, 2),
        ("none", None, 2, 2),
    ];
    for (behaviour, kind, created, finished) in wanted {
        let out = MemoryOutputs::new();
        let ended = backup(behaviour, &out).err().map(|error: Error| error.kind);
        let seen = out.seen();
        let count = seen.iter().filter(|(_, seen)| seen.finished).count();
        assert_eq!((ended, seen.len(), count), (kind, created, finished), "{behaviour}");
        assert!(seen.iter().all(|(_, seen)| seen.dropped), "{behaviour}: a stream outlives the source");
    }
}

#[test]
fn a_source_that_ignores_errors_says_that_all_is_well() {
    let out = MemoryOutputs::new().fault_at(10, Fault::Error(Error::new(ErrorKind::Full, "full")));
    backup("ignores-errors", &out).unwrap();
    assert!(out.seen().iter().all(|(_, seen)| !seen.finished));
}

#[test]
fn a_restore_goes_wrong_where_it_was_asked_to() {
    let wanted = [
        ("panic-in-target", Some(ErrorKind::Broken), None),
        ("panic-in-restore", Some(ErrorKind::Broken), None),
        ("fails-after-reading", Some(ErrorKind::Failed), None),
        ("reads-half", None, Some(50_000)),
        ("none", None, Some(100_000)),
    ];
    for (behaviour, kind, length) in wanted {
        let folder = tempfile::tempdir().unwrap();
        let ended = restore(behaviour, folder.path()).err().map(|error| error.kind);
        let written = fs::metadata(folder.path().join("out.data")).ok().map(|meta| meta.len());
        assert_eq!((ended, written), (kind, length), "{behaviour}");
        let files = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files, usize::from(length.is_some()), "{behaviour}: a sibling is left");
    }
}

#[test]
fn what_is_left_out_is_told() {
    let mut source = made(&json!({ "left_out": 25 })).unwrap();
    let contents = source.backup(&Context::default(), &MemoryOutputs::new()).unwrap();
    assert_eq!((contents.left_out.len(), contents.left_out_count), (10, 25));
}

#[test]
fn a_slow_source_takes_its_time() {
    let mut source = made(&json!({ "bytes": 3_000, "slow_bytes_per_second": 10_000 })).unwrap();
    let started = Instant::now();
    source.backup(&Context::default(), &MemoryOutputs::new()).unwrap();
    assert!(started.elapsed() >= Duration::from_millis(300), "{:?}", started.elapsed());
}

#[test]
fn a_source_that_waits_ends_when_it_is_cancelled() {
    let host = TestHost::new();
    let (cx, out) = (host.context(), MemoryOutputs::new());
    let mut source = made(&json!({ "behaviour": "waits" })).unwrap();
    thread::scope(|scope| {
        let run = scope.spawn(|| source.backup(&cx, &out));
        assert!(host.wait_registered(Duration::from_secs(60)));
        host.cancel();
        assert_eq!(run.join().unwrap().unwrap_err().kind, ErrorKind::Cancelled);
    });
    assert_eq!(out.seen()[0].1.bytes.len(), 50_000);
}

/// Not a test by itself: what the next one runs in a process of its own.
#[test]
#[ignore = "takes its process with it"]
fn in_a_process_of_its_own() {
    let behaviour = env::var("BEHAVIOUR").unwrap();
    let ended = backup(&behaviour, &MemoryOutputs::new());
    panic!("it lives on: {ended:?}");
}

#[test]
fn a_source_can_take_its_process_with_it() {
    for (behaviour, signal) in [("kills-itself", 9), ("aborts", 6)] {
        let mut child = Command::new(env::current_exe().unwrap());
        child.args(["--ignored", "--exact", "in_a_process_of_its_own"]).env("BEHAVIOUR", behaviour);
        let output = child.output().unwrap();
        assert_eq!(output.status.signal(), Some(signal), "{behaviour}: {output:?}");
    }
}
