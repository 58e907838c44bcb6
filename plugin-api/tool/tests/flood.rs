//! Bounded memory whatever is said on stderr. One test in a process of its own: peak memory is the whole process's.

mod common;

use common::sh;
use windlass_plugin_api::Context;

#[test]
fn a_flood_on_stderr_neither_blocks_nor_fills_memory() {
    let before = peak_kib();
    let mut out = Vec::new();
    let flood = sh("yes 'some words that nobody needs' | head -c 50000000 >&2; echo done");
    let outcome = flood.dump(&Context::default(), &mut out).unwrap();
    assert_eq!(out, b"done\n");
    assert!(outcome.stderr.len() < 70_000 && outcome.stderr.contains("bytes left out"));
    assert!(peak_kib() - before < 8 << 10, "grew by {} KiB", peak_kib() - before);
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
