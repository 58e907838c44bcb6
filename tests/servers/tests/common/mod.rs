//! What the tests of servers share.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::fs;
#[allow(unused_imports, reason = "each test file uses its own part")]
pub use windlass_testkit::until;

/// Whether a process runs.
pub fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['Z', 'X']))
}
