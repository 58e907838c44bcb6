//! Alone in its process, whose files it looks at: a backup writes none.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use common::{options, redis, source};
use windlass_plugin_api::{Finished, Outputs, Result, Sink, Source, StreamInfo};
use windlass_testkit::TestHost;

/// Regular files that this process has open, also those that have no name any more.
fn open_files() -> BTreeSet<PathBuf> {
    let all = fs::read_dir("/proc/self/fd").unwrap().flatten().map(|entry| entry.path());
    let regular = all.filter(|path| fs::metadata(path).is_ok_and(|found| found.is_file()));
    regular.filter_map(|path| fs::read_link(path).ok()).collect()
}

#[derive(Clone, Default)]
struct Watching {
    seen: Arc<Mutex<(BTreeSet<PathBuf>, u64)>>,
}

impl Outputs for Watching {
    fn create(&self, _: &str, _: StreamInfo) -> Result<Box<dyn Sink>> {
        Ok(Box::new(self.clone()))
    }
}

impl std::io::Write for Watching {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut seen = self.seen.lock().unwrap();
        seen.0.extend(open_files());
        seen.1 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Sink for Watching {
    fn finish(&mut self) -> Result<Finished> {
        Ok(Finished::default())
    }
}

#[test]
fn a_backup_writes_no_temporary_file() {
    let server = redis();
    server.cli(&["CONFIG", "SET", "rdbcompression", "no"]);
    server.cli(&["EVAL", "for i = 1, 20 do redis.call('SET', i, string.rep('x', 1000000)) end", "0"]);
    let (cx, out) = (TestHost::new().context(), Watching::default());
    let before = open_files();
    source(&options(&server), &cx).backup(&cx, &out).unwrap();
    let (seen, bytes) = out.seen.lock().unwrap().clone();
    let new: Vec<&PathBuf> = seen.difference(&before).collect();
    assert!(new.is_empty() && bytes > 20_000_000, "{new:?}");
    // Nor does the server: it sends what it writes.
    assert!(!server.dir().join("dump.rdb").exists());
}
