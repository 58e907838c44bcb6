//! Both ways run on several threads, which end with the stream. Alone in its process: it counts threads.

use std::io::{Cursor, Read, Write};

use serde_json::{Map, json};
use windlass_filter_xz::Xz;
use windlass_plugin_api::{Context, Filter};
use windlass_testkit::codec::{dump, encode, filter};
use windlass_testkit::streams::TestSink;

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// Waits until there are no more than `before`: joined threads stay on the kernel's list for a moment.
fn are_gone(before: usize) {
    while threads() > before {
        std::thread::yield_now();
    }
}

#[test]
fn both_ways_use_several_threads_and_end_them() {
    let before = threads();
    let xz: Xz = filter(json!({ "threads": 3, "level": 0 }));
    let plain = dump(5_000_000);

    let (next, view) = TestSink::new();
    let mut sink = xz.encode(&Context::default(), "data", Box::new(next)).unwrap();
    sink.write_all(&plain).unwrap();
    assert_eq!(threads(), before + 3, "while it compresses");
    let written = view.len();
    drop(sink);
    are_gone(before);
    assert_eq!((view.len(), view.seen().finishes), (written, 0), "something was written after the abort");

    let (stored, _) = encode(&xz, &plain);
    are_gone(before);
    let mut reader =
        xz.decode(&Context::default(), "data", &Map::new(), Box::new(Cursor::new(stored))).unwrap();
    reader.read_exact(&mut [0; 10]).unwrap();
    assert!(threads() > before + 1, "while it decodes: {}", threads() - before);
    drop(reader);
    are_gone(before);
}
