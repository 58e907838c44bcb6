//! An encoder that is dropped stops its threads at once. Alone in its process: it counts threads.

use std::io::Write;

use windlass_filter_gzip::Gzip;
use windlass_plugin_api::{Context, Filter, Plugin};
use windlass_testkit::noise::noise;
use windlass_testkit::streams::TestSink;

/// Threads of this process that compress.
fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("windlass-gzip")).count()
}

#[test]
fn a_dropped_encoder_ends_its_threads_and_writes_no_end() {
    let options = serde_json::from_value(serde_json::json!({ "level": 9, "threads": 8 })).unwrap();
    let gzip = Gzip::new(options, &Context::default()).unwrap();
    let (next, view) = TestSink::new();
    let mut sink = gzip.encode(&Context::default(), "data", Box::new(next)).unwrap();
    sink.write_all(&noise(1, 6 * 1024 * 1024)).unwrap();
    assert_eq!(threads(), 8);
    let written = view.len();
    drop(sink);
    // Joined by now; the kernel may take a moment to strike the last one off its list.
    while threads() > 0 {
        std::thread::yield_now();
    }
    let seen = view.seen();
    assert_eq!((seen.bytes.len(), seen.finishes), (written, 0), "something was written after the abort");
    assert!(seen.dropped);
}
